// One rule between an original layout's module paths and diffusers'.
//
//   double_blocks.#.img_attn.qkv   =   transformer_blocks.#.attn.to_q, ….to_k, ….to_v
//
// The left side is one module of the original layout, the right side the modules of diffusers whose rows it is made of.

/// A dotted path with gaps: "#" stands for a number, "*" at the end for one part or more.
struct PathPattern: Sendable {
  let parts: [String]

  init(_ text: String) { parts = text.split(separator: ".").map(String.init) }

  /// What stands in the gaps; `nil` where the path is another.
  func gaps(of path: [Substring]) -> [String]? {
    let hasRest = parts.last == "*"
    guard hasRest ? path.count >= parts.count : path.count == parts.count else { return nil }
    var gaps: [String] = []
    for (part, found) in zip(parts, path) {
      switch part {
      case "*": break
      case "#":
        guard found.utf8.allSatisfy({ $0 >= UInt8(ascii: "0") && $0 <= UInt8(ascii: "9") }) else { return nil }
        gaps.append(String(found))
      default: guard part == found else { return nil }
      }
    }
    if hasRest { gaps.append(path[(parts.count - 1)...].joined(separator: ".")) }
    return gaps
  }

  /// The path with its gaps filled in.
  func filled(with gaps: [String]) -> String {
    var next = gaps.makeIterator()
    return parts.map { $0 == "#" || $0 == "*" ? next.next() ?? $0 : $0 }.joined(separator: ".")
  }
}

/// One module of the original layout, and the modules of diffusers that it is made of.
struct ModuleRenaming: Sendable {
  /// How the rows of the original module are made of its parts' rows.
  enum Arrangement {
    /// One part after the other, equally long.
    case equal
    /// One part after the other; all but the last are square: as many rows as columns.
    case squaresAndRest
    /// One part, whose two halves change places where there are two (rows = 2 · columns): the original layout has shift
    /// before scale, diffusers scale before shift.
    case halvesSwapped
  }

  /// Rows of one part and the rows of the original module that they are.
  struct Segment {
    var part: Int
    var partRows: Range<Int>
    var rows: Range<Int>
  }

  let original: PathPattern
  let parts: [PathPattern]
  let arrangement: Arrangement

  init(_ original: String, _ parts: String..., arrangement: Arrangement = .equal) {
    self.original = PathPattern(original)
    self.parts = parts.map(PathPattern.init)
    self.arrangement = arrangement
  }

  /// Rules for modules that are only called something else, all of them under a pair of prefixes.
  static func under(
    _ original: String, _ diffusers: String, _ names: KeyValuePairs<String, String>
  ) -> [ModuleRenaming] {
    names.map { ModuleRenaming(original + $0.key, diffusers + $0.value) }
  }

  /// How many rows each part has; `nil` where they can't be told, since the weight is another.
  ///
  /// - Parameters:
  ///   - rows: the original module's.
  ///   - columns: the original module's; 0 where it is no matrix.
  func partSizes(rows: Int, columns: Int) -> [Int]? {
    if parts.count == 1 { return [rows] }
    switch arrangement {
    case .equal: return rows.isMultiple(of: parts.count) ? parts.map { _ in rows / parts.count } : nil
    case .squaresAndRest:
      let squares = parts.count - 1
      guard columns > 0, columns < rows / squares else { return nil }
      return Array(repeating: columns, count: squares) + [rows - squares * columns]
    case .halvesSwapped: return nil
    }
  }

  /// Which rows of the parts are which rows of the original module.
  func segments(partSizes: [Int], columns: Int) -> [Segment] {
    if case .halvesSwapped = arrangement, partSizes.count == 1, columns > 0, partSizes[0].isMultiple(of: 2),
      partSizes[0] / 2 == columns
    {
      let (first, second) = (0..<columns, columns..<partSizes[0])
      return [Segment(part: 0, partRows: second, rows: first), Segment(part: 0, partRows: first, rows: second)]
    }
    var start = 0
    return partSizes.enumerated().map { part, size in
      defer { start += size }
      return Segment(part: part, partRows: 0..<size, rows: start..<start + size)
    }
  }
}
