import Foundation
import LoRAFiles
import TestSupport
import Testing

@Suite struct JSONTests {
  @Test("Members keep their order, numbers their kind, strings their escapes")
  func order() throws {
    let json = try JSON(parsing: #"{"z": 1, "a": [1.5, -2, 1e-5, true, null], "s": "a\"\u00e9\ud83d\ude00\n"}"#)
    #expect(json.members.map(\.key) == ["z", "a", "s"])
    #expect(json["a"] == [1.5, -2, 1e-5, true, nil])
    #expect(json["s"] == "a\"é😀\n")
  }

  @Test("Python's json.dumps(…, indent=2, sort_keys=True) and this writer agree byte for byte")
  func pretty() throws {
    let json = try JSON(parsing: #"{"b": [1, "é"], "a": {"y": 1e-05, "x": []}, "c": {}, "d": 16.0}"#)
    #expect(
      json.sorted.pretty == #"""
        {
          "a": {
            "x": [],
            "y": 1e-05
          },
          "b": [
            1,
            "\u00e9"
          ],
          "c": {},
          "d": 16.0
        }
        """#)
  }

  @Test(
    "What is no JSON is refused with the place of the error",
    arguments: [
      "", "{", "[1,", "{\"a\" 1}", "{\"a\":1,}", "01", "1 2", "\"", "\"\\ud800\"", "\"\\x\"", "tru", "nul", "-", "+1",
      "{\"a\":1,\"a\":2}", "\"\u{1}\"", String(repeating: "[", count: 100_000), "1e999",
    ])
  func malformed(text: String) {
    #expect(throws: JSONError.self) { try JSON(parsing: text) }
  }

  @Test("an object that is written part by part is the text that it is as a whole")
  func parts() throws {
    let long = JSON.string(String(repeating: "é", count: 50_000))
    for elements: [JSON] in [[], [1], ["a", [1, 2], ["b": .null]], [long, long, long]] {
      for members: [JSON.Member] in [[], [.init("first", ["c": [true, []]])]] {
        var text = ""
        var parts = JSONParts { text += $0 }
        for member in members { try parts.append(member.key, member.value) }
        try parts.append("elements") { parts in for element in elements { try parts.append(element: element) } }
        try parts.finish()
        let whole = JSON.object(members + [.init("elements", .array(elements))])
        #expect(text == whole.pretty + "\n")
      }
    }
    var text = ""
    var nothing = JSONParts { text += $0 }
    try nothing.finish()
    #expect(text == "{}\n")
  }

  @Test("a file that is written part by part is there when it is whole, and not before")
  func fileByParts() throws {
    let folder = try TemporaryFolder()
    let url = folder.file("a.json")
    var output: OutputParts? = try OutputParts(url)
    try output!.append(Data("ab".utf8))
    try output!.append(Data("c".utf8))
    #expect(!FileManager.default.fileExists(atPath: url.path))
    try output!.finish()
    #expect(try Data(contentsOf: url) == Data("abc".utf8) && folder.names == ["a.json"])
    output = try OutputParts(url)
    try output!.append(Data("x".utf8))
    output = nil
    #expect(try Data(contentsOf: url) == Data("abc".utf8) && folder.names == ["a.json"])
  }
}
