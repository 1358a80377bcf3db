// TEMPORARY shim
public struct ModulePatterns<Value: Sendable>: Sendable {
  private let entries: [(key: String, pattern: PythonPattern, value: Value)]
  public init(_ entries: [(key: String, value: Value)]) throws(PythonPatternError) {
    var result: [(key: String, pattern: PythonPattern, value: Value)] = []
    for entry in entries { result.append((entry.key, try PythonPattern("(.*\\.)?(\(entry.key))"), entry.value)) }
    self.entries = result
  }
  public subscript(path: String) -> Value? { entries.first { $0.pattern.matches(path) }?.value }
  public func unusedKeys(among paths: [String]) -> [String] {
    entries.filter { entry in !paths.contains(where: entry.pattern.matches) }.map(\.key)
  }
}
