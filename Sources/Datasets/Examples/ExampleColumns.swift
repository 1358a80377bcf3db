import LoRAFiles

/// Which columns of a file, or keys of its objects, hold what is learnt: the conventions that data for decoders come in.
public enum ExampleColumns: Equatable, Sendable, CustomStringConvertible {
  /// Texts, one a row.
  case text(String)
  /// Texts with what follows them: two strings as they stand, or two lists of messages (TRL).
  case completion(prompt: String, completion: String)
  /// Questions with their answers, and a system prompt and further input where there are any (Alpaca).
  case answers(question: String, input: String?, answer: String)
  /// Conversations: objects with "role" and "content" (OpenAI), or with "from" and "value" (ShareGPT).
  case messages(String)

  public var description: String {
    switch self {
    case .text(let name): "the texts under “\(name)”"
    case .completion(let prompt, let completion): "“\(prompt)” with “\(completion)”"
    case .answers(let question, let input, let answer):
      "“\(question)”\(input.map { " (and “\($0)”)" } ?? "") with the answers under “\(answer)”"
    case .messages(let name): "the conversations under “\(name)”"
    }
  }

  /// Whether each row is a text with what follows it.
  public var isPairs: Bool {
    switch self {
    case .completion, .answers: true
    case .text, .messages: false
    }
  }

  /// The columns of a row, by their names; nil where none of the conventions fits.
  init?(_ names: [String]) {
    func first(_ wanted: [String]) -> String? {
      wanted.lazy.compactMap { wanted in names.first { $0.isExactly(wanted) } }.first
    }
    if let name = first(["messages", "conversations", "conversation", "dialogue", "chat"]) {
      self = .messages(name)
    } else if let prompt = first(["prompt"]), let completion = first(["completion"]) {
      self = .completion(prompt: prompt, completion: completion)
    } else if let question = first(["instruction"]), let answer = first(["output", "response", "completion", "answer"])
    {
      self = .answers(question: question, input: first(["input", "context"]), answer: answer)
    } else if let question = first(["prompt", "question", "query", "input"]),
      let answer = first(["response", "answer", "output", "completion", "target"])
    {
      let input = first(["context", "input"]).flatMap { $0.isExactly(question) ? nil : $0 }
      self = .answers(question: question, input: input, answer: answer)
    } else if let name = first(["text", "content"]) {
      self = .text(name)
    } else {
      return nil
    }
  }
}

/// Makes examples of a file's rows, each an object.
struct ExampleReader {
  let columns: ExampleColumns

  /// Why a row is no example: what it holds, and what should stand there.
  struct Problem: Error {
    let found: String
    let expected: String
    var advice = "Correct that row"
  }

  /// Recognises the columns by the first row.
  init(first row: JSON) throws(Problem) {
    guard case .object(let members) = row else {
      throw Problem(found: "no object with columns", expected: "objects with columns of a known name")
    }
    let names = members.map(\.key)
    func has(_ name: String) -> Bool { names.contains { $0.isExactly(name) } }
    if has("chosen"), has("rejected") {
      throw Problem(
        found: "preferences (“chosen”, “rejected”)", expected: "texts, pairs or conversations",
        advice: "Preferences are not learnt; name the better answer “completion” and learn that")
    }
    let isJudged = row["label"]?.bool != nil || ["true", "false"].contains(row["label"]?.string?.lowercased())
    if has("prompt"), has("completion"), isJudged {
      throw Problem(
        found: "judged answers (“prompt”, “completion” and a “label” that says whether it is good)",
        expected: "texts, pairs or conversations",
        advice: "Judgements are not learnt; keep the good answers, without the “label”, and learn those")
    }
    guard let columns = ExampleColumns(names) else {
      let list = names.map { "“\($0)”" }
      throw Problem(
        found: list.isEmpty ? "no columns" : "the columns \(LabelledColumns.list(list))",
        expected: "“messages”, “conversations”, “prompt” and “completion”, “instruction” and “output”, "
          + "“question” and “answer”, or “text”",
        advice: "Rename the columns that are meant")
    }
    self.columns = columns
  }

  func example(_ row: JSON) throws(Problem) -> LanguageExample {
    switch columns {
    case .text(let name): return .text(try text(name, of: row))
    case .completion(let prompt, let completion):
      if let given = try list(prompt, of: row) {
        let answer = try list(completion, of: row)
        let messages = try given.map { (message) throws(Problem) in try ExampleReader.message(message) }
        let answers: [JSON] =
          if let answer { try answer.map { (message) throws(Problem) in try ExampleReader.message(message) } } else {
            [LanguageChat.message("assistant", try text(completion, of: row))]
          }
        return .chat(LanguageChat(messages: messages + answers, tools: try tools(row), givenCount: messages.count))
      }
      return .completion(prompt: try text(prompt, of: row), completion: try text(completion, of: row))
    case .answers(let question, let input, let answer):
      var messages = try system(row)
      if let history = row["history"]?.array {
        for turn in history {
          guard let pair = turn.strings, pair.count == 2 else {
            throw Problem(found: "a “history” that is no list of pairs", expected: "pairs of question and answer")
          }
          messages += [LanguageChat.message("user", pair[0]), LanguageChat.message("assistant", pair[1])]
        }
      }
      var asked = try text(question, of: row)
      if let input, let value = row[input], !value.isNull {
        let more = try text(input, of: row)
        if !more.isEmpty { asked += (asked.isEmpty ? "" : "\n\n") + more }
      }
      messages.append(LanguageChat.message("user", asked))
      let count = messages.count
      messages.append(LanguageChat.message("assistant", try text(answer, of: row)))
      return .chat(LanguageChat(messages: messages, tools: try tools(row), isPair: count == 1))
    case .messages(let name):
      guard let messages = try list(name, of: row), !messages.isEmpty else {
        throw Problem(found: "no messages under “\(name)”", expected: "a list of messages")
      }
      let own = try messages.map { (message) throws(Problem) in try ExampleReader.message(message) }
      let hasSystem = own.first?["role"]?.string == "system"
      return .chat(LanguageChat(messages: (hasSystem ? [] : try system(row)) + own, tools: try tools(row)))
    }
  }

  // MARK: Values

  private func text(_ name: String, of row: JSON) throws(Problem) -> String {
    switch row[name] {
    case .string(let text)?: return text
    case .integer(let value)?: return String(value)
    case .number(let value)?: return "\(value)"
    case .bool(let value)?: return value ? "true" : "false"
    case nil:
      throw Problem(
        found: "the columns \(LabelledColumns.list(row.members.map { "“\($0.key)”" }))",
        expected: "a text under “\(name)”")
    default: throw Problem(found: "no text under “\(name)”", expected: "a text")
    }
  }

  /// A list, which a table has as a JSON text; nil where there is a text or nothing.
  private func list(_ name: String, of row: JSON) throws(Problem) -> [JSON]? {
    switch row[name] {
    case .array(let values)?: return values
    case .string(let text)? where text.drop(while: \.isWhitespace).first == "[":
      guard case .array(let values)? = try? JSON(parsing: text) else {
        if case .messages = columns {
          throw Problem(
            found: "a list under “\(name)” that is no valid JSON", expected: "a list of messages in JSON",
            advice: "Write it with double quotes, as json.dumps does")
        }
        return nil
      }
      return values.contains { if case .object = $0 { false } else { true } } ? nil : values
    case .object? where name == "messages":
      throw Problem(found: "an object under “\(name)”", expected: "a list of messages")
    default: return nil
    }
  }

  private func tools(_ row: JSON) throws(Problem) -> [JSON]? {
    guard let value = row["tools"], !value.isNull, value.string?.isEmpty != true else { return nil }
    guard let tools = try list("tools", of: row) else {
      throw Problem(found: "no list under “tools”", expected: "a list of functions, as JSON schemas")
    }
    return tools.isEmpty ? nil : tools
  }

  private func system(_ row: JSON) throws(Problem) -> [JSON] {
    for name in ["system", "system_prompt"] {
      guard let value = row[name], !value.isNull else { continue }
      let text = try text(name, of: row)
      if !text.isEmpty { return [LanguageChat.message("system", text)] }
    }
    return []
  }

  /// What those who speak are called in templates, by what data calls them.
  private static let roles = [
    "human": "user", "user": "user", "gpt": "assistant", "chatgpt": "assistant", "assistant": "assistant",
    "bot": "assistant", "model": "assistant", "system": "system", "tool": "tool", "function_call": "assistant",
    "observation": "tool", "function_response": "tool",
  ]

  /// A message in OpenAI's names, of one in those or in ShareGPT's.
  private static func message(_ message: JSON) throws(Problem) -> JSON {
    guard case .object(let members) = message else {
      throw Problem(found: "a message that is no object", expected: "“role” and “content”, or “from” and “value”")
    }
    try LanguageChat.requireWeight(of: message)
    if let role = message["role"]?.string {
      let usual = roles[role.lowercased()]
      guard usual == nil || roles[role] != nil else {
        throw Problem(
          found: "a message of the role “\(role)”", expected: "user, assistant, system or tool in lower case",
          advice: "Rename who speaks")
      }
      let speaks = ["content", "tool_calls", "function_call", "reasoning_content", "thinking", "reasoning"].contains {
        message[$0].map { !$0.isNull } ?? false
      }
      guard speaks else {
        throw Problem(found: "a message of the role “\(role)” without content", expected: "“content”, or “tool_calls”")
      }
      var own = message
      if let usual { own["role"] = .string(usual) }
      return own
    }
    guard let speaker = message["from"]?.string, let words = message["value"] ?? message["content"] else {
      throw Problem(
        found: "a message with \(LabelledColumns.list(members.map { "“\($0.key)”" }))",
        expected: "“role” and “content”, or “from” and “value”")
    }
    guard let text = words.string else {
      throw Problem(found: "a message from “\(speaker)” without a text", expected: "a text")
    }
    guard let role = roles[speaker] else {
      throw Problem(
        found: "a message from “\(speaker)”", expected: "one from human, gpt, system or tool",
        advice: "Rename who speaks")
    }
    var own = LanguageChat.message(role, text)
    for name in LanguageChat.weightNames { if let value = message[name] { own[name] = value } }
    return own
  }
}
