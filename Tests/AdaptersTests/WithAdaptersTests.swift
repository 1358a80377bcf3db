// The choice of adapters belongs to a task.
import LoRAAdapters
import LoRANetworks
import LoRATensors
import TestSupport
import Testing

private let x = randomTensor([3, 20], seed: 3)

private final class Net: Module {
  let first: Linear
  let second: Linear

  init(seed: UInt64 = 1, adapters: [String]) throws {
    var generator = SeededGenerator(seed: seed)
    first = Linear(inputs: 20, outputs: 30, using: &generator)
    second = Linear(inputs: 30, outputs: 5, using: &generator)
    for (index, name) in adapters.enumerated() {
      let form = index % 2 == 0 ? LoRAConfiguration.Form.plain : .dora
      try attach(LoRAConfiguration(rank: 1 + index, alpha: 3, form: form, name: name), using: &generator)
    }
    for item in allParameters where item.name.hasSuffix(".b") {
      try item.parameter.assignOriginal(.normal(item.parameter.shape, using: &generator))
    }
  }

  func callAsFunction(_ x: Tensor) -> Tensor { second(first(x).relu()) }
}

/// One model for many tasks: nobody changes it.
private struct Shared: @unchecked Sendable { let net: Net }

private actor Server {
  let net: Net
  init(_ net: sending Net) { self.net = net }
  func answer(_ name: String?) throws -> Tensor { try net.withAdapters(name.map { [$0] } ?? []) { net(x) } }
  func slow(_ name: String) async throws -> Tensor {
    try await net.withAdapters([name]) {
      let first = net.first(x)
      await Task.yield()
      return net.second(first.relu())
    }
  }
}

@Suite("withAdapters")
struct WithAdaptersTests {
  @Test("gives the bits of the adapters switched on, and leaves the switches as they are")
  func choice() throws {
    let net = try Net(adapters: ["a", "b", "c"])
    for names in [[], ["a"], ["b"], ["a", "c"], ["c", "b", "a"]] {
      try net.enableAdapters(names)
      let switched = net(x)
      try net.enableAdapters(["b"])
      #expect(try net.withAdapters(names) { net(x) }.isIdentical(to: switched), "\(names)")
      #expect(net.attachedAdapters.map(\.adapter.isEnabled) == net.attachedAdapters.map { $0.adapter.name == "b" })
    }
    let b = net(x)
    try net.withAdapters(["a"]) {
      let a = net(x)
      #expect(!a.isIdentical(to: b))
      // The innermost choice counts, and a cache of values outside of it does not.
      try Parameter.caching {
        let kept = net(x)
        let inner = try net.withAdapters(["b"]) { net(x) }
        #expect(relativeDifference(inner, b) < 1e-5)
        #expect(net(x).isIdentical(to: kept) && relativeDifference(kept, a) < 1e-5)
      }
      #expect(!net.withAdaptersDisabled { net(x) }.isIdentical(to: a))
    }
    #expect(net(x).isIdentical(to: b))
  }

  @Test("a name that no adapter has is an error that lists those there are")
  func unknown() throws {
    let net = try Net(adapters: ["a", "b"])
    let error = #expect(throws: AttachmentError.self) { try net.withAdapters(["a", "z"]) { Issue.record("ran") } }
    #expect(error?.problem == "no weight matches 'z'; the model has a, b")
  }

  @Test("many tasks use one model at a time, each with adapters of its own")
  func tasks() async throws {
    let shared = Shared(net: try Net(adapters: ["a", "b", "c"]))
    let choices = [[], ["a"], ["b"], ["c"], ["a", "b"], ["b", "c"]]
    let expected = try choices.map { names in try shared.net.withAdapters(names) { shared.net(x) } }
    try await withThrowingTaskGroup(of: (Int, Bool).self) { group in
      for task in 0..<60 {
        group.addTask {
          let index = task % choices.count
          var isSame = true
          for _ in 0..<20 {
            let found = try await shared.net.withAdapters(choices[index]) {
              let first = shared.net.first(x)
              await Task.yield()
              return shared.net.second(first.relu())
            }
            isSame = isSame && found.isIdentical(to: expected[index])
          }
          return (index, isSame)
        }
      }
      for try await (index, isSame) in group { #expect(isSame, "\(choices[index])") }
    }
  }

  @Test("an actor serves each caller its adapter, also where it waits in between")
  func actor() async throws {
    let net = try Net(adapters: ["a", "b"])
    let expected = try [nil, "a", "b"].map { name in try net.withAdapters(name.map { [$0] } ?? []) { net(x) } }
    let server = Server(try Net(adapters: ["a", "b"]))
    async let answers = [server.answer("a"), server.slow("b"), server.slow("a"), server.answer(nil), server.slow("b")]
    for (found, index) in zip(try await answers, [1, 2, 1, 0, 2]) { #expect(found.isIdentical(to: expected[index])) }
  }

  @Test("a model within another keeps its own choice")
  func twoModels() throws {
    let (outer, inner) = (try Net(seed: 1, adapters: ["a", "b"]), try Net(seed: 2, adapters: ["a", "b"]))
    let (a, b) = (try outer.withAdapters(["a"]) { outer(x) }, try inner.withAdapters(["b"]) { inner(x) })
    try outer.withAdapters(["a"]) {
      let both = try inner.withAdapters(["b"]) { inner(x) + outer(x) }
      #expect(both.isIdentical(to: b + a))
      #expect(outer(x).isIdentical(to: a))
    }
  }

  @Test("a task that is started while values are kept computes its own")
  func caching() async throws {
    let shared = Shared(net: try Net(adapters: ["a"]))
    let before = shared.net(x)
    let lora = try #require(shared.net.attachedAdapters[0].adapter as? LoRA)
    let later = Parameter.caching {
      _ = shared.net(x)
      return Task { () -> Tensor in
        try await Task.sleep(for: .milliseconds(20))
        return shared.net(x)
      }
    }
    try lora.b.assignOriginal(lora.b.original * 2)
    let found = try await later.value
    #expect(found.isIdentical(to: shared.net(x)) && !found.isIdentical(to: before))
  }
}
