import Foundation

/// The top level of a cell, as the compiler's parser sees it.
struct ParsedCell {
  struct Item {
    enum Kind {
      case importDeclaration(module: String)
      /// `let` or `var`; `bindings` counts the patterns after it.
      case variables(bindings: Int)
      case expression(isAssignment: Bool)
      case statement
      case declaration

      var isCode: Bool {
        switch self {
        case .expression, .statement, .variables: true
        case .declaration, .importDeclaration: false
        }
      }

      var isVariables: Bool {
        if case .variables = self { true } else { false }
      }

      /// Whether a later cell can notice that it was there.
      var isNoticed: Bool { isVariables || !isCode }
    }

    let kind: Kind
    /// Where the item starts, in UTF-8 bytes.
    let start: Int
    /// Where the next item starts, or the end of the cell.
    let end: Int
    /// Whether it awaits something outside closures and functions.
    let awaits: Bool
  }

  let source: [UInt8]
  let items: [Item]
  let names: CellNames
  /// Whether there may be more than `items`: the parser tells nothing of what stands between `#if` and `#endif`.
  private let hidesItems: Bool
  /// Whether it ends with a function of which only the first line is there.
  let endsWithoutBody: Bool

  /// - Parameter tree: what `swift-frontend -dump-parse -dump-ast-format json` prints.
  /// - Returns: nil if the tree is not as expected; the compiler then has errors to tell.
  init?(source: String, tree: String) {
    let source = Array(source.utf8)
    guard let brace = tree.firstIndex(of: "{"),
      let root = try? JSONSerialization.jsonObject(with: Data(tree[brace...].utf8)) as? [String: Any]
    else { return nil }
    let nodes = root["items"] as? [[String: Any]] ?? []

    // Variables come twice, as a pattern in top-level code and as a declaration, which starts later.
    let tops = nodes.filter { ($0["_kind"] as? String) != "var_decl" }
    let starts = tops.map { Self.start(of: $0, in: source) }
    guard starts == starts.sorted(), starts.allSatisfy({ $0 <= source.count }) else { return nil }
    self.source = source
    self.hidesItems = String(decoding: source, as: UTF8.self).contains(/#if\b/)
    self.names = CellNames(declaredIn: nodes, areAllKnown: !hidesItems)
    self.endsWithoutBody = tops.last.map { $0["_kind"] as? String == "func_decl" && $0["body"] == nil } ?? false
    self.items = tops.indices.map { index in
      Item(
        kind: Self.kind(of: tops[index]), start: starts[index],
        end: index + 1 < starts.count ? starts[index + 1] : source.count,
        awaits: Self.awaits(tops[index]) || Self.iteratesAsynchronously(tops[index], in: source))
    }
  }

  var hasVariables: Bool { items.contains(where: \.kind.isVariables) }
  var declaresAnything: Bool { hidesItems || items.contains(where: \.kind.isNoticed) }

  /// Where an item starts, its attributes and modifiers included.
  private static func start(of node: [String: Any], in source: [UInt8]) -> Int {
    func start(_ node: [String: Any]) -> Int? { (node["range"] as? [String: Any])?["start"] as? Int }
    let attributes = (node["attrs"] as? [[String: Any]] ?? []).compactMap(start)
    let first = min(([start(node) ?? 0] + attributes).min() ?? 0, source.count)
    // Some attributes start after their sign.
    return first > 0 && source[first - 1] == UInt8(ascii: "@") ? first - 1 : first
  }

  /// `for await`, of which the parser's output tells nothing.
  private static func iteratesAsynchronously(_ node: [String: Any], in source: [UInt8]) -> Bool {
    guard node["_kind"] as? String == "top_level_code_decl", let range = node["range"] as? [String: Any],
      let start = range["start"] as? Int, let end = range["end"] as? Int, start <= end, end <= source.count
    else { return false }
    let text = String(decoding: source[start..<end], as: UTF8.self)
    return text.range(of: #"\bfor\s+(try\s+)?await\b"#, options: .regularExpression) != nil
  }

  private static func kind(of node: [String: Any]) -> Item.Kind {
    switch node["_kind"] as? String {
    case "import_decl":
      return .importDeclaration(module: (node["module_path"] as? [String])?.first ?? "")
    case "top_level_code_decl":
      let elements = (node["body"] as? [String: Any])?["elements"] as? [[String: Any]] ?? []
      guard let element = elements.first, let kind = element["_kind"] as? String else { return .statement }
      if kind == "pattern_binding_decl" {
        return .variables(bindings: (element["pattern_entries"] as? [Any])?.count ?? 1)
      }
      return kind.hasSuffix("_expr") ? .expression(isAssignment: isAssignment(element)) : .statement
    default: return .declaration
    }
  }

  private static func isAssignment(_ expression: [String: Any]) -> Bool {
    switch expression["_kind"] as? String {
    case "assign_expr": return true
    case "sequence_expr": return (expression["elements"] as? [[String: Any]] ?? []).contains(where: isAssignment)
    case "try_expr", "await_expr", "force_try_expr", "optional_try_expr":
      return (expression["sub_expr"] as? [String: Any]).map(isAssignment) ?? false
    default: return false
    }
  }

  private static func awaits(_ node: Any) -> Bool {
    if let object = node as? [String: Any] {
      let kind = object["_kind"] as? String ?? ""
      if kind == "await_expr" { return true }
      if kind == "closure_expr" || (kind.hasSuffix("_decl") && !inspected.contains(kind)) { return false }
      return object.values.contains(where: awaits)
    }
    return (node as? [Any])?.contains(where: awaits) ?? false
  }

  private static let inspected: Set = ["top_level_code_decl", "pattern_binding_decl"]
}
