// Pictures as matrices, one for each channel, and back.

import LoRATensors

extension Picture {
  /// One [height, width] matrix for each channel of colour, 0 black to 1 full; opacity is left out.
  public var matrices: [Tensor] {
    (0..<(channels == 1 ? 1 : 3)).map { channel in
      Tensor(shape: [height, width]) { out in
        for i in 0..<width * height { out[i] = Float(pixels[i * channels + channel]) / 255 }
      }
    }
  }

  /// A grey picture from one matrix, RGB from three, each [height, width]; what lies outside 0...1 is cut off.
  public init(matrices: [Tensor]) {
    expect(
      [1, 3].contains(matrices.count) && matrices.allSatisfy { $0.rank == 2 && $0.shape == matrices[0].shape },
      "Picture(matrices:): one or three matrices of one shape are needed, found \(matrices.map(\.shape))")
    let (height, width) = (matrices[0].shape[0], matrices[0].shape[1])
    var pixels = [UInt8](repeating: 0, count: width * height * matrices.count)
    for (channel, matrix) in matrices.enumerated() {
      matrix.withUnsafeBufferPointer { values in
        for i in 0..<width * height {
          pixels[i * matrices.count + channel] = UInt8((Swift.min(Swift.max(values[i], 0), 1) * 255).rounded())
        }
      }
    }
    self.init(width: width, height: height, channels: matrices.count, pixels: pixels)
  }
}
