// What a PEFT configuration says of a module: whether it is adapted, with which rank and which alpha.

import LoRAAdapters
import LoRAFiles

/// A configuration whose patterns are compiled.
///
/// Its methods throw a `CheckpointError` where a pattern can't be tried in reasonable time.
public struct PEFTMatcher: Sendable {
  private let selection: SelectionMatcher
  private let configuration: PEFTConfiguration
  private let file: String
  private let ranks: PatternList
  private let alphas: PatternList

  /// - Parameters:
  ///   - configuration: what is compiled.
  ///   - file: the name for errors.
  /// - Throws: `CheckpointError` where a pattern is no valid regular expression.
  public init(_ configuration: PEFTConfiguration, file: String = "adapter_config.json") throws {
    try self.init(configuration, file: file, linear: nil)
  }

  /// - Parameters:
  ///   - configuration: what is compiled.
  ///   - file: the name for errors.
  ///   - linear: the paths of linear layers, where the base is known.
  ///   - standard: what peft takes for the model's type.
  /// - Throws: `CheckpointError` where a pattern is no valid regular expression.
  init(
    _ configuration: PEFTConfiguration, file: String, linear: Set<ExactString>?,
    standard: Targets? = nil
  ) throws {
    self.configuration = configuration
    self.file = file
    (selection, ranks, alphas) = try Self.named(file) { () throws(PythonPatternError) in
      (
        try SelectionMatcher(configuration.selection, linear: linear, standard: standard),
        try PatternList(configuration.rankExceptions.map(\.key)),
        try PatternList(configuration.alphaExceptions.map(\.key))
      )
    }
  }

  /// Whether the configuration puts an adapter on the module at `path`.
  public func targets(_ path: String) throws -> Bool {
    try Self.named(file) { () throws(PythonPatternError) in try selection.targets(path) }
  }

  /// Whether `modules_to_save` brings the module at `path`, or one around it, whole.
  func isReplaced(_ path: String) -> Bool { selection.isReplaced(path) }

  /// The entries of a list of targets that match none of `paths`.
  func unusedTargets(among paths: [String]) -> [String] { selection.unusedTargets(among: paths) }

  /// The rank that it gives the module at `path`: the first exception that matches, else the general one.
  public func rank(of path: String) throws -> Int {
    try index(of: path, in: ranks).map { configuration.rankExceptions[$0].value } ?? configuration.rank
  }

  /// The α that it gives the module at `path`: the first exception that matches, else the general one.
  public func alpha(of path: String) throws -> Double {
    try index(of: path, in: alphas).map { configuration.alphaExceptions[$0].value } ?? configuration.alpha
  }

  private func index(of path: String, in list: PatternList) throws -> Int? {
    try Self.named(file) { () throws(PythonPatternError) in try list.firstIndex(matching: path) }
  }

  /// The keys of `rank_pattern` and `alpha_pattern` that match none of `paths`.
  func unusedKeys(among paths: [String]) throws -> [String] {
    try [ranks, alphas].flatMap { list in
      let used = try Self.named(file) { () throws(PythonPatternError) in
        var used: Set<Int> = []
        for path in paths { used.formUnion(try list.indices(matching: path)) }
        return used
      }
      return list.keys.indices.filter { !used.contains($0) }.map { list.keys[$0] }
    }
  }

  private static func named<T>(_ file: String, _ body: () throws(PythonPatternError) -> T) throws -> T {
    do throws(PythonPatternError) { return try body() } catch {
      throw CheckpointError(
        .malformed, file: file, "holds the pattern \(error.pattern.prefix(80)): \(error)",
        expected: error.kind == .tooComplex
          ? "one that is tried in reasonable time" : "a regular expression as Python reads it",
        advice: "Replace the pattern by a list of names")
    }
  }
}
