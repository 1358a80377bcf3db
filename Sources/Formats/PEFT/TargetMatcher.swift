// Which modules a configuration targets, and with which rank and alpha: the rules of peft's
// `check_target_module_exists` and `get_pattern_key`.

import LoRAAdapters
import LoRAFiles

/// A configuration's patterns, compiled.
public struct TargetMatcher: Sendable {
  private let configuration: PEFTConfiguration
  private let targets: CompiledSelection?
  private let excluded: CompiledSelection?
  private let saved: [PythonPattern]
  private let layers: [PythonPattern]
  private let ranks: [(pattern: PythonPattern, value: Int)]
  private let alphas: [(pattern: PythonPattern, value: Double)]

  /// - Throws: ``CheckpointError`` where a pattern is no valid regular expression.
  public init(_ configuration: PEFTConfiguration, file: String = "adapter_config.json") throws {
    self.configuration = configuration
    targets = try configuration.targets.map { try CompiledSelection($0, field: "target_modules", file: file) }
    excluded = try configuration.excluded.map { try CompiledSelection($0, field: "exclude_modules", file: file) }
    saved = try configuration.modulesToSave.map {
      try PythonPattern("(^|.*\\.)\($0)($|\\..*)", field: "modules_to_save", file: file)
    }
    let layersPatterns = configuration.layersPatterns.filter { !$0.isEmpty }
    layers =
      try layersPatterns.isEmpty
      ? [PythonPattern(".*?\\.[^.]*\\.(?P<idx>\\d+)\\..*", field: "layers_pattern", file: file)]
      : layersPatterns.map {
        try PythonPattern("(?:|.*?\\.)\($0)\\.(?P<idx>\\d+)\\..*", field: "layers_pattern", file: file)
      }
    ranks = try configuration.rankExceptions.map {
      (try PythonPattern("(.*\\.)?(\($0.key))", field: "rank_pattern", file: file), $0.value)
    }
    alphas = try configuration.alphaExceptions.map {
      (try PythonPattern("(.*\\.)?(\($0.key))", field: "alpha_pattern", file: file), $0.value)
    }
  }

  /// Whether the module at `path` (without peft's prefix) gets an adapter.
  public func targets(_ path: String) -> Bool {
    guard let targets, excluded?.matches(path) != true, !isSaved(path), targets.matches(path) else { return false }
    // peft asks for the layer only where the target is a list and does not name the path itself.
    guard case .names = targets, !configuration.layersToTransform.isEmpty, !targets.names(exactly: path) else {
      return true
    }
    for pattern in layers {
      if let index = pattern.group("idx", in: path) {
        return Int(index).map(configuration.layersToTransform.contains) ?? false
      }
    }
    return false
  }

  /// Whether `modules_to_save` replaces the module at `path` or one around it.
  public func isSaved(_ path: String) -> Bool { saved.contains { $0.matches(path) } }

  public func rank(of path: String) -> Int {
    ranks.first { $0.pattern.matches(path) }?.value ?? configuration.rank
  }

  public func alpha(of path: String) -> Double {
    alphas.first { $0.pattern.matches(path) }?.value ?? configuration.alpha
  }

  /// The keys of `rank_pattern` and `alpha_pattern` that match none of `paths`.
  package func unusedKeys(among paths: [String]) -> [String] {
    (ranks.map(\.pattern) + alphas.map(\.pattern)).filter { pattern in !paths.contains(where: pattern.matches) }
      .map { String($0.text.dropFirst("(.*\\.)?(".count).dropLast()) }
  }

  /// The entries of a list of targets that match none of `paths`.
  package func unusedTargets(among paths: [String]) -> [String] {
    guard case .names(let names)? = configuration.targets else { return [] }
    var endings: Set<String> = []
    for path in paths {
      endings.insert(path)
      for index in path.indices where path[index] == "." { endings.insert(String(path[path.index(after: index)...])) }
    }
    return names.filter { !endings.contains($0) }
  }
}

private enum CompiledSelection: Sendable {
  case names(Set<String>)
  case pattern(PythonPattern)

  init(_ selection: PEFTConfiguration.Selection, field: String, file: String) throws {
    switch selection {
    case .names(let names): self = .names(Set(names))
    case .pattern(let pattern): self = .pattern(try PythonPattern(pattern, field: field, file: file))
    }
  }

  func names(exactly path: String) -> Bool {
    if case .names(let names) = self { names.contains(path) } else { false }
  }

  func matches(_ path: String) -> Bool {
    switch self {
    case .pattern(let pattern): return pattern.matches(path)
    case .names(let names):
      var rest = path[...]
      while true {
        if names.contains(String(rest)) { return true }
        guard let dot = rest.firstIndex(of: ".") else { return false }
        rest = rest[rest.index(after: dot)...]
      }
    }
  }
}
