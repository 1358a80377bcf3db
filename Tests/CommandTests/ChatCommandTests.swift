// `lora chat` through a pipe and in a terminal, and conversations in `lora generate`.
import Foundation
import TestSupport
import Testing

/// A small decoder of random weights that writes conversations as ChatML, with two adapters.
private struct ChatFolder {
  let folder = try! TemporaryFolder()
  func path(_ name: String) -> String { folder.file(name).path }
  var model: String { path("model") }

  init() throws {
    let models = fixtures.appendingPathComponent("models")
    try FileManager.default.copyItem(at: models.appendingPathComponent("small-decoder"), to: folder.file("model"))
    try FileManager.default.copyItem(
      at: models.appendingPathComponent("tokenizer-metaspace.json"), to: folder.file("model/tokenizer.json"))
    let template = try String(
      contentsOf: fixtures.appendingPathComponent("chats/templates/instructions.jinja"), encoding: .utf8)
    try write(template, to: "model/chat_template.jinja")
    try write(#"{"bos_token": "<s>", "eos_token": "</s>"}"#, to: "model/tokenizer_config.json")
    try reads(512)
    let rows = ["fox", "dog"].map { animal in
      #"{"messages":[{"role":"user","content":"the \#(animal)"},{"role":"assistant","content":"\#(animal == "fox" ? "quick" : "lazy")"}]}"#
    }
    try write(rows.joined(separator: "\n") + "\n", to: "chats.jsonl")
  }

  /// Lets the model read so many tokens.
  func reads(_ positions: Int) throws {
    let text = try String(contentsOf: folder.file("model/config.json"), encoding: .utf8)
      .replacing(/"max_position_embeddings": \d+/, with: "\"max_position_embeddings\": \(positions)")
    try write(text, to: "model/config.json")
  }

  func write(_ text: String, to name: String) throws { try Data(text.utf8).write(to: folder.file(name)) }

  @discardableResult
  func train(_ name: String, steps: Int = 120, _ more: String...) throws -> CommandRun {
    let run = try CommandRun(
      [
        "train", "lm", "--model", model, "--data", path("chats.jsonl"), "--targets", "all-linear", "--learning-rate",
        "2e-2", "--steps", "\(steps)", "--batch-size", "2", "-o", path(name),
      ] + more)
    #expect(run.exitCode == 0, "\(run.errors)")
    return run
  }
}

@Suite("lora chat and conversations")
struct ChatCommandTests {
  #if os(Linux)
    @Test("a template with macros keeps no more of what it wrote than one without")
    func macros() throws {
      let place = try ChatFolder()
      let turns = (0..<200).map { #"{"role":"\#($0 % 2 == 0 ? "user" : "assistant")","content":"the fox"}"# }
      let row = #"{"messages":[\#(turns.joined(separator: ","))]}"# + "\n"
      try place.write(String(repeating: row, count: 600), to: "many.jsonl")
      let line = "{{ m.role }}: {{ m.content }}\n"
      let peaks = try [
        "{% for m in messages %}\(line){% endfor %}",
        "{% macro say(m) %}\(line){% endmacro %}{% for m in messages %}{{ say(m) }}{% endfor %}",
      ].map { template in
        try place.write(template, to: "model/chat_template.jinja")
        var peak = 0
        let run = try CommandRun(
          [
            "train", "lm", "--model", place.model, "--data", place.path("many.jsonl"), "--length", "16", "--steps", "1",
            "--learn", "all", "--force", "--quiet", "-o", place.path("out"),
          ]
        ) { process in
          while process.isRunning {
            let status = try? String(contentsOfFile: "/proc/\(process.processIdentifier)/status", encoding: .utf8)
            if let found = status?.firstMatch(of: /VmHWM:\s+(\d+)/) { peak = Int(found.1)! }
            usleep(5000)
          }
        }
        #expect(run.exitCode == 0 && peak > 0, "\(run.errors)")
        return peak
      }
      // Kept, the values of a conversation would be 50 kB: 30 MB.
      #expect(peaks[1] - peaks[0] < 12_000, "\(peaks) kB")
    }
  #endif

  @Test("a model learns a conversation's answers and gives them, through generate and through chat")
  func learnt() throws {
    let place = try ChatFolder()
    let train = try place.train("polite")
    #expect(
      train.errors.contains(
        "2 rows, the conversations under “messages”, written by the chat template of "
          + place.path("model/chat_template.jinja")))
    #expect(train.errors.contains("⟦"))
    let generate = try CommandRun([
      "generate", "--model", place.model, "--adapter", place.path("polite"), "--chat", "--prompt", "the fox",
      "--tokens",
      "20",
    ])
    #expect(generate.exitCode == 0 && generate.output == "quick\n", "\(generate.output) \(generate.errors)")
    #expect(generate.errors.contains("The chat template: \(place.path("model/chat_template.jinja"))"))

    let arguments = ["chat", place.model, "--adapter", place.path("polite"), "--tokens", "20", "--quiet"]
    let chat = try CommandRun(arguments, input: "the fox\n/reset\nthe dog\n")
    #expect(chat.exitCode == 0 && chat.output == "quick\nlazy\n", "\(chat.output) \(chat.errors)")
  }

  @Test("what was said before is in the prompt, commands are obeyed, and none of them ends the conversation")
  func commands() throws {
    let place = try ChatFolder()
    try place.train("polite", steps: 2)
    let arguments = [
      "chat", place.model, "--adapter", place.path("polite"), "--tokens", "3", "--system", "Be kind.",
    ]
    let run = try CommandRun(
      arguments,
      input:
        "/base\n/help\nhello\n/adapter\n/base\n/adapter nobody\n/adapter base\nagain\n/adapter polite\n/nothing\n//x\n/quit\nmore\n"
    )
    #expect(run.exitCode == 0)
    for text in [
      "Nothing was asked yet.", "/adapter NAME", "* polite", "There is no adapter nobody", "base answers from now on.",
      "polite answers from now on.", "/nothing is no command", "base:",
    ] { #expect(run.errors.contains(text), "\(text) in \(run.errors)") }
    // hello, /base, again, //x; what follows /quit is not read.
    #expect(run.errors.components(separatedBy: " a second").count - 1 == 4, "\(run.errors)")
  }

  @Test("a question that leaves no room is refused, and the conversation goes on")
  func room() throws {
    let place = try ChatFolder()
    let run = try CommandRun(
      ["chat", place.model, "--tokens", "3"], input: String(repeating: "word ", count: 5000) + "\nhello\n")
    // Nobody looks at a pipe: its status tells.
    #expect(run.exitCode == 1)
    #expect(run.errors.contains("tokens, expected fewer than"))
    #expect(run.errors.contains(" a second"))
  }

  @Test("without a template there is one clear error")
  func noTemplate() throws {
    let place = try ChatFolder()
    try FileManager.default.removeItem(atPath: place.path("model/chat_template.jinja"))
    for arguments in [["chat", place.model], ["generate", "--model", place.model, "--chat", "--prompt", "x"]] {
      let run = try CommandRun(arguments, input: "x\n")
      #expect(run.exitCode == 1 && run.errors.contains("--chat-template"), "\(run.errors)")
    }
    let train = try CommandRun([
      "train", "lm", "--model", place.model, "--data", place.path("chats.jsonl"), "-o", place.path("out"),
    ])
    #expect(train.exitCode == 1 && train.errors.contains("the model has no chat template"), "\(train.errors)")
    let named = try CommandRun(["chat", place.model, "--chat-template", "chatml", "--tokens", "2"], input: "x\n")
    #expect(named.exitCode == 0 && named.errors.contains("“chatml”"), "\(named.errors)")
  }

  @Test("--show-prompt prints the prompt and its ids, and writes nothing")
  func showPrompt() throws {
    let place = try ChatFolder()
    try place.write(
      #"{"messages":[{"role":"system","content":"Be kind."},{"role":"user","content":"Hi"}],"tools":[]}"#,
      to: "chat.json")
    let run = try CommandRun([
      "generate", "--model", place.model, "--messages", place.path("chat.json"), "--show-prompt",
    ])
    #expect(run.exitCode == 0)
    let parts = run.output.components(separatedBy: "\n\nids: ")
    #expect(parts[0] == "Be kind.\n\n### Instruction:\nHi\n\n### Response:\n", "\(run.output)")
    let ids = try #require(parts.last).split(separator: ",").map {
      Int($0.trimmingCharacters(in: .whitespacesAndNewlines))
    }
    #expect(ids.count > 5 && !ids.contains(nil))
    try place.write("[]", to: "empty.json")
    for (file, message) in [("empty.json", "holds no conversation"), ("nowhere.json", "can't be read")] {
      let run = try CommandRun(["generate", "--model", place.model, "--messages", place.path(file)])
      #expect(run.exitCode == 1 && run.errors.contains(message), "\(run.errors)")
    }
  }

  @Test(
    "a GGUF file brings its chat template: the same prompt as its folder's, alone or in a folder, for chat and training"
  )
  func gguf() throws {
    let place = try ChatFolder()
    let source = try String(contentsOf: place.folder.file("model/chat_template.jinja"), encoding: .utf8)
    try FileManager.default.removeItem(atPath: place.path("model/chat_template.jinja"))
    // A list of named templates, as tokenizer_config.json may have it.
    func quoted(_ text: String) throws -> String {
      String(decoding: try JSONEncoder().encode(text), as: UTF8.self)
    }
    try place.write(
      #"{"bos_token": "<s>", "eos_token": "</s>", "chat_template": [{"name": "default", "template": \#(quoted(source))}, "#
        + #"{"name": "short", "template": "{{ messages[0].content }}"}]}"#, to: "model/tokenizer_config.json")
    let file = place.path("models/x.gguf")
    try FileManager.default.createDirectory(atPath: place.path("models"), withIntermediateDirectories: true)
    let quantized = try CommandRun(["quantize", place.model, "--to", "f16", "-o", file])
    try #require(quantized.exitCode == 0, "\(quantized.errors)")
    func prompt(_ model: String, _ more: String...) throws -> CommandRun {
      let run = try CommandRun(["generate", "--model", model, "--chat", "--prompt", "the fox", "--show-prompt"] + more)
      #expect(run.exitCode == 0, "\(run.errors)")
      return run
    }
    let own = try prompt(place.model)
    for model in [file, place.path("models")] {
      let run = try prompt(model)
      #expect(run.output == own.output && run.errors.contains("models/x.gguf"), "\(run.errors)")
    }
    #expect(try prompt(file, "--chat-template", "short").output.hasPrefix("the fox\n\nids: "))
    let train = try CommandRun([
      "train", "lm", "--model", file, "--data", place.path("chats.jsonl"), "--targets", "all-linear", "--learning-rate",
      "2e-2", "--steps", "120", "--batch-size", "2", "-o", place.path("polite"),
    ])
    #expect(train.exitCode == 0 && train.errors.contains("models/x.gguf"), "\(train.errors)")
    let chat = try CommandRun(
      ["chat", file, "--adapter", place.path("polite"), "--tokens", "20", "--quiet"],
      input: "the fox\n/reset\nthe dog\n")
    #expect(chat.exitCode == 0 && chat.output == "quick\nlazy\n", "\(chat.output) \(chat.errors)")
    let other = try CommandRun(
      [
        "train", "lm", "--model", file, "--data", place.path("chats.jsonl"), "--chat-template", "chatml", "--steps",
        "1",
      ]
        + ["-o", place.path("other")])
    #expect(other.exitCode == 0 && other.errors.contains("by the chat template of “chatml”"), "\(other.errors)")
  }

  @Test("in a terminal Ctrl-C stops the answer and not the conversation, and Ctrl-D ends it")
  func terminal() throws {
    let place = try ChatFolder()
    // An answer that would take minutes, so that it is there to be stopped however late Ctrl-C comes. It is mostly bytes that
    // make no character, during which it can be stopped too.
    try place.reads(1_000_000)
    let run = try TerminalRun(
      ["chat", place.model, "--tokens", "50000", "--repetition-penalty", "1.5"], columns: 80,
      typing: [("> ", "hello\n"), ("hello\r\n", ""), ("", ""), ("", "\u{03}"), ("(stopped)", ""), ("> ", "\u{04}")])
    #expect(run.exitCode == 0, "\(run.text)")
    #expect(run.text.contains("(stopped)"), "\(run.text)")
  }
}
