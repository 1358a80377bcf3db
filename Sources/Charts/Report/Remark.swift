/// A sentence, or a few words, and whether they are good news.
public struct Remark: Sendable {
  /// How it is coloured.
  public enum Tone: String, Sendable {
    /// As other text.
    case plain
    /// As what is right.
    case good
    /// As what is wrong.
    case bad
  }
  /// What it says.
  public let text: String
  /// Whether that is well.
  public let tone: Tone

  /// Some text, and whether what it says is well.
  public init(_ text: String, _ tone: Tone = .plain) { (self.text, self.tone) = (text, tone) }

  var paint: TextStyle.Paint? { tone == .good ? .green : tone == .bad ? .red : nil }
}
