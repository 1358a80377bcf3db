/// Arguments as SourceKit offers them, with values in the place of its marks, so that the text compiles as it is.
struct Placeholders {
  /// `<#T##Shown##Type#>`, `<#T##Type#>`: "name: 0", "count: placeholder("Widget")".
  static func filled(_ text: String) -> String {
    text.replacing(/<#(?:T##)?(.*?)#>/) { match in
      let parts = match.1.split(separator: "##").map(String.init)
      return value(of: parts.count > 1 ? parts[1] : parts.first ?? "")
    }
  }

  private static func literal(of type: Substring) -> String? {
    let literals: [(pattern: Regex<Substring>, literal: String)] = [
      (/.*[?!]/, "nil"),
      (/U?Int\d*|Index|[A-Z]|Result/, "0"),
      (/Double|Float\d*|CGFloat|TimeInterval/, "0.0"),
      (/Bool/, "false"),
      (/String|Substring|StaticString|StringProtocol/, "\"\""),
      (/Character/, "\" \""),
      (/\[.*:.*\]|Dictionary<.*>/, "[:]"),
      (/\[.*\]|(?:Array|Set|ContiguousArray)<.*>|(?:some |any )?(?:Sequence|Collection)(?:<.*>)?/, "[]"),
      (/Void|\(\)/, "()"),
    ]
    return literals.first { type.wholeMatch(of: $0.pattern) != nil }?.literal
  }

  private static func value(of type: String) -> String {
    let type = type.trimmingPrefix(while: \.isWhitespace)
    if let function = type.wholeMatch(
      of: /(?:@\w+ |inout )*\((?<parameters>.*)\)(?: async)?(?: (?:throws|rethrows)(?:\(.*?\))?)? -> (?<result>.*)/)
    {
      let count = topLevelCount(function.parameters)
      let head = count == 0 ? "" : Array(repeating: "_", count: count).joined(separator: ", ") + " in "
      let result = String(function.result)
      return ["Void", "()"].contains(result) ? "{ \(head)}" : "{ \(head)\(value(of: result)) }"
    }
    return literal(of: type) ?? "placeholder(\"\(type)\")"
  }

  /// How many parameters a list of them has.
  private static func topLevelCount(_ list: Substring) -> Int {
    var depth = 0
    return list.reduce(list.isEmpty ? 0 : 1) { count, character in
      if "([<".contains(character) { depth += 1 }
      if ")]>".contains(character) { depth -= 1 }
      return count + (character == "," && depth == 0 ? 1 : 0)
    }
  }
}
