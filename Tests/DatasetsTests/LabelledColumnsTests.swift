// Which columns of a table hold text and label, and what the labels are.
import Foundation
import LoRADatasets
import TestSupport
import Testing

struct LabelledColumnsTests {
  let folder: ScratchFolder

  init() throws { folder = try ScratchFolder() }

  private func read(
    _ content: String, _ name: String, texts: [LabelledText.Column] = [], labels: [LabelledText.Column] = [],
    problem: ProblemType? = nil
  ) throws -> LabelledText {
    try LabelledText(contentsOf: folder.write(content, name), texts: texts, labels: labels, problem: problem)
  }

  @Test(
    "The same texts and classes are found however a table is written",
    arguments: [
      ("a.csv", "text,label\ngood film,pos\nbad film,neg\npoor one,pos\n"),
      ("a.csv", "good film,pos\nbad film,neg\npoor one,pos\n"),
      ("a.csv", "pos,good film\nneg,bad film\npos,poor one\n"),
      ("a.csv", ",tweet,airline_sentiment\n0,good film,pos\n1,bad film,neg\n2,poor one,pos\n"),
      ("a.csv", "text;label\ngood film;pos\nbad film;neg\npoor one;pos\n"),
      ("a.csv", " text , label \ngood film,pos\nbad film,neg\npoor one,pos\n"),
      ("a.csv", "\"text, raw\",label\ngood film,pos\nbad film,neg\npoor one,pos\n"),
      ("a.csv", "text,label\rgood film,pos\rbad film,neg\rpoor one,pos\r"),
      ("a.csv", "id,text,label\n7,good film,pos\n8,bad film,neg\n9,poor one,pos\n"),
      ("a.txt", "text,label\ngood film,pos\nbad film,neg\npoor one,pos\n"),
      ("a.txt", "good film\tpos\nbad film\tneg\npoor one\tpos\n"),
      ("a.csv", "label,label_text,text\n1,pos,good film\n0,neg,bad film\n1,pos,poor one\n"),
      (
        "a.json",
        "[{\"text\": \"good film\", \"label\": \"pos\"}, {\"text\": \"bad film\", \"label\": \"neg\"}, {\"text\": \"poor one\", \"label\": \"pos\"}]"
      ),
      (
        "a.json",
        "{\"version\": 1, \"data\": [\n {\"text\": \"good film\",\n  \"label\": \"pos\"},\n {\"text\": \"bad film\", \"label\": \"neg\"},\n {\"text\": \"poor one\", \"label\": \"pos\"}]}\n"
      ),
      (
        "a.json",
        "{\"text\": \"good film\", \"label\": \"pos\"}\n{\"text\": \"bad film\", \"label\": \"neg\"}\n{\"text\": \"poor one\", \"label\": \"pos\"}\n"
      ),
    ])
  func found(name: String, content: String) throws {
    let data = try read(content, name)
    #expect(try data.texts(in: 0..<data.count) == ["good film", "bad film", "poor one"], "\(content)")
    #expect(data.labelNames == ["neg", "pos"] && data.labels == [1, 0, 1])
    #expect(data.columns?.preview.count == 3)
    #expect(try data.text(at: data.count - 1) == "poor one")
  }

  @Test(
    "What is not clear is asked for, with the columns shown",
    arguments: [
      // Which one is the text?
      ("a.csv", "a one,b one\nc two,d two\ne three,f three\ng four,h four\n", "may name the columns or be an example"),
      (
        "a.csv", "3,Bears claw,Short sellers are back.\n4,Carlyle,A private firm.\n3,Oil soars,Again and again.\n",
        "3 columns without names"
      ),
      ("a.csv", "text,label\na,b\nc,d\ne,f\ng,h\n", "a label of its own for every text"),
      ("a.jsonl", "{\"tokens\": [\"a\"], \"ner_tags\": [1]}\n", "labels for tokens"),
      ("a.jsonl", "{\"prompt\": \"a\", \"chosen\": \"b\", \"rejected\": \"c\"}\n", "preferences"),
    ])
  func unclear(name: String, content: String, found: String) throws {
    let error = #expect(throws: DatasetError.self) { try read(content, name) }
    #expect(error?.description.contains(found) == true, "\(String(describing: error))")
    #expect(error?.kind == .unknownColumn)
  }

  @Test(
    "Pairs are known by GLUE's names",
    arguments: [
      "premise\thypothesis", "sentence1\tsentence2", "question1\tquestion2", "question\tsentence",
      "#1 String\t#2 String",
    ])
  func pairs(names: String) throws {
    let data = try read("id\t\(names)\tlabel\n0\ta b\tc d\tx\n1\te\tf\ty\n", "a.tsv")
    #expect(data.isPaired)
    let rows = try data.rows(in: 0..<2)
    #expect(rows.first == ["a b", "e"] && rows.second == ["c d", "f"])
    #expect(try data.text(at: 0) == "a b | c d")
  }

  @Test("Numbers with fractions are a regression; whole ones, also written 1.0, are classes")
  func numbers() throws {
    let scores = try read("text,score\na,2.5\nb,4\nc,0.25\n", "a.csv")
    guard case .scores(let numbers) = scores.targets else { return #expect(Bool(false), "no regression") }
    #expect(numbers == [2.5, 4, 0.25])
    let classes = try read("text,label\na,1.0\nb,0.0\nc,1.0\n", "b.csv")
    #expect(classes.labelNames == ["0", "1"] && classes.labels == [1, 0, 1])
    let forced = try read("text,label\na,1\nb,3\n", "c.csv", problem: .regression)
    #expect(forced.targets.problem == .regression)
    let error = #expect(throws: DatasetError.self) { try read("text,label\na,1\nb,x\n", "d.csv", problem: .regression) }
    #expect(error?.description.contains("“x” in line 3") == true)
  }

  @Test(
    "Several labels a text: lists, flags, names between commas, a column each",
    arguments: [
      (
        "a.jsonl",
        "{\"text\": \"t\", \"labels\": [\"a\", \"c\"]}\n{\"text\": \"u\", \"labels\": []}\n{\"text\": \"v\", \"labels\": [\"b\"]}\n",
        ["a", "b", "c"]
      ),
      (
        "b.jsonl",
        "{\"text\": \"t\", \"labels\": [1, 0, 1]}\n{\"text\": \"u\", \"labels\": [0, 0, 0]}\n{\"text\": \"v\", \"labels\": [0, 1, 0]}\n",
        ["0", "1", "2"]
      ),
      ("c.csv", "text,labels\nt,\"['a', 'c']\"\nu,[]\nv,['b']\n", ["a", "b", "c"]),
      ("d.csv", "id,comment_text,a,b,c\n3,t,1,0,1\n4,u,0,0,0\n5,v,0,1,0\n", ["a", "b", "c"]),
    ])
  func sets(name: String, content: String, names: [String]) throws {
    let data = try read(content, name)
    guard case .sets(let sets) = data.targets else { return #expect(Bool(false), "\(data.targets.problem)") }
    #expect(data.labelNames == names)
    #expect([sets[0], sets[1], sets[2]] == [[0, 2], [], [1]])
    #expect(sets.flags(at: [2, 0], labelCount: 3) == [0, 1, 0, 1, 0, 1])
  }

  @Test("A comma makes two labels where both are labels; else it belongs to the name")
  func commas() throws {
    let several = try read("text,labels\nt,a\nu,\"a,b\"\nv,b\n", "a.csv")
    #expect(several.targets.problem == .multiLabel && several.labelNames == ["a", "b"])
    let one = try read("text,category\nt,\"Bars, pubs\"\nu,Cafes\nv,\"Bars, pubs\"\n", "b.csv")
    #expect(one.targets.problem == .singleLabel && one.labelNames == ["Bars, pubs", "Cafes"])
    let forced = try read("text,labels\nt,a\nu,\"a,b\"\n", "c.csv", problem: .singleLabel)
    #expect(forced.labelNames == ["a", "a,b"])
    #expect(throws: DatasetError.self) {
      try LabelledText(
        contentsOf: folder.write("text,labels\nt,\"a,q\"\n", "d.csv"), texts: [], labels: [], problem: .multiLabel,
        labelNames: ["a", "b"])
    }
  }

  @Test("Fields between tabs are unquoted only where they are quoted throughout")
  func quotes() throws {
    let quoted = try read("sentence\tlabel\n\"good \"\"one\"\"\"\tpos\nbad\tneg\n", "a.tsv")
    #expect(try quoted.text(at: 0) == "good \"one\"")
    let loose = try read("sentence\tlabel\n\"good \"\"one\"\"\"\tpos\nsay \"no\tneg\n\"hi\" she said\tpos\n", "b.tsv")
    #expect(try loose.text(at: 0) == "\"good \"\"one\"\"\"")
    let broken = try read("sentence\tlabel\n\"good,\nor not\"\tpos\nbad\tneg\n", "c.tsv")
    #expect(try broken.text(at: 0) == "good,\nor not" && broken.labelNames == ["neg", "pos"])
  }

  private static func utf16(_ text: String, bigEndian: Bool) -> [UInt8] {
    text.utf16.flatMap { unit -> [UInt8] in
      let (high, low) = (UInt8(unit >> 8), UInt8(unit & 255))
      return bigEndian ? [high, low] : [low, high]
    }
  }

  private static var foreignFiles: [(name: String, bytes: [UInt8], found: String, advice: String)] {
    let latin: [UInt8] = Array("text,label\ncaf".utf8) + [0xE9] + Array(",x\n".utf8)
    let sheet: [UInt8] = Array("PK\u{3}\u{4}".utf8) + [UInt8](repeating: 0, count: 26)
    let marked: [UInt8] = [0xFF, 0xFE] + utf16("text,label\n", bigEndian: false)
    return [
      ("a.parquet", Array("PAR1....".utf8), "a Parquet file", "pandas.read_parquet("),
      ("a.csv", marked, "UTF-16", "iconv -f UTF-16 -t UTF-8"),
      ("a.csv", utf16("text,label\n", bigEndian: true), "UTF-16", "iconv -f UTF-16BE"),
      ("a.csv", latin, "not UTF-8 in line 2", "iconv -f WINDOWS-1252"),
      ("a.xlsx", sheet, "an Excel sheet", "read_excel"),
      ("a.arrow", Array("ARROW1\0\0".utf8), "Arrow", "read_feather"),
      ("a.arrow", [0xFF, 0xFF, 0xFF, 0xFF, 0x10, 0, 0, 0], "Arrow stream", "Dataset.from_file"),
      ("a.pkl", [0x80, 0x04, 0x95, 0, 0, 0, 0], "a Python pickle", "read_pickle"),
    ]
  }

  @Test("Tables of other kinds and other encodings are named, with the line that converts them")
  func foreign() throws {
    for (name, bytes, found, advice) in Self.foreignFiles {
      let file = try folder.write(bytes, name)
      let error = #expect(throws: DatasetError.self) { try LabelledText(contentsOf: file) }
      let text = error?.description ?? ""
      #expect(text.contains(found) && text.contains(advice), "\(name): \(text)")
    }
  }

  @Test("A position that no row has, and a name without a header, are errors")
  func places() throws {
    #expect(throws: DatasetError.self) { try read("a,b\nc,d\n", "a.csv", texts: [0], labels: [5]) }
    let error = #expect(throws: DatasetError.self) {
      try LabelledText(
        contentsOf: folder.write("a,b\nc,d\n", "b.csv"), texts: ["a"], labels: ["b"], hasHeader: false)
    }
    #expect(error?.description.contains("no line that names the columns") == true)
  }
}
