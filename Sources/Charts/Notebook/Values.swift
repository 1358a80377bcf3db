// How tensors and images look in a notebook.
import LoRADatasets
import LoRATensors

extension Tensor: CustomPlaygroundDisplayConvertible {
  /// Up to 12 × 12 numbers as a table, more as a heat map. Of more than two axes, all but the last are one.
  public var playgroundDescription: Any {
    guard rank > 0, count > 0 else { return ["text/plain": description] }
    let columns = shape[rank - 1]
    let rows = count / columns
    let name = "Tensor \(shape)"
    guard rows > 12 || columns > 12 else {
      let numbers = scalars
      return Table(
        title: name, columns: [.text("")] + (0..<columns).map { .init("\($0)") },
        rows: (0..<rows).map { row in
          ["\(row)"] + (0..<columns).map { .number(Double(numbers[row * columns + $0])) }
        }
      ).playgroundDescription
    }
    return Heatmap(title: name, reshaped([rows, columns]).detached, width: 360).playgroundDescription
  }
}

extension LabelledImages: CustomPlaygroundDisplayConvertible {
  /// How many there are, and the first of them with their labels.
  public var playgroundDescription: Any {
    let shown = min(count, 20)
    return ImageGrid(
      title: "\(grouped(count)) images of \(height)×\(width), \(classCount) classes"
        + (shown < count ? "; the first \(shown):" : ""),
      tiles: (0..<shown).map { .init(Picture(self, at: $0), captions: [.init("\(label(at: $0))")]) }, tileWidth: 60
    ).playgroundDescription
  }
}

extension Picture {
  /// One of a set of grey images.
  public init(_ images: LabelledImages, at index: Int) {
    self.init(width: images.width, height: images.height, pixels: images.pixels(at: index))
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
