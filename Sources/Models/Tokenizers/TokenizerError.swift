/// Why a tokenizer could not be read: the file, the place in it, and what was found there.
public struct TokenizerError: Error, Equatable, CustomStringConvertible {
  /// The file's path, or "tokenizer.json" where the bytes came from memory.
  public var file: String
  /// The place in the file, such as `pre_tokenizer.pretokenizers[1]`, or empty.
  public var place: String
  /// What was found there and what was expected.
  public var message: String

  /// An error about a place in a file.
  public init(file: String = "tokenizer.json", place: String = "", _ message: String) {
    self.file = file
    self.place = place
    self.message = message
  }

  public var description: String { "\(file): " + (place.isEmpty ? "" : "\(place): ") + message }
}
