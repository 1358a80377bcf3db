import Foundation
import LoRATensors

/// What is wrong with a data file: which one, what was found, what was expected, and what to do about it.
///
/// ```
/// digits/t10k-labels-idx1-ubyte.gz: found 9,999 labels, expected 10,000, one for each image of
/// t10k-images-idx3-ubyte.gz. Take both files from the same source.
/// ```
public struct DatasetError: DescribedError, Equatable {
  /// What sort of failure it is, for callers that react to it.
  public enum Kind: Equatable, Sendable {
    /// The file or folder does not exist.
    case missing
    /// It exists and can't be read or written.
    case inaccessible
    /// It ends too early.
    case truncated
    /// A checksum or the compressed stream is wrong.
    case corrupt
    /// More follows after the promised content.
    case trailingBytes
    /// It is not of the expected format.
    case wrongFormat
    /// The columns of text and label are not there, or not clear.
    case unknownColumn
    /// Images and labels differ in number.
    case countMismatch
    /// A label is not one of the classes.
    case labelOutOfRange
    /// No mirror gave the file.
    case download
  }

  /// What sort of failure it is.
  public let kind: Kind
  /// The path of the file or folder.
  public let file: String
  /// What is there.
  public let found: String
  /// What should be there.
  public let expected: String
  /// What to do about it, in a sentence.
  public let advice: Advice

  /// An error about the file or folder `file`.
  public init(_ kind: Kind, file: URL, found: String, expected: String, advice: Advice) {
    self.kind = kind
    self.file = file.path
    self.found = found
    self.expected = expected
    self.advice = advice
  }

  public var subject: String { file }
  public var problem: String { "found \(found), expected \(expected)" }
}
