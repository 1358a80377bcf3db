// From a file's tensors to modules: which module a name belongs to, and which method its parts make.

import LoRAAdapters
import LoRAFiles

/// What a configuration says of a module's scale; no α, where there is none to say it.
struct ModuleScale {
  var alpha: Double?
  var scaling = Scaling.standard
  var rank: Int?
}

/// Gathers the parts of modules and makes their methods.
struct ModuleReader {
  private var parts: [ExactString: [MethodPart: StoredTensor]] = [:]
  /// α by path, where tensors hold it.
  private var alphas: [ExactString: Double] = [:]
  let file: String

  init(file: String) {
    self.file = file
  }

  var paths: [String] { parts.keys.map(\.text).sorted(by: isOrdered) }

  mutating func add(_ tensor: StoredTensor, as part: MethodPart, of path: String) throws {
    if let other = parts[ExactString(path), default: [:]].updateValue(tensor, forKey: part) {
      throw CheckpointError(
        .malformed, file: file, "\(tensor.name) and \(other.name) are the same part of the module \(path)",
        expected: "one of the two", advice: "Remove one of the two")
    }
  }

  /// A tensor that holds a module's α, in any format of numbers and any shape of one.
  mutating func addAlpha(_ tensor: StoredTensor, of path: String) throws {
    guard tensor.count == 1, let value = tensor.numbers?.first else {
      throw CheckpointError(
        .malformed, file: file, "\(tensor.name) has shape \(tensor.shape) and format \(tensor.format.rawValue)",
        expected: "one number", advice: .fetchAgain)
    }
    guard value.isFinite else {
      throw CheckpointError(
        .number, file: file, "\(tensor.name) is \(value), which makes no scale", expected: "a finite number",
        advice: .fetchAgain)
    }
    alphas[ExactString(path)] = value
  }

  /// The modules, in the natural order of their paths, and the tensors of those that lack a counterpart.
  func modules(
    shared: [String: StoredTensor] = [:], fields: JSON = .object([]),
    scale: (String) throws -> ModuleScale
  ) throws -> (modules: [StoredModule], incomplete: [String]) {
    var modules: [StoredModule] = []
    var incomplete: [String] = []
    for path in paths {
      let configured = try scale(path)
      let parts = ModuleParts(
        path: path, file: file, tensors: parts[ExactString(path)]!,
        alpha: alphas[ExactString(path)] ?? configured.alpha,
        scaling: configured.scaling, rank: configured.rank, shared: shared, fields: fields)
      do {
        modules.append(StoredModule(path: path, method: try AdapterMethods.make(parts)))
      } catch let error as CheckpointError where error.kind == .missing {
        incomplete += parts.tensors.values.map(\.name).sorted()
      }
    }
    return (modules, incomplete)
  }
}
