import LoRATensors

/// Why a chat template could not be read or rendered: the template, the line, and what is wrong there.
public struct ChatTemplateError: DescribedError, Equatable {
  /// The template's origin, such as a file's path.
  public var template: String
  /// The line in the template, counted from 1; 0 where none is meant.
  public var line: Int
  /// What was found.
  public let found: String
  /// What was expected instead.
  public let expected: String
  public let advice: Advice

  /// An error about a place in a template.
  public init(
    template: String = "", line: Int, _ found: String, expected: String,
    advice: Advice = "Take another template, or write the prompt by hand"
  ) {
    (self.template, self.line, self.found, self.expected, self.advice) = (template, line, found, expected, advice)
  }

  public var subject: String {
    let name = template.isEmpty ? "the chat template" : "\(template), the chat template"
    return line > 0 ? "\(name), line \(line)" : name
  }
  public var problem: String { "\(found), expected \(expected)" }
}

/// What a template may cost. Templates come from elsewhere: they end in time and within memory.
struct TemplateLimits {
  /// Statements, expressions, and every 16 bytes of text that an operation makes.
  var steps = 5_000_000
  /// Calls, blocks and expressions within each other.
  var depth = 200
  /// Bytes of one text, or of all that a list holds.
  var bytes = 64 << 20
}
