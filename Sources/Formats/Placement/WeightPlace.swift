// Where a module's weight lies in a checkpoint.

/// A stored tensor, or some of its rows, that is a module's weight or some rows of it.
public struct WeightPlace: Sendable, Equatable {
  /// The stored tensor's name.
  public var tensor: String
  /// The rows of the stored tensor that it takes; nil: all of them.
  public var tensorRows: Range<Int>?
  /// The rows of the module's weight (of the update's outputs) that lie there; nil: all.
  public var moduleRows: Range<Int>?

  public init(tensor: String, tensorRows: Range<Int>? = nil, moduleRows: Range<Int>? = nil) {
    self.tensor = tensor
    self.tensorRows = tensorRows
    self.moduleRows = moduleRows
  }
}
