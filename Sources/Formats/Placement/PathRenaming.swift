// From an adapter's module paths to a base's where the two differ by a prefix that no name table knows.
//
// A prefix is dropped or added only where that gives every module its place, and in only one way.

import LoRAAdapters
import LoRAFiles

/// One change of prefix for all paths.
public enum PathRenaming: Equatable, Sendable, CustomStringConvertible {
  /// Paths are the base's already, or differ by more than a prefix.
  case none
  /// Drops this prefix, dot included, from the adapter's paths.
  case dropping(String)
  /// Puts this prefix, dot included, before the adapter's paths.
  case adding(String)

  /// - Parameters:
  ///   - paths: the adapter's modules. Where no change of prefix gives all of them a place, `none`.
  ///   - names: the names of the base's tensors.
  ///   - hasPlace: whether the base has a module.
  init(paths: [String], names: some Sequence<String>, hasPlace: (String) -> Bool) {
    self = .none
    // Where some have their place as they are, a prefix is not what is wrong.
    guard let first = paths.first, !paths.contains(where: hasPlace) else { return }
    var candidates: [PathRenaming] = []
    for index in first.indices where first[index] == "." {
      let prefix = String(first[...index])
      if paths.allSatisfy({ $0.hasPrefix(prefix) }) { candidates.append(.dropping(prefix)) }
    }
    let suffix = "." + first + ".weight"
    for name in names where name.hasSuffix(suffix) {
      candidates.append(.adding(String(name.dropLast(suffix.count - 1))))
    }
    let fitting = candidates.filter { candidate in paths.allSatisfy { hasPlace(candidate($0)) } }
    // Several prefixes may be dropped where the base's modules have several spellings: the shortest is meant.
    let drops = fitting.allSatisfy { if case .dropping = $0 { true } else { false } }
    if let first = fitting.first, fitting.count == 1 || drops { self = first }
  }

  /// The base's name of an adapter's module or tensor.
  public func callAsFunction(_ path: String) -> String {
    switch self {
    case .none: path
    case .dropping(let prefix): path.hasPrefix(prefix) ? String(path.dropFirst(prefix.count)) : path
    case .adding(let prefix): prefix + path
    }
  }

  /// The adapter's name of a base's module.
  func reversed(_ path: String) -> String {
    switch self {
    case .none: path
    case .dropping(let prefix): prefix + path
    case .adding(let prefix): path.hasPrefix(prefix) ? String(path.dropFirst(prefix.count)) : path
    }
  }

  public var description: String {
    switch self {
    case .none: "no change"
    case .dropping(let prefix): "\"\(prefix)\" is dropped from the adapter's paths"
    case .adding(let prefix): "\"\(prefix)\" is put before the adapter's paths"
    }
  }
}
