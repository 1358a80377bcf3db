import LoRATensors

/// A text that a decoder writes, piece by piece: each `next()` reads the model once, with the adapter that is on then.
///
/// Several can be written in turn from one model; each has its own memory of what came before.
public struct WrittenText: Sequence, IteratorProtocol {
  /// What was given out so far.
  public private(set) var text = ""
  /// How many tokens were drawn.
  public private(set) var tokens = 0
  private var continuation: Continuation<SeededGenerator>
  /// What came before and what was drawn so far.
  var ids: [Int] { continuation.ids }
  private var stream: TextStream
  private var filter: StopFilter
  private var hasEnded = false

  init(_ continuation: Continuation<SeededGenerator>, tokenizer: Tokenizer, stops: [String]) {
    self.continuation = continuation
    stream = TextStream(tokenizer, after: continuation.ids)
    filter = StopFilter(stops: stops)
  }

  /// The text that one more token gives; empty where its characters are not complete, or may belong to a stop.
  public mutating func next() -> String? {
    guard !hasEnded else { return nil }
    let piece: String
    if let id = continuation.next() {
      tokens += 1
      piece = filter.pass(stream.append(id))
      hasEnded = filter.hasStopped
    } else {
      piece = filter.finish(stream.finish())
      hasEnded = true
    }
    text += piece
    return piece
  }
}
