import LoRAFiles
import LoRAFormats
import LoRANetworks
import LoRATensors

/// A checkpoint's tensors as a model takes them, path by path, with an account of what is missing, misshapen and left.
///
///     let weights = Weights(checkpoint, prefix: "bert")
///     let query = Linear(weights["bert"]["encoder"]["layer"][0]["query"], inputs: 384, outputs: 384)
///     try weights.finish()
package struct Weights {
  /// The account that all paths share.
  private final class Account {
    let checkpoint: Checkpoint
    /// What the model's names begin with and the checkpoint's don't, or "".
    let absentPrefix: String
    /// What else the stored tensors are called.
    let catalog: WeightCatalog
    var taken: Set<ExactString> = []
    var problems: [String] = []
    private let largestSide: Int
    private var placeholders: [[Int]: Tensor] = [:]

    init(_ checkpoint: Checkpoint, absentPrefix: String) {
      self.checkpoint = checkpoint
      self.absentPrefix = absentPrefix
      catalog = WeightCatalog(checkpoint)
      largestSide = checkpoint.tensors.flatMap(\.shape).max() ?? 1
    }

    /// What stands in for a tensor that can't be had, until `finish` throws: one for each shape, and no side longer than
    /// those of the checkpoint, since a wrong config.json may ask for more than the memory holds.
    func placeholder(_ shape: [Int]) -> Tensor {
      let shape = shape.map { min($0, largestSide) }
      if let known = placeholders[shape] { return known }
      let new = Tensor(shape: shape) { _ in }
      placeholders[shape] = new
      return new
    }
  }

  private let account: Account
  private let path: String

  /// - Parameter prefix: what a headless checkpoint leaves out of its names (`bert`, `transformer`).
  package init(_ checkpoint: Checkpoint, prefix: String) {
    let isPresent = checkpoint.tensors.contains { $0.name.hasPrefix(prefix + ".") }
    account = Account(checkpoint, absentPrefix: isPresent ? "" : prefix + ".")
    path = ""
  }

  private init(_ account: Account, _ path: String) {
    self.account = account
    self.path = path
  }

  subscript(name: String) -> Weights { Weights(account, path.isEmpty ? name : "\(path).\(name)") }
  subscript(index: Int) -> Weights { self["\(index)"] }

  private var storedName: String {
    let name = path.hasPrefix(account.absentPrefix) ? String(path.dropFirst(account.absentPrefix.count)) : path
    return account.catalog.stored(name) ?? account.catalog.stored(path) ?? name
  }

  /// Whether the output layer is the input embedding: where a file stores another one, that counts, whatever its
  /// configuration says.
  func tiesOutput(_ name: String) -> Bool { account.checkpoint[name] == nil || account.catalog.tied != nil }

  var exists: Bool { account.checkpoint[storedName] != nil }

  /// The shape of the tensor at this path; nil where there is none.
  var shape: [Int]? { account.checkpoint[storedName]?.shape }

  /// Whether the checkpoint was saved without a head.
  var isHeadless: Bool { !account.absentPrefix.isEmpty }

  /// The tensor at this path. What is missing or has another shape is remembered, and something stands in until
  /// `finish` throws.
  func tensor(_ shape: [Int]) -> Tensor {
    account.taken.insert(storedName)
    guard let stored = account.checkpoint[storedName] else {
      account.problems.append("missing: \(storedName) \(shape)")
      return account.placeholder(shape)
    }
    guard stored.shape == shape else {
      account.problems.append("\(storedName) has shape \(stored.shape), expected \(shape)")
      return account.placeholder(shape)
    }
    do {
      return try stored.sharedTensor()
    } catch {
      account.problems.append("\(error)")
      return account.placeholder(shape)
    }
  }

  func parameter(_ shape: [Int], layout: Parameter.Layout = .outputsByInputs) -> Parameter {
    Parameter(tensor(shape), layout: layout)
  }

  /// - Parameter ignored: whether a tensor that the model did not take may be left (buffers, heads of other tasks).
  /// - Throws: `CheckpointError` that lists every tensor that is missing, misshapen or unexpected.
  func finish(ignoring ignored: (String) -> Bool) throws {
    let unexpected = account.checkpoint.tensors.map(\.name).filter { !account.taken.contains($0) && !ignored($0) }
    let problems = account.problems + unexpected.map { "unexpected: \($0)" }
    guard !problems.isEmpty else { return }
    let shown = problems.prefix(20).map { "\n  \($0)" }.joined()
    throw CheckpointError(
      .mismatch, file: account.checkpoint.url.path,
      "the tensors are not those of this config.json:\(shown)"
        + (problems.count > 20 ? "\n  and \(problems.count - 20) more" : ""),
      advice: "Take the config.json that was saved with these weights")
  }
}

// MARK: Layers from a checkpoint

extension Linear {
  convenience init(_ weights: Weights, inputs: Int, outputs: Int, bias: Bool = true) {
    self.init(
      weight: weights["weight"].parameter([outputs, inputs]), bias: bias ? weights["bias"].parameter([outputs]) : nil)
  }
}

extension Conv1D {
  convenience init(_ weights: Weights, inputs: Int, outputs: Int) {
    self.init(
      weight: weights["weight"].parameter([inputs, outputs], layout: .inputsByOutputs),
      bias: weights["bias"].parameter([outputs]))
  }
}

extension Embedding {
  convenience init(_ weights: Weights, count: Int, size: Int) {
    self.init(weight: weights["weight"].parameter([count, size], layout: .inputsByOutputs))
  }
}

extension LayerNorm {
  convenience init(_ weights: Weights, size: Int, epsilon: Double, bias: Bool = true) {
    self.init(
      weight: weights["weight"].parameter([size]), bias: bias ? weights["bias"].parameter([size]) : nil,
      epsilon: Float(epsilon))
  }
}

extension RMSNorm {
  convenience init(_ weights: Weights, size: Int, epsilon: Double, offset: Float = 0) {
    self.init(weight: weights["weight"].parameter([size]), epsilon: Float(epsilon), offset: offset)
  }
}
