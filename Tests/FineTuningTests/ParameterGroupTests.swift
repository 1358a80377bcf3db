// Groups of parameters: other rates and decays, for every optimizer.
import LoRAAdapters
import LoRANetworks
import LoRATensors
import LoRATraining
import TestSupport
import Testing

private final class Net: Module {
  let hidden: Linear
  let norm = LayerNorm(size: 6)
  let output: Linear

  init(seed: UInt64 = 1) {
    var generator = SeededGenerator(seed: seed)
    hidden = Linear(inputs: 4, outputs: 6, using: &generator)
    output = Linear(inputs: 6, outputs: 3, using: &generator)
  }

  func callAsFunction(_ x: Tensor) -> Tensor { output(norm(hidden(x)).tanh()) }
}

private let x = randomTensor([5, 4], seed: 2)
private func loss(_ net: Net) -> Tensor { net(x).crossEntropy([0, 2, 1, 1, 0]) }

private let optimizers: [String: @Sendable ([NamedParameter], Float, [ParameterGroup]) -> any Optimizer] = [
  "adam": { Adam($0, learningRate: 0.1, weightDecay: .coupled($1), groups: $2) },
  "adamw": { Adam($0, learningRate: 0.1, weightDecay: .decoupled($1), groups: $2) },
  "sgd": { SGD($0, learningRate: 0.1, momentum: 0.9, weightDecay: $1, groups: $2) },
]

/// Three steps; the parameters after them, by name.
private func train(
  _ name: String, decay: Float, rate: Float = 1, groups: ([NamedParameter]) throws -> [ParameterGroup] = { _ in [] }
) throws -> [String: Tensor] {
  let net = Net()
  let optimizer = optimizers[name]!(net.trainableParameters, decay, try groups(net.trainableParameters))
  optimizer.learningRate *= rate
  // The gradients of the same values, so that groups do not act on each other.
  let (_, gradients) = net.valueAndGradients { loss(net) }
  for _ in 0..<3 { optimizer.update(gradients) }
  return Dictionary(uniqueKeysWithValues: net.parameters.map { ($0.name, $0.parameter.original) })
}

@Suite("Groups of parameters")
struct ParameterGroupTests {
  @Test("each is trained as an optimizer with its rate and decay alone would", arguments: optimizers.keys.sorted())
  func groups(name: String) throws {
    let found = try train(name, decay: 0.2) { parameters in
      [
        ParameterGroup(try parameters.matching(.names(["bias", "norm"])), weightDecay: 0),
        ParameterGroup(where: { $0.name.hasPrefix("output.") }, rateMultiplier: 4),
      ]
    }
    let (plain, fast) = (try train(name, decay: 0.2), try train(name, decay: 0.2, rate: 4))
    let (free, fastFree) = (try train(name, decay: 0), try train(name, decay: 0, rate: 4))
    let expected = [
      "hidden.weight": plain, "hidden.bias": free, "norm.weight": free, "norm.bias": free, "output.weight": fast,
      "output.bias": fastFree,
    ]
    #expect(Set(found.keys) == Set(expected.keys))
    for (name, values) in expected {
      #expect(found[name]!.isIdentical(to: values[name]!), "\(name)")
      // Each differs from the others.
      #expect([plain, fast, free, fastFree].count { $0[name]!.isIdentical(to: values[name]!) } == 1, "\(name)")
    }
  }

  @Test("of two groups that say the same of a parameter, the later counts; what one leaves open, the other says")
  func order() {
    let parameters = Net().parameters
    let settings = ParameterGroup.settings(
      of: parameters,
      in: [
        ParameterGroup(where: { _ in true }, rateMultiplier: 2, weightDecay: 0.5),
        ParameterGroup([parameters[0]], rateMultiplier: 3),
      ], weightDecay: 0.1)
    #expect(settings[0] == (3, 0.5) && settings[1] == (2, 0.5))
    #expect(ParameterGroup.settings(of: parameters, in: [], weightDecay: 0.1).allSatisfy { $0 == (1, 0.1) })
  }

  @Test("LoRA+ is a group: B alone moves at its rate")
  func loraPlus() throws {
    func train(_ ratio: Float?) throws -> [String: Tensor] {
      let net = Net()
      var generator = SeededGenerator(seed: 3)
      try net.attach(LoRAConfiguration(rank: 2, alpha: 3), using: &generator)
      let parameters = net.trainableParameters
      let optimizer = SGD(
        parameters, learningRate: 0.1,
        groups: try ratio.map { [ParameterGroup(try parameters.matching(.names(["b"])), rateMultiplier: $0)] } ?? [])
      try Trainer(optimizer).step { loss(net) }
      return Dictionary(uniqueKeysWithValues: parameters.map { ($0.name, $0.parameter.original) })
    }
    let (one, sixteen) = (try train(nil), try train(16))
    for (name, value) in one {
      // B starts at zero: sixteen times the rate is sixteen times the step.
      let expected = name.hasSuffix(".b") ? value * 16 : value
      #expect(relativeDifference(sixteen[name]!, expected) < 1e-6 && value.norm > 0, "\(name)")
    }
  }

  @Test("a run with groups that is kept and taken up goes on bit for bit", arguments: optimizers.keys.sorted())
  func state(name: String) throws {
    let folder = try TemporaryFolder()
    func trainer(_ net: Net) throws -> Trainer {
      let parameters = net.trainableParameters
      return Trainer(
        optimizers[name]!(
          parameters, 0.3,
          [
            ParameterGroup(where: { $0.parameter.shape.count == 1 }, weightDecay: 0),
            ParameterGroup(try parameters.matching(.pattern("output.*")), rateMultiplier: 0.25),
          ]))
    }
    func run(_ net: Net, _ steps: Int, keepingAt: Int? = nil, resume: Bool = false) throws {
      var sampler = ShuffledBatches([0, 1, 2, 3, 4], batchSize: 2, seed: 1)
      var plan = TrainingPlan(steps: steps)
      plan.keeping = StateKeeping(url: folder.file("state"), everySteps: 100, purpose: name)
      plan.resumeFrom = resume ? folder.file("state") : nil
      try trainer(net).run(net, plan, drawing: &sampler) { indices in
        net(x.rows(at: indices)).crossEntropy(indices.map { $0 % 3 })
      }
    }
    let (whole, half, rest) = (Net(), Net(), Net(seed: 8))
    try run(whole, 9)
    try run(half, 4)
    try run(rest, 9, resume: true)
    for (a, b) in zip(whole.parameters, rest.parameters) {
      #expect(a.parameter.original.isIdentical(to: b.parameter.original), "\(a.name)")
    }
  }

  @Test("parameters are chosen by their names and the modules around them; what matches nothing is an error")
  func selection() throws {
    let parameters = Net().parameters
    func names(_ targets: Targets) throws -> [String] { try parameters.matching(targets).map(\.name) }
    #expect(try names(.names(["hidden"])) == ["hidden.weight", "hidden.bias"])
    #expect(try names(.names(["bias"])) == ["hidden.bias", "norm.bias", "output.bias"])
    #expect(try names(.pattern("(norm|output.weight)")) == ["norm.weight", "norm.bias", "output.weight"])
    let error = #expect(throws: AttachmentError.self) { try names(.names(["hidden", "head"])) }
    #expect(error?.description.contains("'head'") == true && error?.description.contains("norm.bias") == true)
    #expect(throws: AttachmentError.self) { try names(.pattern("head")) }
    #expect(throws: AttachmentError.self) { try names(.pattern("(")) }
  }
}
