// Reading WebP, by libwebp.

import Foundation
import LoRACWebP

extension Picture {
  static func isWebP(_ data: Data) -> Bool {
    data.starts(with: Array("RIFF".utf8)) && data.dropFirst(8).starts(with: Array("WEBP".utf8))
  }

  /// RGB, what is transparent on white.
  static func webp(_ data: Data) throws -> Picture {
    try data.withUnsafeBytes { bytes in
      let source = bytes.bindMemory(to: UInt8.self).baseAddress
      var (width, height) = (Int32(0), Int32(0))
      guard WebPGetInfo(source, bytes.count, &width, &height) != 0 else {
        throw PictureError(problem: "is damaged or cut off: libwebp finds no picture in it")
      }
      try checkSize(width: Int(width), height: Int(height), bytes: bytes.count)
      guard let decoded = WebPDecodeRGBA(source, bytes.count, &width, &height) else {
        throw PictureError(problem: "is damaged, cut off or an animation: libwebp does not read it")
      }
      defer { WebPFree(decoded) }
      let count = Int(width) * Int(height)
      let pixels = [UInt8](unsafeUninitializedCapacity: 3 * count) { pixels, initialized in
        for index in 0..<count {
          let opacity = Int(decoded[4 * index + 3])
          for channel in 0..<3 {
            let over = Int(decoded[4 * index + channel]) * opacity + 255 * (255 - opacity)
            pixels[3 * index + channel] = UInt8((over + 127) / 255)
          }
        }
        initialized = 3 * count
      }
      return Picture(width: Int(width), height: Int(height), channels: 3, pixels: pixels)
    }
  }
}
