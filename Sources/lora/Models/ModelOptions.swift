import ArgumentParser
import Foundation
import LoRAKit

/// What every command that uses a model takes.
struct ModelOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "A Hugging Face folder (config.json, weights in safetensors, tokenizer.json), or a GGUF file.",
      valueName: "folder"))
  var model: Path

  var folder: URL { model.url }

  func validate() throws {
    var isFolder: ObjCBool = false
    let isThere = FileManager.default.fileExists(atPath: model.description, isDirectory: &isFolder)
    if model.isStream || isThere && !isFolder.boolValue && folder.pathExtension != "gguf" {
      throw ValidationError(
        "--model \(model): is a \(model.isStream ? "stream" : "file"); the folder that holds the model, or a GGUF file, is needed."
      )
    }
  }
}

/// A model, and an adapter of it where one is named.
struct AdaptedModelOptions: ParsableArguments {
  @OptionGroup var base: ModelOptions

  @Option(
    name: [.long, .customLong("adapter-path")],
    help: ArgumentHelp("A PEFT folder, as `lora train` writes it. (default: none)", valueName: "folder"))
  var adapter: Path?

  var folder: URL { base.folder }

  func adapterFolder() throws -> URL? { try adapter?.place(of: "an adapter's folder") }

  /// "all-MiniLM-L6-v2 with sentiment"
  var name: String { folder.lastPathComponent + (adapter.map { " with \($0.lastComponent)" } ?? "") }

  /// For a report: the adapter with what it is.
  var settings: [Report.Field] { [.init("model", .text("\(base.model)")), .adapter(adapter)] }
}

extension Report.Field {
  /// An adapter with what it is, for a report's settings.
  static func adapter(_ path: Path?) -> Report.Field {
    guard let path else { return .init("adapter", "none") }
    let adapter = try? path.adapter()
    let ranks = Set(
      adapter?.modules.filter { $0.rank > 0 }.map { "rank \($0.rank), scale \(Report.Value.number($0.scale).text)" }
        ?? [])
    let method = adapter?.methodNames.joined(separator: " and ") ?? ""
    return .init("adapter", .text("\(path) (\(([method] + ranks.sorted().prefix(3)).joined(separator: ", ")))"))
  }
}

/// How much of a text is read.
struct ReadingOptions: ParsableArguments {
  @Option(
    name: [.long, .customLong("max-seq-length")],
    help: "The most tokens of a text that are read at once. (default: as many as the model can)")
  var length: Int?

  @OptionGroup var long: LongTextOptions

  func validate() throws { try check("length", length, "at least 3") { $0 >= 3 } }

  func classifier(_ model: URL, adapter: URL?) throws -> TextClassifier {
    try TextClassifier(model: model, adapter: adapter, maximumLength: length, longTexts: long.longTexts)
  }
}

struct LongTextOptions: ParsableArguments {
  @Option(
    help: """
      What is done with texts of more tokens than --length or the model's positions: cut, or windows (read in windows \
      that overlap by a quarter, of which the mean counts).
      """)
  var longTexts = LongTexts.cut
}

extension LongTexts: ExpressibleByArgument {}

/// Where texts come from, for messages about some of them.
struct TextOrigin {
  /// A file, or nil for texts given as arguments.
  let file: String?
  /// The line of a text; by default each has one of its own.
  var line: (Int) throws -> Int = { $0 + 1 }
  /// What a message calls that which a text's row begins in.
  var rowName = "line"

  /// "reviews.txt: lines 3, 7"
  func places(of texts: [Int], total: Int? = nil) throws -> String {
    let list = LabelledText.list(
      lines: try texts.prefix(5).map(line), of: total ?? texts.count, rowName: file == nil ? "text" : rowName)
    return file.map { "\($0): \(list)" } ?? list
  }

  /// The tokens of all texts; says, unless quiet, which could not be read as they are.
  ///
  /// - Parameters:
  ///   - query: what each text is read with as a pair.
  ///   - prepare: makes of a text what is read.
  func encode(
    _ texts: LabelledText, into empty: EncodedTexts, isQuiet: Bool, query: String? = nil,
    preparing prepare: (String) -> String = { $0 }
  ) throws -> EncodedTexts {
    let isLong = texts.count >= 200_000
    let bar = ProgressBar("reading texts", total: texts.count, isQuiet: isQuiet || !isLong)
    var encoded = empty
    do {
      try texts.forEachPart { part, second in
        if let second {
          try encoded.append(pairs: zip(part, second).map { (first: $0, second: $1) })
        } else if let query {
          try encoded.append(pairs: part.map { (first: query, second: $0) })
        } else {
          try encoded.append(part.map(prepare))
        }
        if isLong { bar.advance(by: part.count) }
      }
    } catch let error as NoTokensError {
      throw InputError(
        "\(try places(of: error.texts)): the tokenizer finds no token there, so the model has nothing to read; remove "
          + (error.texts.count == 1 ? "this text" : "these \(error.texts.count.counted("text"))"))
    }
    if isLong { bar.finish() }
    let texts = encoded.count.counted("text")
    if encoded.longCount > 0 {
      comment(
        "\(encoded.longCount.grouped) of \(texts) \(encoded.longCount == 1 ? "was" : "were") longer than \(encoded.length) tokens and "
          + "\(encoded.longCount == 1 ? "was" : "were") "
          + (encoded.longWindowCount > 0
            ? "read in \(encoded.longWindowCount.counted("window"))."
            : "cut; --long-texts windows reads all of them."),
        isQuiet: isQuiet)
    }
    if encoded.blankCount > 0 {
      comment(
        "\(encoded.blankCount.grouped) of \(texts) \(encoded.blankCount == 1 ? "holds" : "hold") nothing to read ("
          + "\(try places(of: encoded.blankTexts, total: encoded.blankCount))): only the special tokens count.",
        isQuiet: isQuiet)
    }
    return encoded
  }
}

/// The texts that a command works on: arguments, the lines of a file or of standard input, or a table's columns.
struct TextInput: ParsableArguments {
  @Argument(help: "Texts. With none and no --file, lines are read from standard input.")
  var texts: [String] = []

  @Option(
    help: ArgumentHelp(
      "A file with one text a line, or a table (csv, tsv, jsonl, json), instead; - for standard input.",
      valueName: "path"))
  var file: Path?

  @OptionGroup var columns: TextColumnOptions

  func validate() throws {
    if file != nil && !texts.isEmpty {
      throw ValidationError("Texts come from the arguments or from --file, not from both.")
    }
    if file == nil, columns.areTable { throw ValidationError("--text-column is about a table; name it with --file.") }
  }

  /// The texts; says, unless quiet, which columns of a table were taken.
  func read(isQuiet: Bool) throws -> (texts: LabelledText, origin: TextOrigin) {
    if !texts.isEmpty { return (LabelledText(texts), TextOrigin(file: nil)) }
    let path = file ?? Path(argument: "-")
    let url = try path.input()
    guard columns.areTable || LabelledText.isTable(url) else {
      return (try LabelledText(linesOf: url), TextOrigin(file: path.name))
    }
    let texts = try LabelledText(contentsOf: url, texts: columns.columns, labels: nil, hasHeader: columns.header)
    for line in texts.columnsLines(path.name) { comment(line, isQuiet: isQuiet) }
    return (texts, TextOrigin(file: path.name, line: texts.line, rowName: texts.rowName))
  }
}

/// Texts one after another, as they are shown: of any number, a part at a time.
struct ShownTexts {
  private let texts: LabelledText
  private var part: ArraySlice<String> = []
  private var start = 0
  private var count = 0

  init(_ texts: LabelledText) { self.texts = texts }

  /// The next of them; there has to be one.
  mutating func next() throws -> String {
    if part.isEmpty {
      let (first, second) = try texts.part(from: start)
      part = (second.map { zip(first, $0).map { "\($0) | \($1)" } } ?? first)[...]
      start += part.count
    }
    // What was printed may have had no room; then nobody is helped by more.
    count += 1
    if count % 1000 == 0, !StandardOutput.isFlushed() { throw StandardOutput.failure }
    return part.removeFirst()
  }

  /// Of more, a page shows the first.
  static let mostOnPage = 1000

  /// Below a page's table.
  static func caption(_ count: Int) -> String? {
    count > mostOnPage ? "The first \(mostOnPage.grouped) of \(count.grouped) texts." : nil
  }
}
