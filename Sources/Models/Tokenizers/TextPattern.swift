import Foundation

/// What a Replace or a Split looks for: a text as it stands, or a regular expression (as ICU reads it).
package enum TextPattern: @unchecked Sendable {  // NSRegularExpression is immutable
  case text([UInt8])
  case expression(NSRegularExpression)

  /// The non-overlapping matches in `bytes`, from left to right, as byte ranges.
  func matches(in bytes: ArraySlice<UInt8>) -> [Range<Int>] {
    switch self {
    case .text(let text):
      guard !text.isEmpty, bytes.count >= text.count else { return [] }
      var matches: [Range<Int>] = []
      var position = bytes.startIndex
      while position + text.count <= bytes.endIndex {
        if bytes[position] == text[0], bytes[position..<(position + text.count)].elementsEqual(text) {
          matches.append(position..<(position + text.count))
          position += text.count
        } else {
          position += 1
        }
      }
      return matches
    case .expression(let expression):
      let string = String(decoding: bytes, as: UTF8.self)
      var utf16 = 0
      var utf8 = bytes.startIndex
      var index = string.utf16.startIndex
      // The matches come in order, so their UTF-16 offsets become byte offsets in one walk.
      func byteOffset(_ target: Int) -> Int {
        let next = string.utf16.index(index, offsetBy: target - utf16)
        utf8 += string.utf8.distance(from: index, to: next)
        (index, utf16) = (next, target)
        return utf8
      }
      return expression.matches(in: string, range: NSRange(location: 0, length: string.utf16.count)).compactMap {
        guard $0.range.length > 0 else { return nil }
        let lower = byteOffset($0.range.location)
        return lower..<byteOffset($0.range.location + $0.range.length)
      }
    }
  }
}

extension TextPattern {
  /// Whether a regular expression tries ways without end on some short text, as `(a+)+b` does on many a's: every text
  /// that is read would be a trap then. Tried on each letter, digit and space that stands in it, many times in a row.
  package static func backtracks(_ expression: NSRegularExpression) -> Bool {
    let own = expression.pattern.unicodeScalars.filter {
      $0.properties.isAlphabetic || $0.properties.numericType != nil
    }
    return Set(own).union(["a", "1", " ", "."]).prefix(64).contains { scalar in
      // The system tells of its progress some thousand times a second; a pattern that is fit ends before the first time.
      let probe = String(repeating: String(scalar), count: 48) + "\u{1}"
      var (reports, isStopped) = (0, false)
      let range = NSRange(location: 0, length: probe.utf16.count)
      expression.enumerateMatches(in: probe, options: .reportProgress, range: range) { match, _, stop in
        guard match == nil else { return }
        reports += 1
        if reports > 200 { (isStopped, stop.pointee) = (true, true) }
      }
      return isStopped
    }
  }
}
