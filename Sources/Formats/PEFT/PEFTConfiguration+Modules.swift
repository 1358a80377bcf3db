// A configuration that fits given modules: targets, ranks and alphas as peft's rules have to be told them.
//
// peft matches bare names against the ends of paths, so a name that is meant for `foo` also takes `bar.foo`. What is
// written here names exactly what is meant.

import LoRAAdapters
import LoRAFiles

extension PEFTConfiguration {
  /// Describes `modules`: their method, ranks and alphas.
  package mutating func describe(_ modules: [StoredModule]) {
    let modules = modules.filter(\.isTargeted)
    let loras = modules.compactMap { ($0.method as? StoredDoRA)?.direction as? StoredLoRA ?? $0.lora }
    if let type = modules.first?.method.peftType, type != peftType {
      // Of another method's fields, only what says which modules is kept.
      var new = PEFTConfiguration()
      (new.peftType, new.selection, new.taskType, new.baseModel) = (type, selection, taskType, baseModel)
      new.isFanInFanOut = isFanInFanOut
      self = new
    }
    if peftType == "LOHA" { hasLoHaCores = modules.contains { ($0.method as? StoredLoHa)?.hasCores ?? false } }
    usesMagnitudes = modules.contains { $0.method is StoredDoRA }
    hasLoRABias = loras.contains { $0.outputBias != nil }
    if let first = loras.first {
      scaling = loras.allSatisfy { $0.scaling == first.scaling } ? first.scaling : .standard
    }
    setRanks(of: modules)
  }

  /// Sets rank, alpha and their patterns so that each module gets its own: the most frequent values become the
  /// defaults, the others exceptions. Modules without a rank have none to say.
  package mutating func setRanks(of modules: [StoredModule]) {
    let modules = modules.filter { $0.rank > 0 }
    (rank, rankExceptions) = Self.exceptions(modules.map { ($0.path, $0.rank) }, otherwise: rank)
    (alpha, alphaExceptions) = Self.exceptions(
      modules.map { ($0.path, scaling.alpha(scale: $0.scale, rank: $0.rank)) }, otherwise: alpha)
  }

  /// One key for all modules that end in the same name where they agree, else each one's whole path.
  private static func exceptions<Value: Hashable & Comparable>(
    _ values: [(path: String, value: Value)], otherwise: Value
  ) -> (Value, [Exception<Value>]) {
    let counts = Dictionary(values.map { ($0.value, 1) }, uniquingKeysWith: +)
    guard let usual = counts.max(by: { ($0.value, $0.key) < ($1.value, $1.key) })?.key else { return (otherwise, []) }
    guard counts.count > 1 else { return (usual, []) }
    // A path that another one ends in is held to the beginning.
    let innerEndings = Set<ExactString>(names: values.flatMap { pathEndings($0.path).dropFirst().map(String.init) })
    var exceptions: [Exception<Value>] = []
    let families = Dictionary(grouping: values) { ExactString(lastComponent($0.path)) }
    for (name, family) in families.sorted(by: { $0.key < $1.key }) {
      if let value = family.first?.value, family.allSatisfy({ $0.value == value }) {
        if value != usual { exceptions.append(Exception(escaped(name.text), value)) }
      } else {
        for (path, value) in family where value != usual {
          exceptions.append(Exception((innerEndings.contains(path) ? "^" : "") + escaped(path), value))
        }
      }
    }
    return (usual, exceptions)
  }

  /// Targets exactly these modules.
  ///
  /// - Parameter others: the paths of all of the base's parameters or modules, where they are known. Then short names
  ///   are used if they single out the modules; else whole paths, or a pattern where even these end others.
  package mutating func setTargets(_ modules: [StoredModule], among others: [String]? = nil) {
    let paths = modules.filter(\.isTargeted).map(\.path)
    selection.excluded = nil
    selection.layers = []
    selection.layersPatterns = []
    guard !paths.isEmpty else {
      // peft's own word for an adapter that targets nothing, but brings whole modules; an empty list is an error to it.
      selection.targets = .pattern("dummy-target-modules")
      return
    }
    let wanted = Set<ExactString>(names: paths)
    let ordered = paths.sorted(by: isOrdered)
    guard let others else {
      selection.targets = .names(ordered)
      return
    }
    // peft also looks at the modules around: a target that names a container is an error there.
    var known: Set<ExactString> = []
    for path in others {
      var path = path[...]
      while known.insert(String(path)), let dot = path.lastIndex(of: ".") { path = path[..<dot] }
    }
    func singlesOut(_ names: Set<ExactString>) -> Bool {
      !known.contains { path in
        !wanted.contains(path) && pathEndings(path.text).contains { names.contains(String($0)) }
      }
    }
    let short = Set<ExactString>(names: paths.map(Self.shortName))
    if singlesOut(short) {
      selection.targets = .names(short.sorted().map(\.text))
    } else if singlesOut(wanted) {
      selection.targets = .names(ordered)
    } else {
      selection.targets = .pattern("(?:" + ordered.map(Self.escaped).joined(separator: "|") + ")")
    }
  }

  /// The last parts of a path, from one on that is no number: `to_out.0`, not `0`.
  private static func shortName(_ path: String) -> String {
    let parts = path.split(separator: ".", omittingEmptySubsequences: false)
    let start = parts.lastIndex { !$0.allSatisfy(\.isNumber) } ?? 0
    return parts[start...].joined(separator: ".")
  }

  private static func escaped(_ path: String) -> String {
    path.reduce(into: "") { text, character in
      if "\\^$.|?*+()[]{}".contains(character) { text.append("\\") }
      text.append(character)
    }
  }
}
