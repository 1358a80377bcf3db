// From token vectors to one vector a text (Reimers and Gurevych 2019, section 3).

import LoRATensors

/// What stands for a text's token vectors; several ways give one vector after another.
public struct SentencePooling: Sendable, Equatable {
  /// One way, under the name that sentence-transformers gives it.
  public enum Mode: String, Sendable, CaseIterable {
    /// The first token's vector.
    case first = "cls"
    /// By number, the largest of all tokens.
    case maximum = "max"
    /// Their mean.
    case mean
    /// Their sum over the square root of how many they are.
    case sumOverRoot = "mean_sqrt_len_tokens"
    /// Their mean, the i-th of them counting i times (Muennighoff 2022, section 3).
    case weightedMean = "weightedmean"
    /// The last token's vector.
    case last = "lasttoken"
  }

  /// In the order of their vectors.
  public let modes: [Mode]

  /// - Precondition: there is at least one way.
  public init(_ modes: Mode...) { self.init(modes: modes) }

  init(modes: [Mode]) {
    expect(!modes.isEmpty, "SentencePooling: no way to pool")
    self.modes = modes
  }

  /// What is kept of one sequence, of a text that may have several: by mode its numbers, and at last the tokens' weight.
  ///
  /// - Parameters:
  ///   - hidden: token vectors, [tokens, size].
  ///   - weights: how much each token counts, where several sequences hold it.
  package func part(of hidden: Tensor, weights: [Float]) -> [Float] {
    let count = hidden.shape[0]
    func sum(_ weights: [Float]) -> [Float] {
      Tensor(shape: [1, count], scalars: weights).matmul(hidden).scalars
    }
    let pooled = modes.map { mode -> [Float] in
      switch mode {
      case .first: hidden.rows(at: [0]).scalars
      case .last: hidden.rows(at: [count - 1]).scalars
      case .maximum: hidden.max(axis: 0).scalars
      case .mean, .sumOverRoot: sum(weights)
      case .weightedMean:
        sum((1...count).map { Float($0) / Float(count * (count + 1) / 2) })
      }
    }
    return pooled.flatMap { $0 } + [weights.reduce(0, +)]
  }

  /// The vector of a text from what was kept of its sequences: of windows the first one's first token, the last one's
  /// last, the largest of all, the mean of all tokens, and else the mean over the windows.
  package func vector(of parts: [[Float]]) -> [Float] {
    let size = (parts[0].count - 1) / modes.count
    let weight = parts.reduce(0) { $0 + $1.last! }
    return modes.enumerated().flatMap { index, mode -> [Float] in
      let found = parts.map { $0[(index * size)..<((index + 1) * size)] }
      func combined(_ combine: (Float, Float) -> Float) -> [Float] {
        found.dropFirst().reduce(Array(found[0])) { result, part in zip(result, part).map(combine) }
      }
      switch mode {
      case .first: return Array(found[0])
      case .last: return Array(found[found.count - 1])
      case .maximum: return combined(max)
      case .mean: return combined(+).map { $0 / weight }
      case .sumOverRoot: return combined(+).map { $0 / weight.squareRoot() }
      case .weightedMean: return combined(+).map { $0 / Float(found.count) }
      }
    }
  }
}
