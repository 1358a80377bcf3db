import Foundation
import LoRAFiles

extension ChatTemplate {
  /// The template of a model's folder, or nil where it has none: `chat_template.jinja`, or what `tokenizer_config.json` has
  /// under "chat_template" (a template, or a list of named ones), or `chat_template.json`; of a GGUF file, its own.
  ///
  /// - Parameters:
  ///   - folder: the model's.
  ///   - name: which of several; by default "tool_use" where there are tools, else "default".
  ///   - hasTools: whether the conversation comes with tools.
  /// - Throws: `ChatTemplateError` where no template has that name, or the template can't be read.
  public init?(modelFolder folder: URL, name: String? = nil, hasTools: Bool = false) throws {
    let (templates, origin) = try ChatTemplate.templates(in: folder)
    guard !templates.isEmpty else {
      guard let name else { return nil }
      throw ChatTemplateError(
        template: folder.path, line: 0, "“\(name)” is asked for, and the model has none", expected: "one of that name")
    }
    let wanted = name ?? (hasTools && templates["tool_use"] != nil ? "tool_use" : "default")
    guard let source = templates[wanted] else {
      let names = templates.keys.sorted().joined(separator: ", ")
      throw ChatTemplateError(
        template: origin, line: 0, "“\(wanted)” is none of the model's templates", expected: names,
        advice: "Name one of them")
    }
    try self.init(
      source, origin: wanted == "default" ? origin : "“\(wanted)” of \(origin)",
      specialTokens: ChatTemplate.specialTokens(in: folder))
  }

  /// The model's own template, or one by name: of several that the model has, of those that are known ("chatml"), or a
  /// file's; nil where no name is given and the model has none.
  ///
  /// - Throws: `ChatTemplateError` where there is none of that name, or it can't be read.
  public init?(named name: String?, of folder: URL, hasTools: Bool = false) throws {
    let own = try ChatTemplate.templates(in: folder).0
    if name.map({ own[$0] != nil }) ?? true {
      try self.init(modelFolder: folder, name: name, hasTools: hasTools)
      return
    }
    let name = name!
    let specialTokens = try ChatTemplate.specialTokens(in: folder)
    if let known = ChatTemplate.known[name] {
      try self.init(known, origin: "“\(name)”", specialTokens: specialTokens)
      return
    }
    guard let data = FileManager.default.contents(atPath: name), let text = String(validating: data, as: UTF8.self)
    else {
      throw ChatTemplateError(
        template: name, line: 0, "is no text file, nor the name of a known template",
        expected: "a file, or \(ChatTemplate.known.keys.sorted().joined(separator: ", "))",
        advice: "Name a file with a template, or one of these")
    }
    try self.init(text, origin: name, specialTokens: specialTokens)
  }

  /// Templates for models without one.
  private static let known = [
    // https://github.com/openai/openai-python/blob/v0.28.1/chatml.md
    "chatml": """
    {%- for message in messages %}
    {{- '<|im_start|>' + message['role'] + '\\n' }}
    {%- if message['role'] == 'assistant' %}
    {%- generation %}{{ message['content'] + '<|im_end|>' }}{% endgeneration %}
    {%- else %}
    {{- message['content'] + '<|im_end|>' }}
    {%- endif %}
    {{- '\\n' }}
    {%- endfor %}
    {%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}
    """
  ]

  private static func object(_ name: String, in folder: URL) throws -> JSON? {
    let url = try LoRAFiles.file(name, in: folder)
    guard let data = try contents(of: url) else { return nil }
    do {
      return try data.withUnsafeBytes { try JSON(parsing: $0, holdsTexts: true) }
    } catch {
      throw ChatTemplateError(
        template: url.path, line: 0, "the file is no valid JSON: \(error)", expected: "an object",
        advice: "Fetch it again")
    }
  }

  /// The templates by name, and where they stand.
  private static func templates(in folder: URL) throws -> ([String: String], origin: String) {
    var templates: [String: String] = [:]
    if let gguf = try GGUFTokenizer(at: folder) { return (gguf.chatTemplates, gguf.path) }
    let single = try LoRAFiles.file("chat_template.jinja", in: folder)
    if let data = try contents(of: single) {
      templates["default"] = String(decoding: data, as: UTF8.self)
      let others = folder.appendingPathComponent("additional_chat_templates")
      for name in ((try? FileManager.default.contentsOfDirectory(atPath: others.path)) ?? []).sorted()
      where name.hasSuffix(".jinja") {
        let file = try LoRAFiles.file(name, in: others)
        if let data = try contents(of: file) {
          templates[String(name.dropLast(6))] = String(decoding: data, as: UTF8.self)
        }
      }
      return (templates, single.path)
    }
    for name in ["tokenizer_config.json", "chat_template.json"] {
      switch try object(name, in: folder)?["chat_template"] {
      case .string(let text)?: templates["default"] = text
      case .array(let list)?:
        for item in list {
          guard let key = item["name"]?.string, let text = item["template"]?.string else {
            throw ChatTemplateError(
              template: folder.appendingPathComponent(name).path, line: 0,
              "the list holds what has no “name” and “template”", expected: "both", advice: "Correct the file")
          }
          templates[key] = text
        }
      case .object(let members)?:
        for member in members { if let text = member.value.string { templates[member.key] = text } }
      case nil, .null?: continue
      default:
        throw ChatTemplateError(
          template: folder.appendingPathComponent(name).path, line: 0,
          "“chat_template” is neither a text nor a list of them", expected: "one of the two", advice: "Correct the file"
        )
      }
      return (templates, folder.appendingPathComponent(name).path)
    }
    return ([:], "")
  }

  /// What transformers hands to a template under `bos_token` and the like.
  private static func specialTokens(in folder: URL) throws -> [String: String] {
    var tokens: [String: String] = [:]
    if let gguf = try GGUFTokenizer(at: folder) {
      for role in ["bos", "eos"] { tokens["\(role)_token"] = gguf.token(role) }
      return tokens
    }
    for name in ["special_tokens_map.json", "tokenizer_config.json"] {
      for member in try object(name, in: folder)?.members ?? [] where member.key.hasSuffix("_token") {
        tokens[member.key] = member.value.string ?? member.value["content"]?.string ?? tokens[member.key]
      }
    }
    return tokens
  }
}
