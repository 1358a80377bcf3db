// What a frozen encoder tells apart without any training: the yardstick for an adapter whose base has no classifier.

import LoRATensors

/// The class whose mean embedding is nearest by cosine (nearest class mean: Mensink et al. 2013; in information
/// retrieval, Rocchio's classifier).
///
/// ```swift
/// let examples = NearestClassMean.examples(of: train.labels, perClass: 64)
/// let base = NearestClassMean(
///   embeddings: bert.sentenceEmbeddings(of: …), labels: examples.map { train.labels[$0] }, classCount: 2)
/// base.label(of: embedding)
/// ```
public struct NearestClassMean: Sendable {
  /// By class, of length 1.
  private let means: [[Float]]

  /// - Parameters:
  ///   - embeddings: of length 1, at least one of each class.
  ///   - labels: the class of each.
  ///   - classCount: how many classes there are; one without an example is never the answer.
  public init(embeddings: [[Float]], labels: [Int], classCount: Int) {
    expect(
      embeddings.count == labels.count && Set(labels) == Set(0..<classCount),
      "NearestClassMean: \(embeddings.count) embeddings with \(Set(labels).count) of \(classCount) classes")
    let size = embeddings[0].count
    var sums = [[Float]](repeating: [Float](repeating: 0, count: size), count: classCount)
    for (embedding, label) in zip(embeddings, labels) {
      for place in 0..<size { sums[label][place] += embedding[place] }
    }
    means = sums.map { sum in
      let norm = sum.reduce(0) { $0 + $1 * $1 }.squareRoot()
      return sum.map { $0 / max(norm, 1e-12) }
    }
  }

  /// The class of an embedding; of equals the first.
  public func label(of embedding: [Float]) -> Int {
    let cosines = means.map { zip($0, embedding).reduce(0) { $0 + $1.0 * $1.1 } }
    return cosines.firstIndex(of: cosines.max()!) ?? 0
  }

  /// The places of at most so many examples of each class, evenly spread over all.
  public static func examples(of labels: some Collection<Int>, perClass count: Int) -> [Int] {
    var totals = [Int](repeating: 0, count: (labels.max() ?? -1) + 1)
    for label in labels { totals[label] += 1 }
    var seen = [Int](repeating: 0, count: totals.count)
    var chosen: [Int] = []
    for (index, label) in labels.enumerated() {
      // The place among those of its class is k · total / count, for some k.
      let (place, total) = (seen[label], totals[label])
      let k = (place * count + total - 1) / total
      if total <= count || k < count && k * total / count == place { chosen.append(index) }
      seen[label] += 1
    }
    return chosen
  }
}
