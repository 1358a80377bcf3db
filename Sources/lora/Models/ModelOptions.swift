import ArgumentParser
import Foundation
import LoRAKit

/// What every command that uses a model takes.
struct ModelOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "A Hugging Face folder (config.json, weights in safetensors, tokenizer.json), or a GGUF file.",
      valueName: "folder"),
    completion: .file())
  var model: String

  var folder: URL { URL(fileURLWithPath: model) }

  func validate() throws {
    var isFolder: ObjCBool = false
    if FileManager.default.fileExists(atPath: model, isDirectory: &isFolder), !isFolder.boolValue,
      folder.pathExtension != "gguf"
    {
      throw ValidationError("--model \(model): is a file; the folder that holds the model, or a GGUF file, is needed.")
    }
  }
}

/// How much of a text is read.
struct ReadingOptions: ParsableArguments {
  @Option(help: "The most tokens of a text that are read at once. (default: as many as the model can)")
  var length: Int?

  @OptionGroup var long: LongTextOptions

  func validate() throws {
    if let length, length < 3 { throw ValidationError("--length \(length): at least 3 is needed.") }
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

  /// "reviews.txt: lines 3, 7"
  func places(of texts: [Int], total: Int? = nil) throws -> String {
    let list = LabelledText.list(lines: try texts.prefix(5).map(line), of: total ?? texts.count)
    return file.map { "\($0): \(list)" } ?? list.replacing(/^line/, with: "text")
  }

  /// The tokens of a file's texts; says, unless quiet, which could not be read as they are.
  func encode(_ texts: LabelledText, into empty: EncodedTexts, isQuiet: Bool) throws -> EncodedTexts {
    let bar = ProgressBar("reading texts", total: texts.count, isQuiet: isQuiet || texts.count < 200_000)
    let encoded = try encode(into: empty, isQuiet: isQuiet) { encoded in
      try texts.forEachPart { part in
        try encoded.append(part)
        if texts.count >= 200_000 { bar.advance(by: part.count) }
      }
    }
    if texts.count >= 200_000 { bar.finish() }
    return encoded
  }

  func encode(_ texts: [String], into empty: EncodedTexts, isQuiet: Bool) throws -> EncodedTexts {
    try encode(into: empty, isQuiet: isQuiet) { try $0.append(texts) }
  }

  private func encode(
    into empty: EncodedTexts, isQuiet: Bool, append: (inout EncodedTexts) throws -> Void
  ) throws -> EncodedTexts {
    var encoded = empty
    do {
      try append(&encoded)
    } catch let error as NoTokensError {
      throw InputError(
        "\(try places(of: error.texts)): the tokenizer finds no token there, so the model has nothing to read; remove "
          + (error.texts.count == 1 ? "this text" : "these \(grouped(error.texts.count)) texts"))
    }
    let texts = "\(grouped(encoded.count)) text\(encoded.count == 1 ? "" : "s")"
    if encoded.longCount > 0 {
      comment(
        "\(grouped(encoded.longCount)) of \(texts) \(encoded.longCount == 1 ? "was" : "were") longer than \(encoded.length) tokens and "
          + "\(encoded.longCount == 1 ? "was" : "were") "
          + (encoded.longWindowCount > 0
            ? "read in \(grouped(encoded.longWindowCount)) windows."
            : "cut; --long-texts windows reads all of them."),
        isQuiet: isQuiet)
    }
    if encoded.blankCount > 0 {
      comment(
        "\(grouped(encoded.blankCount)) of \(texts) \(encoded.blankCount == 1 ? "holds" : "hold") nothing to read ("
          + "\(try places(of: encoded.blankTexts, total: encoded.blankCount))): only the special tokens count.",
        isQuiet: isQuiet)
    }
    return encoded
  }
}

/// The texts that a command works on: arguments, the lines of a file, or those of standard input.
struct TextInput: ParsableArguments {
  @Argument(help: "Texts. With none and no --file, lines are read from standard input.")
  var texts: [String] = []

  @Option(
    help: ArgumentHelp("A file with one text a line, instead; - for standard input.", valueName: "path"),
    completion: .file())
  var file: String?

  func validate() throws {
    if file != nil && !texts.isEmpty {
      throw ValidationError("Texts come from the arguments or from --file, not from both.")
    }
  }

  func read() throws -> (texts: [String], origin: TextOrigin) {
    if !texts.isEmpty { return (texts, TextOrigin(file: nil)) }
    let path = file == "-" ? nil : file
    let name = path ?? "standard input"
    let data: Data
    if let file = path {
      guard let content = FileManager.default.contents(atPath: file) else {
        throw InputError("\(file): can't be read")
      }
      data = content
    } else {
      data = FileHandle.standardInput.readDataToEndOfFile()
    }
    let lines = try TextInput.lines(of: data, name: name)
    guard !lines.isEmpty else { throw InputError("\(name): holds no text") }
    return (lines, TextOrigin(file: name))
  }

  private static func lines(of data: Data, name: String) throws -> [String] {
    var lines = data.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
    if lines.last?.isEmpty == true { lines.removeLast() }
    return try lines.enumerated().map { index, line in
      guard let text = String(validating: line.last == 0x0D ? line.dropLast() : line, as: UTF8.self) else {
        throw InputError("\(name): line \(index + 1) is not UTF-8; convert the file, for example with iconv")
      }
      return text
    }
  }
}

/// Why an input will not do.
struct InputError: Error, CustomStringConvertible {
  let description: String

  init(_ description: String) { self.description = description }
}
