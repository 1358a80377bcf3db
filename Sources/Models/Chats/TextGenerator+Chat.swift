import Foundation
import LoRAFiles
import LoRATensors

extension TextGenerator {
  /// The model's chat template, or another.
  ///
  /// - Parameters:
  ///   - name: a file with a template, a known one ("chatml"), or the name of one of several that the model has; nil takes
  ///     the model's own.
  ///   - hasTools: whether the conversation comes with tools.
  /// - Throws: `ChatTemplateError` where there is none.
  public func chatTemplate(named name: String? = nil, hasTools: Bool = false) throws -> ChatTemplate {
    guard let template = try ChatTemplate(named: name, of: folder, hasTools: hasTools) else {
      throw ChatTemplateError(
        template: folder.path, line: 0, "the model has none",
        expected: "one; it may be a base model, which was taught no conversations",
        advice: Advice("Name one, or let it go on with a text", .nameChatTemplate))
    }
    return template
  }

  /// The ids of a conversation, with the opening of the assistant's turn, and its text.
  ///
  /// - Parameters:
  ///   - messages: objects with "role" and "content".
  ///   - tools: the functions that may be called.
  ///   - template: what writes them.
  ///   - variables: more that the template may ask for.
  /// - Throws: `ChatTemplateError` where the template refuses them, `CheckpointError` where they leave no room.
  public func encode(
    _ messages: [JSON], tools: [JSON]? = nil, template: ChatTemplate, variables: [String: JSON] = [:]
  ) throws -> (ids: [Int], text: String) {
    // A last turn of the assistant's is gone on with by templates' own rules, which differ: so it ends, and another begins.
    let text = try template.render(messages, tools: tools, addsGenerationPrompt: true, variables: variables).text
    let ids = tokenizer.encode(text, addingSpecialTokens: false).ids.map(Int.init)
    guard !ids.isEmpty else {
      throw ChatTemplateError(
        template: template.origin, line: 0, "it writes nothing of the conversation", expected: "a text")
    }
    try requireRoom(after: ids, what: "conversation", advice: "Begin a new one, or leave some of it out")
    return (ids, text)
  }

  /// The tokens that end an answer: those that end a text, and the one by which the template ends an assistant's turn.
  public func ends(by template: ChatTemplate) -> Set<Int> {
    let messages: [JSON] = ["a", "b"].enumerated().map { (index: Int, text: String) in
      .object([.init("role", .string(index == 0 ? "user" : "assistant")), .init("content", .string(text))])
    }
    guard let whole = try? template.render(messages).text,
      let other = try? template.render([messages[0], .object([.init("role", "assistant"), .init("content", "c")])]).text
    else { return ends }
    let common = zip(whole.utf8.reversed(), other.utf8.reversed()).prefix { $0 == $1 }.count
    let rest = String(decoding: whole.utf8.suffix(common), as: UTF8.self).trimmingCharacters(
      in: .whitespacesAndNewlines)
    guard let first = tokenizer.encode(rest, addingSpecialTokens: false).ids.first,
      tokenizer.isSpecial(first) || tokenizer.addedContent[first] != nil
    else { return ends }
    return ends.union([Int(first)])
  }

  /// The text after some ids, to be asked for piece by piece.
  ///
  /// - `ids`: what it goes on from, at least one.
  /// - `ends`: tokens at which it ends; by default those that end a text.
  /// - `cache`: what was read of them already, with room for all that comes.
  public func text(
    afterIDs ids: [Int], limit: Int, options: SamplingOptions = SamplingOptions(), stops: [String] = [],
    ends: Set<Int>? = nil, cache: KeyValueCache? = nil, seed: UInt64 = 0
  ) -> WrittenText {
    WrittenText(
      Continuation(
        of: ids, by: model, limit: limit, options: options, ends: ends ?? self.ends, cache: cache,
        using: SeededGenerator(seed: seed)),
      tokenizer: tokenizer, stops: stops)
  }
}
