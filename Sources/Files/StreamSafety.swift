// Names that take no more time than their length.

extension String {
  /// Whether no more than thirty combining marks follow each other: the Stream-Safe Text Format of Unicode (Standard Annex
  /// #15, section 13).
  ///
  /// To compare two texts, or to look one up, Swift sorts the marks of each character, in a time that grows with the
  /// square of their number. So a name from a file may not have a hundred thousand; no real one has five.
  package var isStreamSafe: Bool {
    guard utf8.contains(where: { $0 >= 0x80 }) else { return true }
    var marks = 0
    for scalar in unicodeScalars {
      marks = scalar.properties.canonicalCombiningClass == .notReordered ? 0 : marks + 1
      if marks > 30 { return false }
    }
    return true
  }
}
