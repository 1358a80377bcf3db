// Several ranks are one process with the same parts, bit for bit; apart, they meet by Nesterov's rule.
import Foundation
import LoRANetworks
import LoRATensors
import LoRATraining
import TestSupport
import Testing

/// Where the threads of one process meet.
private final class Board: @unchecked Sendable {
  let count: Int
  private let condition = NSCondition()
  private var (slots, result, arrived, round): ([Any], [Any], Int, Int)

  init(_ count: Int) {
    self.count = count
    (slots, result, arrived, round) = (Array(repeating: 0, count: count), [], 0, 0)
  }

  /// What every thread has brought, by rank.
  func meet(_ rank: Int, _ value: Any) -> [Any] {
    condition.withLock {
      slots[rank] = value
      arrived += 1
      if arrived == count {
        (result, arrived, round) = (slots, 0, round + 1)
        condition.broadcast()
      } else {
        let entered = round
        while round == entered { condition.wait() }
      }
      return result
    }
  }
}

/// A thread as a rank.
private final class ThreadRank: Collective {
  let board: Board
  let rank: Int
  private(set) var bytesSent = 0
  var count: Int { board.count }

  init(_ rank: Int, _ board: Board) { (self.rank, self.board) = (rank, board) }

  func exchange(_ numbers: [Float], sending: [Int], receiving: [Int]) -> [Float] {
    bytesSent += 4 * (numbers.count - sending[rank])
    let all = board.meet(rank, (numbers, sending)) as! [([Float], [Int])]
    let lists = all.map { numbers, lengths in
      let start = lengths[..<rank].reduce(0, +)
      return Array(numbers[start..<start + lengths[rank]])
    }
    #expect(lists.map(\.count) == receiving)
    return lists.flatMap(\.self)
  }

  func gather(_ numbers: [Float], counts: [Int]) -> [Float] {
    bytesSent += 4 * numbers.count * (count - 1)
    let all = board.meet(rank, numbers) as! [[Float]]
    #expect(all.map(\.count) == counts)
    return all.flatMap(\.self)
  }

  func broadcast(_ bytes: [UInt8]) -> [UInt8] { board.meet(rank, bytes)[0] as! [UInt8] }
  func barrier() { _ = board.meet(rank, 0) }
}

private final class Results<Value>: @unchecked Sendable {
  let lock = NSLock()
  var byRank: [Int: Result<Value, any Error>] = [:]
}

/// What every rank of so many comes to, each in a thread of its own.
private func onRanks<Result: Sendable>(
  _ count: Int, _ body: @escaping @Sendable (any Collective) throws -> Result
) throws -> [Result] {
  if count == 1 { return [try body(OneProcess())] }
  let board = Board(count)
  let (results, group) = (Results<Result>(), DispatchGroup())
  for rank in 0..<count {
    group.enter()
    let thread = Thread {
      let result = Swift.Result { try body(ThreadRank(rank, board)) }
      results.lock.withLock { results.byRank[rank] = result }
      group.leave()
    }
    thread.stackSize = 8 << 20
    thread.start()
  }
  group.wait()
  return try (0..<count).map { try results.byRank[$0]!.get() }
}

/// Two layers with dropout between; one parameter that only some examples reach.
private final class Net: Module {
  let first: Linear
  let dropout = Dropout(0.3, seed: 11)
  let second: Linear
  let rare = Parameter(randomTensor([3], seed: 3))

  init() {
    var generator = SeededGenerator(seed: 7)
    first = Linear(inputs: 5, outputs: 7, using: &generator)
    second = Linear(inputs: 7, outputs: 3, using: &generator)
  }

  func loss(of examples: [Int]) -> Tensor {
    let x = Tensor.concatenated(examples.map { randomTensor([1, 5], seed: UInt64($0)) }, axis: 0)
    var logits = second(dropout(first(x).relu()))
    if examples.contains(where: { $0 % 5 == 0 }) { logits = logits + rare.value }
    return logits.crossEntropy(examples.map { $0 % 3 })
  }
}

private struct Outcome: Sendable {
  var parameters: [[Float]]
  var losses: [Float]
  var norms: [Float?]
  var best: Evaluation?
  var bytes: Int
}

/// 9 steps by 6 of 22 examples, so that an epoch's last batch has 4 and parts of one example; evaluated every 4 steps.
private func train(
  _ count: Int, parts: Int = 4, local: LocalTraining? = nil, state: URL? = nil, resumes: Bool = false,
  stopAt: Int? = nil,
  keepEvery: Int = 100
) throws -> [Outcome] {
  try onRanks(count) { ranks in
    let model = Net()
    var plan = TrainingPlan(steps: 9)
    (plan.accumulation, plan.evaluateEvery, plan.local) = (parts, 4, local)
    plan.keeping = state.map { StateKeeping(url: $0, everySteps: keepEvery, purpose: "ranks") }
    if resumes { plan.resumeFrom = state }
    let trainer = Trainer(Adam(model.trainableParameters, learningRate: 0.05), clipping: 0.5, ranks: ranks)
    var sampler = ShuffledBatches(count: 22, batchSize: 6, seed: 2)
    // Only one rank is asked to stop.
    let outcome = try trainer.run(
      model, plan, drawing: &sampler, weight: { $0 % 4 == 0 ? 2 : 1 },
      shouldStop: { ranks.rank == ranks.count - 1 && trainer.losses.count + (ranks.count > 1 ? 1 : 0) == stopAt },
      evaluate: {
        #expect(ranks.rank == 0)
        let loss = Double(model.loss(of: Array(0..<22)).item)
        return (-loss, loss)
      }, loss: model.loss)
    return Outcome(
      parameters: model.trainableParameters.map(\.parameter.original.scalars), losses: outcome.losses,
      norms: outcome.history.steps.map(\.gradientNorm), best: outcome.best, bytes: ranks.bytesSent)
  }
}

private func expectSame(_ a: Outcome, _ b: Outcome, _ comment: Comment, location: SourceLocation = #_sourceLocation) {
  #expect(a.parameters == b.parameters, comment, sourceLocation: location)
  #expect(a.losses == b.losses && a.best == b.best, comment, sourceLocation: location)
  #expect(a.norms == b.norms, comment, sourceLocation: location)
}

@Suite("Ranks")
struct RanksTests {
  @Test("a sum is made in the order of its parts, whoever has them", arguments: 1...5)
  func order(count: Int) throws {
    // ½ · 2²⁶ + ½ · 2 is 2²⁵ + 1, which float32 rounds to 2²⁵; with −½ · 2²⁶ comes 0, and with ½ · 4 at last 2. In another
    // order the 1 would survive.
    let parts: [[Float]] = [67_108_864, 2, -67_108_864, 4].map { [$0, 1, $0] }
    let sums = try onRanks(count) { ranks in
      try ranks.sum(
        Array(parts[ranks.ownParts(of: parts.count)]), shares: [0.5, 0.5, 0.5, 0.5], length: 3)
    }
    for sum in sums { #expect(sum == [2, 2, 2]) }
  }

  @Test("2, 3 and 4 ranks give the bits of one process with the same parts, dropout and rare parameters included")
  func bits() throws {
    let one = try train(1)[0]
    #expect(one.losses.count == 9 && one.best != nil && Set(one.losses).count == 9)
    for count in 2...4 {
      for (rank, outcome) in try train(count).enumerated() { expectSame(outcome, one, "rank \(rank) of \(count)") }
    }
    // What is cut otherwise is another sum, and another dropout.
    #expect(try train(1, parts: 2)[0].parameters != one.parameters)
  }

  @Test("a run that was stopped goes on with any number of ranks, as if it had not been")
  func resuming() throws {
    let whole = try train(1)[0]
    for (before, after) in [(4, 1), (1, 3), (2, 4)] {
      let temporary = try TemporaryFolder()
      let state = temporary.file("state")
      #expect(throws: TrainingError.self, "\(before) ranks") { try train(before, state: state, stopAt: 5) }
      #expect(TrainingState.parts(in: state) == 4)
      for outcome in try train(after, state: state, resumes: true) {
        expectSame(outcome, whole, "\(before) ranks, then \(after)")
      }
    }
  }

  @Test("a rank with other data is found before the first step, on every rank")
  func differing() throws {
    let found = try onRanks(3) { ranks in
      let model = Net()
      let trainer = Trainer(SGD(model.trainableParameters, learningRate: 0.1), ranks: ranks)
      var sampler = ShuffledBatches(count: 8, batchSize: 4, seed: 2)
      var plan = TrainingPlan(steps: 2)
      plan.accumulation = 3
      let before = model.first.weight.original
      let error = #expect(throws: CollectiveError.self) {
        try trainer.run(model, plan, drawing: &sampler) { model.loss(of: ranks.rank == 2 ? $0.map { $0 + 1 } : $0) }
      }
      #expect(model.first.weight.original.isIdentical(to: before))
      return error.map { "\($0)" } ?? ""
    }
    for message in found {
      #expect(message.hasPrefix("The first loss, with the number of steps and parts, on rank 2 is "))
    }
  }

  @Test("rank 0 collects bytes of any number, in rank order")
  func collected() throws {
    let words: [[UInt8]] = [[1, 2, 3, 4, 5], [], [0x01, 0x00, 0xa0, 0x7f, 0xff, 0xff, 0xff], [9, 9, 9, 9]]
    for count in [1, 2, 4] {
      let found = try onRanks(count) { try $0.collect(words[$0.rank]) }
      #expect(found[0] == Array(words[..<count]))
      #expect(found.dropFirst().joined().isEmpty)
    }
  }

  // MARK: Apart

  /// Always both examples.
  private struct Both: BatchSampler {
    mutating func next() -> [Int] { [0, 1] }
  }

  private final class Line: Module { let w = Parameter(Tensor([10])) }

  @Test("ranks that train apart meet by Nesterov's rule")
  func nesterov() throws {
    // The loss of example i is cᵢ w, its gradient cᵢ = 1, 3. By plain steps of rate 1 the ranks go from 10 to 8 and 4 in two
    // steps: the mean change is 4. The outer step has rate ½ and momentum ½: v = 4, w = 10 − ½ (4 + ½ · 4) = 7. The same two
    // steps again: v = ½ · 4 + 4 = 6, w = 7 − ½ (4 + ½ · 6) = 3.5.
    // Losses: (10 + 30)/2, (9 + 21)/2, (7 + 21)/2, (6 + 12)/2, and after a last step alone v = ½ · 6 + 2 = 5,
    // w = 3.5 − ½ (2 + ½ · 5) = 1.25.
    for (steps, expected) in [(2, 7), (4, 3.5), (5, 1.25)] as [(Int, Float)] {
      let found = try onRanks(2) { ranks in
        let model = Line()
        let trainer = Trainer(SGD(model.trainableParameters, learningRate: 1), ranks: ranks)
        var plan = TrainingPlan(steps: steps)
        plan.accumulation = 2
        plan.local = LocalTraining(everySteps: 2)
        (plan.local!.outerRate, plan.local!.outerMomentum) = (0.5, 0.5)
        var sampler = Both()
        let outcome = try trainer.run(model, plan, drawing: &sampler) { examples in
          model.w.value.sum() * Float(examples.map { [1, 3][$0] }.reduce(0, +)) / Float(examples.count)
        }
        return (model.w.original.scalars, outcome.losses)
      }
      for (weight, losses) in found {
        #expect(weight == [expected])
        #expect(losses == Array([20, 15, 14, 9, 7][..<steps]))
      }
    }
  }

  @Test("apart, much less is sent, all ranks end alike, and a run that was kept goes on bit for bit")
  func apart() throws {
    let local = LocalTraining(everySteps: 3)
    let together = try train(3)
    let whole = try train(3, local: local)
    for outcome in whole {
      #expect(outcome.parameters == whole[0].parameters && outcome.losses == whole[0].losses)
      #expect(outcome.best == whole[0].best)
    }
    #expect(whole[0].parameters != together[0].parameters)
    // 9 exchanges or 3, and what the ranks compare beside them.
    #expect(2 * whole[0].bytes < together[0].bytes)
    let temporary = try TemporaryFolder()
    let state = temporary.file("state")
    // Asked at step 5, stopped at the meeting of step 6.
    #expect(throws: TrainingError.self) { try train(3, local: local, state: state, stopAt: 6) }
    for (outcome, whole) in zip(try train(3, local: local, state: state, resumes: true), whole) {
      #expect(outcome.parameters == whole.parameters && outcome.losses == whole.losses && outcome.best == whole.best)
      // Those of the steps before are rank 0's, which alone keeps a state.
      #expect(outcome.norms[6...] == whole.norms[6...])
    }
  }
}
