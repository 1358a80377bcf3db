import LoRAFiles
import LoRANetworks
import LoRATensors

/// Why an adapter can't be attached as asked.
public enum AttachmentError: DescribedError {
  /// Something that was asked for names nothing in the model; with all that there is.
  case noMatch(targets: [String], candidates: [String])
  /// A pattern is no regular expression as Python reads them.
  case badPattern(String, reason: String)
  /// The rank is 0, or more than the smaller side of a matrix.
  case rank(Int, path: String, shape: [Int])
  /// Two adapters of one model would have the same name.
  case nameTaken(String)
  /// An adapter can only be folded into what is stored where it comes first in its weight's chain.
  case notFirst(name: String, path: String)
  /// An adapter can't begin with what its weight lost.
  case noStart(path: String, reason: String)
  /// In a batch whose rows use different adapters, one changes a parameter that all rows share.
  case notByRow(name: String, parameter: String)

  public var subject: String { "" }

  public var problem: String {
    switch self {
    case .noMatch(let targets, let candidates):
      (targets.isEmpty
        ? "no target is named" : "no weight matches \(targets.map { "'\($0)'" }.joined(separator: ", "))")
        + "; the model has " + AttachmentError.families(candidates).joined(separator: ", ")
    case .badPattern(let pattern, let reason):
      "'\(pattern)' is no regular expression: \(reason)"
    case .rank(let rank, let path, let shape):
      "rank \(rank) does not fit \(path) of shape \(shape); it must lie in 1...\(AttachmentError.largestRank(shape))"
    case .nameTaken(let name):
      "an adapter named '\(name)' is attached already"
    case .notFirst(let name, let path):
      "adapter '\(name)' is not the first parametrization of \(path)"
    case .noStart(let path, let reason):
      "the adapter of \(path) can't begin with what quantising lost: \(reason)"
    case .notByRow(let name, let parameter):
      "adapter '\(name)' changes \(parameter), which all rows of a batch share: it can't be mixed with others in one batch"
    }
  }

  public var advice: Advice {
    switch self {
    case .noMatch: "Choose among these, by name or by the end of a path"
    case .badPattern: "Correct it, or name the modules"
    case .rank: "Choose a rank in that range"
    case .nameTaken: "Remove it first, or choose another name"
    case .notFirst: "Fold or remove those before it first"
    case .noStart: "Take the model that was quantised, and a LoRA"
    case .notByRow: "Give it a batch of its own"
    }
  }
}

extension AttachmentError {
  /// The smaller side of a matrix; of a convolution's weight, of [outputs, inputs · height · width].
  static func largestRank(_ shape: [Int]) -> Int { min(shape.first ?? 0, shape.dropFirst().reduce(1, *)) }

  /// Paths that differ in one number only as one: `layers.0.mlp`, `layers.1.mlp` → `layers.0-1.mlp`.
  private static func families(_ paths: [String]) -> [String] {
    var order: [String] = []
    var numbers: [String: [Int]] = [:]
    for path in paths {
      let parts = path.split(separator: ".", omittingEmptySubsequences: false)
      let place = parts.firstIndex { Int($0) != nil }
      let family = parts.enumerated().map { $0 == place ? "*" : String($1) }.joined(separator: ".")
      if numbers[family] == nil { order.append(family) }
      numbers[family, default: []] += place.map { [Int(parts[$0])!] } ?? []
    }
    return order.map { family in
      guard let found = numbers[family], let first = found.min(), let last = found.max() else { return family }
      let isRange = last > first && found.count == last - first + 1
      let text = isRange ? "\(first)-\(last)" : found.map(String.init).joined(separator: "|")
      return family.replacing("*", with: text)
    }
  }
}

/// A matrix of a model, or the weight of a convolution, to which an adapter can go.
public struct AdaptableWeight {
  /// What kind of layer a weight belongs to.
  public enum Kind: Sendable {
    /// A linear map, or a matrix of a layer that is not known.
    case linear
    /// A table of rows that are looked up.
    case embedding
    /// A convolution, [outputs, inputs / groups, height, width].
    case convolution
  }

  /// The path of the module that holds it.
  public let path: String
  /// The weight, in the model.
  public let parameter: Parameter
  /// What kind of layer it belongs to.
  public let kind: Kind
  /// Whether it is the weight of a linear layer: what "all linear" means, as in peft.
  public var isLinear: Bool { kind == .linear }
}

extension Module {
  /// The matrices and the weights of convolutions of this model by the path of their module, in the order of
  /// declaration. Of a module with one matrix, the path is the module's; otherwise the parameter's.
  public var adaptableWeights: [AdaptableWeight] {
    var kinds: [ObjectIdentifier: AdaptableWeight.Kind] = [:]
    for (_, module) in modules {
      if let embedding = module as? Embedding { kinds[ObjectIdentifier(embedding.weight)] = .embedding }
      if let convolution = module as? Conv2d { kinds[ObjectIdentifier(convolution.weight)] = .convolution }
    }
    return parameters.compactMap { item in
      guard let kind = kinds[ObjectIdentifier(item.parameter)] ?? (item.parameter.shape.count == 2 ? .linear : nil)
      else { return nil }
      return AdaptableWeight(
        path: item.name.hasSuffix(".weight") ? String(item.name.dropLast(".weight".count)) : item.name,
        parameter: item.parameter, kind: kind)
    }
  }

  /// The weights that `targets` selects and `excluded` does not.
  ///
  /// Throws `AttachmentError.noMatch`, listing the candidates, where anything given in `targets` or `excluded` matches
  /// nothing.
  public func weights(matching targets: Targets, excluding excluded: Targets? = nil) throws -> [AdaptableWeight] {
    let candidates = adaptableWeights
    var selected = try targets.select(from: candidates)
    if let excluded {
      let out = Set(try excluded.select(from: candidates).map(\.path))
      selected.removeAll { out.contains($0.path) }
      guard !selected.isEmpty else {
        throw AttachmentError.noMatch(targets: ["\(targets) without \(excluded)"], candidates: candidates.map(\.path))
      }
    }
    return selected
  }
}

extension Targets {
  fileprivate func select(from candidates: [AdaptableWeight]) throws -> [AdaptableWeight] {
    let named: Targets
    switch self {
    // `hidden1.weight` names a parameter as `hidden1` does.
    case .names(let names): named = .names(names.map { $0.hasSuffix(".weight") ? String($0.dropLast(7)) : $0 })
    default: named = self
    }
    let matcher: SelectionMatcher
    var selected: [AdaptableWeight] = []
    do throws(PythonPatternError) {
      matcher = try SelectionMatcher(
        ModuleSelection(targets: named), linear: Set<ExactString>(names: candidates.filter(\.isLinear).map(\.path)))
      for candidate in candidates where try matcher.targets(candidate.path) { selected.append(candidate) }
    } catch {
      throw AttachmentError.badPattern(text, reason: "\(error)")
    }
    let unused = matcher.unusedTargets(among: candidates.map(\.path))
    guard unused.isEmpty, !selected.isEmpty else {
      throw AttachmentError.noMatch(
        targets: unused.isEmpty ? [text] : unused, candidates: candidates.map(\.path))
    }
    return selected
  }

  /// In words, for messages.
  var text: String {
    switch self {
    case .allLinear: "all linear"
    case .names(let names): names.joined(separator: ", ")
    case .pattern(let pattern): pattern
    }
  }
}
