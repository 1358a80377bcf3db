/// What a cell declares, and whether a later cell could use it: only then does the later one import it for access.
///
/// Every such import is recorded in the module of the importing cell, and the compiler follows all of them again for
/// each cell. If every cell imported all before it, the two hundredth would take twice as long as the first.
struct CellNames {
  private var declared: Set<String> = []
  /// Whether it declares what is used without its name: operators, `init`, `subscript`, parts of result builders.
  private var isUsedUnnamed: Bool

  /// - Parameters:
  ///   - tree: nodes of the parser's tree.
  ///   - areAllKnown: whether the tree has all that the cell declares.
  init(declaredIn tree: [[String: Any]], areAllKnown: Bool) {
    isUsedUnnamed = !areAllKnown
    for node in tree { visit(node) }
  }

  func concern(_ words: Set<String>) -> Bool { isUsedUnnamed || !declared.isDisjoint(with: words) }

  /// The identifiers of a cell's text, those in strings and comments among them.
  static func words(of source: [UInt8]) -> Set<String> {
    Set(
      source.split { !isIdentifier($0) }.map { word in
        // `_x` and `$x` are the storage and the projection of a wrapped `x`.
        String(decoding: word.drop { $0 == UInt8(ascii: "_") || $0 == UInt8(ascii: "$") }, as: UTF8.self)
      })
  }

  static func isIdentifier(_ byte: UInt8) -> Bool {
    byte >= 0x80 || byte == UInt8(ascii: "_") || byte == UInt8(ascii: "$") || (byte >= 0x30 && byte <= 0x39)
      || (byte | 0x20 >= UInt8(ascii: "a") && byte | 0x20 <= UInt8(ascii: "z"))
  }

  private static let unnamed: Set = [
    "callAsFunction", "dynamicallyCall", "wrappedValue", "projectedValue", "appendInterpolation", "appendLiteral",
  ]

  private mutating func visit(_ node: [String: Any]) {
    let kind = node["_kind"] as? String ?? ""
    if kind == "macro_expansion_decl" { isUsedUnnamed = true }
    if kind.hasSuffix("_decl"), let name = (node["name"] as? [String: Any])?["base_name"] as? [String: Any] {
      if let text = name["name"] as? String, name["is_operator"] == nil {
        declared.insert(String(text.drop { $0 == "_" }))
        if Self.unnamed.contains(text) || text.hasPrefix("build") { isUsedUnnamed = true }
      } else {
        isUsedUnnamed = true
      }
      if Self.types.contains(kind) { declared.insert("init") }
    }
    for value in node.values {
      if let child = value as? [String: Any] {
        visit(child)
      } else if let children = value as? [[String: Any]] {
        for child in children { visit(child) }
      }
    }
  }

  /// Whose implicit initializers `.init` calls.
  private static let types: Set = ["struct_decl", "class_decl", "enum_decl"]
}
