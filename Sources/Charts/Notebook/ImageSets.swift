// How sets of images look in a notebook: as contact sheets.
import LoRADatasets
import LoRATensors

extension LabelledImages: CustomPlaygroundDisplayConvertible {
  /// How many there are, and the first of each class in a row.
  public var playgroundDescription: Any { sheet(named: "").playgroundDescription }

  /// - Parameter name: what the images are for, in front of their number.
  fileprivate func sheet(named name: String) -> ImageGrid {
    let columns = 12
    let counts = labelCounts
    let tiles = (0..<classCount).compactMap { label -> ImageGrid.Tile? in
      guard counts[label] > 0 else { return nil }
      return .init(
        Picture(row: self, indices(ofLabel: label).prefix(columns)),
        captions: [.init("\(label): \(counts[label].counted("image"))")])
    }
    return ImageGrid(
      title:
        "\(name)\(count.counted("image")) of \(height)×\(width), \(classCount.counted("class", "classes")); the "
        + "first of each:",
      tiles: tiles, tileWidth: min(columns * width, 336))
  }
}

extension MNIST: CustomPlaygroundDisplayConvertible {
  /// Both parts, one sheet below the other.
  public var playgroundDescription: Any {
    let sheets = [train.sheet(named: "To train with: "), test.sheet(named: "To test with: ")]
    let pages = sheets.compactMap { $0.playgroundDescription as? [String: String] }
    return ["text/html", "text/plain"].reduce(into: [String: String]()) { content, type in
      content[type] = pages.compactMap { $0[type] }.joined(separator: "\n")
    }
  }
}

extension Picture {
  /// One of a set of grey images.
  public init(_ images: LabelledImages, at index: Int) {
    self.init(width: images.width, height: images.height, pixels: images.pixels(at: index))
  }

  /// Some of a set of grey images, side by side.
  init(row images: LabelledImages, _ indices: some Collection<Int>) {
    let rows = (0..<images.height).flatMap { y in
      indices.flatMap { images.pixels(at: $0).dropFirst(y * images.width).prefix(images.width) }
    }
    self.init(width: images.width * indices.count, height: images.height, pixels: rows)
  }

  /// A matrix as grey pixels, [height, width]; what lies beyond `black` or `white` is black or white.
  public init(_ matrix: Tensor, black: Float = 0, white: Float = 1) {
    expect(
      matrix.rank == 2 && black != white, "Picture: a tensor of shape \(matrix.shape), black \(black), white \(white)")
    self.init(
      width: matrix.shape[1], height: matrix.shape[0],
      pixels: matrix.scalars.map { value in
        let share = (value - black) / (white - black)
        return share.isNaN ? 0 : UInt8((255 * min(1, max(0, share))).rounded())
      })
  }
}
