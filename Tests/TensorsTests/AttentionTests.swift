// Attention in blocks against attention as the paper writes it, with the whole matrix of scores.
import LoRATensors
import Testing

@Suite("Attention")
struct AttentionTests {
  /// softmax(q kᵀ / √size + mask) v with the tensors' elementary operations, head by head.
  private func plain(
    _ query: Tensor, _ key: Tensor, _ value: Tensor, _ queries: Packing, _ keys: Packing, isCausal: Bool
  ) -> Tensor {
    let (heads, size) = (query.shape[1], query.shape[2])
    let group = heads / key.shape[1]
    func head(_ x: Tensor, _ index: Int, _ rows: Range<Int>) -> Tensor {
      x.sliced(axis: 0, rows).sliced(axis: 1, index..<(index + 1)).reshaped([rows.count, size])
    }
    return .concatenated(
      (0..<queries.count).map { sequence in
        let (rows, columns) = (queries[sequence], keys[sequence])
        let mask = Tensor(
          shape: [rows.count, columns.count],
          scalars: (0..<rows.count).flatMap { row in
            (0..<columns.count).map { !isCausal || $0 <= row + columns.count - rows.count ? 0 : -1e9 }
          })
        return .concatenated(
          (0..<heads).map { index in
            let scores = head(query, index, rows).matmul(head(key, index / group, columns), transposeOther: true)
            let weights = (scores * (1 / Float(size).squareRoot()) + mask).softmax()
            return weights.matmul(head(value, index / group, columns)).reshaped([rows.count, 1, size])
          }, axis: 1)
      }, axis: 0)
  }

  struct Shape: Sendable {
    var heads: Int
    var keyHeads: Int
    var size: Int
    var queries: [Int]
    var keys: [Int]
  }

  // Blocks hold 64 queries and keys: lengths below, at, and beyond one block; head sizes that fill no vector.
  private static let shapes = [
    Shape(heads: 4, keyHeads: 2, size: 8, queries: [5, 1, 64, 65], keys: [5, 1, 64, 65]),
    Shape(heads: 3, keyHeads: 1, size: 64, queries: [130], keys: [130]),
    Shape(heads: 2, keyHeads: 2, size: 20, queries: [1, 3, 70], keys: [200, 3, 129]),
    Shape(heads: 2, keyHeads: 1, size: 48, queries: [63, 2], keys: [66, 128]),
  ]

  @Test("blocks give what the whole matrix gives, output and gradients", arguments: shapes, [false, true])
  func blocks(shape: Shape, isCausal: Bool) {
    var generator = SeededGenerator(seed: 5)
    let (queries, keys) = (Packing(lengths: shape.queries), Packing(lengths: shape.keys))
    let inputs = [
      Tensor.normal([queries.rows, shape.heads, shape.size], using: &generator),
      Tensor.normal([keys.rows, shape.keyHeads, shape.size], using: &generator),
      Tensor.normal([keys.rows, shape.keyHeads, shape.size], using: &generator),
    ]
    let direction = Tensor.normal(inputs[0].shape, using: &generator)
    let (value, gradients) = valueAndGradients(at: inputs) {
      (Tensor.attention(query: $0[0], key: $0[1], value: $0[2], queries: queries, keys: keys, isCausal: isCausal)
        * direction).sum()
    }
    let (expected, expectedGradients) = valueAndGradients(at: inputs) {
      (plain($0[0], $0[1], $0[2], queries, keys, isCausal: isCausal) * direction).sum()
    }
    #expect(abs(value.item - expected.item) < 2e-4 * (1 + abs(expected.item)))
    for (found, expected) in zip(gradients, expectedGradients) {
      #expect((found - expected).norm <= 1e-5 * expected.norm)
    }
  }

  @Test("only the gradients that are asked for are computed, and one alone is the same")
  func singleGradients() {
    var generator = SeededGenerator(seed: 6)
    let inputs = (0..<3).map { _ in Tensor.normal([70, 2, 16], using: &generator) }
    let packing = Packing(lengths: [70])
    let all = valueAndGradients(at: inputs) {
      Tensor.attention(query: $0[0], key: $0[1], value: $0[2], queries: packing, isCausal: true).squared().sum()
    }.gradients
    for index in 0..<3 {
      let one = valueAndGradients(at: [inputs[index]]) { leaf in
        var parts = inputs
        parts[index] = leaf[0]
        return Tensor.attention(query: parts[0], key: parts[1], value: parts[2], queries: packing, isCausal: true)
          .squared().sum()
      }.gradients[0]
      #expect(one.isIdentical(to: all[index]))
    }
  }

  @Test("scores of any size neither overflow nor vanish")
  func extremeScores() {
    let large = Tensor(shape: [2, 1, 1], scalars: [1e4, -1e4])
    let value = Tensor(shape: [2, 1, 1], scalars: [3, 5])
    let output = Tensor.attention(
      query: large, key: large, value: value, queries: Packing(lengths: [2]), isCausal: false)
    // Scores ±1e8: each query sees its own key alone.
    #expect(output.scalars == [3, 5])
  }

  @Test("the loss in blocks of rows is the loss of the whole logits")
  func linearCrossEntropy() {
    var generator = SeededGenerator(seed: 7)
    let x = Tensor.normal([150, 5], using: &generator)
    let weight = Tensor.normal([100_000, 5], using: &generator)  // 64 rows to a block
    let targets = (0..<150).map { $0 % 7 == 3 ? -100 : ($0 * 997) % 100_000 }
    let found = valueAndGradients(at: [x, weight]) { $0[0].linearCrossEntropy($0[1], targets) }
    let expected = valueAndGradients(at: [x, weight]) { $0[0].linear($0[1]).crossEntropy(targets) }
    #expect(abs(found.value.item - expected.value.item) < 1e-5 * expected.value.item)
    for (a, b) in zip(found.gradients, expected.gradients) { #expect((a - b).norm < 1e-5 * b.norm) }
  }

  @Test("turning keeps lengths, and scores depend on the distance of positions alone")
  func rotary() {
    var generator = SeededGenerator(seed: 8)
    let table = RotaryTable(frequencies: [1, 0.1, 0.01], positions: 1..<50)
    let (q, k) = (Tensor.normal([1, 1, 6], using: &generator), Tensor.normal([1, 1, 6], using: &generator))
    func score(_ i: Int, _ j: Int) -> Float {
      (q.rotated(by: table, at: [i]) * k.rotated(by: table, at: [j])).sum().item
    }
    #expect(abs(q.rotated(by: table, at: [33]).norm - q.norm) < 1e-6)
    #expect(abs(score(3, 1) - score(42, 40)) < 1e-5)
    #expect(abs(score(3, 1) - score(3, 2)) > 1e-3)
    // (1, 0) turned by one radian.
    let unit = Tensor(shape: [1, 1, 2], scalars: [1, 0])
    let turned = unit.rotated(by: RotaryTable(frequencies: [1], positions: 0..<2), at: [1])
    #expect(abs(turned.scalars[0] - 0.5403023) < 1e-6 && abs(turned.scalars[1] - 0.8414710) < 1e-6)
  }
}
