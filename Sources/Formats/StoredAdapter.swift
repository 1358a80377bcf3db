// An adapter at rest: its modules, what else it brings, its configuration. The same for every file format.

import Foundation
import LoRAAdapters
import LoRAFiles
import LoRATensors

/// An adapter as files hold it. Its numbers stay where they are stored until a module's factors are asked for.
public struct StoredAdapter: Sendable {
  /// Whose layout of files it has, or is to have.
  public enum Format: String, Sendable, CaseIterable {
    /// Hugging Face PEFT: a directory.
    case peft
    /// mlx-lm: a directory.
    case mlx
    /// One file whose modules have flat names, as kohya-ss' trainers write it.
    case kohya
    /// One file whose modules have paths with dots, as diffusers, ComfyUI and others write it.
    case file
    /// llama.cpp: one GGUF file.
    case gguf

    /// Whether it is a file whose names may be none of the model's.
    public var isFile: Bool { self == .kohya || self == .file }
  }

  /// The layout that it was read from.
  public var format: Format
  /// Where it was read from.
  public var url: URL
  /// What is known besides the weights; of formats without a configuration, what follows from the tensors.
  public var configuration: PEFTConfiguration
  /// In the natural order of their paths.
  public var modules: [StoredModule]
  /// Weights that take the place of the base's: `modules_to_save`, biases, copies of embeddings. Their names are the
  /// base model's, without peft's prefix.
  public var replacements: [StoredTensor]
  /// Tensors that all modules share (VeRA's projections), by their names in the file.
  public var shared: [StoredTensor]
  /// What was odd about the files.
  public var findings: [Finding]
  /// Metadata of the weights' file.
  public var metadata: [JSON.Member]
  /// Whether the rows of B of queries and keys are in llama.cpp's order, the halves of each head in turns, because the file
  /// does not say how many heads there are. A placement on a model that does puts them right.
  public internal(set) var isInterleaved = false

  /// An adapter from its parts, put into the natural order of their names.
  public init(
    format: Format = .peft, url: URL, configuration: PEFTConfiguration, modules: [StoredModule],
    replacements: [StoredTensor] = [], shared: [StoredTensor] = [], findings: [Finding] = [],
    metadata: [JSON.Member] = []
  ) {
    self.format = format
    self.url = url
    self.configuration = configuration
    self.modules = modules.sorted { isOrdered($0.path, $1.path) }
    self.replacements = replacements.sorted { isOrdered($0.name, $1.name) }
    self.shared = shared
    self.findings = findings
    self.metadata = metadata
  }

  /// All its tensors.
  public var tensors: [StoredTensor] { modules.flatMap(\.tensors) + replacements + shared }

  /// Numbers in all its tensors.
  public var parameterCount: Int { tensors.reduce(0) { $0 + $1.count } }

  /// Bytes of all its tensors.
  public var byteCount: Int { tensors.reduce(0) { $0 + $1.info.byteCount } }

  /// The module at a path, as the adapter's files have it.
  public subscript(path: String) -> StoredModule? { modules.first { $0.path == path } }

  /// The names of its methods: "LoRA", or "LoHa and LoRA".
  public var methodNames: [String] {
    modules.reduce(into: []) { if !$0.contains($1.method.name) { $0.append($1.method.name) } }.sorted()
  }
}
