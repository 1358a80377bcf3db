// An adapter at rest: its modules' factors, what else it brings, its configuration. The same for every file format.

import Foundation
import LoRAAdapters
import LoRAFiles
import LoRATensors

/// An adapter as files hold it. Its numbers stay where they are stored until a module's factors are asked for.
public struct StoredAdapter: Sendable {
  public enum Format: String, Sendable, CaseIterable {
    /// Hugging Face PEFT: a directory.
    case peft
    /// mlx-lm: a directory.
    case mlx
    /// kohya-ss: one file.
    case kohya
  }

  public var format: Format
  /// Where it was read from.
  public var url: URL
  public var configuration: PEFTConfiguration
  /// In the natural order of their paths.
  public var modules: [StoredModule]
  /// Weights that take the place of the base's: `modules_to_save`, biases, copies of embeddings. Their names are the
  /// base model's, without peft's prefix.
  public var replacements: [StoredTensor]
  /// What was odd about the files.
  public var findings: [Finding]
  /// Metadata of the weights' file.
  public var metadata: [JSON.Member]

  public init(
    format: Format = .peft, url: URL, configuration: PEFTConfiguration, modules: [StoredModule],
    replacements: [StoredTensor] = [], findings: [Finding] = [], metadata: [JSON.Member] = []
  ) {
    self.format = format
    self.url = url
    self.configuration = configuration
    self.modules = modules.sorted { isOrdered($0.path, $1.path) }
    self.replacements = replacements.sorted { isOrdered($0.name, $1.name) }
    self.findings = findings
    self.metadata = metadata
  }

  /// Numbers in A, B, their biases and magnitudes, and the replacements.
  public var parameterCount: Int {
    modules.reduce(0) { $0 + $1.tensors.reduce(0) { $0 + $1.count } } + replacements.reduce(0) { $0 + $1.count }
  }

  /// Bytes of all its tensors.
  public var byteCount: Int {
    modules.reduce(0) { $0 + $1.tensors.reduce(0) { $0 + $1.info.byteCount } }
      + replacements.reduce(0) { $0 + $1.info.byteCount }
  }

  public subscript(path: String) -> StoredModule? { modules.first { $0.path == path } }
}

/// What an adapter does to one module: ΔW = scale · B A.
public struct StoredModule: Sendable {
  public enum Kind: String, Sendable {
    /// A is [r, in], B is [out, r]; the base's weight is [out, in], or [in, out] for GPT-2's Conv1D.
    case linear
    /// A is [r, vocabulary], B is [dimension, r]; the base's weight is [vocabulary, dimension], so ΔW is (BA)ᵀ.
    case embedding
    /// A is [r, in, height, width], B is [out, r, 1, 1].
    case convolution
  }

  /// The module's path in the base model, without peft's prefix.
  public var path: String
  public var kind: Kind
  public var a: StoredTensor
  public var b: StoredTensor
  /// B's own bias, [out]: the module's bias grows by scale · bias.
  public var bias: StoredTensor?
  /// DoRA's magnitudes, one number per output.
  public var magnitude: StoredTensor?
  public var alpha: Double
  /// The effective scale of BA.
  public var scale: Double

  public init(
    path: String, kind: Kind, a: StoredTensor, b: StoredTensor, bias: StoredTensor? = nil,
    magnitude: StoredTensor? = nil, alpha: Double, scale: Double
  ) {
    self.path = path
    self.kind = kind
    self.a = a
    self.b = b
    self.bias = bias
    self.magnitude = magnitude
    self.alpha = alpha
    self.scale = scale
  }

  public var rank: Int { a.shape[0] }
  /// Rows of BA.
  public var outputs: Int { b.shape[0] }
  /// Columns of BA; a convolution's kernel counts as input.
  public var inputs: Int { a.shape.dropFirst().reduce(1, *) }

  public var tensors: [StoredTensor] { [a, b, bias, magnitude].compactMap { $0 } }

  /// A as [r, inputs] and B as [outputs, r], in float32.
  public func factors() throws -> (a: Tensor, b: Tensor) {
    (try a.reshaped([rank, inputs]).tensor(), try b.reshaped([outputs, rank]).tensor())
  }
}
