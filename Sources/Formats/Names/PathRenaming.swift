// From an adapter's module paths to a base checkpoint's: prefixes that one has and the other lacks.
//
// `BertModel` saves "encoder.layer.0…", `BertForSequenceClassification` sees "bert.encoder.layer.0…"; an adapter for the
// latter is good for a checkpoint of the former. A prefix is dropped or added only where that gives every module its
// place, and in only one way.

import LoRAAdapters
import LoRAFiles

/// One change of prefix for all paths.
public enum PathRenaming: Equatable, Sendable, CustomStringConvertible {
  case none
  /// Drops this prefix, dot included, from the adapter's paths.
  case dropping(String)
  /// Puts this prefix, dot included, before the adapter's paths.
  case adding(String)
  /// Single names for whole paths, as kohya's files need them.
  case table([String: String])

  /// - Parameter paths: the adapter's modules. Where no change of prefix gives all of them a place, `none`.
  package init(paths: [String], base: Checkpoint, format: StoredAdapter.Format) {
    self.init(paths: paths, baseNames: base.tensors.map(\.name), format: format)
  }

  /// - Parameter baseNames: the names of the base's tensors.
  package init(paths: [String], baseNames: [String], format: StoredAdapter.Format) {
    self = .none
    guard let first = paths.first else { return }
    let known = Set(baseNames)
    if format == .kohya {
      let table = KohyaFormat.table(
        paths: paths, modules: baseNames.filter { $0.hasSuffix(".weight") }.map { String($0.dropLast(".weight".count)) }
      )
      if table.count == paths.count { self = .table(table) }
      return
    }
    func fits(_ renaming: PathRenaming) -> Bool { paths.allSatisfy { known.contains(renaming($0) + ".weight") } }
    // Where some have their place as they are, a prefix is not what is wrong.
    guard !paths.contains(where: { known.contains($0 + ".weight") }) else { return }
    var candidates: [PathRenaming] = []
    for index in first.indices where first[index] == "." {
      let prefix = String(first[...index])
      if paths.allSatisfy({ $0.hasPrefix(prefix) }) { candidates.append(.dropping(prefix)) }
    }
    let suffix = "." + first + ".weight"
    for name in baseNames where name.hasSuffix(suffix) {
      candidates.append(.adding(String(name.dropLast(suffix.count - 1))))
    }
    let fitting = candidates.filter(fits)
    if fitting.count == 1 { self = fitting[0] }
  }

  /// The base's name of an adapter's module or tensor.
  public func callAsFunction(_ path: String) -> String {
    switch self {
    case .none: path
    case .dropping(let prefix): path.hasPrefix(prefix) ? String(path.dropFirst(prefix.count)) : path
    case .adding(let prefix): prefix + path
    case .table(let table): table[path] ?? path
    }
  }

  /// The adapter's name of a base's module.
  package func reversed(_ path: String) -> String {
    switch self {
    case .none: path
    case .dropping(let prefix): prefix + path
    case .adding(let prefix): path.hasPrefix(prefix) ? String(path.dropFirst(prefix.count)) : path
    case .table(let table): table.first { $0.value == path }?.key ?? path
    }
  }

  public var description: String {
    switch self {
    case .none: "no change"
    case .dropping(let prefix): "\"\(prefix)\" is dropped from the adapter's paths"
    case .adding(let prefix): "\"\(prefix)\" is put before the adapter's paths"
    case .table: "flat names stand for whole paths"
    }
  }
}
