// Names that are compared by their bytes.
//
// To Swift, "é" in one scalar and "é" in two are the same text. To the programs that write weight files they are two
// names, and both may stand in one file.

/// A text as a key: equal to another only where both are the same bytes in UTF-8.
package struct ExactString: Hashable, Sendable {
  package let text: String

  package init(_ text: String) { self.text = text }

  package static func == (a: ExactString, b: ExactString) -> Bool { a.text.isExactly(b.text) }

  package func hash(into hasher: inout Hasher) {
    var text = text
    text.withUTF8 { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
  }
}

extension String {
  /// Whether both are the same bytes in UTF-8.
  package func isExactly(_ other: String) -> Bool { utf8.elementsEqual(other.utf8) }
}
