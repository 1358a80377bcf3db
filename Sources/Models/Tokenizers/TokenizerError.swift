import LoRATensors

/// Why a tokenizer could not be read: the file, the place in it, and what was found there.
public struct TokenizerError: DescribedError, Equatable {
  /// The file's path, or "tokenizer.json" where the bytes came from memory.
  public var file: String
  /// The place in the file, such as `pre_tokenizer.pretokenizers[1]`, or empty.
  public var place: String
  /// What was found there.
  public let found: String
  /// What was expected instead.
  public let expected: String
  public let advice: Advice

  /// An error about a place in a file.
  public init(
    file: String = "tokenizer.json", place: String = "", _ found: String, expected: String,
    advice: Advice = "Take the tokenizer that belongs to the model, or one of a supported kind"
  ) {
    (self.file, self.place, self.found, self.expected, self.advice) = (file, place, found, expected, advice)
  }

  public var subject: String { place.isEmpty ? file : "\(file): \(place)" }
  public var problem: String { "\(found), expected \(expected)" }
}
