// What goes wrong with files: always the file, what was found there, and what to do.

/// An error about a file's content or about two files that don't fit together.
///
/// Its description names the file, what was found and what was expected.
public struct CheckpointError: Error, Equatable, CustomStringConvertible {
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
  }

  /// What sort of failure it is.
  public let kind: Kind
  /// The file or directory that the error is about.
  public let file: String
  /// What was found, what was expected, and what to do, as a clause that follows the file's name.
  public let message: String

  /// An error about `file`; an empty name is left out of the description.
  public init(_ kind: Kind, file: String, _ message: String) {
    self.kind = kind
    self.file = file
    self.message = message
  }

  public var description: String { file.isEmpty ? message : "\(file): \(message)" }
}
