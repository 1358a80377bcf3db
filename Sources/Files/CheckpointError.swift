// What goes wrong with files: always the file, what was found there, and what to do.

import LoRATensors

/// An error about a file's content or about two files that don't fit together.
public struct CheckpointError: DescribedError, Equatable {
  /// What sort of failure it is, for callers that react to it.
  public enum Kind: Sendable {
    /// The file can't be opened, read or written.
    case inputOutput
    /// The file's bytes are not what its format asks for.
    case malformed
    /// The format is known, but this part of it is not supported.
    case unsupported
    /// A tensor, module or file that is needed is not there.
    case missing
    /// Two things that must agree (shapes, names, configurations) don't.
    case mismatch
    /// A number can't be represented, or is not a number.
    case number

    /// What to do where nothing more is known.
    var advice: Advice {
      switch self {
      case .inputOutput: "Check the path, its permissions and the room on the disk"
      case .malformed: "Fetch the file again, or write it anew with the program that made it"
      case .unsupported: "Convert it with the program that wrote it, or take another"
      case .missing: "Fetch it from where the rest comes from"
      case .mismatch: "Take those that belong together"
      case .number: "Fetch the file again; where it stays so, it was saved broken"
      }
    }
  }

  /// What sort of failure it is.
  public let kind: Kind
  /// The file or directory that the error is about.
  public let file: String
  /// What was found, what was expected, and what to do, as a clause that follows the file's name.
  public let message: String
  public let advice: Advice

  /// Runs `body`; what it throws without a file is about this one.
  package static func about<Result>(_ file: String, _ body: () throws -> Result) throws -> Result {
    do { return try body() } catch let error as CheckpointError where error.file.isEmpty {
      throw CheckpointError(error.kind, file: file, error.message, advice: error.advice)
    }
  }

  public var subject: String { file }
  public var problem: String { message }

  /// - `advice`: by default what the kind suggests.
  public init(_ kind: Kind, file: String, _ message: String, advice: Advice? = nil) {
    self.kind = kind
    self.file = file
    self.message = message
    self.advice = advice ?? kind.advice
  }
}
