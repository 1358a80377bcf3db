// A pass whose rows use different links: each row's bits are those of its example alone.
//
// A product's bits depend on how many rows are worked on at once, since few rows are multiplied by other kernels than
// many. So rows of several examples are joined only as far as the kernels treat them as one row, and an example of more
// rows than that goes by itself. What is stored is read once for all adapters; each adapter gets its rows together.

import LoRATensors

/// Rows of examples, one after another.
private struct ExampleRows {
  /// The most rows that a product treats as it treats one.
  private static let alike = 32
  /// What is worked on at once.
  private(set) var blocks: [Range<Int>] = []

  init(lengths: [Int]) {
    var (start, end) = (0, 0)
    for length in lengths {
      if end > start, end + length - start > Self.alike {
        blocks.append(start..<end)
        start = end
      }
      end += length
    }
    if end > start { blocks.append(start..<end) }
  }

  /// `body` of each block's rows, one after another.
  func map(_ body: (Range<Int>) -> Tensor) -> Tensor {
    blocks.count == 1 ? body(blocks[0]) : .concatenated(blocks.map(body), axis: 0)
  }
}

extension Parameter {
  /// `body` of the rows x [rows, …] that meet this parameter; where rows use different links, as if each example were
  /// alone.
  package func mappingRows(_ x: Tensor, _ body: (Tensor) -> Tensor) -> Tensor {
    guard let choice = LinkChoice.byRow(of: self) else { return body(x) }
    let rows = ExampleRows(lengths: choice.lengths(of: x.shape[0], leading: x.shape[0]))
    return rows.blocks.count == 1 ? body(x) : rows.map { body(x.sliced(axis: 0, $0)) }
  }

  /// `linear` where examples have links of their own.
  func linear(_ input: Tensor, bias: Parameter?, _ choice: LinkChoice) -> Tensor {
    let x = input.reshaped([input.count / inputs, inputs])
    let lengths = choice.lengths(of: x.shape[0], leading: input.rank == 1 ? 1 : input.shape[0])
    let product = ExampleRows(lengths: lengths).map { map(x.sliced(axis: 0, $0), by: stored, bias: nil) }
    let output = regrouped(product, lengths, choice, bias) { links, bias, rows, lengths in
      let (product, x) = (product.rows(at: rows), x.rows(at: rows))
      let result =
        links.isEmpty
        ? product
        : ExampleRows(lengths: lengths).map { block in
          adapted(product.sliced(axis: 0, block), x.sliced(axis: 0, block), links)
        }
      return bias.map { result + $0 } ?? result
    }
    return output.reshaped(input.shape.dropLast() + [outputs])
  }

  /// `rows(at:)` where examples have links of their own.
  func rows(at indices: [Int], _ choice: LinkChoice) -> Tensor {
    let lengths = choice.lengths(of: indices.count, leading: indices.count)
    let found = stored.rows(at: indices)
    return regrouped(found, lengths, choice, nil) { links, _, rows, lengths in
      links.isEmpty
        ? found.rows(at: rows)
        : ExampleRows(lengths: lengths).map { block in
          self.rows(at: rows[block].map { indices[$0] }, through: links)
        }
    }
  }

  /// What `body` makes of the rows of each group, in the rows' order.
  private func regrouped(
    _ whole: Tensor, _ lengths: [Int], _ choice: LinkChoice, _ bias: Parameter?,
    _ body: (_ links: [any Parametrization], _ bias: Tensor?, _ rows: [Int], _ lengths: [Int]) -> Tensor
  ) -> Tensor {
    // Groups that differ elsewhere in the model may be alike here.
    var distinct: [(links: [any Parametrization], biasLinks: [any Parametrization], examples: [Int])] = []
    for (example, group) in choice.examples.enumerated() {
      let links = choice.links(of: parametrizations, group: group)
      let biasLinks = choice.links(of: bias?.parametrizations ?? [], group: group)
      let known = distinct.firstIndex {
        $0.links.elementsEqual(links) { $0 === $1 } && $0.biasLinks.elementsEqual(biasLinks) { $0 === $1 }
      }
      if let known { distinct[known].examples.append(example) } else { distinct.append((links, biasLinks, [example])) }
    }
    let starts = lengths.reduce(into: [0]) { $0.append($0.last! + $1) }
    var (pieces, order): ([Tensor], [Int]) = ([], [])
    for (links, biasLinks, examples) in distinct {
      let rows = examples.flatMap { Array(starts[$0]..<starts[$0 + 1]) }
      pieces.append(body(links, bias?.computedValue(through: biasLinks), rows, examples.map { lengths[$0] }))
      order += rows
    }
    let joined = pieces.count == 1 ? pieces[0] : Tensor.concatenated(pieces, axis: 0)
    guard zip(order, order.indices).contains(where: { $0 != $1 }) else { return joined }
    var places = order
    for (place, row) in order.enumerated() { places[row] = place }
    return joined.rows(at: places)
  }
}
