import CSourceKit
import Foundation

/// Completion and inspection by SourceKit, which knows the chain of cells through the same flags as the compiler.
///
/// SourceKit runs in a process of its own, so that its failure costs no state of the notebook.
final class Completion {
  private unowned let session: Session
  private var server: SourceKitProcess?
  private var inspections = 0

  init(session: Session) {
    self.session = session
  }

  /// - Parameter offset: the cursor, in UTF-8 bytes.
  func complete(_ code: String, offset: Int) -> [String: Any] {
    if let found = LineCompletion(String(decoding: code.utf8.prefix(offset), as: UTF8.self)) {
      return ["status": "ok", "matches": found.matches, "start": found.start, "end": offset]
    }
    let source = Magics.swift(in: code)
    let bytes = Array(source.utf8.prefix(offset))
    let start = (bytes.lastIndex { !CellNames.isIdentifier($0) } ?? -1) + 1
    let prefix = String(decoding: bytes[start...], as: UTF8.self)
    // By a name for each state of the session: of a file that it knows, SourceKit keeps the modules that it imported.
    let file = session.scratch.appendingPathComponent("completed_\(session.newestModule).swift").path
    let answer = ask(
      "codecomplete.open", file, source, offset: start,
      extra: [
        "key.name": file,
        "key.codecomplete.options": [
          "key.codecomplete.filtertext": prefix, "key.codecomplete.fuzzymatching": 0,
          "key.codecomplete.hideunderscores": prefix.hasPrefix("_") ? 0 : 1, "key.codecomplete.requestlimit": 200,
        ],
      ])
    _ = ask("codecomplete.close", file, source, offset: start, extra: ["key.name": file])

    let isClosed = source.utf8.dropFirst(offset).first == UInt8(ascii: ")")
    var matches: [String] = []
    var types: [[String: Any]] = []
    for result in answer["key.results"] as? [[String: Any]] ?? [] {
      guard let name = result["key.name"] as? String else { continue }
      let base = name.prefix { $0 != "(" }
      // Where a name is typed, the name; within the parentheses of a call, its arguments.
      let isArguments = base.isEmpty || base.hasSuffix(":")
      var text = name.hasSuffix("()") ? name : String(base)
      if isArguments { text = Placeholders.filled(result["key.sourcetext"] as? String ?? name) }
      // A notebook has often written the closing parenthesis already.
      if isArguments && text.hasSuffix(")") && isClosed { text.removeLast() }
      guard text.lowercased().hasPrefix(prefix.lowercased()), !text.isEmpty, !text.hasPrefix("("),
        !matches.contains(text)
      else {
        continue
      }
      matches.append(text)
      types.append([
        "text": text, "start": start, "end": offset,
        "type": Self.kind(result["key.kind"] as? String ?? ""),
        "signature": "\(result["key.description"] as? String ?? name) -> \(result["key.typename"] as? String ?? "")",
      ])
    }
    return ["status": "ok", "matches": matches, "start": start, "end": offset, "types": types]
  }

  func inspect(_ code: String, offset: Int) -> [String: Any] {
    let source = Magics.swift(in: code)
    let bytes = Array(source.utf8)
    var start = min(offset, bytes.count)
    while start > 0, CellNames.isIdentifier(bytes[start - 1]) { start -= 1 }
    if start == bytes.count || !CellNames.isIdentifier(bytes[start]) {
      // After an opening parenthesis the function before it is meant.
      while start > 0, !CellNames.isIdentifier(bytes[start - 1]) { start -= 1 }
      while start > 0, CellNames.isIdentifier(bytes[start - 1]) { start -= 1 }
    }
    // This request reads a file, and answers from its memory about one that it knows.
    inspections += 1
    let file = session.scratch.appendingPathComponent("inspected\(inspections).swift")
    guard (try? Disk.write(imports + source, to: file)) != nil else { return ["status": "ok", "found": false] }
    defer { unlink(file.path) }
    let answer = ask("cursorinfo", file.path, source, offset: start, extra: [:])
    guard let annotated = answer["key.annotated_decl"] as? String else {
      return ["status": "ok", "found": false]
    }
    let declaration = Self.plain(annotated)
    let comment = answer["key.doc.full_as_xml"] as? String ?? ""
    let documentation = comment.matches(
      of: /<(Para|CodeListing[^>]*)>(.*?)<\/(?:Para|CodeListing)>/.dotMatchesNewlines()
    )
    .map { Self.plain(String($0.2)).trimmingCharacters(in: .whitespacesAndNewlines) }
    let text = ([declaration] + documentation).joined(separator: "\n\n")
    let markdown = "```swift\n\(declaration)\n```\n\n" + documentation.joined(separator: "\n\n")
    return ["status": "ok", "found": true, "text": text, "markdown": markdown]
  }

  // MARK: Asking

  private var imports: String { "import \(session.newestModule)\n" + session.accessImports() }

  private func ask(
    _ request: String, _ file: String, _ source: String, offset: Int, extra: [String: Any]
  ) -> [String: Any] {
    var object: [String: Any] = [
      "key.sourcefile": file, "key.sourcetext": imports + source, "key.offset": imports.utf8.count + offset,
      "key.compilerargs": [file, "-module-name", "Cell", "-swift-version", "5"] + session.moduleFlags,
    ]
    object.merge(extra) { $1 }
    if server == nil || !server!.isRunning {
      server = SourceKitProcess(library: session.toolchain.sourceKit)
    }
    return server?.ask(SourceKitRequest.text("source.request.\(request)", object)) ?? [:]
  }

  /// The last part of `source.lang.swift.decl.function.method.instance` that a notebook has an icon for.
  private static func kind(_ kind: String) -> String {
    for (part, name) in [
      (".function", "function"), (".var.instance", "property"), (".var", "instance"), (".struct", "class"),
      (".class", "class"), (".protocol", "interface"), (".enumelement", "enum"), (".enum", "class"),
      ("keyword", "keyword"), (".module", "module"), (".typealias", "class"),
    ] where kind.contains(part) {
      return name
    }
    return "text"
  }

  private static func plain(_ xml: String) -> String {
    let text = xml.replacing(/<[^>]*>/, with: "")
    return [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&amp;", "&")]
      .reduce(text) { $0.replacingOccurrences(of: $1.0, with: $1.1) }
  }
}

/// A request in the YAML that sourcekitd reads: keys and the request's name bare, the rest as in JSON.
enum SourceKitRequest {
  static func text(_ name: String, _ object: [String: Any]) -> String {
    var object = object
    object["key.request"] = Bare(name)
    return render(object)
  }

  private struct Bare {
    let name: String
    init(_ name: String) { self.name = name }
  }

  private static func render(_ value: Any) -> String {
    switch value {
    case let bare as Bare: return bare.name
    case let object as [String: Any]:
      return "{" + object.map { "\($0.key): \(render($0.value))" }.sorted().joined(separator: ", ") + "}"
    case let array as [Any]: return "[" + array.map(render).joined(separator: ", ") + "]"
    case let text as String:
      let data = try? JSONSerialization.data(
        withJSONObject: text, options: [.fragmentsAllowed, .withoutEscapingSlashes])
      return data.map { String(decoding: $0, as: UTF8.self) } ?? "\"\""
    default: return "\(value)"
    }
  }
}

/// This program again, started with --sourcekit: one request a line in, one answer a line out.
private final class SourceKitProcess {
  private let process = Process()
  private let input = Pipe()
  private let output = Pipe()
  private var pending = Data()

  init?(library: URL) {
    process.executableURL = URL(fileURLWithPath: CommandLine.arguments[0])
    process.arguments = ["--sourcekit", library.path]
    process.standardInput = input
    process.standardOutput = output
    process.standardError = FileHandle.nullDevice
    do {
      try process.run()
    } catch {
      return nil
    }
  }

  var isRunning: Bool { process.isRunning }

  func ask(_ request: String) -> [String: Any] {
    guard (try? input.fileHandleForWriting.write(contentsOf: Data((request + "\n").utf8))) != nil else { return [:] }
    while true {
      if let end = pending.firstIndex(of: 0x0A) {
        let line = Data(pending[..<end])
        pending = Data(pending[(end + 1)...])
        return (try? JSONSerialization.jsonObject(with: line)) as? [String: Any] ?? [:]
      }
      let chunk = output.fileHandleForReading.availableData
      if chunk.isEmpty { return [:] }
      pending.append(chunk)
    }
  }
}

/// The loop of the process above.
func serveSourceKit(library: String) {
  guard sourcekit_start(library) else { return }
  while let request = readLine() {
    if let answer = sourcekit_ask(request) {
      print(String(cString: answer).replacingOccurrences(of: "\n", with: ""))
      free(answer)
    } else {
      print("{}")
    }
    fflush(nil)
  }
}
