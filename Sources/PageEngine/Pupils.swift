// The two ways to teach: an adapter beside the frozen layers, and every parameter.

#if !arch(wasm32)
  import LoRATensors
#endif

/// One training run of one of the two.
struct Pupil {
  private(set) var network: Network
  private var batches: FocusedBatches
  private var optimizers: [(first: Adam, second: Adam)]
  /// How many numbers are trained.
  let trainedCount: Int

  /// Frozen layers, and beside each an adapter: A and B are trained.
  init(lowRank layers: [Dense], rank: Int, scale: Float, lesson: Lesson, labels: [UInt8]) {
    var generator = SeededGenerator(seed: lesson.seed &+ 1)
    var adapters: [LowRank] = []
    for layer in layers { adapters.append(LowRank(beside: layer, rank: rank, using: &generator)) }
    network = Network(layers: layers, adapters: adapters, scale: scale)
    optimizers = adapters.map { (Adam(count: $0.a.count), Adam(count: $0.b.count)) }
    trainedCount = adapters.reduce(0) { $0 + $1.a.count + $1.b.count }
    batches = FocusedBatches(
      lesson.digit, of: labels, share: lesson.share, size: lesson.batchSize, seed: generator.next())
  }

  /// A copy of the layers, of which every number is trained.
  init(full layers: [Dense], lesson: Lesson, labels: [UInt8]) {
    var generator = SeededGenerator(seed: lesson.seed &+ 1)
    network = Network(layers: layers)
    optimizers = layers.map { (Adam(count: $0.weight.count), Adam(count: $0.bias.count)) }
    trainedCount = layers.reduce(0) { $0 + $1.weight.count + $1.bias.count }
    batches = FocusedBatches(
      lesson.digit, of: labels, share: lesson.share, size: lesson.batchSize, seed: generator.next())
  }

  /// α/r acts at once, without training.
  mutating func setScale(_ scale: Float) { network.scale = scale }

  /// One step on the next batch; its loss.
  mutating func step(_ images: Images, rate: Float) -> Float {
    let batch = batches.next()
    let rows = batch.count
    let trace = network.trace(images.pixels(batch), rows: rows)
    var (loss, dy) = crossEntropy(
      trace.logits, batch.map { Int(images.labels[$0]) }, classes: network.layers.last!.outputs)
    for index in network.layers.indices.reversed() {
      let layer = network.layers[index]
      let x = trace.inputs[index]
      var dx: [Float] = []
      if index > 0 {
        dx = product(dy, times: layer.weight, rows: rows, inputs: layer.inputs, outputs: layer.outputs)
      }
      if let adapter = network.adapters?[index] {
        // y = … + s (x Aᵀ) Bᵀ, so dB = s dyᵀ (x Aᵀ), d(x Aᵀ) = s dy B, dA = d(x Aᵀ)ᵀ x, dx += d(x Aᵀ) A.
        let scaled = dy.map { $0 * network.scale }
        let r = adapter.rank
        let db = product(scaled, turnedTimes: trace.narrowed[index], rows: rows, inputs: r, outputs: layer.outputs)
        let dn = product(scaled, times: adapter.b, rows: rows, inputs: r, outputs: layer.outputs)
        let da = product(dn, turnedTimes: x, rows: rows, inputs: layer.inputs, outputs: r)
        if index > 0 {
          let more = product(dn, times: adapter.a, rows: rows, inputs: layer.inputs, outputs: r)
          for i in dx.indices { dx[i] += more[i] }
        }
        optimizers[index].first.update(&network.adapters![index].a, da, rate: rate)
        optimizers[index].second.update(&network.adapters![index].b, db, rate: rate)
      } else {
        let dw = product(dy, turnedTimes: x, rows: rows, inputs: layer.inputs, outputs: layer.outputs)
        var db = [Float](repeating: 0, count: layer.outputs)
        for i in dy.indices { db[i % layer.outputs] += dy[i] }
        optimizers[index].first.update(&network.layers[index].weight, dw, rate: rate)
        optimizers[index].second.update(&network.layers[index].bias, db, rate: rate)
      }
      // Through the ReLU below, which let pass what was above zero.
      for i in dx.indices where x[i] <= 0 { dx[i] = 0 }
      dy = dx
    }
    return loss
  }
}

/// What is taught: which digit, in which mixture.
package struct Lesson {
  var digit: Int
  /// The share of the digit in a batch; the rest is replay.
  var share: Float
  var batchSize: Int
  var seed: UInt64

  package init(digit: Int, share: Float, batchSize: Int = 10, seed: UInt64) {
    self.digit = digit
    self.share = share
    self.batchSize = batchSize
    self.seed = seed
  }
}

/// Images as bytes, [count, pixels], and their digits.
package struct Images {
  package let bytes: [UInt8]
  package let labels: [UInt8]

  package init(bytes: [UInt8], labels: [UInt8]) {
    self.bytes = bytes
    self.labels = labels
  }

  /// As the model takes them, [rows, pixels]: MNIST's mean and deviation.
  package func pixels(_ rows: [Int]) -> [Float] {
    let count = bytes.count / max(1, labels.count)
    var result: [Float] = []
    result.reserveCapacity(rows.count * count)
    for row in rows {
      for i in 0..<count { result.append((Float(bytes[row * count + i]) / 255 - 0.1307) / 0.3081) }
    }
    return result
  }
}
