import LoRANetworks
import LoRATensors

/// Ranks that train apart on their parts of every batch, and meet every so many steps: for machines with a slow network
/// between them (DiLoCo; Douillard et al., arXiv:2311.08105). Each takes steps of its own optimizer; at a meeting the mean of
/// what they have changed is the gradient of one outer step, by Nesterov's rule.
///
/// Between two meetings nothing is sent. The result depends on the number of ranks.
public struct LocalTraining: Sendable, Equatable {
  /// Steps between two meetings, at least 1.
  public var everySteps: Int
  /// The outer step's learning rate. With the momentum below it suits fine-tuning, which ends after few meetings; the
  /// paper's 0.7 and 0.9 are for runs with hundreds of them.
  public var outerRate: Float = 1
  /// The outer step's momentum, above 0.
  public var outerMomentum: Float = 0.5

  /// A meeting every so many steps.
  public init(everySteps: Int) {
    expect(everySteps > 0, "LocalTraining: a meeting every \(everySteps) steps")
    self.everySteps = everySteps
  }
}

/// The meetings of a run: what all ranks had at the last one, and the outer step's velocity.
struct Meetings {
  let plan: LocalTraining
  private let ranks: any Collective
  private let rule: SGD
  private var anchor: [Tensor]
  /// After which step the last one was.
  private(set) var last: Int

  init(_ plan: LocalTraining, of trainer: Trainer) {
    self.plan = plan
    ranks = trainer.ranks
    rule = SGD(
      trainer.optimizer.parameters, learningRate: plan.outerRate, momentum: plan.outerMomentum, isNesterov: true)
    anchor = trainer.optimizer.parameters.map(\.parameter.original)
    last = trainer.history.steps.count
  }

  /// Goes from what the ranks have to what they have together; their losses since the last meeting become the means.
  ///
  /// - Returns: whether a rank has raised its flag.
  mutating func meet(_ history: inout TrainingHistory, raising flag: Bool) throws -> Bool {
    let losses = history.steps[last...].map(\.loss)
    var own: [Float] = []
    for (item, old) in zip(rule.parameters, anchor) { own += (old - item.parameter.original).scalars }
    let shares = [Float](repeating: 1 / Float(ranks.count), count: ranks.count)
    let mean = try ranks.sum(
      [own + losses + [flag ? 1 : 0]], shares: shares, length: own.count + losses.count + 1)
    var (gradients, start) = (Gradients(), 0)
    for (item, old) in zip(rule.parameters, anchor) {
      gradients[item.parameter] = Tensor(shape: old.shape, scalars: Array(mean[start..<start + old.count]))
      start += old.count
      try item.parameter.assignOriginal(old)
    }
    rule.update(gradients)
    anchor = rule.parameters.map(\.parameter.original)
    for index in losses.indices { history.steps[last + index].loss = mean[start + index] }
    last = history.steps.count
    return mean[mean.count - 1] != 0
  }

  // MARK: What is kept

  private static func prefix(_ rank: Int) -> String { "rank.\(rank)." }

  /// The velocity, and what the other ranks' optimizers keep; on rank 0 alone, since it alone writes.
  func state(_ optimizer: any Optimizer) throws -> [String: Tensor] {
    let own = optimizer.state.sorted { $0.key < $1.key }
    let numbers = own.flatMap(\.value.scalars)
    let none = [Int](repeating: 0, count: ranks.count - 1)
    let all = try ranks.exchange(
      numbers, sending: [numbers.count] + none,
      receiving: Array(repeating: ranks.rank == 0 ? numbers.count : 0, count: ranks.count))
    guard ranks.rank == 0 else { return [:] }
    var state = Dictionary(uniqueKeysWithValues: rule.state.map { ("outer.\($0.key)", $0.value) })
    var start = numbers.count
    for rank in 1..<ranks.count {
      for (name, tensor) in own {
        state[Self.prefix(rank) + name] = Tensor(
          shape: tensor.shape, scalars: Array(all[start..<start + tensor.count]))
        start += tensor.count
      }
    }
    return state
  }

  /// Takes up what was kept, after the run was put back.
  mutating func restore(_ kept: [String: Tensor], _ trainer: Trainer) throws {
    func part(_ prefix: String) -> [String: Tensor] {
      Dictionary(
        uniqueKeysWithValues: kept.filter { $0.key.hasPrefix(prefix) }.map {
          (String($0.key.dropFirst(prefix.count)), $0.value)
        })
    }
    last = trainer.history.steps.count
    anchor = rule.parameters.map(\.parameter.original)
    // SGD's velocity is zero at first, and then no longer: its steps are the meetings.
    let velocity = part("outer.")
    try rule.restore(state: velocity, step: velocity.isEmpty ? 0 : 1)
    if ranks.rank > 0 { try trainer.optimizer.restore(state: part(Self.prefix(ranks.rank)), step: last) }
  }
}
