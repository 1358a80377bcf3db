// What turns up where a text file is expected, told from its first bytes, with the line that converts it.

import Foundation
import LoRAFiles
import LoRATensors

extension TextContent {
  /// Refuses tables and archives of other kinds, and text in another encoding than UTF-8.
  ///
  /// - Throws: `DatasetError` that says what it is and names the one line that converts it.
  package func requireText() throws {
    guard let found = try ForeignFormat(read(0..<min(count, 512)), file: file) else { return }
    throw DatasetError(
      .wrongFormat, file: file, found: found.name, expected: "text in UTF-8: csv, tsv, jsonl or json",
      advice: Advice(found.advice))
  }

  /// What a folder is that was named in place of a file; nil for one that nothing is known of.
  static func describe(folder: URL) -> DatasetError? {
    func holds(_ name: String) -> Bool {
      FileManager.default.fileExists(atPath: folder.appendingPathComponent(name).path)
    }
    let path = ForeignFormat.literal(folder.path)
    let isSplit = holds("dataset_dict.json")
    guard isSplit || holds("dataset_info.json") || holds("state.json") else { return nil }
    let name = ForeignFormat.literal(folder.lastPathComponent + ".csv")
    return DatasetError(
      .inaccessible, file: folder, found: "a folder of datasets.save_to_disk (Arrow)",
      expected: "text in UTF-8: csv, tsv, jsonl or json",
      advice: Advice(
        ForeignFormat.python(
          "from datasets import load_from_disk; load_from_disk(\(path))\(isSplit ? "['train']" : "").to_csv(\(name))")))
  }
}

private struct ForeignFormat {
  let name: String
  let advice: String

  init?(_ bytes: [UInt8], file: URL) {
    let path = Self.quoted(file.path)
    let output = file.deletingPathExtension().lastPathComponent
    let csv = Self.quoted(output + ".csv")
    let (source, target) = (Self.literal(file.path), Self.literal(output + ".csv"))
    func begins(_ magic: [UInt8]) -> Bool { bytes.starts(with: magic) }
    func pandas(_ reading: String) -> String {
      Self.python("import pandas; pandas.\(reading)(\(source)).to_csv(\(target), index=False)")
    }
    func recoded(from encoding: String) -> String {
      "Convert it: `iconv -f \(encoding) -t UTF-8 \(path) > \(Self.quoted(output + "-utf8." + file.pathExtension))`"
    }
    if begins([0xFF, 0xFE, 0, 0]) || begins([0, 0, 0xFE, 0xFF]) {
      (name, advice) = ("text in UTF-32", recoded(from: "UTF-32"))
    } else if begins([0xFF, 0xFE]) || begins([0xFE, 0xFF]) {
      (name, advice) = ("text in UTF-16", recoded(from: "UTF-16"))
    } else if let order = Self.unmarkedUTF16(bytes) {
      (name, advice) = ("text in UTF-16 without a byte order mark", recoded(from: order))
    } else if begins(Array("ARROW1".utf8)) {
      (name, advice) = ("an Arrow file (Feather)", pandas("read_feather"))
    } else if begins([0xFF, 0xFF, 0xFF, 0xFF]) {
      (name, advice) = (
        "an Arrow stream, as datasets keeps them",
        Self.python("from datasets import Dataset; Dataset.from_file(\(source)).to_csv(\(target))")
      )
    } else if begins(Array("ORC".utf8)) {
      (name, advice) = ("an ORC file", pandas("read_orc"))
    } else if begins([0xD0, 0xCF, 0x11, 0xE0]) {
      (name, advice) = ("an old Excel sheet (.xls)", pandas("read_excel"))
    } else if begins(Array("SQLite format 3".utf8)) {
      (name, advice) = (
        "an SQLite database",
        "Convert it: `sqlite3 -header -csv \(path) \"SELECT * FROM data\" > \(csv)`, with the name of its table"
      )
    } else if begins(Array("__label__".utf8)) {
      (name, advice) = (
        "fastText's lines (__label__…)",
        "Convert it: `sed -E 's/^__label__([^ ]+) /\\1\\t/' \(path) > \(Self.quoted(output + ".tsv"))`"
      )
    } else if begins(Array("BZh".utf8)) {
      (name, advice) = ("compressed with bzip2", "Unpack it: `bunzip2 -k \(path)`")
    } else if begins([0xFD] + Array("7zXZ".utf8)) {
      (name, advice) = ("compressed with xz", "Unpack it: `unxz -k \(path)`")
    } else if begins([0x28, 0xB5, 0x2F, 0xFD]) {
      (name, advice) = ("compressed with zstd", "Unpack it: `unzstd \(path)`")
    } else {
      switch bytes.withUnsafeBytes({ FileKind($0) }) {
      case .parquet: (name, advice) = ("a Parquet file", pandas("read_parquet"))
      case .pickle, .torchLegacy:
        (name, advice) = (
          "a Python pickle, which can run code when it is loaded", pandas("read_pickle") + ", if you trust it"
        )
      case .torchZip:
        (name, advice) = ("a file of torch.save, which can run code when it is loaded", "Write its texts as csv")
      case .zip:
        // Excel's entries carry these names; the first is at the file's beginning.
        let start = String(decoding: bytes, as: UTF8.self)
        let isSheet = ["[Content_Types].xml", "_rels/", "xl/", "docProps/"].contains(where: start.contains)
        (name, advice) =
          isSheet || file.pathExtension.lowercased() == "xlsx"
          ? ("an Excel sheet (.xlsx)", pandas("read_excel")) : ("a zip archive", "Unpack it: `unzip \(path)`")
      case .numpy, .numpyZip: (name, advice) = ("a file of NumPy's", "Write its texts as csv")
      case .hdf5: (name, advice) = ("an HDF5 file", pandas("read_hdf"))
      case .tar: (name, advice) = ("a tar archive", "Unpack it: `tar -xf \(path)`")
      case .gguf, .safetensors, .onnx: (name, advice) = ("a file of weights", "Name a file of texts")
      case .gitLFSPointer:
        (name, advice) = ("a Git LFS pointer, not the file itself", "Fetch it: `git lfs pull`")
      case .html, .xml:
        (name, advice) = (
          "a page (HTML or XML), not a table", "Fetch the file again, signed in if the page asks for that"
        )
      default: return nil
      }
    }
  }

  static func python(_ program: String) -> String { "Convert it: `python3 -c \"\(program)\"`" }

  /// A word of the shell's.
  static func quoted(_ text: String) -> String { "'\(text.replacing("'", with: "'\\''"))'" }
  /// A string of Python's.
  static func literal(_ text: String) -> String { "'\(text.replacing("'", with: "\\'"))'" }

  /// ASCII in UTF-16 has a zero in every other byte.
  private static func unmarkedUTF16(_ bytes: [UInt8]) -> String? {
    let pairs = bytes.count / 2
    guard pairs >= 4 else { return nil }
    func zeros(_ start: Int) -> Int { stride(from: start, to: 2 * pairs, by: 2).count { bytes[$0] == 0 } }
    let (even, odd) = (zeros(0), zeros(1))
    if odd > pairs * 3 / 4, even == 0 { return "UTF-16LE" }
    if even > pairs * 3 / 4, odd == 0 { return "UTF-16BE" }
    return nil
  }
}
