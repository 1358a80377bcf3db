import Foundation
import LoRAFiles

/// How a model wants a conversation written: a template in the language of Jinja, as `tokenizer_config.json` carries it.
///
/// It is run by an interpreter of its own for the part of that language that chat templates use, set as transformers sets
/// Jinja (`trim_blocks`, `lstrip_blocks`, `tojson` without escapes for HTML, `{% generation %}`). What it does not know is
/// an error that names it. Templates come from elsewhere: they read nothing but what they are given, and end in time and
/// within memory.
///
/// ```swift
/// let template = try ChatTemplate(modelFolder: folder)
/// let chat = try template?.render([["role": "user", "content": "Hi"]], addsGenerationPrompt: true)
/// ```
public struct ChatTemplate: Sendable {
  /// Where it comes from: "tokenizer_config.json", "chat_template.jinja", or a name that was given.
  public let origin: String
  /// The template's text.
  public let source: String
  /// By name (`bos_token`, `eos_token`, …), the special tokens that it may write.
  public let specialTokens: [String: String]
  private let statements: [TemplateStatement]

  /// Reads a template.
  ///
  /// - Throws: `ChatTemplateError` where it can't be read.
  public init(_ source: String, origin: String = "", specialTokens: [String: String] = [:]) throws {
    (self.source, self.origin, self.specialTokens) = (source, origin, specialTokens)
    do {
      statements = try TemplateParser.parse(source)
    } catch let error as ChatTemplateError {
      throw error.named(origin)
    }
  }

  /// Whether it marks what an assistant wrote with `{% generation %}`.
  public var marksGenerations: Bool { source.contains(#/\{%-?\s*generation\s*-?%\}/#) }

  /// A conversation as the template writes it.
  ///
  /// - Parameters:
  ///   - messages: objects with a "role" and a "content"; members that are null are left out, as transformers does.
  ///   - tools: the functions that may be called, as JSON schemas.
  ///   - addsGenerationPrompt: whether the opening of an assistant's turn follows.
  ///   - variables: more that the template may ask for, such as `enable_thinking`.
  ///   - date: what `strftime_now` tells.
  ///   - timeZone: where it tells it.
  /// - Throws: `ChatTemplateError` where the template refuses the conversation, or uses what is not supported.
  public func render(
    _ messages: [JSON], tools: [JSON]? = nil, addsGenerationPrompt: Bool = false, variables: [String: JSON] = [:],
    date: Date = Date(), timeZone: TimeZone = .current
  ) throws -> RenderedChat {
    var values = specialTokens.mapValues { TemplateValue.string($0) }
    for (name, value) in variables { values[name] = TemplateValue(value) }
    values["messages"] = .list(messages.map { TemplateValue(ChatTemplate.normalized($0)) })
    values["tools"] = tools.map { .list($0.map { TemplateValue($0) }) } ?? TemplateValue.none
    values["documents"] = values["documents"] ?? TemplateValue.none
    values["add_generation_prompt"] = .bool(addsGenerationPrompt)
    var interpreter = TemplateInterpreter(clock: TemplateClock(date: date, timeZone: timeZone))
    do {
      try interpreter.run(statements, with: values)
    } catch let error as ChatTemplateError {
      throw error.named(origin)
    }
    return RenderedChat(text: interpreter.output, generations: interpreter.generations)
  }

  /// Without members that are null; and what an assistant thought under each of its names, as transformers does.
  private static func normalized(_ message: JSON) -> JSON {
    guard case .object(let members) = message else { return message }
    var kept = JSON.object(members.filter { !$0.value.isNull })
    let names = ["reasoning_content", "thinking", "reasoning"]
    if let thought = names.lazy.compactMap({ kept[$0] }).first {
      if kept["thinking"] == nil { kept["thinking"] = thought }
      kept["reasoning_content"] = thought
    }
    return kept
  }
}

/// A conversation as a template wrote it.
public struct RenderedChat: Equatable, Sendable {
  /// The whole text, which holds the special tokens.
  public let text: String
  /// Where `{% generation %}` blocks lie in it, in bytes of UTF-8.
  public let generations: [Range<Int>]
}

extension ChatTemplateError {
  fileprivate func named(_ origin: String) -> ChatTemplateError {
    var error = self
    if error.template.isEmpty { error.template = origin }
    return error
  }
}
