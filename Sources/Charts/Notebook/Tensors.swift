// How tensors look in a notebook.
import Foundation
import LoRATensors

extension Tensor: CustomPlaygroundDisplayConvertible {
  /// Up to 12 × 12 numbers as a table, more as a heat map. Of more than two axes, all but the last are one.
  public var playgroundDescription: Any {
    guard rank > 0, count > 0 else { return ["text/plain": description] }
    let columns = shape[rank - 1]
    let rows = count / columns
    let name = "Tensor \(shape)"
    guard rows > 12 || columns > 12 else {
      let texts = alignedTexts(scalars.map(Double.init))
      return Table(
        title: name, columns: [.text("")] + (0..<columns).map { .init("\($0)") },
        rows: (0..<rows).map { row in ["\(row)"] + texts[row * columns..<(row + 1) * columns] }
      ).playgroundDescription
    }
    return Heatmap(title: name, reshaped([rows, columns]).detached, width: 360).playgroundDescription
  }
}

/// Numbers that are to stand below each other, all with the same decimals: as many as show four digits of the largest,
/// and at least the four that most numbers near 1 want. Where a number would vanish, all of them have powers of ten.
func alignedTexts(_ values: [Double]) -> [String] {
  let sizes = values.filter { $0.isFinite && $0 != 0 }.map(abs)
  guard let largest = sizes.max(), let smallest = sizes.min() else {
    return values.map { decimalText($0, decimals: 0) }
  }
  if largest < 1e7 && sizes.allSatisfy({ $0 == $0.rounded() }) { return values.map { decimalText($0, decimals: 0) } }
  let decimals = largest < 10 ? 4 : largest < 100 ? 3 : 2
  let isPowers = largest >= 1e6 || smallest < 0.5 * pow(10, -Double(decimals))
  return values.map { value in
    guard isPowers, value.isFinite else { return decimalText(value, decimals: decimals) }
    let text = String(format: "%.3e", abs(value)).replacingOccurrences(of: "-", with: "−")
    return (value < 0 ? "−" : "") + text
  }
}
