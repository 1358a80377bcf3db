import Foundation

/// Finds which columns of a file hold the text and its label.
public enum LabelledColumns {
  private static let textNames = ["text", "sentence", "content", "review", "question", "query", "utterance"]
  private static let labelNames = ["label", "labels", "category", "class", "intent", "sentiment", "target"]

  /// By the header's or the keys' usual names, else the first and the second of two columns.
  ///
  /// - Throws: `DatasetError` that names the columns where the choice is not clear.
  public static func find(
    in file: URL, hasHeader: Bool = true
  ) throws -> (text: LabelledText.Column, label: LabelledText.Column) {
    let columns = try names(of: file)
    if hasHeader {
      let text = columns.first { textNames.contains($0.lowercased()) }
      let label = columns.first { labelNames.contains($0.lowercased()) }
      if let text, let label { return (.named(text), .named(label)) }
    }
    let isJSON = LabelledText.Format(of: file) == .jsonLines
    if columns.count == 2, !isJSON { return (0, 1) }
    throw DatasetError(
      .wrongFormat, file: file, found: "the columns \(columns.joined(separator: ", "))",
      expected:
        "a text and a label under a usual name (\(textNames[0]), \(textNames[1]); \(labelNames[0]), \(labelNames[2]))",
      advice: "Say which columns they are.")
  }

  /// The fields of the first line, or the keys of the first JSON object.
  private static func names(of file: URL) throws -> [String] {
    let line = try firstLine(of: file)
    switch LabelledText.Format(of: file) {
    case .jsonLines:
      let object = try? JSONSerialization.jsonObject(with: Data(line)) as? [String: Any]
      return (object ?? [:]).keys.sorted()
    case .commaSeparated:
      return String(decoding: line, as: UTF8.self).split(separator: ",", omittingEmptySubsequences: false).map {
        $0.trimmingCharacters(in: CharacterSet(charactersIn: "\""))
      }
    default:
      return String(decoding: line, as: UTF8.self).split(separator: "\t", omittingEmptySubsequences: false).map(
        String.init)
    }
  }

  /// The first line that is not blank.
  private static func firstLine(of file: URL) throws -> [UInt8] {
    let reader = try ByteReader(file)
    var content: [UInt8] = []
    while content.count < 1 << 20 {
      let chunk = try [UInt8](unsafeUninitializedCapacity: 1 << 14) { buffer, count in
        count = try reader.read(into: UnsafeMutableRawBufferPointer(buffer))
      }
      content += chunk
      if content.starts(with: [0xEF, 0xBB, 0xBF]) { content.removeFirst(3) }
      var lines = content.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
      // The last one may go on.
      if !chunk.isEmpty { lines.removeLast() }
      if let line = lines.first(where: { line in line.contains { $0 != 0x0D && $0 != 0x20 } }) {
        return Array(line.last == 0x0D ? line.dropLast() : line)
      }
      if chunk.isEmpty { break }
    }
    throw DatasetError(
      .truncated, file: file, found: "no rows", expected: "at least one text with its label",
      advice: "Check that this is the right file.")
  }
}
