// A tensor as a file describes it: name, format, shape.

/// What a file says about a tensor, without its numbers.
public struct TensorInfo: Equatable, Sendable {
  public var name: String
  public var format: NumberFormat
  /// Row-major; empty for a scalar.
  public var shape: [Int]

  /// - Precondition: no extent is negative.
  public init(name: String, format: NumberFormat, shape: [Int]) {
    precondition(shape.allSatisfy { $0 >= 0 }, "TensorInfo: \(name) has a negative extent in \(shape)")
    self.name = name
    self.format = format
    self.shape = shape
  }

  /// How many numbers it holds.
  public var count: Int { shape.reduce(1, *) }

  /// Bytes it takes in a file.
  public var byteCount: Int { count * format.bits / 8 }

  /// The name's part before the last dot: the module's path for `….weight`.
  public var modulePath: String {
    name.lastIndex(of: ".").map { String(name[..<$0]) } ?? ""
  }
}
