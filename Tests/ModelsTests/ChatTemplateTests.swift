// Chat templates against what Python's transformers and jinja2 made of them (Tests/Fixtures/chats/make_chats.py), and what
// hostile ones may cost.
import Foundation
import LoRADatasets
import LoRAFiles
import LoRAModels
import TestSupport
import Testing

/// What `make_chats.py` wrote.
private struct ChatCases {
  let json: JSON

  init(_ url: URL) throws {
    json = try Data(contentsOf: url).withUnsafeBytes { try JSON(parsing: $0, holdsTexts: true) }
  }

  var cases: [JSON] { json["cases"]?.array ?? [] }

  /// The messages of a chat, and the options of a case: with its tools, and the special tokens.
  func render(_ template: ChatTemplate, _ item: JSON) throws -> RenderedChat {
    let options = item["options"] ?? .null
    var variables: [String: JSON] = [:]
    for member in options.members where !["add_generation_prompt", "tools"].contains(member.key) {
      variables[member.key] = member.value
    }
    return try template.render(
      json["chats"]?[item["chat"]!.string!]?.array ?? [], tools: options["tools"] == nil ? nil : json["tools"]?.array,
      addsGenerationPrompt: options["add_generation_prompt"]?.bool ?? false, variables: variables)
  }

  /// What differs, in words; empty where nothing does.
  func differences() throws -> [String] {
    var tokens: [String: String] = [:]
    for member in json["tokens"]!.members { tokens[member.key] = member.value.string }
    var templates: [String: Result<ChatTemplate, any Error>] = [:]
    for member in json["templates"]!.members {
      templates[member.key] = Result {
        try ChatTemplate(member.value.string!, origin: member.key, specialTokens: tokens)
      }
    }
    return cases.compactMap { item in
      let place = "\(item["template"]!.string!), \(item["chat"]!.string!), \(item["options"]!.compact)"
      let result = Result { try render(try templates[item["template"]!.string!]!.get(), item) }
      switch result {
      case .failure(let error): return item["error"] == nil ? "\(place): \(error)" : nil
      case .success(let chat):
        // What jinja's filters give before `list` is no list there, and one here.
        if let error = item["error"]?.string, error.contains("generator") { return nil }
        if let error = item["error"]?.string { return "\(place): no error, and Python's is \(error)" }
        if let text = item["text"]?.string, !chat.text.utf8.elementsEqual(text.utf8) {
          return "\(place): \(chat.text.debugDescription) is not \(text.debugDescription)"
        }
        if let digest = item["digest"]?.string {
          var hash = SHA256()
          hash.update(Array(chat.text.utf8))
          if String(hash.finalize().prefix(16)) != digest { return "\(place): \(chat.text.debugDescription)" }
        }
        // Python counts characters, we bytes.
        let spans = chat.generations.map { range in
          [range.lowerBound, range.upperBound].map { end in
            JSON.integer(String(decoding: chat.text.utf8.prefix(end), as: UTF8.self).unicodeScalars.count)
          }
        }
        let expected = item["generations"]?.array ?? []
        return spans.map { JSON.array($0) } == expected ? nil : "\(place): \(spans) is not \(expected)"
      }
    }
  }
}

private let chatFixtures = fixtures.appendingPathComponent("chats")
private let otherCases = ProcessInfo.processInfo.environment["LORA_CHAT_CASES"]

@Suite("Chat templates")
struct ChatTemplateTests {
  @Test("23 forms of templates write conversations, tools and errors as transformers does")
  func templates() throws {
    let cases = try ChatCases(chatFixtures.appendingPathComponent("chats.json"))
    #expect(cases.cases.count > 600)
    let differences = try cases.differences()
    #expect(differences.isEmpty, "\(differences.count): \(differences.prefix(10).joined(separator: "\n"))")
  }

  @Test("public templates do too", .enabled(if: otherCases != nil, "needs LORA_CHAT_CASES"))
  func publicTemplates() throws {
    let cases = try ChatCases(URL(fileURLWithPath: otherCases!))
    let differences = try cases.differences()
    print(
      "\(cases.json["templates"]!.members.count) templates, \(cases.cases.count) cases, \(differences.count) differ")
    #expect(differences.isEmpty, "\(differences.prefix(40).joined(separator: "\n"))")
  }

  @Test("expressions and statements give what jinja2 gives, and errors where it has one")
  func snippets() throws {
    let json = try ChatCases(chatFixtures.appendingPathComponent("snippets.json")).json
    var variables: [String: JSON] = [:]
    for member in json["values"]!.members { variables[member.key] = member.value }
    for item in json["cases"]!.array! {
      let source = item["template"]!.string!
      let result = Result { try ChatTemplate(source).render([], variables: variables).text }
      if item["error"] != nil {
        #expect(throws: ChatTemplateError.self, "\(source): \(item["error"]!.string!)") { try result.get() }
      } else {
        let (text, expected) = (try result.get(), item["text"]!.string!)
        #expect(
          text.utf8.elementsEqual(expected.utf8),
          "\(source)\n\(text.debugDescription) is not\n\(expected.debugDescription)")
      }
    }
  }

  @Test("strftime_now tells the time that it is given")
  func times() throws {
    let json = try ChatCases(chatFixtures.appendingPathComponent("snippets.json")).json
    let zone = try #require(TimeZone(secondsFromGMT: 3600))
    let date = Date(timeIntervalSince1970: 1_709_618_889)  // 2024-03-05 06:08:09 UTC
    for item in json["times"]!.array! {
      let template = try ChatTemplate("{{ strftime_now(f) }}")
      let text = try template.render([], variables: ["f": item["format"]!], date: date, timeZone: zone).text
      #expect(text == item["text"]!.string!)
    }
  }

  @Test(
    "what is not supported, or goes wrong, is named with its line",
    arguments: [
      ("a\n{% include 'x' %}", "line 2: the statement 'include' is not supported"),
      ("{{ x | nothing }}", "line 1: the filter 'nothing' is not supported"),
      ("\n\n{{ x is nothing }}", "line 3: the test 'nothing' is not supported"),
      ("{{ messages.append(1) }}", "'append' changes a list"),
      ("{{ raise_exception('no system role') }}", "it refuses the conversation: no system role"),
      ("{{ x.y.z }}", "is not defined"),
      ("{% if x %}", "the template ends before"),
    ])
  func messages(source: String, message: String) {
    let error = #expect(throws: ChatTemplateError.self) {
      try ChatTemplate(source, origin: "chat_template.jinja").render([])
    }
    #expect(error?.description.contains(message) == true, "\(error?.description ?? "")")
    #expect(error?.description.contains("chat_template.jinja") == true)
  }

  @Test(
    "hostile templates end in an error, in time and within memory",
    arguments: [
      "{% for i in range(100000) %}{% for j in range(100000) %}x{% endfor %}{% endfor %}",
      "{% set ns = namespace(x='aaaaaaaa') %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}{{ ns.x }}",
      "{% set ns = namespace(x=[1]) %}{% for i in range(80) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}",
      "{% set ns = namespace(x=[1]) %}{% for i in range(1000) %}{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x }}",
      "{{ 'x' * 10000000000 }}", "{{ [0] * 10000000000 }}", "{{ 9 ** 99 }}", "{{ 9223372036854775807 + 1 }}",
      "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "{{ 'a' | center(1000000000000) }}",
      "{{ '%1000000000d' % 1 }}", "{{ '{:>99999999999}'.format(1) }}",
      "{{ -9223372036854775807 // -1 - 2 }}x{{ 1 // 0 }}",
      "{{ ('a' * 100000).replace('a', 'b' * 100000) }}", "{{ 'a' | indent(999999999) ~ 1 / 0 }}",
    ])
  func hostile(source: String) {
    #expect(throws: ChatTemplateError.self) { try ChatTemplate(source).render([]) }
  }

  @Test("deep nesting in a template's text is an error")
  func deepText() {
    for (open, close) in [("(", ")"), ("[", "]"), ("{% if x %}", "{% endif %}"), ("not ", ""), ("-", "")] {
      let source =
        open.hasPrefix("{%")
        ? String(repeating: open, count: 5000) + String(repeating: close, count: 5000)
        : "{{ " + String(repeating: open, count: 5000) + "1" + String(repeating: close, count: 5000) + " }}"
      #expect(throws: ChatTemplateError.self) { try ChatTemplate(source) }
    }
  }
}
