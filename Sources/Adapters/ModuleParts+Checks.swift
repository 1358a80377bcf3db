// What several methods ask of their parts before they take them.

import LoRAFiles
import LoRATensors

extension ModuleParts {
  /// LyCORIS' trained factor of the whole change (`use_scalar`). Its newer versions fold it into another tensor.
  package static let scalar = MethodPart(".scalar", isForeign: true)

  /// The trained factor; 1 where there is none.
  func scalarFactor() throws -> Double {
    guard let tensor = try optional(Self.scalar) else { return 1 }
    guard tensor.count == 1 else { throw problem("scalar has shape \(tensor.shape)", expected: "one number") }
    let value = Double(try tensor.tensor().reshaped([]).item)
    guard value.isFinite else { throw problem("scalar is \(value)", expected: "a finite number", kind: .number) }
    return value
  }

  /// A part that must be a matrix.
  func matrix(_ part: MethodPart) throws -> StoredTensor {
    let tensor = try required(part)
    guard tensor.shape.count == 2 else {
      throw problem("\(part.suffix.dropFirst()) has shape \(tensor.shape)", expected: "a matrix")
    }
    return tensor
  }

  /// A part that must be a vector, axes of length 1 beside it ignored.
  func vector(_ part: MethodPart) throws -> StoredTensor {
    let tensor = try required(part)
    guard tensor.shape.filter({ $0 != 1 }).count <= 1 else {
      throw problem("\(part.suffix.dropFirst()) has shape \(tensor.shape)", expected: "a vector")
    }
    return tensor.reshaped([tensor.count])
  }

  /// How many numbers a weight of this shape has, and that this can be counted.
  @discardableResult
  func count(_ lengths: Int...) throws -> Int {
    try lengths.reduce(1) { total, length in
      let (product, overflows) = total.multipliedReportingOverflow(by: length)
      guard !overflows, product <= 1 << 48 else {
        throw problem(
          "its tensors make a weight of \(lengths.map(String.init).joined(separator: " × ")) numbers",
          expected: "at most 2⁴⁸")
      }
      return product
    }
  }
}

/// Names and shapes of parts for a message: "hada_w1_a [3, 2], hada_w1_b [2, 5]".
func described(_ parts: [(part: MethodPart, tensor: StoredTensor)]) -> String {
  parts.map { "\($0.part.suffix.dropFirst()) \($0.tensor.shape)" }.joined(separator: ", ")
}
