// Where a module's weight lies in a checkpoint that may name and group its tensors otherwise than the module does.
//
// Flux's `double_blocks.0.img_attn.qkv` of an adapter has three places in a diffusers folder, a third of its rows each;
// diffusers' `attn.to_k` of an adapter has one place in the original file, the second third of a tensor's rows.

/// Where (a part of) a module's weight lies in a checkpoint.
public struct WeightPlace: Equatable, Sendable {
  /// The stored tensor's name.
  public var tensor: String
  /// The rows of the stored tensor that it takes; `nil`: all of them.
  public var tensorRows: Range<Int>?
  /// The rows of the module's weight (of an update's outputs) that lie there; `nil`: all of them.
  public var moduleRows: Range<Int>?
  /// Whether the tensor is stored as [in, out], as OpenCLIP stores its `text_projection`; rows are then `nil`.
  public var isTransposed: Bool

  /// A place in the stored tensor of that name: by default all of it, for all of the module's weight.
  public init(
    tensor: String, tensorRows: Range<Int>? = nil, moduleRows: Range<Int>? = nil, isTransposed: Bool = false
  ) {
    self.tensor = tensor
    self.tensorRows = tensorRows
    self.moduleRows = moduleRows
    self.isTransposed = isTransposed
  }
}
