// Many patterns with peft's rule for `rank_pattern` and `alpha_pattern`: a key goes for a path if
// `re.match(rf"(.*\.)?({key})$", path)`, and of several keys the first one counts.
//
// An adapter can have thousands of keys, nearly all of them plain names (`layers.0.self_attn.q_proj`). These lie in a
// tree of their scalars from the last to the first, so that one walk from the end of a path meets all that could match
// it; a dot without a backslash is an edge for every scalar, as it is to Python. A key that is no plain name lies in the
// tree with the scalars that it surely ends with, and is tried where the walk meets it.

/// Keys in order, found by path.
public struct PatternList: Sendable {
  /// The keys as they were written.
  public let keys: [String]

  private struct Edge: Hashable {
    let node: Int
    /// `nil` for a dot.
    let scalar: UInt32?
  }

  private enum End {
    /// Matches where it begins the path or follows a dot.
    case name
    /// Matches where it is the path.
    case wholePath
    /// To be tried.
    case pattern
  }

  /// Of all keys together that are no plain names; each takes a hundred times its length when it is compiled.
  private static let longest = 1 << 18

  private var edges: [Edge: Int] = [:]
  private var nodes = 1
  private var ends: [Int: [(index: Int, end: End)]] = [:]
  private var compiled: [Int: PythonPattern] = [:]

  /// - Throws: ``PythonPatternError`` whose `pattern` is the key that is malformed.
  public init(_ keys: [String]) throws(PythonPatternError) {
    self.keys = keys
    var length = 0
    for (index, key) in keys.enumerated() {
      if let name = PlainName(key) {
        insert(name.units, index, name.isAnchored ? .wholePath : .name)
      } else {
        length += key.utf8.count
        guard length <= Self.longest else {
          throw PythonPatternError(
            .tooComplex, pattern: key, reason: "the patterns have more than \(Self.longest) characters in all")
        }
        let pattern = try Self.pattern(key)
        compiled[index] = pattern
        insert(pattern.program.ending, index, .pattern)
      }
    }
  }

  /// The index of the first key that goes for `path`.
  ///
  /// - Throws: ``PythonPatternError`` where a key before it can't be tried within the budget of steps.
  public func firstIndex(matching path: String) throws(PythonPatternError) -> Int? {
    try indices(matching: path, all: false).first
  }

  /// The indices of all keys that go for `path`, in order.
  ///
  /// - Throws: ``PythonPatternError`` where a key can't be tried within the budget of steps.
  public func indices(matching path: String) throws(PythonPatternError) -> [Int] {
    try indices(matching: path, all: true)
  }

  private func indices(matching path: String, all: Bool) throws(PythonPatternError) -> [Int] {
    let path = path.unicodeScalars.map(\.value)
    // The tree knows nothing of newlines, which dots don't match and "$" may stand before.
    let candidates = path.contains(10) ? keys.indices.map { ($0, End.pattern) } : candidates(path)
    var found: [Int] = []
    for (index, end) in candidates {
      if case .pattern = end {
        let pattern = if let known = compiled[index] { known } else { try Self.pattern(keys[index]) }
        do {
          if try pattern.captures(in: path, whole: false) == nil { continue }
        } catch {
          throw Self.own(error, keys[index])
        }
      }
      found.append(index)
      if !all { break }
    }
    return found
  }

  /// The keys that could match a path, in order.
  private func candidates(_ path: [UInt32]) -> [(index: Int, end: End)] {
    var candidates: [(index: Int, end: End)] = []
    var active = [0]
    var position = path.count
    while true {
      let isStart = position == 0
      let isBoundary = isStart || path[position - 1] == 46
      for node in active {
        for entry in ends[node] ?? [] {
          switch entry.end {
          case .name where !isBoundary, .wholePath where !isStart: continue
          default: candidates.append(entry)
          }
        }
      }
      if isStart { break }
      position -= 1
      var following: [Int] = []
      for node in active {
        if let next = edges[Edge(node: node, scalar: path[position])] { following.append(next) }
        if let next = edges[Edge(node: node, scalar: nil)] { following.append(next) }
      }
      if following.isEmpty { break }
      active = following
    }
    return candidates.sorted { $0.index < $1.index }
  }

  private mutating func insert(_ units: [UInt32?], _ index: Int, _ end: End) {
    var node = 0
    for unit in units.reversed() {
      let edge = Edge(node: node, scalar: unit)
      if let next = edges[edge] {
        node = next
      } else {
        edges[edge] = nodes
        node = nodes
        nodes += 1
      }
    }
    ends[node, default: []].append((index, end))
  }

  private static let beforeKey = #"(.*\.)?("#

  private static func pattern(_ key: String) throws(PythonPatternError) -> PythonPattern {
    do {
      return try PythonPattern("\(beforeKey)\(key))$")
    } catch {
      throw own(error, key)
    }
  }

  /// An error about the pattern around a key as one about the key.
  private static func own(_ error: PythonPatternError, _ key: String) -> PythonPatternError {
    var error = error
    error.pattern = key
    error.position = error.position.map { min(max($0 - beforeKey.count, 0), key.unicodeScalars.count) }
    return error
  }
}

/// A key that is a name: scalars that mean themselves, dots, and escaped punctuation, perhaps behind "^".
private struct PlainName {
  /// The scalars, `nil` for a dot.
  var units: [UInt32?] = []
  /// Whether it begins with "^".
  var isAnchored = false

  init?(_ key: String) {
    var rest = Substring(key).unicodeScalars
    if rest.first == "^" {
      isAnchored = true
      rest.removeFirst()
    }
    while let scalar = rest.popFirst() {
      switch scalar {
      case ".": units.append(nil)
      case "\\":
        guard let escaped = rest.popFirst(), !escaped.isASCIILetterOrDigit else { return nil }
        units.append(escaped.value)
      case "^", "$", "*", "+", "?", "{", "}", "[", "]", "(", ")", "|", "\n": return nil
      default: units.append(scalar.value)
      }
    }
  }
}

extension Unicode.Scalar {
  fileprivate var isASCIILetterOrDigit: Bool {
    switch self {
    case "0"..."9", "A"..."Z", "a"..."z": true
    default: false
    }
  }
}
