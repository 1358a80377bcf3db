// How a report is laid out in a terminal: within its width, in its colours, with nothing in it that a terminal would obey.

/// The width and the colours of a text.
public struct TextStyle: Sendable {
  /// Cells of a line; `nil`: as many as it takes.
  public var width: Int?
  /// Whether there are colours.
  public var isColored: Bool

  /// A layout for so many cells, of which at least 40 are used.
  public init(width: Int? = nil, isColored: Bool = false) {
    self.width = width.map { max(40, $0) }
    self.isColored = isColored
  }

  /// For a cell.
  init(exactWidth: Int) { (width, isColored) = (exactWidth, false) }

  /// No bound, no colours: for files and pipes.
  public static let plain = TextStyle()

  /// Colours and weights, by their codes (ECMA-48, select graphic rendition).
  public enum Paint: String, Sendable {
    /// Heavier.
    case bold = "1"
    /// Fainter.
    case dim = "2"
    /// For what is wrong.
    case red = "31"
    /// For what is right.
    case green = "32"
    /// For what deserves a look.
    case yellow = "33"
  }

  /// The text in a colour, where there are any.
  public func painted(_ text: String, _ paint: Paint?) -> String {
    guard isColored, let paint, !text.isEmpty else { return text }
    return "\u{1B}[\(paint.rawValue)m\(text)\u{1B}[0m"
  }

  /// Lines broken at spaces, or within a word that is longer than a line; those after the first are indented.
  package func wrapped(_ text: String, indent: Int = 0) -> [String] {
    guard let width else { return text.components(separatedBy: "\n") }
    var wrapped = WrappedText(width: max(1, width - indent))
    wrapped.append(text)
    wrapped.end()
    let space = String(repeating: " ", count: indent)
    return wrapped.lines.enumerated().map { $0.offset == 0 ? $0.element : space + $0.element }
  }
}

extension String {
  /// In at most `width` cells, with "…" for what is left out of the middle: the ends of a path tell most.
  func shortened(to width: Int) -> String {
    guard displayWidth > width else { return self }
    let tail = (width - 1) * 2 / 3
    func taking(_ width: Int, _ characters: some Sequence<Character>) -> [Character] {
      var left = width
      return characters.prefix { character in
        left -= character.displayWidth
        return left >= 0
      }
    }
    let end = taking(tail, reversed())
    return String(taking(width - 1 - tail, self)) + "…" + String(end.reversed())
  }

  /// With control characters, and those that change the direction of writing, as escapes: names come from files.
  public var visible: String {
    func isHidden(_ scalar: Unicode.Scalar) -> Bool {
      switch scalar.value {
      case 0x09, 0x0A: false
      case 0x00..<0x20, 0x7F..<0xA0, 0x200E...0x200F, 0x202A...0x202E, 0x2066...0x2069: true
      default: false
      }
    }
    guard unicodeScalars.contains(where: isHidden) else { return self }
    return unicodeScalars.reduce(into: "") { result, scalar in
      if isHidden(scalar) {
        result += "\\u{\(String(scalar.value, radix: 16))}"
      } else {
        result.unicodeScalars.append(scalar)
      }
    }
  }
}
