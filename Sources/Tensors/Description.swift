// Tensors as text.

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

extension Tensor: CustomStringConvertible {
  /// Shape and elements in nested brackets, as NumPy and PyTorch print them; of an axis with more than 10 elements in a
  /// tensor of more than 200, the first and the last three.
  ///
  /// ```text
  /// Tensor [2, 3]
  /// [[ 1.0000, -2.5000,  0.0000],
  ///  [ 0.5000,  3.0000, 10.0000]]
  /// ```
  public var description: String {
    let scalars = scalars
    let shown = shape.map { length in
      count > 200 && length > 10 ? [0, 1, 2, nil] + (length - 3..<length).map { $0 } : Array(0..<length)
    }
    var offsets: [Int] = []
    func collect(_ axis: Int, _ offset: Int) {
      guard axis < rank else { return offsets.append(offset) }
      for case let index? in shown[axis] { collect(axis + 1, offset * shape[axis] + index) }
    }
    collect(0, 0)
    let format = NumberFormat(offsets.map { scalars[$0] })
    var next = offsets.map { format.text(scalars[$0]) }.makeIterator()
    func text(_ axis: Int) -> String {
      guard axis < rank else { return next.next()! }
      let separator =
        axis == rank - 1
        ? ", " : "," + String(repeating: "\n", count: rank - 1 - axis) + String(repeating: " ", count: axis + 1)
      return "[" + shown[axis].map { $0 == nil ? "…" : text(axis + 1) }.joined(separator: separator) + "]"
    }
    return "Tensor \(shape)\n\(text(0))"
  }
}

/// One way to write all numbers of a tensor, so that columns stand in line: whole numbers as such, others with four
/// decimals, or with an exponent where these would hide too much.
private struct NumberFormat {
  private let format: String
  private var width = 0

  init(_ values: [Float]) {
    let finite = values.filter(\.isFinite).map(abs)
    let largest = finite.max() ?? 0
    let smallest = finite.filter { $0 > 0 }.min() ?? 1
    format =
      largest < 1e7 && finite.allSatisfy { $0 == $0.rounded() }
      ? "%.0f" : largest < 1e5 && (smallest >= 1e-3 || largest >= 0.1) ? "%.4f" : "%.4e"
    width = values.map { plain($0).utf8.count }.max() ?? 0
  }

  func text(_ value: Float) -> String {
    let plain = plain(value)
    return String(repeating: " ", count: width - plain.utf8.count) + plain
  }

  private func plain(_ value: Float) -> String {
    guard value.isFinite else { return "\(value)" }
    return withVaList([Double(value)]) { arguments in
      withUnsafeTemporaryAllocation(of: CChar.self, capacity: 64) { buffer in
        vsnprintf(buffer.baseAddress!, buffer.count, format, arguments)
        return String(cString: buffer.baseAddress!)
      }
    }
  }
}
