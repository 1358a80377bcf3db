// A tensor as a file describes it: name, format, shape.

import LoRATensors

/// What a file says about a tensor, without its numbers.
public struct TensorInfo: Equatable, Sendable {
  /// The tensor's name in the file.
  public var name: String
  /// How its numbers are stored.
  public var format: NumberFormat
  /// Row-major; empty for a scalar.
  public var shape: [Int]

  /// - Precondition: no extent is negative.
  public init(name: String, format: NumberFormat, shape: [Int]) {
    expect(shape.allSatisfy { $0 >= 0 }, "TensorInfo: \(name) has a negative extent in \(shape)")
    self.name = name
    self.format = format
    self.shape = shape
  }

  /// How many numbers it holds; the largest `Int` where there are more.
  public var count: Int {
    shape.contains(0) ? 0 : shape.reduce(1) { $0.multipliedSaturating(by: $1) }
  }

  /// Bytes it takes in a file; the largest `Int` where there are more.
  public var byteCount: Int {
    if let block = format.block { return (count / block.count).multipliedSaturating(by: block.bytes) }
    let bits = count.multipliedSaturating(by: format.bits)
    return bits == .max ? .max : bits / 8
  }

  /// More axes than any program uses.
  static let mostAxes = 32
  /// An empty tensor's other extents multiply to no more: nothing in a file bounds them, and a loop over rows that hold
  /// nothing takes its time all the same.
  private static let mostOfNothing = 1 << 32

  /// The bytes that a shape in a file asks for; `nil` where it is beyond all memory, has a negative extent or too many
  /// axes, or is no whole number of bytes, or its rows no whole number of blocks.
  ///
  /// The product of the extents that are not 0 must be in bounds too, so that no arithmetic with them overflows.
  static func byteCount(_ format: NumberFormat, _ shape: [Int]) -> Int? {
    guard shape.count <= mostAxes, shape.allSatisfy({ $0 >= 0 }) else { return nil }
    let isEmpty = shape.contains(0)
    let count = shape.reduce(1) { $0.multipliedSaturating(by: max($1, 1)) }
    guard count <= (isEmpty ? mostOfNothing : .max - 1) else { return nil }
    if let block = format.block, (shape.last ?? 1) % block.count != 0 { return nil }
    return isEmpty ? 0 : format.byteCount(count)
  }

  /// The name's part before the last dot: the module's path for `….weight`.
  public var modulePath: String {
    name.lastIndex(of: ".").map { String(name[..<$0]) } ?? ""
  }
}

extension Int {
  /// The product of two numbers that are not negative, or the largest `Int`.
  fileprivate func multipliedSaturating(by other: Int) -> Int {
    let (product, isOverflow) = multipliedReportingOverflow(by: other)
    return isOverflow ? .max : product
  }
}
