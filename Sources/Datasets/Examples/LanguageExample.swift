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

  /// What data says of a message of the assistant's that is not to be learnt: OpenAI's "weight" of 0, or "train" false.
  static let weightNames = ["weight", "train"]

  /// Whether a message is learnt, if it is the assistant's.
  package static func isLearnt(_ message: JSON) -> Bool {
    message["weight"]?.number != 0 && message["train"]?.bool != false
  }

  /// A weight is 0 or 1: whether it is learnt, not how much.
  static func requireWeight(of message: JSON) throws(ExampleReader.Problem) {
    if let weight = message["weight"], !weight.isNull, weight.number != 0, weight.number != 1 {
      throw .init(found: "a message of the weight \(weight.compact)", expected: "0 or 1")
    }
  }

  static func message(_ role: String, _ content: String) -> JSON {
    .object([.init("role", .string(role)), .init("content", .string(content))])
  }
}
