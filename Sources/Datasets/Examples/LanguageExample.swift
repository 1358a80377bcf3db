import LoRAFiles

/// One thing that a decoder can learn.
public enum LanguageExample: Equatable, Sendable {
  /// A text, of which every token counts.
  case text(String)
  /// A text and what follows it, as they stand.
  case completion(prompt: String, completion: String)
  /// A conversation, which a chat template writes.
  case chat(LanguageChat)
}

/// A conversation as a chat template takes it.
public struct LanguageChat: Equatable, Sendable {
  /// Objects with a "role" and a "content", in order.
  public var messages: [JSON]
  /// The functions that the assistant may call, as JSON schemas.
  public var tools: [JSON]?
  /// How many of the messages are given, and never learnt: a prompt.
  public var givenCount: Int
  /// Whether it is one question and its answer, which can also be learnt without a template.
  public var isPair: Bool

  /// A conversation.
  public init(messages: [JSON], tools: [JSON]? = nil, givenCount: Int = 0, isPair: Bool = false) {
    (self.messages, self.tools, self.givenCount, self.isPair) = (messages, tools, givenCount, isPair)
  }

  static func message(_ role: String, _ content: String) -> JSON {
    .object([.init("role", .string(role)), .init("content", .string(content))])
  }
}
