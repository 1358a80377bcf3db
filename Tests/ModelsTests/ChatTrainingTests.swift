// What is learnt of conversations: which tokens are the assistant's, and which files hold what.
import Foundation
import LoRADatasets
import LoRAFiles
import LoRAModels
import TestSupport
import Testing

private let templates = fixtures.appendingPathComponent("chats/templates")

private func template(_ name: String) throws -> ChatTemplate {
  let source = try String(contentsOf: templates.appendingPathComponent("\(name).jinja"), encoding: .utf8)
  return try ChatTemplate(source, origin: name, specialTokens: ["bos_token": "<s>", "eos_token": "</s>"])
}

private func message(_ role: String, _ content: String) -> JSON {
  .object([.init("role", .string(role)), .init("content", .string(content))])
}

private let endings = ["<|im_end|>", "</s>", "<|eot_id|>", "<end_of_turn>", "<|end|>", "<|end_of_text|>"]

private func learnt(_ name: String, _ chat: LanguageChat, _ turns: LearntTurns = .assistant) throws -> [String] {
  let (text, parts) = try template(name).learntParts(of: chat, turns, endings: endings)
  return parts.map { String(decoding: Array(text.utf8)[$0], as: UTF8.self) }
}

@Suite("What is learnt of conversations")
struct ChatTrainingTests {
  let chat = LanguageChat(messages: [
    message("system", "Be kind."), message("user", "One?"), message("assistant", "1 é"), message("user", "Two?"),
    message("assistant", "2"),
  ])

  @Test(
    "the assistant's turns end with the token that ends a turn, and hold no header",
    arguments: [
      ("chatml", ["1 é<|im_end|>", "2<|im_end|>"]), ("chatml-generation", ["1 é<|im_end|>", "2<|im_end|>"]),
      ("llama-3", ["1 é<|eot_id|>", "2<|eot_id|>"]), ("llama-2", [" 1 é </s>", " 2 </s>"]),
      ("gemma-3", ["1 é<end_of_turn>", "2<end_of_turn>"]), ("zephyr", ["1 é</s>", "2</s>"]),
      // The base of this template is another turn's end, so the last turn has one token more.
      ("qwen-2.5", ["1 é<|im_end|>", "2<|im_end|>"]),
      // What was thought is written in the last turn alone: the first is no beginning of the whole.
      ("qwen-3", ["1 é<|im_end|>", "<think>\n\n</think>\n\n2<|im_end|>"]),
      ("granite", ["1 é<|end_of_text|>", "2<|end_of_text|>"]),
    ])
  func turns(name: String, expected: [String]) throws {
    #expect(try learnt(name, chat) == expected)
    #expect(try learnt(name, chat, .last) == Array(expected.suffix(1)))
    #expect(try learnt(name, chat, .all) == [try template(name).render(chat.messages).text])
  }

  @Test("of a prompt with its completion, the completion alone")
  func completion() throws {
    var given = chat
    given.givenCount = 4
    #expect(try learnt("chatml", given) == ["2<|im_end|>"])
    #expect(try learnt("chatml-generation", given) == ["2<|im_end|>"])
  }

  @Test("a turn of the weight 0, or one that is not to be trained on, is not learnt")
  func weights() throws {
    var weighted = chat
    weighted.messages[2]["weight"] = 0
    for name in ["chatml", "chatml-generation"] { #expect(try learnt(name, weighted) == ["2<|im_end|>"], "\(name)") }
    weighted.messages[2]["weight"] = 1
    weighted.messages[4]["train"] = false
    #expect(
      try learnt("chatml", weighted) == ["1 é<|im_end|>"] && learnt("chatml", weighted, .last) == ["1 é<|im_end|>"])
  }

  @Test("a turn that can't be told is an error, not a guess")
  func untold() throws {
    let strange = try ChatTemplate(
      "{{ messages | length }}{% for m in messages %}{{ m.content | upper }};{% endfor %}", origin: "strange")
    #expect(throws: ChatTemplateError.self) { try strange.learntParts(of: chat, .assistant, endings: endings) }
  }

  @Test("tokens are learnt where they share a byte with a turn, and windows end where they must")
  func windows() throws {
    let tokenizer = try Tokenizer(contentsOf: fixtures.appendingPathComponent("models/tokenizer-smollm.json"))
    for name in ["chatml", "qwen-3", "llama-3"] {
      let whole = try TokenWindows([chat, chat], template: template(name), tokenizer: tokenizer, length: 1000)
      let window = try whole.window(at: 0)
      let text = tokenizer.decode(window.ids.map(Int32.init), skippingSpecialTokens: false)
      #expect(text == (try template(name).render(chat.messages).text))
      // Runs of learnt tokens are the turns.
      var runs: [[Int32]] = []
      for (place, target) in window.targets.enumerated() where target >= 0 {
        #expect(target == window.ids[place])
        if place == 0 || window.targets[place - 1] < 0 { runs.append([]) }
        runs[runs.count - 1].append(Int32(target))
      }
      // This vocabulary has no special tokens for turns: a token may reach over a turn's bounds, which only few do.
      for (run, turn) in try zip(runs, learnt(name, chat)) {
        let text = tokenizer.decode(run, skippingSpecialTokens: false)
        #expect(text.contains(turn) && text.count < turn.count + 4, "\(name): \(text.debugDescription) of \(turn)")
      }
      #expect(try runs.count == learnt(name, chat).count)
      #expect(whole.count == 2 && whole.predictions == 2 * runs.joined().count)

      // Cut within the second turn's question: only the first turn is left.
      let cut = window.targets.lastIndex { $0 >= 0 }! - runs[1].count
      let short = try TokenWindows([chat], template: template(name), tokenizer: tokenizer, length: cut)
      #expect(short.predictions == runs[0].count && short.cutCount == 1 && short.removedCount == window.ids.count - cut)
      let none = try TokenWindows([chat], template: template(name), tokenizer: tokenizer, length: 5)
      #expect(none.count == 0 && none.leftOutCount == 1)
    }
  }

  /// masks.json: what transformers makes of templates that mark the assistant's words.
  private struct Masks: Decodable {
    struct Case: Decodable {
      let template, tokenizer: String
      let chat: Int
      let ids: [Int]
      let learnt: [[Int]]
    }
    let templates: [String: String]
    let chats: [[[String]]]
    let cases: [Case]
  }

  @Test(
    "where a template marks what the assistant wrote, those tokens are learnt that transformers' assistant_masks has")
  func masks() throws {
    let masks = try JSONDecoder().decode(
      Masks.self, from: Data(contentsOf: fixtures.appendingPathComponent("chats/masks.json")))
    #expect(masks.cases.count == 150)
    let names = Set(masks.cases.map(\.tokenizer))
    let tokenizers = try Dictionary(
      uniqueKeysWithValues: names.map {
        ($0, try Tokenizer(contentsOf: fixtures.appendingPathComponent("models/tokenizer-\($0).json")))
      })
    for item in masks.cases {
      let tokenizer = try #require(tokenizers[item.tokenizer])
      let template = try ChatTemplate(
        try #require(masks.templates[item.template]), origin: item.template,
        specialTokens: ["bos_token": "<s>", "eos_token": "</s>"])
      let chat = LanguageChat(messages: masks.chats[item.chat].map { message($0[0], $0[1]) })
      let windows = try TokenWindows([chat], template: template, tokenizer: tokenizer, length: 1000)
      let title: Comment = "\(item.template), \(item.tokenizer), conversation \(item.chat)"
      guard !item.learnt.isEmpty else {
        #expect(windows.count == 0 && windows.leftOutCount == 1, title)
        continue
      }
      let window = try windows.window(at: 0)
      #expect(window.ids == item.ids, title)
      let learnt = window.targets.indices.filter { window.targets[$0] >= 0 }
      #expect(learnt == item.learnt.flatMap { Array($0[0]..<$0[1]) }, title)
    }
  }

  @Test("a file may hold rows of several kinds")
  func mixed() throws {
    try withTemporaryDirectory { folder in
      let file = folder.appendingPathComponent("a.jsonl")
      try Data("{\"prompt\":\"a\",\"completion\":\"b\"}\n{\"text\":\"c\"}\n".utf8).write(to: file)
      var found: [LanguageExample] = []
      let columns = try LanguageExamples(file).forEachExample { example, _ in found.append(example) }
      #expect(found == [.completion(prompt: "a", completion: "b"), .text("c")])
      #expect(columns == [.completion(prompt: "prompt", completion: "completion"), .text("text")])
    }
  }

  /// Rows as files of every kind hold them.
  static let files: [(name: String, content: String, expected: [LanguageExample])] = {
    let pair = LanguageExample.chat(
      LanguageChat(messages: [message("user", "Hi"), message("assistant", "Yo, \"you\"")], isPair: true))
    let open = LanguageExample.chat(LanguageChat(messages: [message("user", "Hi"), message("assistant", "Yo")]))
    let rows = #"{"question":"Hi","answer":"Yo, \"you\""}"#
    return [
      ("a.jsonl", rows + "\n\n" + rows, [pair, pair]),
      ("b.json", "[\n \(rows),\n \(rows)\n]\n", [pair, pair]),
      ("c.json", "{\"version\": 1, \"data\": [\(rows)]}", [pair]),
      ("d.json", rows + "\n" + rows, [pair, pair]),
      ("e.csv", "id,question,answer\r\n1,Hi,\"Yo, \"\"you\"\"\"\r\n", [pair]),
      ("f.tsv", "question\tanswer\nHi\tYo, \"you\"\n", [pair]),
      (
        "g.json", #"[{"instruction":"Hi","input":"","output":"Yo, \"you\""}]"#,
        [pair]
      ),
      (
        "h.json", #"[{"system":"S","instruction":"A","input":"B","output":"C","history":[["q","r"]]}]"#,
        [
          .chat(
            LanguageChat(messages: [
              message("system", "S"), message("user", "q"), message("assistant", "r"), message("user", "A\n\nB"),
              message("assistant", "C"),
            ]))
        ]
      ),
      (
        "i.jsonl", #"{"conversations":[{"from":"human","value":"Hi"},{"from":"gpt","value":"Yo"}]}"#,
        [open]
      ),
      ("j.jsonl", #"{"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":"Yo"}]}"#, [open]),
      (
        "k.csv",
        "messages\n\"[{\"\"role\"\":\"\"user\"\",\"\"content\"\":\"\"Hi\"\"},{\"\"role\"\":\"\"assistant\"\",\"\"content\"\":\"\"Yo\"\"}]\"\n",
        [open]
      ),
      (
        "l.jsonl", #"{"prompt":[{"role":"user","content":"Hi"}],"completion":[{"role":"assistant","content":"Yo"}]}"#,
        [.chat(LanguageChat(messages: [message("user", "Hi"), message("assistant", "Yo")], givenCount: 1))]
      ),
      ("m.jsonl", #"{"prompt":"Hi","completion":" Yo"}"#, [.completion(prompt: "Hi", completion: " Yo")]),
      ("n.csv", "label,text\n1,\"Hi, you\"\n", [.text("Hi, you")]),
      // As pandas writes tabs, and a spreadsheet in countries with decimal commas.
      (
        "p.tsv", "prompt\tcompletion\n\"say \"\"Hi\"\"\"\t\"Yo\nyou\"\n",
        [.completion(prompt: "say \"Hi\"", completion: "Yo\nyou")]
      ),
      ("q.csv", "prompt;completion\nHi;Yo\n", [.completion(prompt: "Hi", completion: "Yo")]),
      // A row over several lines, and rows under a name that does not tell.
      (
        "r.json",
        "{\n\"conversations\":[{\"from\":\"human\",\"value\":\"Hi\"},\n{\"from\":\"gpt\",\"value\":\"Yo\"}]}\n", [open]
      ),
      ("s.txt", "{\"text\":\"Hi\"}\n{\"text\":\"Yo\"}\n", [.text("Hi"), .text("Yo")]),
      ("t.json", #"{"tags":["a"],"data":[{"text":"Hi"}]}"#, [.text("Hi")]),
      ("u.txt", "{ Enter Hamlet }\n", []),
      // What stands beside is part of the question.
      (
        "v.jsonl", #"{"question":"Hi","context":5,"answer":"Yo"}"#,
        [.chat(LanguageChat(messages: [message("user", "Hi\n\n5"), message("assistant", "Yo")], isPair: true))]
      ),
      ("w.jsonl", #"{"messages":[{"role":"human","content":"Hi"},{"role":"model","content":"Yo"}]}"#, [open]),
      (
        "o.jsonl", #"{"messages":[{"role":"user","content":"x"}],"tools":[{"type":"function"}]}"#,
        [.chat(LanguageChat(messages: [message("user", "x")], tools: [.object([.init("type", "function")])]))]
      ),
    ]
  }()

  @Test("every convention of rows is read from every kind of file", arguments: files.indices)
  func conventions(index: Int) throws {
    let (name, content, expected) = ChatTrainingTests.files[index]
    try withTemporaryDirectory { folder in
      let file = folder.appendingPathComponent(name)
      try Data(content.utf8).write(to: file)
      var found: [LanguageExample] = []
      try LanguageExamples(file).forEachExample { example, _ in found.append(example) }
      #expect(found == expected, "\(name)")
    }
  }

  @Test("a folder's files come in the order of their names, without what is no data")
  func folder() throws {
    try withTemporaryDirectory { folder in
      for (name, content) in [
        ("b.jsonl", "{\"text\":\"b\"}"), ("a.csv", "text\na\n"), ("README.md", "x"), ("dataset_info.json", "{}"),
      ] { try Data(content.utf8).write(to: folder.appendingPathComponent(name)) }
      try FileManager.default.createDirectory(at: folder.appendingPathComponent("c"), withIntermediateDirectories: true)
      try Data("[{\"text\": \"c\"}]".utf8).write(to: folder.appendingPathComponent("c/c.json"))
      var found: [LanguageExample] = []
      for file in try LanguageExamples.files(at: folder) {
        try LanguageExamples(file).forEachExample { example, _ in found.append(example) }
      }
      #expect(found == [.text("a"), .text("b"), .text("c")])
    }
  }

  @Test(
    "what is no example is an error that names the line and what was found",
    arguments: [
      ("a.jsonl", "{\"prompt\":\"x\",\"chosen\":\"a\",\"rejected\":\"b\"}", "preferences"),
      ("b.jsonl", "{\"tokens\":[],\"ner_tags\":[]}", "“tokens”, “ner_tags”"),
      ("c.jsonl", "{\"text\":\"a\"}\n{\"texts\":\"b\"}", "“texts” in line 2"),
      ("d.csv", "a,b\n1,2\n", "“a”, “b”"), ("e.csv", "text,label\nx\n", "1 field in line 2"),
      ("f.json", "[{\"text\":\"a\"},{\"text\":", "within an element"),
      ("g.json", "[{\"text\":\"a\"}", "closing bracket"),
      ("h.json", "{\"text\": 1", "no list of objects"), ("i.json", "\"x\"", "no list of objects"),
      ("j.jsonl", "{\"conversations\":[{\"from\":\"martian\",\"value\":\"x\"}]}", "“martian”"),
      ("m.jsonl", #"{"messages":[{"role":"User","content":"x"}]}"#, "the role “User” in line 1"),
      ("n.jsonl", #"{"messages":[{"role":"user"}]}"#, "the role “user” without content in line 1"),
      ("o.jsonl", #"{"messages":["Hi"]}"#, "a message that is no object"),
      ("p.jsonl", #"{"conversations":[{"from":"human","value":null}]}"#, "from “human” without a text"),
      ("q.jsonl", #"{"instruction":"a","input":{"b":1},"output":"c"}"#, "no text under “input”"),
      ("r.jsonl", #"{"instruction":"a","output":"c","system":["d"]}"#, "no text under “system”"),
      ("s.jsonl", #"{"messages":[{"role":"user","content":"x"}],"tools":{"name":"f"}}"#, "no list under “tools”"),
      ("t.jsonl", #"{"prompt":"a","completion":"b","label":false}"#, "judged answers"),
      ("u.jsonl", #"{"messages":[{"role":"assistant","content":"x","weight":0.5}]}"#, "a message of the weight 0.5"),
      ("v.json", #"{"test":[{"text":"a"}],"train":[{"text":"b"}]}"#, "several lists of objects"),
      ("w.json", "[{\"text\":\"a\"}]\n[{\"text\":\"b\"}]", "more behind the list's end"),
      ("k.jsonl", "PAR1 and more", "Parquet"), ("l.csv", "messages\n[{'role': 'user'}]\n", "json.dumps"),
    ])
  func refused(name: String, content: String, message: String) throws {
    try withTemporaryDirectory { folder in
      let file = folder.appendingPathComponent(name)
      try Data(content.utf8).write(to: file)
      let error = #expect(throws: DatasetError.self) { try LanguageExamples(file).forEachExample { _, _ in } }
      #expect(error?.description.contains(message) == true, "\(error?.description ?? "none")")
    }
  }

  @Test("the template comes from wherever a model's folder keeps it")
  func places() throws {
    try withTemporaryDirectory { folder in
      func write(_ name: String, _ content: String) throws {
        let file = folder.appendingPathComponent(name)
        try FileManager.default.createDirectory(
          at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data(content.utf8).write(to: file)
      }
      func text(_ name: String? = nil, hasTools: Bool = false) throws -> String? {
        try ChatTemplate(named: name, of: folder, hasTools: hasTools)?.render([]).text
      }
      #expect(try text() == nil)
      try write("tokenizer_config.json", #"{"bos_token": {"content": "<b>"}, "chat_template": "one {{ bos_token }}"}"#)
      #expect(try text() == "one <b>")
      try write(
        "tokenizer_config.json",
        #"{"chat_template": [{"name": "default", "template": "d"}, {"name": "tool_use", "template": "t"}]}"#)
      #expect(try text() == "d")
      #expect(try text(hasTools: true) == "t")
      #expect(try text("tool_use") == "t")
      try write("chat_template.jinja", "file")
      try write("additional_chat_templates/rag.jinja", "more")
      #expect(try text() == "file")
      #expect(try text("rag") == "more")
      #expect(try text(folder.appendingPathComponent("chat_template.jinja").path) == "file")
      #expect(try text("chatml") == "")
      #expect(throws: ChatTemplateError.self) { try text("nothing of that name") }
    }
  }
}
