// One change of names: a run of whole components of a dotted name that became another run.
//
//     Rename("attention.attention.query", "attention.q_proj")   anywhere in a name
//     Rename("^language_model.model", "model.language_model")   at its beginning only
//     Rename("experts.*.w2.weight", "experts.down_proj", .part(slot: 0, slots: 1))   "*" is a number

/// A renaming that a release of transformers brought, seen from the older names.
struct Rename: Sendable {
  /// What one stored tensor is in the model.
  enum Outcome: Equatable, Sendable {
    /// One parameter, with another name.
    case whole
    /// One of many that are stacked over the number at "*", and joined by rows where there are several slots.
    case part(slot: Int, slots: Int)
    /// Several parameters, by rows: the first is `new`, these are the others.
    case split([String])
  }

  let old: [Substring]
  let new: [Substring]
  let isAnchored: Bool
  let outcome: Outcome

  init(_ old: String, _ new: String, _ outcome: Outcome = .whole) {
    isAnchored = old.hasPrefix("^")
    self.old = old.drop { $0 == "^" }.split(separator: ".")
    self.new = new.split(separator: ".")
    self.outcome = outcome
  }

  /// A name's components with the first run of `old` replaced, and the number at "*"; `nil` where there is none.
  func applied(to name: [Substring]) -> (name: [Substring], number: Int?)? {
    guard let start = Self.position(of: old, in: name, isAnchored: isAnchored) else { return nil }
    let number = old.firstIndex(of: "*").flatMap { Int(name[start + $0]) }
    return (name[..<start] + new + name[(start + old.count)...], number)
  }

  /// The older name; `nil` where the name has no run of `new`, or it is no single tensor's.
  func reversed(on name: [Substring]) -> [Substring]? {
    guard outcome == .whole, let start = Self.position(of: new, in: name, isAnchored: isAnchored) else { return nil }
    return name[..<start] + old + name[(start + new.count)...]
  }

  private static func position(of run: [Substring], in name: [Substring], isAnchored: Bool) -> Int? {
    guard run.count <= name.count else { return nil }
    return (0...(isAnchored ? 0 : name.count - run.count)).first { start in
      zip(run, name[start...]).allSatisfy { $0 == $1 || $0 == "*" && $1.allSatisfy(\.isNumber) }
    }
  }
}

/// The renamings that came with one release.
struct NameChange: Sendable {
  /// The release of transformers whose names are the new ones.
  let release: String
  let renames: [Rename]

  init(_ release: String, _ renames: [Rename]) {
    self.release = release
    self.renames = renames
  }

  /// The names of before this release.
  func reversed(on name: [Substring]) -> [Substring]? {
    var result = name
    for rename in renames.reversed() { result = rename.reversed(on: result) ?? result }
    return result == name ? nil : result
  }
}
