import Foundation
import LoRACPNG
import LoRATensors

/// Why bytes are not a picture that can be read.
public struct PictureError: DescribedError, Equatable {
  public let problem: String
  public var subject: String { "" }
  public var advice: Advice { "Save it anew as PNG, JPEG, WebP, PGM or PPM" }
}

extension Picture {
  /// The most pixels that are read: a few bytes of a file can claim billions.
  private static let mostPixels = 1 << 28

  /// Whether bytes begin as a file that `init(contentsOf:)` reads.
  public static func recognises(_ data: Data) -> Bool {
    isPNG(data) || isJPEG(data) || isWebP(data) || Anymap.Kind(data) != nil
  }

  private static func isPNG(_ data: Data) -> Bool { data.starts(with: [0x89, 0x50, 0x4E, 0x47]) }

  /// A picture from the bytes of a PNG, JPEG, WebP, PGM or PPM file, grey or RGB with eight bits a channel. What is
  /// transparent lies on white; sixteen bits are rounded to eight.
  ///
  /// - Throws: `PictureError` where the bytes are of no such file, or are damaged or cut off.
  public init(contentsOf data: Data) throws {
    if Self.isPNG(data) {
      self = try Picture.png(data)
    } else if Self.isJPEG(data) {
      self = try Picture.jpeg(data)
    } else if Self.isWebP(data) {
      self = try Picture.webp(data)
    } else if let kind = Anymap.Kind(data) {
      var reader = Anymap(data)
      self = try reader.read(kind)
    } else {
      throw PictureError(problem: "is no PNG, JPEG, WebP, PGM or PPM picture")
    }
  }

  /// - Parameter bytes: of the file, where it is compressed. Deflate makes at most 1,032 bytes of one, and a byte holds at
  ///   most eight pixels; in JPEG and WebP only pictures of nothing come near that.
  static func checkSize(width: Int, height: Int, bytes: Int? = nil) throws {
    guard width > 0, height > 0, width <= mostPixels / height else {
      throw PictureError(problem: "claims \(width) × \(height) pixels; from 1 to \(mostPixels) in all are read")
    }
    if let bytes, width * height / (1032 * 8) > bytes {
      throw PictureError(problem: "claims \(width) × \(height) pixels, which its \(bytes) bytes can't hold")
    }
  }

  private static func png(_ data: Data) throws -> Picture {
    var image = png_image()
    image.version = UInt32(PNG_IMAGE_VERSION)
    defer { png_image_free(&image) }
    func check(_ succeeded: Int32) throws {
      guard succeeded == 0 else { return }
      let message = withUnsafeBytes(of: image.message) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
      throw PictureError(problem: "is damaged or cut off: libpng says '\(message)'")
    }
    return try data.withUnsafeBytes { bytes in
      try check(png_image_begin_read_from_memory(&image, bytes.baseAddress, bytes.count))
      let (width, height) = (Int(image.width), Int(image.height))
      try checkSize(width: width, height: height, bytes: bytes.count)
      let color = UInt32(2)  // PNG_FORMAT_FLAG_COLOR
      let channels = image.format & color != 0 ? 3 : 1
      image.format = channels == 3 ? color : 0
      var white = png_color(red: 255, green: 255, blue: 255)
      var pixels = [UInt8](repeating: 0, count: width * height * channels)
      try check(png_image_finish_read(&image, &white, &pixels, 0, nil))
      return Picture(width: width, height: height, channels: channels, pixels: pixels)
    }
  }
}

/// Reads Netpbm's PGM and PPM, plain and raw: a magic number, width, height and largest value as text, then samples.
private struct Anymap {
  struct Kind {
    let channels: Int
    let isPlain: Bool

    init?(_ data: Data) {
      guard data.count > 2, data[data.startIndex] == UInt8(ascii: "P") else { return nil }
      switch data[data.startIndex + 1] {
      case UInt8(ascii: "2"): (channels, isPlain) = (1, true)
      case UInt8(ascii: "3"): (channels, isPlain) = (3, true)
      case UInt8(ascii: "5"): (channels, isPlain) = (1, false)
      case UInt8(ascii: "6"): (channels, isPlain) = (3, false)
      default: return nil
      }
    }
  }

  private let bytes: [UInt8]
  private var position = 2

  init(_ data: Data) { bytes = Array(data) }

  mutating func read(_ kind: Kind) throws -> Picture {
    let (width, height, largest) = (try number("width"), try number("height"), try number("largest value"))
    try Picture.checkSize(width: width, height: height)
    guard (1...65535).contains(largest) else {
      throw PictureError(problem: "has a largest value of \(largest); 1 to 65535 is allowed")
    }
    let count = width * height * kind.channels
    var samples: [Int] = []
    samples.reserveCapacity(min(count, bytes.count))
    if kind.isPlain {
      for _ in 0..<count { samples.append(try number("sample")) }
    } else {
      position += 1  // one white space ends the header
      let size = largest < 256 ? 1 : 2
      guard bytes.count - position >= count * size else {
        throw PictureError(
          problem: "is cut off: \(width) × \(height) pixels take \(count * size) bytes, "
            + "\(max(0, bytes.count - position)) follow the header")
      }
      for i in 0..<count {
        let at = position + i * size
        samples.append(size == 1 ? Int(bytes[at]) : Int(bytes[at]) << 8 | Int(bytes[at + 1]))
      }
    }
    guard samples.allSatisfy({ $0 <= largest }) else {
      throw PictureError(problem: "has a sample above its largest value of \(largest)")
    }
    return Picture(
      width: width, height: height, channels: kind.channels,
      pixels: samples.map { UInt8(($0 * 255 + largest / 2) / largest) })
  }

  /// The next number, after white space and comments from # to the line's end.
  private mutating func number(_ what: String) throws -> Int {
    while position < bytes.count {
      let byte = bytes[position]
      if byte == UInt8(ascii: "#") {
        while position < bytes.count, bytes[position] != UInt8(ascii: "\n") { position += 1 }
      } else if byte == 32 || (9...13).contains(byte) {
        position += 1
      } else {
        break
      }
    }
    let start = position
    var value = 0
    while position < bytes.count, (48...57).contains(bytes[position]), position - start < 9 {
      value = value * 10 + Int(bytes[position] - 48)
      position += 1
    }
    guard position > start else {
      throw PictureError(
        problem: position >= bytes.count ? "is cut off before its \(what)" : "has no number for its \(what)")
    }
    return value
  }
}
