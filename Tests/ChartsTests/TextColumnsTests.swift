import LoRACharts
import Testing

@Suite("Text in columns") struct TextColumnsTests {
  @Test("texts grow side by side; a row is given out once no later text changes it")
  func columns() throws {
    #expect(TextColumns(count: 2, within: 58) == nil)
    var columns = try #require(TextColumns(count: 2, within: 59))
    #expect(columns.width == 28)
    columns.append("A line that is longer than its", to: 0)
    #expect(columns.completeRows().isEmpty)
    columns.append("ROMEO:\n\nO!", to: 1)
    #expect(columns.completeRows() == ["A line that is longer than   │ ROMEO:"])
    columns.end(1)
    columns.append(" column", to: 0)
    #expect(columns.completeRows().isEmpty)
    columns.end(0)
    #expect(columns.completeRows() == ["its column                   │ ", "                             │ O!"])
    #expect(columns.header(["base", "a"])[0] == "base                         │ a")
  }

  @Test("lines break at spaces, beside wide characters, and within what is longer than a line")
  func wrapping() throws {
    func lines(_ pieces: String...) throws -> [String] {
      var columns = try #require(TextColumns(count: 1, within: 28))
      for piece in pieces { columns.append(piece, to: 0) }
      columns.end(0)
      return columns.completeRows()
    }
    let text = "Once upon a time, there was a little girl named Lily.\tShe loved to play."
    let whole = try lines(text)
    #expect(whole == ["Once upon a time, there was", "a little girl named Lily.", "She loved to play."])
    #expect(
      whole == (try lines(String(text.prefix(13)), String(text.dropFirst(13).prefix(20)), String(text.dropFirst(33)))))
    // 28 cells exactly, then a space: nothing of it is on the next line.
    #expect(try lines(String(repeating: "a", count: 28) + " b") == [String(repeating: "a", count: 28), "b"])
    #expect(try lines(String(repeating: "a", count: 30)) == [String(repeating: "a", count: 28), "aa"])
    // Fourteen characters of two cells each fill a line.
    #expect(try lines(String(repeating: "語", count: 15)) == [String(repeating: "語", count: 14), "語"])
    #expect(try lines("a" + String(repeating: "語", count: 14)).map(\.count) == [14, 1])
    #expect(try lines("ab " + String(repeating: "語", count: 14)).map(\.count) == [15, 2])
    #expect(try lines("\u{1B}[31mred\r\n") == ["[31mred"])
  }

  @Test(
    "cells of a terminal",
    arguments: [("abc", 3), ("é", 1), ("e\u{301}", 1), ("日本", 4), ("ｆ", 2), ("🙂", 2), ("❤️", 2), ("한글", 4)])
  func cells(text: String, width: Int) { #expect(text.displayWidth == width) }
}
