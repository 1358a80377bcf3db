// Which modules of a model an adapter goes to: one value for training, for PEFT's configurations and for the tools.

import LoRAFiles

/// Modules by the path at which a model holds them (`hidden1`, `encoder.layer.0.attention.self.query`).
public enum Targets: Sendable, Equatable {
  /// Every linear layer; in peft all but the output layer ("all-linear").
  case allLinear
  /// Paths that equal an entry, or end with "." and an entry.
  case names([String])
  /// Paths that match a regular expression as a whole, as Python's `re.fullmatch` has it.
  case pattern(String)
}

/// peft's whole selection: what gets an adapter, what is saved whole.
public struct ModuleSelection: Sendable, Equatable {
  /// nil: what peft takes for the model's type.
  public var targets: Targets?
  /// What gets none although it is targeted (peft's `exclude_modules`).
  public var excluded: Targets?
  /// Modules that the adapter brings whole, by names as `Targets.names` has them, or parts of paths.
  public var saved: [String] = []
  /// Only these layers of a list of names; empty: all.
  public var layers: [Int] = []
  /// What stands before a layer's number; empty: the first number of a path.
  public var layersPatterns: [String] = []

  /// A selection by targets alone; the rest is set afterwards.
  public init(targets: Targets? = nil, excluded: Targets? = nil) {
    self.targets = targets
    self.excluded = excluded
  }
}

/// A selection whose patterns are compiled: the rules of peft's `check_target_module_exists`.
public struct SelectionMatcher: Sendable {
  private let selection: ModuleSelection
  private let targets: CompiledTargets?
  private let excluded: CompiledTargets?
  private let saved: [PythonPattern]
  private let layers: [PythonPattern]

  /// - Throws: `PythonPatternError` where a pattern is no valid regular expression.
  public init(_ selection: ModuleSelection) throws(PythonPatternError) { try self.init(selection, linear: nil) }

  /// - Parameters:
  ///   - selection: what is compiled.
  ///   - linear: the linear layers of the model, for "all-linear"; nil where no model is known, and everything is one.
  ///   - standard: what peft takes where there are no targets; nil where that is unknown, and everything is taken.
  /// - Throws: `PythonPatternError` where a pattern is no valid regular expression.
  package init(
    _ selection: ModuleSelection, linear: Set<ExactString>?, standard: Targets? = nil
  ) throws(PythonPatternError) {
    self.selection = selection
    func compiled(_ targets: Targets?) throws(PythonPatternError) -> CompiledTargets? {
      guard let targets else { return nil }
      return try CompiledTargets(targets, linear: linear)
    }
    func compiled(_ patterns: [String]) throws(PythonPatternError) -> [PythonPattern] {
      var result: [PythonPattern] = []
      for pattern in patterns { result.append(try PythonPattern(pattern)) }
      return result
    }
    targets = try compiled(selection.targets ?? standard)
    excluded = try compiled(selection.excluded)
    saved = try compiled(selection.saved.map { "(^|.*\\.)\($0)($|\\..*)" })
    let patterns = selection.layersPatterns.filter { !$0.isEmpty }
    layers = try compiled(
      patterns.isEmpty
        ? [".*?\\.[^.]*\\.(?P<idx>\\d+)\\..*"] : patterns.map { "(?:|.*?\\.)\($0)\\.(?P<idx>\\d+)\\..*" })
  }

  /// Whether the module at `path` gets an adapter.
  ///
  /// - Throws: `PythonPatternError` where a pattern can't be tried in reasonable time; so do the others.
  public func targets(_ path: String) throws(PythonPatternError) -> Bool {
    guard try excluded?.matches(path) != true, try !isSaved(path), try targets?.matches(path) ?? true else {
      return false
    }
    // peft asks for the layer only where the target is a list and does not name the path itself.
    guard case .names(let names)? = selection.targets, !selection.layers.isEmpty, !names.contains(path) else {
      return true
    }
    for pattern in layers {
      if let index = try pattern.group("idx", in: path) { return Int(index).map(selection.layers.contains) ?? false }
    }
    return false
  }

  /// Whether `modules_to_save` keeps the module at `path` from being adapted: a name is a part of the path.
  public func isSaved(_ path: String) throws(PythonPatternError) -> Bool {
    for pattern in saved where try pattern.matches(path) { return true }
    return false
  }

  /// Whether `modules_to_save` brings the module at `path`, or one around it, whole: peft wraps each module whose path
  /// ends in a name, letter by letter ("head" also takes "lm_head").
  public func isReplaced(_ path: String) -> Bool {
    let parts = path.split(separator: ".", omittingEmptySubsequences: false)
    return parts.indices.contains { index in
      let ancestor = parts[...index].joined(separator: ".")
      return selection.saved.contains(where: ancestor.hasSuffix)
    }
  }

  /// The entries of a list of targets that match none of `paths`.
  public func unusedTargets(among paths: [String]) -> [String] {
    guard case .names(let names)? = selection.targets else { return [] }
    let endings = Set<ExactString>(names: paths.lazy.flatMap { pathEndings($0).map(String.init) })
    return names.filter { !endings.contains($0) }
  }
}

/// A path, and what follows each of its dots.
package func pathEndings(_ path: String) -> [Substring] {
  var endings = [path[...]]
  while let dot = endings.last!.firstIndex(of: ".") { endings.append(path[path.index(after: dot)...]) }
  return endings
}

private enum CompiledTargets: Sendable {
  case names(Set<ExactString>)
  case pattern(PythonPattern)
  case linear(Set<ExactString>?)

  init(_ targets: Targets, linear: Set<ExactString>?) throws(PythonPatternError) {
    switch targets {
    case .names(let names): self = .names(Set<ExactString>(names: names))
    case .pattern(let pattern): self = .pattern(try PythonPattern(pattern))
    case .allLinear: self = .linear(linear)
    }
  }

  func matches(_ path: String) throws(PythonPatternError) -> Bool {
    switch self {
    case .pattern(let pattern): try pattern.matches(path)
    case .names(let names): pathEndings(path).contains { names.contains(String($0)) }
    case .linear(let paths): paths?.contains(path) ?? true
    }
  }
}
