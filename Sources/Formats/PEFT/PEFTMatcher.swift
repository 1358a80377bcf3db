// What a PEFT configuration says of a module: whether it is adapted, with which rank and which alpha.

import LoRAAdapters
import LoRAFiles

/// A configuration whose patterns are compiled.
public struct PEFTMatcher: Sendable {
  public let selection: SelectionMatcher
  private let configuration: PEFTConfiguration
  private let ranks: ModulePatterns<Int>
  private let alphas: ModulePatterns<Double>

  /// - Parameters:
  ///   - linear, standard: as `SelectionMatcher` takes them, where the base is known.
  /// - Throws: ``CheckpointError`` where a pattern is no valid regular expression.
  public init(
    _ configuration: PEFTConfiguration, file: String = "adapter_config.json", linear: Set<String>? = nil,
    standard: Targets? = nil
  ) throws {
    self.configuration = configuration
    do throws(PythonPatternError) {
      selection = try SelectionMatcher(configuration.selection, linear: linear, standard: standard)
      ranks = try ModulePatterns(configuration.rankExceptions.map { ($0.key, $0.value) })
      alphas = try ModulePatterns(configuration.alphaExceptions.map { ($0.key, $0.value) })
    } catch {
      throw CheckpointError(.malformed, file: file, "holds a pattern that is no valid regular expression: \(error)")
    }
  }

  public func targets(_ path: String) -> Bool { selection.targets(path) }
  public func rank(of path: String) -> Int { ranks[path] ?? configuration.rank }
  public func alpha(of path: String) -> Double { alphas[path] ?? configuration.alpha }

  /// The keys of `rank_pattern` and `alpha_pattern` that match none of `paths`.
  func unusedKeys(among paths: [String]) -> [String] {
    ranks.unusedKeys(among: paths) + alphas.unusedKeys(among: paths)
  }
}
