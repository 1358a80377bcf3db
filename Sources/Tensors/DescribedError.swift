import Foundation

/// What every error of this library says: what it is about, what was found and expected there, and what to do.
///
/// The words are without the options of any program. One that has an option for what the advice asks for can add it, as
/// `lora` does, by the advice's `action`.
public protocol DescribedError: LocalizedError, CustomStringConvertible, Sendable {
  /// A file's path, an operation, a module; "" where the problem names it.
  var subject: String { get }
  /// What was found, and what was expected instead.
  var problem: String { get }
  /// What to do.
  var advice: Advice { get }
}

extension DescribedError {
  public var description: String {
    let text = subject.isEmpty ? problem : "\(subject): \(problem)"
    guard !advice.text.isEmpty else { return text }
    let end = text.last.map { ".?!".contains($0) } == true ? "" : "."
    return text.contains("\n") ? "\(text)\n\(advice.text)." : "\(text)\(end) \(advice.text)."
  }

  public var errorDescription: String? { description }
}

/// What to do about an error.
public struct Advice: Equatable, Sendable, ExpressibleByStringInterpolation {
  /// Something that a program may have an option or a command for.
  public enum Action: Sendable {
    /// Let the two weights of a tied pair differ from then on.
    case untie
    /// Say which base model is meant.
    case nameBase
    /// Say which columns hold text and label.
    case nameColumns
    /// Say which column holds the text, where no label is wanted.
    case nameTextColumn
    /// Say which chat template writes conversations.
    case nameChatTemplate
    /// Say which format is meant.
    case chooseFormat
    /// Combine by concatenation, which holds for any ranks.
    case combineExactly
    /// Train a classifier on the base.
    case trainClassifier
    /// Train a decoder on texts or conversations.
    case trainLanguageModel
    /// Write the adapter as plain LoRA first.
    case convertToLoRA
    /// Put the adapter into the base's weights.
    case merge
    /// Look at what the file holds.
    case inspect
  }

  /// A sentence without its full stop.
  public let text: String
  /// What a program may have an option for; `nil`: nothing of that sort.
  public let action: Action?

  /// A sentence without its full stop, and what it asks for.
  public init(_ text: String, _ action: Action? = nil) { (self.text, self.action) = (text, action) }
  public init(stringLiteral text: String) { self.init(text) }

  /// Where the problem says it already.
  public static let given = Advice("")
}
