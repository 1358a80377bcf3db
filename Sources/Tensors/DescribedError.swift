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
    case untie, nameBase, nameColumns, chooseFormat, combineExactly, trainClassifier, convertToLoRA, merge, inspect
  }

  /// A sentence without its full stop.
  public let text: String
  public let action: Action?

  public init(_ text: String, _ action: Action? = nil) { (self.text, self.action) = (text, action) }
  public init(stringLiteral text: String) { self.init(text) }

  /// Where the problem says it already.
  public static let given = Advice("")
}
