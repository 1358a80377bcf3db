// Tokens that come from outside: checked once at the door, where an error can be answered.

import LoRAFiles
import LoRATensors

extension TokenRows {
  /// Sequences of tokens of which nothing is known.
  ///
  /// - Throws: `CheckpointError` where a sequence is empty or too long, or a token is not one of the model's, which says
  ///   which sequence it is.
  public init(checking ids: [[Int]], vocabulary: Int, positions: Int) throws {
    for (index, sequence) in ids.enumerated() {
      func wrong(_ found: String, _ expected: String) -> CheckpointError {
        CheckpointError(
          .mismatch, file: "", "sequence \(index + 1) of \(ids.count) \(found)", expected: expected,
          advice: "Tokenize it with the model's own tokenizer, cut to what the model reads")
      }
      guard !sequence.isEmpty else { throw wrong("has no token", "at least one") }
      guard sequence.count <= positions else {
        throw wrong("has \(sequence.count) tokens", "at most \(positions), which the model reads")
      }
      if let unknown = sequence.first(where: { !(0..<vocabulary).contains($0) }) {
        throw wrong("holds the token \(unknown)", "one of the model's, 0 to \(vocabulary - 1)")
      }
    }
    guard !ids.isEmpty else {
      throw CheckpointError(
        .missing, file: "", "there is no sequence to read", expected: "at least one", advice: "Give one")
    }
    self.init(ids: ids)
  }
}

extension Transformer {
  /// The rows of tokens from outside, checked: what this throws at, the transformer itself stops the program at.
  public func tokenRows(_ ids: [[Int]]) throws -> TokenRows {
    try TokenRows(checking: ids, vocabulary: description.vocabulary, positions: description.positions)
  }
}

extension LanguageModel {
  /// The rows of tokens from outside, checked: what this throws at, the model itself stops the program at.
  public func tokenRows(_ ids: [[Int]]) throws -> TokenRows {
    try TokenRows(checking: ids, vocabulary: vocabulary, positions: positions)
  }

  /// Goes on with tokens from outside, as `Continuation` does with tokens that are known to fit.
  ///
  /// - Throws: `CheckpointError` where there are none, they are too many, or one is not the model's.
  public func continuation<Generator: RandomNumberGenerator>(
    of ids: [Int], limit: Int, options: SamplingOptions = SamplingOptions(), ends: Set<Int> = [],
    using generator: Generator
  ) throws -> Continuation<Generator> {
    _ = try tokenRows([ids])
    return Continuation(of: ids, by: self, limit: limit, options: options, ends: ends, using: generator)
  }
}

extension TextClassifier {
  /// The mean loss of some of the texts, given their classes: what training asks for.
  ///
  /// - `labels`: by text, the place of its class in `labels`.
  /// - Throws: `CheckpointError` that names the text whose class is not one of the classifier's.
  public func loss(of texts: EncodedTexts, at indices: [Int], labels classes: [Int]) throws -> Tensor {
    let chosen = try indices.map { index in
      guard classes.indices.contains(index), labels.indices.contains(classes[index]) else {
        throw CheckpointError(
          .mismatch, file: "",
          "text \(index + 1) has \(classes.indices.contains(index) ? "the class \(classes[index])" : "no class")",
          expected: "one of the classifier's, 0 to \(labels.count - 1)",
          advice: "Number the classes as the classifier's labels do")
      }
      return classes[index]
    }
    return try logits(of: texts, at: indices).crossEntropy(chosen)
  }
}
