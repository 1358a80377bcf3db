// Regular expressions as Python's `re` reads them, for the patterns in adapter configurations.

import Foundation
import LoRAAdapters
import LoRAFiles

/// A compiled pattern, matched against whole strings.
struct PythonPattern: @unchecked Sendable {
  private let expression: NSRegularExpression
  let text: String

  /// - Throws: ``CheckpointError`` naming the field where the pattern is malformed.
  init(_ text: String, field: String, file: String) throws {
    self.text = text
    // The two notations that Python and ICU write differently.
    let translated = text.replacingOccurrences(of: "(?P<", with: "(?<").replacingOccurrences(of: "\\Z", with: "\\z")
    do {
      expression = try NSRegularExpression(pattern: "\\A(?:\(translated))\\z")
    } catch {
      throw CheckpointError(.malformed, file: file, "\(field): \"\(text)\" is no valid regular expression")
    }
  }

  /// Whether the whole of `string` matches (`re.fullmatch`).
  func matches(_ string: String) -> Bool { firstMatch(string) != nil }

  /// The text of the named group where the whole of `string` matches.
  func group(_ name: String, in string: String) -> String? {
    guard let match = firstMatch(string), let range = Range(match.range(withName: name), in: string) else { return nil }
    return String(string[range])
  }

  private func firstMatch(_ string: String) -> NSTextCheckingResult? {
    var result: NSTextCheckingResult?
    // A pattern can be written that backtracks for ever; matching one path stops after that many progress reports.
    var reports = 0
    expression.enumerateMatches(
      in: string, options: .reportProgress, range: NSRange(string.startIndex..., in: string)
    ) { match, _, stop in
      reports += 1
      result = match
      if match != nil || reports > 1000 { stop.pointee = true }
    }
    return result
  }
}
