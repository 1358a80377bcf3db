// Regular expressions of tokenizers are written for Oniguruma, and read here by ICU, which knows other classes by the same
// letters.

extension TextPattern {
  /// The expression in ICU's words: `\w` has the powers and fractions of Latin-1 (², ½) and no joiners, `\s` all white
  /// space, and `\h` hexadecimal digits.
  static func translated(_ expression: String) -> String {
    let classes: [Unicode.Scalar: String] = [
      "w": #"\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\u00B2\u00B3\u00B9\u00BC-\u00BE"#, "s": #"\p{White_Space}"#,
      "h": "0-9a-fA-F",
    ]
    var result = String.UnicodeScalarView()
    var depth = 0
    var scalars = expression.unicodeScalars[...]
    while let scalar = scalars.popFirst() {
      switch scalar {
      case "\\":
        guard let letter = scalars.popFirst() else {
          result.append(scalar)
          break
        }
        let lower = letter.properties.lowercaseMapping.unicodeScalars.first ?? letter
        guard let members = classes[lower], letter.isASCII else {
          result.append(contentsOf: [scalar, letter])
          break
        }
        // Within a set the members stand by themselves, but for what is not among them.
        if letter != lower {
          result.append(contentsOf: "[^\(members)]".unicodeScalars)
        } else {
          result.append(contentsOf: (depth > 0 ? members : "[\(members)]").unicodeScalars)
        }
      case "[":
        depth += 1
        result.append(scalar)
        // A bracket that closes at once is a member.
        if scalars.first == "^" { result.append(scalars.removeFirst()) }
        if scalars.first == "]" {
          scalars.removeFirst()
          result.append(contentsOf: "\\]".unicodeScalars)
        }
      case "]":
        // Outside of a set it stands for itself.
        result.append(contentsOf: (depth > 0 ? "]" : "\\]").unicodeScalars)
        depth = max(0, depth - 1)
      default: result.append(scalar)
      }
    }
    return String(result)
  }
}
