import Foundation
import LoRADatasets
import LoRATensors
import TestSupport
import Testing

struct LabelledTextTests {
  let folder: ScratchFolder

  init() throws { folder = try ScratchFolder() }

  @Test("Quoted commas, quotes and line breaks stay inside their field; columns go by name in any order")
  func csv() throws {
    let file = try folder.write(
      "id,label,text\r\n1,pos,\"good, very\"\r\n2,neg,\"she said \"\"no\"\"\nand left\"\r\n\r\n3,pos,plain\r\n", "a.csv"
    )
    let data = try LabelledText(contentsOf: file, text: "text", label: "label")
    #expect(try data.texts == ["good, very", "she said \"no\"\nand left", "plain"])
    #expect(data.labelNames == ["neg", "pos"])
    #expect(data.labels == [1, 0, 1])
  }

  @Test("Tabs separate without quoting; positions need no header; number labels keep number order")
  func tsv() throws {
    let file = try folder.write("say \"hi\t10\nbye\t9\n\"q\"\t10", "a.tsv")
    let data = try LabelledText(contentsOf: file, text: 0, label: 1, hasHeader: false)
    #expect(try data.texts == ["say \"hi", "bye", "\"q\""])
    #expect(data.labelNames == ["9", "10"])
    #expect(data.labels == [1, 0, 1])
  }

  @Test("JSON lines take text, number and Boolean labels")
  func jsonLines() throws {
    let file = try folder.write(
      "{\"t\": \"caf\\u00e9\", \"l\": 1}\r\n\n{\"t\": \"b\", \"l\": \"2\", \"more\": [1]}\n", "a.jsonl")
    let data = try LabelledText(contentsOf: file, text: "t", label: "l")
    #expect(try data.texts == ["café", "b"])
    #expect(data.labelNames == ["1", "2"])
    let flags = try folder.write("{\"t\": \"a\", \"l\": true}\n{\"t\": \"b\", \"l\": false}", "b.jsonl")
    #expect(try LabelledText(contentsOf: flags, text: "t", label: "l").labelNames == ["false", "true"])
  }

  @Test("A test file takes the training file's label numbers and refuses an unknown label by line")
  func givenLabels() throws {
    let file = try folder.write("t,l\na,x\nb,z\n", "a.csv")
    #expect(try LabelledText(contentsOf: file, text: "t", label: "l", labelNames: ["z", "y", "x"]).labels == [2, 0])
    let error = #expect(throws: DatasetError.self) {
      try LabelledText(contentsOf: file, text: "t", label: "l", labelNames: ["x", "y"])
    }
    #expect(error?.description.contains("label \"z\" in line 3, expected one of x, y") == true)
  }

  @Test(
    "Bad files are errors that name the line and what was found",
    arguments: [
      ("a.csv", "t,l\na,b\n\"open,c\n", "a quote in line 3 that never ends"),
      ("a.csv", "t,l\na,b\nalone\n", "1 field in line 3"),
      ("a.csv", "text,label\na,b\n", "the columns text, label, expected a column \"t\""),
      ("a.csv", "t,l\n", "no rows"),
      ("a.csv", "", "no rows"),
      ("a.jsonl", "{\"t\": \"a\", \"l\": 1}\n[1]\n", "no JSON object in line 2"),
      ("a.jsonl", "{\"t\": \"a\"}\n", "the keys t, expected a column"),
      ("a.text", "x", "the extension \"text\""),
      ("a.jsonl", "{\"t\": null, \"l\": 1}\n", "null under \"t\" in line 1"),
      ("a.jsonl", "{\"t\": {}, \"l\": 1}\n", "an object under \"t\" in line 1"),
      ("a.jsonl", "{\"t\": \"a\", \"t\": \"b\", \"l\": 1}\n", "the key \"t\" occurs twice) in line 1"),
      ("a.json", "[{\"t\": \"a\", \"l\": 1}]\n[{\"t\": \"b\", \"l\": 2}]", "more behind the list's end"),
      ("a.json", "{\"test\": [{\"t\": \"a\", \"l\": 1}], \"train\": [ {}]}", "several lists of objects"),
      ("a.csv", "t,l\n\"say \\\"no\\\" x\",b\n", "text behind a closing quote in line 2"),
      ("a.csv", "t,l\na,b\nc,NaN\n", "no label in line 3"),
      ("a.csv", "t,l\na,0.5\nc,nan\n", "no label in line 3"),
      ("a.txt", "__label__l t\n", "fastText's lines"),
    ])
  func bad(name: String, content: String, found: String) throws {
    let file = try folder.write(content, name)
    let error = #expect(throws: DatasetError.self) { try LabelledText(contentsOf: file, text: "t", label: "l") }
    #expect(error?.description.contains(found) == true, "\(String(describing: error))")
  }

  @Test("Bytes that are not UTF-8 are an error with their line; a byte-order mark is not content")
  func encoding() throws {
    let latin = try folder.write(Array("t,l\na,b\ncaf".utf8) + [0xe9] + Array(",b\n".utf8), "a.csv")
    let error = #expect(throws: DatasetError.self) { try LabelledText(contentsOf: latin, text: "t", label: "l") }
    #expect(error?.description.contains("not UTF-8 in line 3") == true)
    let marked = try folder.write("\u{FEFF}t,l\na,b\n", "b.csv")
    #expect(try LabelledText(contentsOf: marked, text: "t", label: "l").texts == ["a"])
  }

  @Test(
    "SST-2 and Banking77 have their published sizes and classes",
    .enabled(if: sharedData != nil, "needs the shared data folder"))
  func published() throws {
    let text = try #require(sharedData).appendingPathComponent("text")
    let sst = try LabelledText(
      contentsOf: text.appendingPathComponent("sst2/train.tsv"), text: "sentence", label: "label")
    #expect(sst.count == 6920)
    #expect(sst.labelNames == ["0", "1"])
    let train = try LabelledText(
      contentsOf: text.appendingPathComponent("banking77/train.csv"), text: "text", label: "category")
    let test = try LabelledText(
      contentsOf: text.appendingPathComponent("banking77/test.csv"), text: "text", label: "category",
      labelNames: train.labelNames)
    #expect(train.count == 10_003)
    #expect(test.count == 3080)
    #expect(train.labelNames.count == 77)
  }

  @Test("Columns are found by usual names, or are the first and the second of two; others are asked for")
  func columns() throws {
    let named = try folder.write("id\tLabel\ttext\n1\tx\ta\n", "a.tsv")
    #expect(try LabelledText(contentsOf: named).texts == ["a"])
    let two = try folder.write("first,second\na,x\nb,y\n", "b.csv")
    #expect(try LabelledText(contentsOf: two).texts == ["a", "b"])
    #expect(try LabelledText(contentsOf: two, text: "second").labelNames == ["a", "b"])
    #expect(try LabelledText(contentsOf: two, text: 0, label: 1, hasHeader: false).count == 3)
    // Nothing tells text and label of nameless columns apart.
    #expect(throws: DatasetError.self) { try LabelledText(contentsOf: two, hasHeader: false) }
    let json = try folder.write("{\"review\": \"a\", \"class\": 3}\n", "c.jsonl")
    #expect(try LabelledText(contentsOf: json).labelNames == ["3"])
    let unclear = try folder.write("a,b,c\n1,2,3\n", "d.csv")
    let error = #expect(throws: DatasetError.self) { try LabelledText(contentsOf: unclear) }
    #expect(error?.kind == .unknownColumn)
    #expect(error?.description.contains("found the columns a, b, c") == true)
  }

  @Test("Two spellings of one character are two labels and two columns")
  func bytes() throws {
    let file = try folder.write("caf\u{E9}\tcafe\u{301}\ttext\n1\t\u{E9}\ta\n2\te\u{301}\tb\n", "a.tsv")
    let data = try LabelledText(contentsOf: file, text: "text", label: "cafe\u{301}")
    #expect(data.labels == [1, 0] && data.labelNames.map(\.utf8.count) == [3, 2])
  }

  @Test("A column that holds no classes is an error before its values fill the memory")
  func tooManyLabels() throws {
    let file = try folder.write((0...65_536).map { "a\t\($0)\n" }.joined(), "a.tsv")
    let error = #expect(throws: DatasetError.self) {
      try LabelledText(contentsOf: file, text: 0, label: 1, hasHeader: false)
    }
    #expect(error?.description.contains("another label in line 65,537, expected at most 65,536 classes") == true)
  }

  /// Rows of all lengths, some longer than the blocks that are read; in quotes, commas, quotes and line breaks.
  private func rows(_ count: Int) -> [(text: String, label: String)] {
    var random = SeededGenerator(seed: 5)
    let alphabet = Array("ab,\"\n é🙂\t")
    return (0..<count).map { index in
      let length = index == count / 2 ? 600_000 : Int.random(in: 1..<40, using: &random)
      return (
        "x" + String((0..<length).map { _ in alphabet.randomElement(using: &random)! }) + "x",
        "\(Int.random(in: 0..<300, using: &random))"
      )
    }
  }

  @Test(
    "Rows are found again where they lie, in any order, in every format, from gzip too",
    arguments: ["csv", "tsv", "jsonl"])
  func whereTheyLie(format: String) throws {
    var expected = rows(3000)
    if format == "tsv" {
      expected = expected.map { ($0.text.filter { $0 != "\t" && $0 != "\n" }, $0.label) }
    }
    let content = try expected.map { row in
      switch format {
      case "csv": "\"\(row.text.replacing("\"", with: "\"\""))\",\(row.label)\r\n"
      case "tsv": "\(row.text)\t\(row.label)\n\n"
      default: String(decoding: try JSONEncoder().encode(["text": row.text, "label": row.label]), as: UTF8.self) + "\n"
      }
    }
    let header = format == "jsonl" ? "" : format == "csv" ? "text,label\r\n" : "text\tlabel\n"
    let plain = try folder.write(header + content.joined(), "a.\(format)")
    var files = [plain]
    #if os(Linux)
      let process = Process()
      process.executableURL = URL(fileURLWithPath: "/usr/bin/gzip")
      process.arguments = ["-k", plain.path]
      try process.run()
      process.waitUntilExit()
      files.append(plain.appendingPathExtension("gz"))
    #endif
    for file in files {
      let data = try LabelledText(contentsOf: file)
      #expect(data.count == expected.count)
      #expect(data.labels.map { data.labelNames[$0] } == expected.map(\.label))
      var random = SeededGenerator(seed: 1)
      for index in expected.indices.shuffled(using: &random).prefix(400) + [0, expected.count / 2, expected.count - 1] {
        #expect(try data.text(at: index) == expected[index].text, "\(index)")
      }
      let lines = ((header.isEmpty ? [] : [header]) + content).map { $0.utf8.count { $0 == 0x0A } }
      for index in [0, 7, 2999] {
        #expect(try data.line(of: index) == 1 + lines.prefix(index + (header.isEmpty ? 0 : 1)).reduce(0, +))
      }
      var parts: [String] = []
      try data.forEachPart { part, _ in parts += part }
      #expect(parts == expected.map(\.text))
    }
  }

  @Test("A row with more fields than the first is an error with its line, not a label out of the middle of a text")
  func moreFields() throws {
    let file = try folder.write("text,label\ngood film,pos\nfine, really,neg\n", "a.csv")
    let error = #expect(throws: DatasetError.self) { try LabelledText(contentsOf: file, text: "text", label: "label") }
    #expect(
      error?.description.hasSuffix(
        "found 3 fields in line 3, expected 2, as in the first line. Put texts that hold a separator in quotes.")
        == true)
    // What a spreadsheet leaves behind: nothing in it.
    let trailing = try folder.write("text,label\ngood film,pos,,\n\"fine, really\",neg,\n", "b.csv")
    #expect(
      try LabelledText(contentsOf: trailing, text: "text", label: "label").texts == ["good film", "fine, really"])
  }

  @Test("A JSON object may hold other things beside its list, in any order; what only sounds like a list is text")
  func heldLists() throws {
    let row = #"{"text": "a [{", "label": "x"}"#
    for held in [
      #"{"tags": ["b"], "data": [\#(row)], "note": "[{\"", "more": {"of": [{"it": 1}]}}"#,
      #"{"data":[\#(row)],"list":[]}"#,
    ] {
      let data = try LabelledText(contentsOf: folder.write(held, "a.json"))
      #expect(try data.texts == ["a [{"] && data.labelNames == ["x"])
    }
  }

  @Test("One column is not two things")
  func columnTwice() throws {
    let file = try folder.write("text,label\na,b\n", "a.csv")
    let error = #expect(throws: DatasetError.self) { try LabelledText(contentsOf: file, text: "text", label: "text") }
    #expect(error?.description.contains("“text” named twice") == true, "\(String(describing: error))")
  }

  @Test("Lines in UTF-16, or of a table that is none, are refused by name")
  func foreignLines() throws {
    let file = try folder.write([0xFF, 0xFE] + "a\n".utf16.flatMap { [UInt8($0), 0] }, "a.txt")
    let error = #expect(throws: DatasetError.self) { try LabelledText(linesOf: file) }
    #expect(error?.description.contains("text in UTF-16") == true, "\(String(describing: error))")
  }

  @Test("Spaces around a label are not part of it; a list is no text")
  func spacesAndLists() throws {
    let file = try folder.write("text, label\n\"a\", pos\n\"b\",pos \n\"c\", neg\n", "a.csv")
    #expect(try LabelledText(contentsOf: file).labelNames == ["neg", "pos"])
    let columns = try folder.write(#"{"text": ["a", "b"], "label": ["x", "y"]}"#, "b.json")
    let error = #expect(throws: DatasetError.self) { try LabelledText(contentsOf: columns) }
    #expect(error?.description.contains("expected a text or number under \"text\"") == true)
  }

  @Test("A link to a data file is read as the file, its rows where they lie")
  func link() throws {
    let file = try folder.write((0..<5000).map { "text \($0)\t\($0 % 2)\n" }.joined(), "a.tsv")
    let link = folder.url.appendingPathComponent("link.tsv")
    try FileManager.default.createSymbolicLink(at: link, withDestinationURL: file)
    let data = try LabelledText(contentsOf: link, text: 0, label: 1, hasHeader: false)
    #expect(data.count == 5000 && data.labels[4999] == 1)
    #expect(try data.text(at: 4321) == "text 4321")
    let nowhere = folder.url.appendingPathComponent("nowhere.tsv")
    try FileManager.default.createSymbolicLink(atPath: nowhere.path, withDestinationPath: "gone.tsv")
    let error = #expect(throws: DatasetError.self) { try LabelledText(contentsOf: nowhere) }
    #expect(error?.kind == .missing)
  }

  @Test(
    "A row may have so many bytes and no more, whatever its format and whether the file goes on",
    arguments: [RowSyntax.line, .tabs, .commas], ["", "a,b\n"])
  func longRows(syntax: RowSyntax, rest: String) throws {
    // Longer than a block of 256 kB, so that a row is asked for again.
    let limit = 300_000
    let isQuoted = if case .delimited(_, true) = syntax { true } else { false }
    func count(_ length: Int) throws -> Int {
      let inner = String(repeating: isQuoted ? "\n" : "x", count: length - (isQuoted ? 3 : 1))
      let file = try folder.write("a,b\n" + (isQuoted ? "\"\(inner)\"\n" : inner + "\n") + rest, "a.txt")
      var lengths: [Int] = []
      _ = try TextRows(TextContent(file), syntax, longest: limit) { lengths.append($0.bytes.count) }
      #expect(lengths.contains(length))
      return lengths.count
    }
    #expect(try count(limit) == (rest.isEmpty ? 2 : 3))
    for length in [limit + 1, 600_000] {
      let error = #expect(throws: DatasetError.self) { try count(length) }
      let text = error?.description ?? ""
      // Of a quote, nobody knows whether it ends later.
      #expect(
        text.contains("a row of more than 300,000 bytes in line 2") || isQuoted && text.contains("a quote in line 2"),
        "\(text)")
    }
  }

  @Test("A file that has become shorter is an error, not a crash")
  func shortened() throws {
    let file = try folder.write((0..<5000).map { "text \($0)\t\($0 % 2)\n" }.joined(), "a.tsv")
    let data = try LabelledText(contentsOf: file, text: 0, label: 1, hasHeader: false)
    try FileHandle(forWritingTo: file).truncate(atOffset: 100)
    let error = #expect(throws: DatasetError.self) { try data.text(at: 4000) }
    #expect(error?.kind == .inaccessible)
  }

  @Test("Of a file of lines every line is a text, empty ones too; so many are read at a time as a few megabytes hold")
  func lines() throws {
    let file = try folder.write("\u{FEFF}a fox\r\n\n \nlast", "a.txt")
    let data = try LabelledText(linesOf: file)
    #expect(try data.texts(in: 0..<data.count) == ["a fox", "", " ", "last"])
    #expect(try data.line(of: 2) == 3 && data.labelNames.isEmpty && data.labels.isEmpty && !data.isPaired)
    #expect(throws: DatasetError.self) { try LabelledText(linesOf: folder.write("", "b.txt")) }
    let latin = try LabelledText(linesOf: folder.write([0x61, 0x0A, 0xE9, 0x0A], "c.txt"))
    let error = #expect(throws: DatasetError.self) { try latin.texts(in: 0..<2) }
    #expect(error?.description.contains("not UTF-8 in line 2") == true)

    // 10 texts of 1 MB: some at a time, and of small ones 8,192.
    let long = String(repeating: "x", count: 1 << 20)
    let large = try LabelledText(linesOf: folder.write(String(repeating: long + "\n", count: 10), "d.txt"))
    var sizes: [Int] = []
    try large.forEachPart { part, _ in sizes.append(part.count) }
    #expect(sizes.reduce(0, +) == 10 && sizes.allSatisfy { $0 <= 4 }, "\(sizes)")
    let small = try LabelledText(linesOf: folder.write(String(repeating: "x\n", count: 9000), "e.txt"))
    #expect(try small.part(from: 0).first.count == 8192 && small.part(from: 8192).first.count == 808)
  }

  @Test("A table's texts without its labels have none")
  func withoutLabels() throws {
    let file = try folder.write("text,label\na,\nb,x\n", "a.csv")
    let data = try LabelledText(contentsOf: file, texts: ["text"], labels: nil)
    #expect(try data.texts(in: 0..<2) == ["a", "b"] && data.labelNames.isEmpty && data.labels.isEmpty)
  }

  @Test("Texts in memory are numbered like those of a file")
  func memory() throws {
    let data = try LabelledText(texts: ["a", "b", "c"], labels: ["z", "x", "z"])
    #expect(data.labels == [1, 0, 1] && data.labelNames == ["x", "z"])
    #expect(try data.texts == ["a", "b", "c"])
    #expect(throws: DatasetError.self) { try LabelledText(texts: ["a"], labels: ["q"], labelNames: ["x"]) }
  }
}

extension LabelledText {
  fileprivate var texts: [String] { get throws { try texts(in: 0..<count) } }
}
