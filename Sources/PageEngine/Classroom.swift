/// What the live page plays with: a base network, an adapter and a full fine-tune that learn from the same images, and
/// images to test all three on.
package final class Classroom {
  /// Which of the networks answers.
  package enum Reader: Int32 {
    case base, lowRank, full
  }

  package let base: Network
  package let train: Images
  package let test: Images
  private let testPixels: [Float]
  /// What the base answered at first: the switched-off adapter must give these bits again.
  private let baseLogits: [Float]
  private var lowRank: Pupil
  private var full: Pupil
  private var merged: Network?

  package init(base: Network, train: Images, test: Images) {
    self.base = base
    self.train = train
    self.test = test
    testPixels = test.pixels(Array(test.labels.indices))
    baseLogits = base.logits(testPixels, rows: test.labels.count)
    let lesson = Lesson(digit: 0, share: 1, seed: 0)
    lowRank = Pupil(lowRank: base.layers, rank: 1, scale: 1, lesson: lesson, labels: train.labels)
    full = Pupil(full: base.layers, lesson: lesson, labels: train.labels)
  }

  /// Forgets what was learnt and begins a lesson.
  package func begin(_ lesson: Lesson, rank: Int, scale: Float) {
    merged = nil
    lowRank = Pupil(lowRank: base.layers, rank: rank, scale: scale, lesson: lesson, labels: train.labels)
    full = Pupil(full: base.layers, lesson: lesson, labels: train.labels)
  }

  package func setScale(_ scale: Float) { lowRank.setScale(scale) }

  /// One training step of the adapter or of the full fine-tune; its loss.
  package func step(_ reader: Reader, rate: Float) -> Float {
    reader == .full ? full.step(train, rate: rate) : lowRank.step(train, rate: rate)
  }

  /// W becomes W + scale · B A in a network without adapters, or that network is dropped again.
  package func merge(_ isMerged: Bool) { merged = isMerged ? lowRank.network.folded : nil }

  package func network(_ reader: Reader) -> Network {
    switch reader {
    // The adapter's own frozen layers with the adapter switched off, not the copy that was kept.
    case .base: Network(layers: lowRank.network.layers)
    case .lowRank: merged ?? lowRank.network
    case .full: full.network
    }
  }

  package func trainedCount(_ reader: Reader) -> Int {
    switch reader {
    case .base: 0
    case .lowRank: lowRank.trainedCount
    case .full: full.trainedCount
    }
  }

  /// The answers on the test images: the largest logit's class.
  package func answers(_ reader: Reader) -> [UInt8] {
    let logits = network(reader).logits(testPixels, rows: test.labels.count)
    let classes = base.layers.last!.outputs
    return test.labels.indices.map { row in
      var best = 0
      for i in 1..<classes where logits[row * classes + i] > logits[row * classes + best] { best = i }
      return UInt8(best)
    }
  }

  /// How many of the test images' logits have, with the adapter switched off, the very bits of the base.
  package func sameBits() -> Int {
    let logits = network(.base).logits(testPixels, rows: test.labels.count)
    return logits.indices.reduce(0) { $0 + (logits[$1].bitPattern == baseLogits[$1].bitPattern ? 1 : 0) }
  }

  /// The largest difference that merging made to a logit of the test images: rounding.
  package func mergeError() -> Float {
    let beside = lowRank.network.logits(testPixels, rows: test.labels.count)
    let inside = lowRank.network.folded.logits(testPixels, rows: test.labels.count)
    return beside.indices.reduce(0) { max($0, (beside[$1] - inside[$1]).magnitude) }
  }

  /// What was added to a layer's weight, [outputs, inputs].
  package func delta(_ reader: Reader, layer: Int) -> [Float] {
    if reader == .lowRank, let adapters = lowRank.network.adapters {
      return adapters[layer].delta(scale: lowRank.network.scale)
    }
    var delta = network(reader).layers[layer].weight
    for i in delta.indices { delta[i] -= base.layers[layer].weight[i] }
    return delta
  }

  /// The singular values of what was added: of the adapter as many as its rank.
  package func spectrum(_ reader: Reader, layer: Int) -> [Float] {
    if reader == .lowRank, let adapters = lowRank.network.adapters {
      return singularValues(adapters[layer], scale: lowRank.network.scale)
    }
    let layerShape = base.layers[layer]
    return singularValues(
      delta(reader, layer: layer), rows: layerShape.outputs, columns: layerShape.inputs)
  }

  /// The adapter of a layer.
  package func adapter(layer: Int) -> LowRank? { lowRank.network.adapters?[layer] }
}
