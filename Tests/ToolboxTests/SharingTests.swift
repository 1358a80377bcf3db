// Work that several processes share: here threads are the processes.

import Foundation
import LoRAAdapters
import LoRAFiles
import LoRAFormats
import LoRATensors
import LoRAToolbox
import TestSupport
import Testing

@Suite struct SharingTests {
  @Test("Every part is one process's, and none has much more to do than another", arguments: 1...5)
  func parts(_ count: Int) throws {
    let sizes = [7, 1, 1, 9, 4, 4, 2, 8, 0, 3, 5]
    let shares = try Meeting(count: count).all { $0.own(sizes) }
    #expect(shares.flatMap(\.self).sorted() == Array(sizes.indices))
    let loads = shares.map { $0.reduce(0) { $0 + sizes[$1] } }
    #expect(loads.max()! - loads.min()! <= 2)
    #expect(shares.allSatisfy { $0 == $0.sorted() })
  }

  @Test("The first is told what all have found, to the bit, and the others keep their own")
  func gathered() throws {
    let found = try Meeting(count: 3).all { sharing in
      try sharing.gather([sharing.rank: [Float.nan, -0.0, Float(sharing.rank)], 10 + sharing.rank: []])
        .mapValues { $0.map(\.bitPattern) }
    }
    let own = { (rank: Int) in [rank: [Float.nan, -0.0, Float(rank)].map(\.bitPattern), 10 + rank: []] }
    #expect(found[0] == own(0).merging(own(1)) { $1 }.merging(own(2)) { $1 })
    #expect(found[1] == own(1))
    #expect(found[2] == own(2))
  }

  /// Seven maps of several shapes, one of them unchanged, with biases that change; an embedding; a norm.
  private func writeModels(to directory: URL) throws -> (base: URL, tuned: URL) {
    let shapes = [[12, 8], [8, 8], [8, 12], [30, 4], [4, 30], [16, 16], [6, 6]]
    var tensors: [(name: String, tensor: Tensor)] = [("m.norm.weight", randomTensor([8], seed: 90))]
    for (index, shape) in shapes.enumerated() {
      tensors.append(("m.\(index).weight", randomTensor(shape, seed: UInt64(index))))
      tensors.append(("m.\(index).bias", randomTensor([shape[0]], seed: 20 + UInt64(index))))
    }
    let names = ["base", "tuned"].map { directory.appendingPathComponent($0 + ".safetensors") }
    try SafetensorsWriter.write(tensors.map { try StoredTensor(name: $0.name, $0.tensor) }, to: names[0])
    let tuned = try tensors.enumerated().map { index, named in
      let isSame = named.name == "m.5.weight"
      let change = randomTensor(named.tensor.shape, seed: 50 + UInt64(index)) * 0.1
      return try StoredTensor(name: named.name, isSame ? named.tensor : named.tensor + change)
    }
    try SafetensorsWriter.write(tuned, to: names[1])
    return (names[0], names[1])
  }

  @Test(
    "An adapter that three or five processes extract is that of one, and so is the first one's report",
    arguments: [Extraction.Rank.fixed(3), .energy(0.8), .budget(bytes: 900)], [3, 5])
  func extraction(_ rank: Extraction.Rank, count: Int) throws {
    try withTemporaryDirectory { directory in
      let models = try writeModels(to: directory)
      let (one, several) = (directory.appendingPathComponent("one"), directory.appendingPathComponent("several"))
      @Sendable func extract(to output: URL, among sharing: Sharing) throws -> ExtractionReport {
        var options = Extraction.Options()
        options.keepsVectors = true
        options.format = .bf16
        return try Extraction(
          base: Checkpoint(models.base), tuned: Checkpoint(models.tuned), rank: rank, options: options
        ).run(to: output, among: sharing)
      }
      let report = try extract(to: one, among: .alone)
      let reports = try Meeting(count: count).all { try extract(to: several, among: $0) }
      for name in try FileManager.default.contentsOfDirectory(atPath: one.path) {
        let paths = [one, several].map { $0.appendingPathComponent(name).path }
        #expect(FileManager.default.contentsEqual(atPath: paths[0], andPath: paths[1]), "\(name)")
      }
      #expect(reports[0].modules.map(\.path) == report.modules.map(\.path))
      for figure in [\.norm, \.relativeChange, \.residual] as [KeyPath<ExtractionReport.Module, Double>] {
        #expect(reports[0].modules.map { $0[keyPath: figure] } == report.modules.map { $0[keyPath: figure] })
      }
      #expect(reports[0].modules.map(\.rank) == report.modules.map(\.rank))
      #expect(reports[0].modules.map(\.parameterCount) == report.modules.map(\.parameterCount))
      #expect(reports.dropFirst().reduce(0) { $0 + $1.modules.count } < report.modules.count)
    }
  }

  @Test("A process that fails leaves nothing behind")
  func failure() throws {
    try withTemporaryDirectory { directory in
      let models = try writeModels(to: directory)
      let output = directory.appendingPathComponent("adapter")
      struct Ended: Error {}
      let extraction = try Extraction(base: Checkpoint(models.base), tuned: Checkpoint(models.tuned), rank: .fixed(2))
      let sharing = Sharing(rank: 0, count: 2, broadcast: { $0 }, collect: { _ in throw Ended() })
      #expect(throws: Ended.self) { try extraction.run(to: output, among: sharing) }
      #expect(
        try FileManager.default.contentsOfDirectory(atPath: directory.path).sorted()
          == ["base.safetensors", "tuned.safetensors"])
    }
  }

  @Test("Checkpoints that three processes compare differ as they do for one")
  func comparison() throws {
    try withTemporaryDirectory { directory in
      let models = try writeModels(to: directory)
      let one = try CheckpointComparison(Checkpoint(models.base), Checkpoint(models.tuned))
      let several = try Meeting(count: 3).all {
        try CheckpointComparison(Checkpoint(models.base), Checkpoint(models.tuned), among: $0)
      }[0]
      #expect(several.tensors.map(\.name) == one.tensors.map(\.name))
      #expect(several.tensors.map(\.isIdentical) == one.tensors.map(\.isIdentical))
      #expect(several.tensors.map(\.norm) == one.tensors.map(\.norm))
      #expect(several.tensors.map(\.relativeDifference) == one.tensors.map(\.relativeDifference))
      #expect(several.tensors.map(\.largestDifference) == one.tensors.map(\.largestDifference))
    }
  }
}

/// Threads that share a work as processes do.
final class Meeting: @unchecked Sendable {
  private let count: Int
  private let condition = NSCondition()
  private var (here, round) = (0, 0)
  private var words: [Int: [UInt8]] = [:]

  init(count: Int) { self.count = count }

  /// What each of them makes of it, in their order.
  func all<Value: Sendable>(_ body: @escaping @Sendable (Sharing) throws -> Value) throws -> [Value] {
    let results = Results<Value>()
    let group = DispatchGroup()
    for rank in 0..<count {
      group.enter()
      Thread.detachNewThread {
        let sharing = Sharing(
          rank: rank, count: self.count, broadcast: { self.meet(rank, $0)[0] },
          collect: {
            let words = self.meet(rank, $0)
            return rank == 0 ? words : []
          })
        let result = Result { try body(sharing) }
        self.condition.withLock { results.values[rank] = result }
        group.leave()
      }
    }
    group.wait()
    return try (0..<count).map { try results.values[$0]!.get() }
  }

  private final class Results<Value>: @unchecked Sendable {
    var values: [Int: Result<Value, any Error>] = [:]
  }

  /// What all of them bring, once all are here.
  private func meet(_ rank: Int, _ word: [UInt8]) -> [[UInt8]] {
    condition.withLock { words[rank] = word }
    barrier()
    let all = condition.withLock { (0..<count).map { words[$0]! } }
    barrier()
    return all
  }

  private func barrier() {
    condition.withLock {
      let mine = round
      here += 1
      if here == count {
        (here, round) = (0, round + 1)
        condition.broadcast()
      }
      while round == mine { condition.wait() }
    }
  }
}
