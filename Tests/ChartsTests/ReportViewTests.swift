import LoRAAdapters
import LoRACharts
import LoRAFiles
import Testing

/// One account: what is said here must be in every view.
private let report = Report(
  title: "The adapter style", summary: "LoRA in 2 modules.",
  sections: [
    .init("The adapter", [.fields([.init("size", key: "bytes", .bytes(27_136)), .init(key: "task", "NONE")])]),
    .init(
      "By module",
      [
        .table(
          Table(
            key: "modules", of: [("model.layers.0.self_attn.q_proj", 1.36e-7), ("model.layers.11.mlp.down_proj", -2)],
            [
              .init("module", key: "path", total: "2 modules") { .text($0.0) },
              .init("‖ΔW‖", key: "norm", total: .count(2_807_010)) { .number($0.1) },
              .init(key: "hidden") { _ in .unknown },
            ])),
        .note("For a page."), .terminal("For a terminal."),
      ]),
  ],
  findings: [Finding(.note, "is odd", ["a", "b"]), Finding(.error, "is wrong")], conclusion: .init("It fits.", .good),
  settings: [.init("seed", "7")], members: [JSON.Member("rank", 3)])

@Suite("Views of a report") struct ReportViewTests {
  @Test("a terminal gets lines, tables in characters that can be typed, findings the worst first, and the end")
  func text() {
    #expect(
      report.text() == """
        The adapter

        size  27.1 kB

        By module

        module                                ‖ΔW‖
        ──────────────────────────────────────────
        model.layers.0.self_attn.q_proj    1.36e-7
        model.layers.11.mlp.down_proj           -2
        ──────────────────────────────────────────
        2 modules                        2,807,010

        For a terminal.

        LoRA in 2 modules.

        ERROR: is wrong
        note: is odd:
            a
            b

        It fits.
        """)
  }

  @Test("programs get fields and tables by their keys, numbers as they are")
  func json() {
    #expect(
      report.json == [
        "rank": 3, "bytes": 27136, "task": "NONE",
        "modules": [
          ["path": "model.layers.0.self_attn.q_proj", "norm": 1.36e-7, "hidden": nil],
          ["path": "model.layers.11.mlp.down_proj", "norm": -2.0, "hidden": nil],
        ],
        "findings": [
          ["severity": "note", "message": "is odd", "subjects": ["a", "b"]],
          ["severity": "error", "message": "is wrong", "subjects": []],
        ],
      ])
    #expect(Report.Value.number(.nan).json == nil && Report.Value.share(.infinity).json == nil)
    #expect(Report(joining: [("one", report), ("two", report)]).json["two"] == report.json)
  }

  @Test("a page and a notebook get the same, with settings, and paths that may be broken")
  func html() throws {
    let notebook = try #require(report.playgroundDescription as? [String: String])
    #expect(notebook["text/plain"] == "The adapter style\n\n" + report.text())
    for source in [report.html, "<x>\(notebook["text/html"] ?? "")</x>"] {
      let page = ParsedMarkup(source)
      #expect(page.isWellFormed)
      for text in [
        "The adapter style", "27.1 kB", "1.36×10⁻⁷", "2,807,010", "is odd", "It fits.", "seed", "For a page.",
      ] {
        #expect(page.text.contains(text), "\(text)")
      }
      #expect(!page.text.contains("For a terminal."))
      #expect(source.contains("layers.<wbr/>0.<wbr/>self_<wbr/>attn.<wbr/>q_<wbr/>proj"))
    }
  }

  @Test(
    "each kind of value is written one way",
    arguments: [
      (.count(-2_807_010), "−2,807,010", "-2,807,010"), (.number(0.0123456), "0.01235", "0.01235"),
      (.number(1e-7), "10⁻⁷", "1e-7"), (.number(-1.26e12), "−1.26×10¹²", "-1.26e12"),
      (.share(0.1234), "12.34%", "12.34%"), (.share(0), "0.00%", "0.00%"), (.share(0.00012), "0.0120%", "0.0120%"),
      (.bytes(999), "999 bytes", "999 bytes"), (.bytes(999_600), "1.00 MB", "1.00 MB"),
      (.seconds(0.034), "0.03 s", "0.03 s"),
      (.seconds(3671), "1:01:11", "1:01:11"), (.change(.count(16), .count(3)), "16 → 3", "16 → 3"),
      (.unknown, "–", "–"),
      (.shape([64, 32]), "[64, 32]", "[64, 32]"), (.decimal(.nan, 2), "NaN", "NaN"),
    ] as [(Report.Value, String, String)])
  func values(_ value: Report.Value, _ text: String, _ plain: String) {
    #expect(value.text == text)
    #expect(
      Report(title: "", summary: "", sections: [.init("", [.fields([.init("x", value)])])]).text() == "x  \(plain)")
  }
}

@Suite("Tables") struct TableTests {
  private let table = Table(
    columns: [.text("arm"), "errors"], rows: [["base", "128"], ["LoRA & replay", "70"]], emphasizedRow: 1)

  @Test("in a terminal text starts on the left and numbers end on the right")
  func plainText() {
    #expect(
      table.plainText == """
        arm            errors
        ─────────────────────
        base              128
        LoRA & replay      70
        """)
  }

  @Test("in a page they have a head, a row that stands out, and escaped cells")
  func html() {
    let markup = ParsedMarkup(table.html)
    #expect(markup.isWellFormed)
    #expect(markup.all("th").count == 2)
    #expect(markup.all("tr", class: "strong").count == 1)
    #expect(markup.text.contains("LoRA & replay"))
    #expect(ParsedMarkup(Table(columns: [], rows: []).html).isWellFormed)
  }

  @Test("in a column of numbers the points stand one below the other, and each has its four digits")
  func points() {
    let table = Table(
      of: [0.3576, 10.26, 1.1, 128],
      [.init("norm", total: .number(0.5)) { .number($0) }, .init("lost") { _ in .unknown }])
    #expect(
      table.plainText == """
            norm  lost
        ──────────────
          0.3576     –
         10.26       –
          1.100      –
        128          –
        ──────────────
          0.5000
        """)
    // In a page the same, by spaces as wide as digits and points.
    #expect(ParsedMarkup(table.html).text.contains("128\u{2008}\u{2007}\u{2007}\u{2007}\u{2007}"))
  }

  @Test("what may be of any length is wrapped in its column, not cut")
  func wrapping() {
    let table = Table(
      of: ["all linear layers learn what training every parameter does"],
      [.init("setting") { _ in .text("modules") }, .init("why", wraps: true) { .text($0) }])
    #expect(
      table.text(TextStyle(width: 40)) == """
        setting  why
        ────────────────────────────────────────
        modules  all linear layers learn what
                 training every parameter does
        """)
  }

  @Test("a rate of 32 bits is written by the digits that tell it, in text and as JSON")
  func rates() {
    let rate = Report.Value.number(float: 0.0018)
    #expect(rate == .number(0.0018) && rate.text == "0.0018" && rate.json.compact == "0.0018")
  }

  @Test("one thing is one, and more are many", arguments: [(0, "0 classes"), (1, "1 class"), (1234, "1,234 classes")])
  func counting(_ count: Int, _ text: String) {
    #expect(count.counted("class", "classes") == text)
  }

  /// A path of 41 characters, wide characters among them, and twelve columns of numbers.
  private let wide = Table(
    of: ["model.layers.0.self_attn.q_proj.手紙.weight", "b"],
    [.init("module", total: "all") { .text($0) }]
      + (1...12).map { index in .init("number \(index)", total: .count(12_345)) { .number(Double($0.count * index)) } })

  @Test("no line is wider than the terminal, no number is left out, and names keep their ends", arguments: 40...180)
  func widths(_ width: Int) {
    let text = wide.text(TextStyle(width: width))
    for line in text.split(separator: "\n") { #expect(cells(line) <= width, "\(line)") }
    for index in 1...12 { #expect(text.contains("\(41 * index)")) }
    #expect(text.contains("weight") || width < 60)
  }

  /// Han characters take two.
  private func cells(_ text: Substring) -> Int {
    text.unicodeScalars.reduce(0) { $0 + (0x4E00...0x9FFF ~= $1.value ? 2 : 1) }
  }

  @Test("first names are broken, then texts shortened, then the table cut, with the first column again")
  func steps() {
    // 40 + 2 + 14 cells, or 40 + 2 + 9, or 34 + 2 + 9.
    let table = Table(
      columns: [.text("module"), "effective rank"], rows: [["model.layers.0.self_attn.q_proj.lora_A.x", "1.5"]])
    #expect(
      table.text(TextStyle(width: 55)) == """
                                                  effective
        module                                         rank
        ───────────────────────────────────────────────────
        model.layers.0.self_attn.q_proj.lora_A.x        1.5
        """)
    #expect(
      table.text(TextStyle(width: 45)) == """
                                            effective
        module                                   rank
        ─────────────────────────────────────────────
        model.layer…f_attn.q_proj.lora_A.x        1.5
        """)
    let cut = Table(
      columns: [.text("m"), "one", "two"], rows: [["x", "1234567890123456789012", "1234567890123456789012"]])
    #expect(
      cut.text(TextStyle(width: 40)) == """
        m                     one
        ─────────────────────────
        x  1234567890123456789012

        m                     two
        ─────────────────────────
        x  1234567890123456789012
        """)
  }

  @Test("colours stand for what they say, and only where they are wanted")
  func colours() {
    let style = TextStyle(width: 80, isColored: true)
    #expect(report.text(style).contains("\u{1B}[31mERROR:\u{1B}[0m is wrong"))
    #expect(report.text(style).contains("\u{1B}[32mIt fits.\u{1B}[0m"))
    #expect(!report.text(TextStyle(width: 80)).contains("\u{1B}"))
    // What comes from a file can't colour anything.
    let hostile = Report(title: "", summary: "a\u{1B}[31mb", findings: [Finding(.note, "c\u{7}", ["d\u{202E}"])])
    #expect(!hostile.text(style).replacing("\u{1B}[2m", with: "").replacing("\u{1B}[0m", with: "").contains("\u{1B}"))
    #expect(hostile.text().contains(#"a\u{1b}[31mb"#) && hostile.text().contains(#"d\u{202e}"#))
  }
}

@Suite("Progress") struct ProgressLineTests {
  private let line = ProgressLine(label: "base", total: 2000)

  @Test("a line says how far, how fast and how long still")
  func parts() {
    #expect(
      line.text(done: 500, seconds: 5, note: "loss 0.5")
        == "base [██████░░░░░░░░░░░░░░░░░░] 500/2,000  100/s  loss 0.5  0:15 left")
    #expect(line.text(done: 2000, seconds: 20) == "base [████████████████████████] 2,000/2,000  100/s  0:20")
    #expect(ProgressLine.format(seconds: 3671) == "1:01:11")
  }

  @Test("it fits a terminal of any width: bar, note and rate give way, how far stays", arguments: 20...100)
  func widths(_ width: Int) {
    let text = line.text(
      done: 500, seconds: 5, note: "model.layers.11.self_attn.q_proj.weight", unit: " tensors", width: width)
    #expect(text.count <= width)
    #expect(width < 34 || text.contains("500/2,000"))
  }
}
