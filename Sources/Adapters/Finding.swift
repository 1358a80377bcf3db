// What is noteworthy about an adapter, a checkpoint or the two together.

import LoRAFiles

/// Something that is noteworthy about files, and how bad it is.
public struct Finding: Equatable, Sendable {
  /// How bad it is, in ascending order.
  public enum Severity: String, Sendable, Comparable {
    /// Worth knowing.
    case note
    /// Odd, but the adapter acts as it should.
    case warning
    /// The adapter would act in part, wrongly or not at all.
    case error

    public static func < (a: Severity, b: Severity) -> Bool { a.order < b.order }
    private var order: Int { self == .note ? 0 : self == .warning ? 1 : 2 }
  }

  /// Whom it matters to.
  public enum Audience: String, Sendable {
    /// It holds whichever program reads the files.
    case everyone
    /// Python peft would do otherwise than this library.
    case peft
  }

  /// How bad it is.
  public var severity: Severity
  /// Whom it matters to.
  public var audience: Audience
  /// What was found and what it leads to, as a clause without a full stop.
  public var message: String
  /// The modules or tensors that it is about.
  public var subjects: [String]

  /// A finding about the modules or tensors `subjects`.
  public init(_ severity: Severity, _ message: String, _ subjects: [String] = [], audience: Audience = .everyone) {
    self.severity = severity
    self.audience = audience
    self.message = message
    self.subjects = subjects
  }
}

extension [Finding] {
  /// What keeps an adapter from acting as it should, here.
  public var errors: [Finding] { filter { $0.severity == .error && $0.audience == .everyone } }

  package mutating func report(
    _ severity: Finding.Severity, _ message: String, _ subjects: [String], audience: Finding.Audience = .everyone
  ) {
    if !subjects.isEmpty { append(Finding(severity, message, subjects.sorted(by: isOrdered), audience: audience)) }
  }
}
