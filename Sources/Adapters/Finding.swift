// What is noteworthy about an adapter, a checkpoint or the two together.

/// Something that is noteworthy about files, and how bad it is.
public struct Finding: Equatable, Sendable {
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

  public var severity: Severity
  public var message: String
  /// The modules or tensors that it is about.
  public var subjects: [String]

  public init(_ severity: Severity, _ message: String, _ subjects: [String] = []) {
    self.severity = severity
    self.message = message
    self.subjects = subjects
  }
}
