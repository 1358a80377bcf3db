// Names that are compared by their bytes.
//
// To Swift, "é" in one scalar and "é" in two are the same text. To the programs that write weight files they are two
// names, and both may stand in one file.

/// A text as a key: equal to another only where both are the same bytes in UTF-8.
package struct ExactString: Hashable, Comparable, Sendable {
  package let text: String

  package init(_ text: String) { self.text = text }

  package static func == (a: ExactString, b: ExactString) -> Bool { a.text.isExactly(b.text) }

  package static func < (a: ExactString, b: ExactString) -> Bool { a.text.utf8.lexicographicallyPrecedes(b.text.utf8) }

  package func hash(into hasher: inout Hasher) {
    var text = text
    text.withUTF8 { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
  }
}

extension String {
  /// Whether both are the same bytes in UTF-8.
  package func isExactly(_ other: String) -> Bool { utf8.elementsEqual(other.utf8) }
}

// A dictionary and a set of such names, asked with plain texts.

extension Dictionary where Key == ExactString {
  package subscript(name: String) -> Value? {
    get { self[ExactString(name)] }
    set { self[ExactString(name)] = newValue }
  }

  package subscript(name: String, default value: @autoclosure () -> Value) -> Value {
    get { self[ExactString(name), default: value()] }
    _modify { yield &self[ExactString(name), default: value()] }
  }

  /// Of values with the same name, the first.
  package init(byName values: some Sequence<Value>, _ name: (Value) -> String) {
    self.init(values.map { (ExactString(name($0)), $0) }, uniquingKeysWith: { first, _ in first })
  }
}

extension Set<ExactString> {
  package init(names: some Sequence<String>) { self.init(names.lazy.map { ExactString($0) }) }

  package func contains(_ name: String) -> Bool { contains(ExactString(name)) }

  /// Whether it was not in the set before.
  @discardableResult
  package mutating func insert(_ name: String) -> Bool { insert(ExactString(name)).inserted }
}
