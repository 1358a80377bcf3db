import Foundation
import LoRACPNG
import LoRATensors

/// Pixels that can be shown: grey, RGB, or RGB with opacity; eight bits a channel.
public struct Picture: Equatable, Sendable {
  /// Columns of pixels.
  public let width: Int
  /// Rows of pixels.
  public let height: Int
  /// 1 grey, 3 RGB, 4 RGB and opacity.
  public let channels: Int
  /// [height, width, channels]
  public let pixels: [UInt8]

  /// A picture from its bytes, [height, width, channels].
  public init(width: Int, height: Int, channels: Int = 1, pixels: some Sequence<UInt8>) {
    let pixels = Array(pixels)
    expect([1, 3, 4].contains(channels), "Picture: \(channels) channels, not 1, 3 or 4")
    expect(
      width > 0 && height > 0 && pixels.count == width * height * channels,
      "Picture: \(pixels.count) bytes for \(width)×\(height) pixels of \(channels) channels")
    (self.width, self.height, self.channels, self.pixels) = (width, height, channels, pixels)
  }

  /// The picture as a PNG file.
  public var png: Data {
    var image = png_image()
    image.version = UInt32(PNG_IMAGE_VERSION)
    image.width = UInt32(width)
    image.height = UInt32(height)
    let (color, opacity) = (UInt32(2), UInt32(1))  // PNG_FORMAT_FLAG_COLOR, PNG_FORMAT_FLAG_ALPHA
    image.format = channels == 1 ? 0 : channels == 3 ? color : color | opacity
    // Deflate adds at most a thousandth and a few bytes a row; headers are under 1 KB.
    var size = pixels.count + pixels.count / 500 + 16 * height + 4096
    var data = Data(count: size)
    let isWritten = data.withUnsafeMutableBytes { buffer in
      png_image_write_to_memory(&image, buffer.baseAddress, &size, 0, pixels, 0, nil)
    }
    expect(
      isWritten != 0,
      "libpng: \(withUnsafeBytes(of: image.message) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) })")
    return data.prefix(size)
  }

  /// For `<img src="…">` and `<image href="…">`.
  public var dataURI: String { "data:image/png;base64," + png.base64EncodedString() }
}
