import Foundation
import LoRAKit
import TestSupport
import Testing

/// What people see: nothing wider than their terminal, colours where they want them, one habit in every command.
@Suite("Terminal") struct TerminalTests {
  private static let checkpoints = fixtures.appendingPathComponent("checkpoints")
  private static let base = checkpoints.appendingPathComponent("llama/base").path
  private static let adapter = checkpoints.appendingPathComponent("llama-rslora-patterns/adapter").path

  private static let commands: [[String]] = [
    ["inspect", adapter], ["inspect", base], ["check", adapter, "--base", base],
    ["check", adapter, "--base", checkpoints.appendingPathComponent("gpt2/base").path], ["diff", adapter, adapter],
    ["merge", base, adapter, "-o", "OUT"], ["extract", base, base, "--rank", "2", "--dry-run"],
    ["resize", adapter, "--rank", "2", "-o", "OUT"], ["combine", adapter, adapter, "-o", "OUT"],
    ["average", adapter, adapter, "-o", "OUT"], ["convert", adapter, "--to", "mlx", "-o", "OUT"], ["svd", "--demo"],
    ["svd", base],
    ["digits", "--hidden", "24,16", "--epochs", "1", "--steps", "2"],
  ]

  @Test("every command fits terminals of 60, 80 and 120 columns", arguments: commands, [60, 80, 120])
  func widths(_ arguments: [String], _ columns: Int) throws {
    let folder = try TemporaryFolder()
    let run = try TerminalRun(arguments.map { $0 == "OUT" ? folder.file("out").path : $0 }, columns: columns)
    #expect(run.widest <= columns, "\(run.text)")
    #expect(!run.lines.joined().isEmpty)
  }

  @Test("progress stays on one line in a narrow terminal")
  func progress() throws {
    let run = try TerminalRun(
      ["digits", "--hidden", "200,100", "--epochs", "2", "--steps", "5", "--arms", "lora"], columns: 60)
    // A line for the base and one for the arm, whatever was drawn in between.
    #expect(run.lines.filter { $0.hasPrefix("base ") && $0.contains("/800") }.count == 1, "\(run.text)")
    #expect(run.text.components(separatedBy: "\r").count > 3)
  }

  @Test("colours are for terminals, unless NO_COLOR or --color say otherwise")
  func colours() throws {
    let check = ["check", Self.checkpoints.appendingPathComponent("llama/adapter").path, "--base", Self.base]
    #expect(try TerminalRun(check, columns: 80).text.contains("\u{1B}[32mThe adapter fits.\u{1B}[0m"))
    #expect(try !TerminalRun(check, columns: 80, environment: ["NO_COLOR": "1"]).text.contains("\u{1B}[3"))
    #expect(try !TerminalRun(check, columns: 80, environment: ["TERM": "dumb"]).text.contains("\u{1B}[3"))
    #expect(try !TerminalRun(check + ["--color", "never"], columns: 80).text.contains("\u{1B}[3"))
    #expect(try CommandRun(check + ["--color", "always"]).output.contains("\u{1B}[32m"))
    #expect(try !CommandRun(check).output.contains("\u{1B}"))
    #expect(try CommandRun(["inspect", "/no/such", "--color=always"]).errors.hasPrefix("\u{1B}[31mError:\u{1B}[0m "))
  }

  @Test("a pipe gets the whole width")
  func pipe() throws {
    let run = try CommandRun(["diff", Self.adapter, Self.adapter])
    #expect(run.output.split(separator: "\n").contains { $0.count > 120 })
  }

  @Test("--json - and --report - write to standard output, and nothing else does")
  func standardOutput() throws {
    let json = try CommandRun(["inspect", Self.adapter, "--json", "-", "--quiet"])
    #expect(try JSON(parsing: json.output)["adapter"]?["modules"]?.array?.count == 14)
    #expect(json.errors.isEmpty)
    let page = try CommandRun(["inspect", Self.adapter, "--report", "-", "--quiet"])
    #expect(page.output.hasPrefix("<!DOCTYPE html>") && page.output.hasSuffix("</html>\n") && page.errors.isEmpty)
    #expect(try CommandRun(["inspect", Self.adapter, "--report", "-", "--json", "-"]).exitCode == 64)
  }

  @Test(
    "every command writes a page that names what it is about, the command itself, and the date", arguments: commands)
  func pages(_ arguments: [String]) throws {
    let folder = try TemporaryFolder()
    let report = folder.file("r.html")
    let run = try CommandRun(
      arguments.map { $0 == "OUT" ? folder.file("out").path : $0 } + ["--report", report.path, "--quiet"])
    #expect(run.exitCode == 0 || arguments[0] == "check")
    let page = try String(contentsOf: report, encoding: .utf8)
    #expect(page.contains("lora \(arguments[0])"))
    let title = try #require(page.firstMatch(of: /<title>(.*)<\/title>/)?.1)
    if let path = arguments.dropFirst().first(where: { $0.hasPrefix("/") }) {
      #expect(title.contains(URL(fileURLWithPath: path).lastPathComponent), "\(title)")
    }
    #expect(page.contains(/\d{4}-\d\d-\d\d/))
  }

  @Test(
    "a mistyped command is told what was meant",
    arguments: [
      (["inspct", "x"], "'inspect'"), (["mrege", "x"], "'merge'"), (["train", "clasify"], "'classify'"),
      (["help", "difff"], "'diff'"), (["eval", "x"], "'evaluate'"),
    ])
  func suggestions(_ arguments: [String], _ meant: String) throws {
    let run = try CommandRun(arguments)
    #expect(run.exitCode == 64 && run.errors.contains("Did you mean \(meant)?"), "\(run.errors)")
    #expect(try !CommandRun(["frobnicate"]).errors.contains("Did you mean"))
  }

  @Test("without -o the output lies in the current folder, not beside the input")
  func defaults() throws {
    let folder = try TemporaryFolder()
    #expect(try CommandRun(["resize", Self.adapter, "--rank", "2"], in: folder.url).exitCode == 0)
    #expect(folder.names == ["adapter-r2"])
  }

  @Test("names that other programs have made known are known here too")
  func aliases() throws {
    let help = try CommandRun(["train", "lm", "--help"]).output + CommandRun(["generate", "--help"]).output
    for name in [
      "--max-tokens", "--gradient-accumulation-steps", "--max-grad-norm", "--warmup-ratio", "--iters", "--temp",
      "--adapter-path", "--max-seq-length", "--target-modules", "(default: ",
    ] {
      #expect(help.contains(name), "\(name)")
    }
    #expect(!help.contains("Default:"))
  }

  #if os(Linux)
    @Test(
      "bash completes commands, options, their values, and paths",
      arguments: [
        ("lora ins", "inspect"), ("lora convert x --to ml", "mlx"), ("lora resize --rat", "--ratio"),
        ("lora inspect fi", "file.safetensors"), ("lora generate --model mod", "model"),
        ("lora inspect x --color ne", "never"),
      ])
    func bash(_ line: String, _ expected: String) throws {
      let folder = try TemporaryFolder()
      try Data().write(to: folder.file("file.safetensors"))
      try FileManager.default.createDirectory(at: folder.file("model"), withIntermediateDirectories: true)
      try CommandRun(["--generate-completion-script", "bash"]).output
        .write(to: folder.file("script"), atomically: true, encoding: .utf8)
      let words = line.split(separator: " ").map(String.init)
      let script = """
        source ./script; COMP_WORDS=(\(line)); COMP_CWORD=\(words.count - 1); COMP_LINE='\(line)'
        COMP_POINT=${#COMP_LINE}; _lora lora '\(words.last!)' '\(words[words.count - 2])'; printf '%s\\n' "${COMPREPLY[@]}"
        """
      let process = Process()
      process.executableURL = URL(fileURLWithPath: "/bin/bash")
      process.arguments = ["-c", script]
      process.currentDirectoryURL = folder.url
      let pipe = Pipe()
      process.standardOutput = pipe
      try process.run()
      let output = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
      process.waitUntilExit()
      #expect(
        output.split(separator: "\n").map { $0.trimmingCharacters(in: .whitespaces) }.contains(expected), "\(output)")
    }
  #endif
}
