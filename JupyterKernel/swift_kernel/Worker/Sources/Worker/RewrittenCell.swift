/// A cell as it is compiled: its last expression is shown, its top-level `await` is waited for, and a mark tells
/// when its variables have their values. Lines stay where they were.
struct RewrittenCell {
  let text: String
  /// Whether it would mean something else without the rewriting.
  let awaits: Bool

  init(_ cell: ParsedCell) throws {
    var edits: [Edit] = []
    let lastVariables = cell.items.lastIndex(where: \.kind.isVariables)
    // Before code and not before a declaration, which a mark would part from its documentation.
    let marked = lastVariables.flatMap { last in cell.items.indices.first { $0 > last && cell.items[$0].kind.isCode } }
    let endsSilently = Self.endsWithSemicolon(cell.source)

    for (index, item) in cell.items.enumerated() {
      let isLast = index == cell.items.count - 1
      if index == marked {
        edits.append(Edit(at: item.start, .marks, "_notebookDefined(); "))
      }
      var open = ""
      var close = ""
      var openOffset = item.start
      if item.awaits {
        if case .variables(let bindings) = item.kind {
          guard bindings == 1, let equals = Self.initializer(of: item, in: cell.source) else {
            throw CellFailure(
              name: "Compile error", message: "declare one variable a statement where top-level code awaits its value")
          }
          openOffset = equals + 1
          open = " try _notebookAwait {"
        } else {
          open = "try _notebookAwait { "
        }
        close = "\n}"
      }
      if isLast, !endsSilently, case .expression(isAssignment: false) = item.kind {
        open = "_notebookShow(" + open
        close = (close.isEmpty ? "\n" : close) + ")"
      }
      guard !open.isEmpty else { continue }
      edits.append(Edit(at: openOffset, .opens, open))
      if isLast {
        edits.append(Edit(at: item.end, .closes, close))
      } else {
        let line = 1 + cell.source[..<item.end].count { $0 == 0x0A }
        let resume = "\n#sourceLocation(file: \"main.swift\", line: \(line))\n"
        edits.append(Edit(at: item.end, .closes, close + resume))
      }
    }
    if lastVariables != nil && marked == nil {
      edits.append(Edit(at: cell.source.count, .marks, "\n_notebookDefined()"))
    }

    var bytes: [UInt8] = []
    var position = 0
    for edit in edits.sorted() {
      bytes += cell.source[position..<edit.offset]
      bytes += Array(edit.text.utf8)
      position = edit.offset
    }
    bytes += cell.source[position...]
    bytes.append(0x0A)
    self.text = String(decoding: bytes, as: UTF8.self)
    self.awaits = cell.items.contains(where: \.awaits)
  }

  /// Text to insert; at one offset, what closes an item comes first, and what opens the next one last.
  private struct Edit: Comparable {
    enum Place: Int { case closes, marks, opens }

    let offset: Int
    let place: Place
    let text: String

    init(at offset: Int, _ place: Place, _ text: String) {
      self.offset = offset
      self.place = place
      self.text = text
    }

    static func < (left: Edit, right: Edit) -> Bool {
      (left.offset, left.place.rawValue) < (right.offset, right.place.rawValue)
    }
  }

  /// The offset of the `=` before a variable's initial value.
  private static func initializer(of item: ParsedCell.Item, in source: [UInt8]) -> Int? {
    var depth = 0
    let operators = Set("=<>!+-*/%&|^~?".utf8)
    for offset in item.start..<item.end {
      switch source[offset] {
      case UInt8(ascii: "("), UInt8(ascii: "["), UInt8(ascii: "{"): depth += 1
      case UInt8(ascii: ")"), UInt8(ascii: "]"), UInt8(ascii: "}"): depth -= 1
      case UInt8(ascii: "=") where depth == 0:
        let before = offset > item.start ? source[offset - 1] : 0x20
        let after = offset + 1 < item.end ? source[offset + 1] : 0x20
        // `?` and `!` may end the type: `let x: Int? = …`, but then a space follows them.
        if !operators.contains(before) && !operators.contains(after) { return offset }
      default: break
      }
    }
    return nil
  }

  private static func endsWithSemicolon(_ source: [UInt8]) -> Bool {
    source.last { $0 != 0x20 && $0 != 0x0A && $0 != 0x09 && $0 != 0x0D } == UInt8(ascii: ";")
  }
}
