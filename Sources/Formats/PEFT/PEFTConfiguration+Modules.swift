// A configuration that fits given modules: targets, ranks and alphas as peft's rules have to be told them.

import LoRAAdapters
import LoRAFiles

extension PEFTConfiguration {
  /// Sets rank, alpha and their patterns so that each module gets its own: the most frequent values become the
  /// defaults, the others exceptions.
  ///
  /// An exception is one key for all modules that end in the same name where they agree, else the module's whole path.
  package mutating func setRanks(of modules: [StoredModule]) {
    (rank, rankExceptions) = Self.exceptions(modules.map { ($0.path, $0.rank) }, otherwise: rank)
    (alpha, alphaExceptions) = Self.exceptions(modules.map { ($0.path, $0.alpha) }, otherwise: alpha)
  }

  private static func exceptions<Value: Hashable & Comparable>(
    _ values: [(path: String, value: Value)], otherwise: Value
  ) -> (Value, [Exception<Value>]) {
    let counts = Dictionary(values.map { ($0.value, 1) }, uniquingKeysWith: +)
    guard let usual = counts.max(by: { ($0.value, $0.key) < ($1.value, $1.key) })?.key else { return (otherwise, []) }
    var exceptions: [Exception<Value>] = []
    let families = Dictionary(grouping: values) { lastComponent($0.path) }
    for (name, family) in families.sorted(by: { $0.key < $1.key }) {
      let distinct = Set(family.map(\.value))
      if distinct.count == 1, let value = distinct.first {
        if value != usual { exceptions.append(Exception(escaped(name), value)) }
      } else {
        exceptions += family.filter { $0.value != usual }.map { Exception(escaped($0.path), $0.value) }
      }
    }
    return (usual, exceptions)
  }

  /// Targets exactly `paths`.
  ///
  /// - Parameter others: the paths of the base's modules that could be adapted too, where they are known. Then short
  ///   names are used if they single out `paths`; otherwise whole paths are.
  package mutating func setTargets(_ paths: [String], among others: [String]? = nil) {
    excluded = nil
    layersToTransform = []
    layersPatterns = []
    let names = Set(paths.map(lastComponent)).sorted()
    if let others, Set(others.filter { names.contains(lastComponent($0)) }).isSubset(of: paths) {
      targets = .names(names)
    } else {
      targets = .names(paths.sorted(by: isOrdered))
    }
  }

  private static func escaped(_ path: String) -> String {
    path.reduce(into: "") { text, character in
      if "\\^$.|?*+()[]{}".contains(character) { text.append("\\") }
      text.append(character)
    }
  }
}
