// A batch in parts, each part's gradient computed by itself, by whichever rank has it.

import LoRANetworks
import LoRATensors

extension Trainer {
  /// The mean over a batch's parts, of all ranks.
  struct PartsMean {
    var value: Tensor
    var gradients: Gradients
    /// Whether a rank has raised its flag.
    var isRaised: Bool
  }

  /// The mean loss and gradient of the parts, weighted by their shares, of which this rank computes its own. The same on
  /// all ranks, and the same whatever their number: every element is 0 + share₀ g₀ + share₁ g₁ + …, in this order.
  ///
  /// - Parameters:
  ///   - parts: which; of all ranks, or only this one's where it works apart.
  ///   - flag: raises a flag that all ranks see.
  func mean(
    of parts: [Int], shares: [Float], apart: Bool = false, raising flag: Bool = false,
    loss: (_ part: Int) throws -> Tensor
  ) throws -> PartsMean {
    if apart || ranks.count == 1 { return try meanHere(of: parts, shares, raising: flag, loss: loss) }
    let parameters = optimizer.parameters
    // A part's vector: its gradients, for each whether there is one, its loss, and the flag.
    let lengths = parameters.map(\.parameter.original.count)
    let length = lengths.reduce(0, +)
    var own: [[Float]] = []
    for index in ranks.ownParts(of: parts.count) {
      let (value, gradients) = try parameters.valueAndGradients { try loss(parts[index]) }
      var vector: [Float] = []
      vector.reserveCapacity(length + parameters.count + 2)
      for (item, length) in zip(parameters, lengths) {
        if let gradient = gradients[item.parameter] {
          vector += gradient.scalars
        } else {
          vector += repeatElement(0, count: length)
        }
      }
      vector += parameters.map { gradients[$0.parameter] == nil ? 0 : 1 }
      own.append(vector + [value.item, flag ? 1 : 0])
    }
    let sum = try ranks.sum(own, shares: shares, length: length + parameters.count + 2)
    var gradients = Gradients()
    var start = 0
    for (index, item) in parameters.enumerated() {
      if sum[length + index] != 0 {
        gradients[item.parameter] = Tensor(
          shape: item.parameter.shape, scalars: Array(sum[start..<start + lengths[index]]))
      }
      start += lengths[index]
    }
    return PartsMean(
      value: Tensor(sum[length + parameters.count]), gradients: gradients, isRaised: sum[sum.count - 1] != 0)
  }

  /// The same in this process alone; only one part's intermediate values are in memory at a time.
  private func meanHere(
    of parts: [Int], _ shares: [Float], raising flag: Bool, loss: (_ part: Int) throws -> Tensor
  ) throws -> PartsMean {
    if parts.count == 1 {
      let (value, gradients) = try optimizer.parameters.valueAndGradients { try loss(parts[0]) }
      return PartsMean(value: value, gradients: gradients, isRaised: flag)
    }
    var (mean, sums) = (Tensor(0), Gradients())
    for (part, share) in zip(parts, shares) {
      let (value, gradients) = try optimizer.parameters.valueAndGradients { try loss(part) }
      mean = mean.adding(value, scaledBy: share)
      for item in optimizer.parameters {
        guard let gradient = gradients[item.parameter] else { continue }
        sums[item.parameter] = (sums[item.parameter] ?? .zeros(gradient.shape)).adding(gradient, scaledBy: share)
      }
    }
    return PartsMean(value: mean, gradients: sums, isRaised: flag)
  }
}

extension Trainer {
  /// Which of a batch's parts are this rank's where it works apart: a run of them, or at least one.
  func ownParts(of count: Int) -> [Int] {
    let own = ranks.ownParts(of: count)
    return own.isEmpty ? [ranks.rank % count] : Array(own)
  }

  /// What is trained, in a few numbers that differ where a bit does.
  var digest: [Float] {
    var digest = WordDigest()
    for item in optimizer.parameters { digest.add(item.parameter.original.scalars.lazy.map(\.bitPattern)) }
    return digest.numbers
  }
}

extension [Int] {
  /// Cut into `count` parts as equal as can be, or as many as there are elements.
  func parts(_ count: Int) -> [[Int]] {
    let count = Swift.min(count, self.count)
    return (0..<count).map { Array(self[self.count.section($0, of: count)]) }
  }
}

/// Where the random numbers of a part come from: from the run's seeds, the step and the part alone. So a part's dropout is the
/// same on whichever rank, and in whichever order, it is computed.
struct PartNoise {
  private let modules: [any RandomizedModule]
  private let seeds: [SeededGenerator]

  init(of model: some Module) {
    modules = model.randomizedModules.map(\.module)
    seeds = modules.map(\.generator)
  }

  /// Draws for a part of a step from now on.
  func begin(step: Int, part: Int) {
    for (module, seed) in zip(modules, seeds) {
      var generator = seed
      generator = SeededGenerator(seed: generator.next() ^ UInt64(step))
      module.generator = SeededGenerator(seed: generator.next() ^ UInt64(part))
    }
  }

  /// Leaves the modules as they were.
  func end() { for (module, seed) in zip(modules, seeds) { module.generator = seed } }
}
