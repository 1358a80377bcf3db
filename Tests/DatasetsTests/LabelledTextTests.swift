import Foundation
import LoRADatasets
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
    #expect(data.texts == ["good, very", "she said \"no\"\nand left", "plain"])
    #expect(data.labelNames == ["neg", "pos"])
    #expect(data.labels == [1, 0, 1])
  }

  @Test("Tabs separate without quoting; positions need no header; number labels keep number order")
  func tsv() throws {
    let file = try folder.write("say \"hi\t10\nbye\t9\n\"q\"\t10", "a.tsv")
    let data = try LabelledText(contentsOf: file, text: 0, label: 1, hasHeader: false)
    #expect(data.texts == ["say \"hi", "bye", "\"q\""])
    #expect(data.labelNames == ["9", "10"])
    #expect(data.labels == [1, 0, 1])
  }

  @Test("JSON lines take text, number and Boolean labels")
  func jsonLines() throws {
    let file = try folder.write(
      "{\"t\": \"caf\\u00e9\", \"l\": 1}\r\n\n{\"t\": \"b\", \"l\": \"2\", \"more\": [1]}\n", "a.jsonl")
    let data = try LabelledText(contentsOf: file, text: "t", label: "l")
    #expect(data.texts == ["café", "b"])
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
      ("a.csv", "", "no line that names"),
      ("a.jsonl", "{\"t\": \"a\", \"l\": 1}\n[1]\n", "no JSON object in line 2"),
      ("a.jsonl", "{\"t\": \"a\"}\n", "the keys t in line 1"),
      ("a.text", "x", "the extension \"text\""),
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
}
