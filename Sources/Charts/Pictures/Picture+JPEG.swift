// Reading JPEG, by libjpeg-turbo.

import Foundation
import LoRACTurboJPEG

extension Picture {
  static func isJPEG(_ data: Data) -> Bool { data.starts(with: [0xFF, 0xD8, 0xFF]) }

  /// Grey stays grey; everything else becomes RGB.
  static func jpeg(_ data: Data) throws -> Picture {
    guard let decoder = tjInitDecompress() else { throw PictureError(problem: "libjpeg-turbo does not start") }
    defer { tjDestroy(decoder) }
    func check(_ result: Int32) throws {
      guard result == 0 else {
        throw PictureError(
          problem: "is damaged or cut off: libjpeg-turbo says '\(String(cString: tjGetErrorStr2(decoder)))'")
      }
    }
    return try data.withUnsafeBytes { bytes in
      let source = bytes.bindMemory(to: UInt8.self).baseAddress
      var (width, height, subsampling, colors) = (Int32(0), Int32(0), Int32(0), Int32(0))
      try check(tjDecompressHeader3(decoder, source, UInt(bytes.count), &width, &height, &subsampling, &colors))
      guard width > 0, height > 0 else {
        throw PictureError(problem: "is damaged or cut off: libjpeg-turbo says that it has no picture")
      }
      try checkSize(width: Int(width), height: Int(height), bytes: bytes.count)
      let isGrey = colors == Int32(TJCS_GRAY.rawValue)
      let (format, channels) = isGrey ? (TJPF_GRAY, 1) : (TJPF_RGB, 3)
      var pixels = [UInt8](repeating: 0, count: Int(width) * Int(height) * channels)
      try check(
        tjDecompress2(
          decoder, source, UInt(bytes.count), &pixels, width, 0, height, Int32(format.rawValue), TJFLAG_STOPONWARNING))
      return Picture(width: Int(width), height: Int(height), channels: channels, pixels: pixels)
    }
  }
}
