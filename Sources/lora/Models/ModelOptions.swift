import ArgumentParser
import Foundation
import LoRAKit

/// What every command that uses a model takes.
struct ModelOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "A Hugging Face folder: config.json, weights in safetensors, tokenizer.json.", valueName: "folder"))
  var model: String

  var folder: URL { URL(fileURLWithPath: model) }
}

/// The texts that a command works on: arguments, the lines of a file, or those of standard input.
struct TextInput: ParsableArguments {
  @Argument(help: "Texts. With none and no --file, lines are read from standard input.")
  var texts: [String] = []

  @Option(help: ArgumentHelp("A file with one text a line, instead.", valueName: "path"))
  var file: String?

  func validate() throws {
    if file != nil && !texts.isEmpty {
      throw ValidationError("Texts come from the arguments or from --file, not from both.")
    }
  }

  func read() throws -> [String] {
    if !texts.isEmpty { return texts }
    let data: Data
    if let file {
      guard let content = FileManager.default.contents(atPath: file) else {
        throw InputError("\(file): can't be read")
      }
      data = content
    } else {
      data = FileHandle.standardInput.readDataToEndOfFile()
    }
    let lines = try TextInput.lines(of: data, name: file ?? "standard input")
    guard !lines.isEmpty else { throw InputError("\(file ?? "standard input"): holds no text") }
    return lines
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

/// Says, unless quiet, how many texts were cut.
func reportCut(_ count: Int, of total: Int, to length: Int, isQuiet: Bool) {
  if count > 0 {
    comment("\(count) of \(total) texts were longer than \(length) tokens and were cut.", isQuiet: isQuiet)
  }
}

extension Float {
  /// With so many decimals.
  func text(_ decimals: Int = 4) -> String { String(format: "%.\(decimals)f", self) }
}

extension Double {
  func text(_ decimals: Int = 4) -> String { String(format: "%.\(decimals)f", self) }
}
