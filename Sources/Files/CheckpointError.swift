// What goes wrong with files: always the file, what was found there, what was expected, and what to do.

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
  }

  /// What sort of failure it is.
  public let kind: Kind
  /// The file or directory that the error is about.
  public let file: String
  /// What was found, as a clause that follows the file's name: "holds numbers of type '<i4'".
  public let found: String
  /// What was expected instead: "float16, float32 or float64"; `nil` where what was found says it, as of a file that
  /// does not exist.
  public let expected: String?
  public let advice: Advice

  /// Runs `body`; what it throws without a file is about this one.
  package static func about<Result>(_ file: String, _ body: () throws -> Result) throws -> Result {
    do { return try body() } catch let error as CheckpointError where error.file.isEmpty {
      throw CheckpointError(error.kind, file: file, error.found, expected: error.expected, advice: error.advice)
    }
  }

  public var subject: String { file }
  public var problem: String { expected.map { "\(found), expected \($0)" } ?? found }

  /// An error about `file`; "" where whoever knows the file adds it.
  public init(_ kind: Kind, file: String, _ found: String, expected: String? = nil, advice: Advice) {
    (self.kind, self.file, self.found, self.expected, self.advice) = (kind, file, found, expected, advice)
  }
}

// What several errors advise.
extension Advice {
  package static let fetchAgain: Advice = "Fetch the file again, or write it anew with the program that made it"
  package static let checkPlace: Advice = "Check the path, its permissions and the room on the disk"
  package static let takeItsBase: Advice = "Take the base that the adapter was made for"
  package static let beforeItDiverged: Advice = "Take a state of the training from before it diverged"
  package static let otherModel: Advice = "Take a model of a supported kind"
  package static let sameOptions: Advice = "Resume with the options of the run that was interrupted"
}
