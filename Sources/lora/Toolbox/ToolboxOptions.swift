import ArgumentParser
import Foundation
import LoRAKit

/// What every command that writes a checkpoint or an adapter takes.
struct WritingOptions: ParsableArguments {
  @Option(
    name: [.customShort("o"), .customLong("output")],
    help: ArgumentHelp(
      "Where to write. (default: the input's name and what was done, in the current folder)", valueName: "path"))
  var path: Path?

  @Flag(help: "Say what would be done, and write nothing.")
  var dryRun = false

  @Flag(help: "Replace what is there.")
  var force = false

  /// Where to write: what was asked for, or a name like that of `source` in the current folder.
  func url(for source: URL, suffix: String) throws -> URL {
    let url = try path?.place(of: "an adapter or a model that is written") ?? Self.named(source, suffix)
    try checkReplaceable(url, force: force || dryRun)
    if !dryRun { try checkOutput(url) }
    return url
  }

  /// "model.safetensors" → "model-merged.safetensors", "adapter" → "adapter-merged".
  private static func named(_ source: URL, _ suffix: String) -> URL {
    if source == Path.standardInput { return URL(fileURLWithPath: "\(suffix).safetensors") }
    let source = source.standardizedFileURL
    let stem = source.deletingPathExtension().lastPathComponent
    let name =
      ["safetensors", "gguf"].contains(source.pathExtension)
      ? "\(stem)-\(suffix).\(source.pathExtension)" : "\(source.lastPathComponent)-\(suffix)"
    return URL(fileURLWithPath: name)
  }
}

/// A number format by its usual names.
enum FormatArgument: String, CaseIterable, ExpressibleByArgument {
  case f32, f16, bf16, f64

  var format: NumberFormat { NumberFormat(rawValue: rawValue.uppercased())! }
}

/// A number format of a model's weights: those of GGUF too.
enum WeightFormatArgument: String, CaseIterable, ExpressibleByArgument {
  case f32, f16, bf16, f64
  case q80 = "q8_0"
  case q40 = "q4_0"
  case q41 = "q4_1"
  case q50 = "q5_0"
  case q51 = "q5_1"
  case q4K = "q4_k"
  case q5K = "q5_k"
  case q6K = "q6_k"

  var format: NumberFormat {
    switch self {
    case .f32: .f32
    case .f16: .f16
    case .bf16: .bf16
    case .f64: .f64
    case .q80: .q80
    case .q40: .q40
    case .q41: .q41
    case .q50: .q50
    case .q51: .q51
    case .q4K: .q4K
    case .q5K: .q5K
    case .q6K: .q6K
    }
  }
}

/// "20MB", "1.5 GB", "4096": bytes, with thousands of 1000.
struct ByteCount: ExpressibleByArgument {
  let bytes: Int

  init?(argument: String) {
    let units = [("kb", 1e3), ("mb", 1e6), ("gb", 1e9), ("b", 1)]
    let text = argument.lowercased().trimmingCharacters(in: .whitespaces)
    let unit = units.first { text.hasSuffix($0.0) } ?? ("", 1)
    let number = text.dropLast(unit.0.count).trimmingCharacters(in: .whitespaces)
    guard let value = Double(number), value >= 1, value * unit.1 < 1e18 else { return nil }
    bytes = Int(value * unit.1)
  }
}

/// "path:0.7": an adapter with a weight, 1 where none is given.
struct WeightedAdapter: ExpressibleByArgument {
  let path: Path
  let weight: Double

  static var defaultCompletionKind: CompletionKind { .file() }

  init?(argument: String) {
    guard !argument.isEmpty else { return nil }
    // Only what follows the last colon, and only if it is a number and not a part of a path that exists.
    if !FileManager.default.fileExists(atPath: argument), let colon = argument.lastIndex(of: ":"),
      let weight = Double(argument[argument.index(after: colon)...]),
      colon > argument.startIndex
    {
      guard weight.isFinite else { return nil }
      (path, self.weight) = (Path(argument: String(argument[..<colon])), weight)
    } else {
      (path, weight) = (Path(argument: argument), 1)
    }
  }

  /// As a report calls it.
  var title: String { (weight == 1 ? "" : "\(Report.Value.number(weight).text) × ") + path.lastComponent }

  func open() throws -> (adapter: StoredAdapter, weight: Double) { (try path.adapter(), weight) }
}
