import Foundation
import LoRACharts
import Testing

struct ReportTests {
  let report = Report(
    title: "Digits", summary: "With `--seed 0`.",
    sections: [
      .init(
        "Loss",
        [
          .prose("It falls."),
          .row(
            [
              LineChart(title: "a", series: [.init("", [1.0, 0.5])], width: 500, height: 250),
              LineChart(title: "b", series: [.init("", [1.0, 0.5])], width: 300, height: 300),
            ]),
          .figure(BarChart(title: "c", categories: ["0"], series: [.init("", [3])]), caption: "Errors."),
        ])
    ])

  @Test("A report is one well-formed file that asks the network for nothing")
  func selfContained() {
    let markup = ParsedMarkup(report.html)
    #expect(markup.isWellFormed)
    #expect(markup.all("script").isEmpty && markup.all("link").isEmpty)
    for (_, attributes) in markup.elements {
      for key in ["src", "href"] { #expect(attributes[key].map { $0.hasPrefix("data:") } ?? true) }
    }
    #expect(!report.html.contains("url(") && !report.html.contains("@import"))
    #expect(markup.all("meta").contains { $0["content"]?.contains("default-src 'none'") == true })
    #expect(markup.all("svg").count == 3)
    #expect(markup.all("style").count == 1)
  }

  @Test("Charts side by side grow in the ratio of their aspects, which makes them equally high")
  func equalHeights() {
    // 500/250 = 2, 300/300 = 1.
    let styles = ParsedMarkup(report.html).all("div").compactMap { $0["style"] }
    #expect(styles.contains { $0.hasPrefix("flex:2 1 0") })
    #expect(styles.contains { $0.hasPrefix("flex:1 1 0") })
  }

  @Test("Many charts side by side are broken into lines of about as many at one scale")
  func lines() {
    let matrix = ConfusionMatrix(title: "", classes: ["a"], counts: [[1]], width: 430)
    let report = Report(title: "", summary: "", sections: [.init("", [.row(Array(repeating: matrix, count: 5))])])
    let lines = ParsedMarkup(report.html).all("div", class: "side-by-side")
    // 5 · 309.6 + 112 > 1000 and 3 · 309.6 + 56 ≤ 1000; (1000 − 56)/1290 = 0.7318, and 0.7318 · 860 + 28 = 657.33.
    #expect(lines.map { $0["style"] } == ["max-width:min(1000px,100%)", "max-width:min(657.33px,65.73%)"])
  }

  @Test("Text in backquotes is code; a single backquote is itself")
  func code() {
    #expect(report.html.contains("With <code>--seed 0</code>."))
    #expect(Report(title: "a`b", summary: "").html.contains("<h1>a`b</h1>"))
  }
}

struct PictureTests {
  @Test("A PNG holds the signature, the size and the colour type", arguments: [(1, UInt8(0)), (3, 2), (4, 6)])
  func png(channels: Int, colorType: UInt8) {
    let pixels = (0..<6 * channels).map { UInt8(37 * $0 % 256) }
    let bytes = Array(Picture(width: 3, height: 2, channels: channels, pixels: pixels).png)
    // Signature, then the IHDR chunk: width and height as big-endian 32 bits, 8 bits a channel, colour type.
    #expect(bytes[..<8] == [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a])
    #expect(bytes[16..<26] == [0, 0, 0, 3, 0, 0, 0, 2, 8, colorType])
    #expect(bytes.suffix(8) == [0x49, 0x45, 0x4e, 0x44, 0xae, 0x42, 0x60, 0x82])  // IEND and its CRC
  }

  @Test("Noise, which does not compress, is written whole")
  func noise() {
    var state: UInt32 = 1
    let pixels = (0..<300 * 200 * 3).map { _ -> UInt8 in
      state = state &* 1_664_525 &+ 1_013_904_223
      return UInt8(state >> 24)
    }
    #expect(Picture(width: 300, height: 200, channels: 3, pixels: pixels).png.count > pixels.count)
  }

  @Test("The address holds the PNG in base 64")
  func dataURI() throws {
    let picture = Picture(width: 1, height: 1, pixels: [200])
    let prefix = "data:image/png;base64,"
    #expect(picture.dataURI.hasPrefix(prefix))
    #expect(Data(base64Encoded: String(picture.dataURI.dropFirst(prefix.count))) == picture.png)
  }
}
