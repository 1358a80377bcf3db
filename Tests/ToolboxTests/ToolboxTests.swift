import Foundation
import LoRAAdapters
import LoRAFiles
import LoRAFormats
import LoRALinearAlgebra
import LoRATensors
import LoRAToolbox
import TestSupport
import Testing

/// An adapter in memory for modules of the given shapes.
func makeAdapter(
  _ shapes: [(path: String, outputs: Int, inputs: Int, rank: Int, alpha: Double)], rslora: Bool = false,
  seed: UInt64 = 1
) throws -> StoredAdapter {
  var configuration = PEFTConfiguration()
  configuration.scaling = rslora ? .rankStabilized : .standard
  configuration.selection.targets = .names(shapes.map(\.path))
  let modules = try shapes.enumerated().map { index, shape in
    StoredModule(
      path: shape.path,
      a: try StoredTensor(name: "a", randomTensor([shape.rank, shape.inputs], seed: seed &+ UInt64(index) * 2)),
      b: try StoredTensor(name: "b", randomTensor([shape.outputs, shape.rank], seed: seed &+ UInt64(index) * 2 + 1)),
      alpha: shape.alpha, scaling: configuration.scaling)
  }
  configuration.rank = shapes[0].rank
  configuration.alpha = shapes[0].alpha
  configuration.rankExceptions = shapes.dropFirst().map { .init($0.path, $0.rank) }
  configuration.alphaExceptions = shapes.dropFirst().map { .init($0.path, $0.alpha) }
  return StoredAdapter(url: URL(fileURLWithPath: "/nowhere"), configuration: configuration, modules: modules)
}

/// scale · BA.
func update(_ module: StoredModule) throws -> Tensor {
  let update = try #require(try module.method.core.factors())
  return update.b.matmul(update.a) * Float(update.scale)
}

@Suite struct ResizingTests {
  let adapter: StoredAdapter

  init() throws {
    adapter = try makeAdapter([("x.q", 20, 30, 6, 9), ("x.v", 16, 30, 4, 2)], rslora: true)
  }

  @Test("A larger rank computes the same, bit for bit in A and B, and the scale stays", arguments: [6, 7, 40])
  func up(_ rank: Int) throws {
    let (resized, outcomes) = try Resizing(.fixed(rank)).resize(adapter)
    for (old, new) in zip(adapter.modules, resized.modules) {
      #expect(new.rank == rank && abs(new.scale - old.scale) < 1e-12)
      #expect(abs(resized.configuration.scaling.scale(rank: rank, alpha: new.lora!.alpha) - old.scale) < 1e-12)
      #expect(try relativeDifference(update(new), update(old)) < 1e-6)
    }
    #expect(outcomes.allSatisfy { $0.relativeError == 0 })
    // Room to train on: the new rows of A are not zero.
    if rank == 7 { #expect(try resized.modules[0].lora!.a.tensor().sliced(axis: 0, 6..<7).norm > 0.1) }
  }

  @Test("Up and down again gives the same update")
  func upAndDown() throws {
    let (larger, _) = try Resizing(.fixed(12)).resize(adapter)
    let (back, outcomes) = try Resizing(.fixed(6)).resize(larger)
    for (old, new) in zip(adapter.modules, back.modules) {
      #expect(try relativeDifference(update(new), update(old)) < 2e-6)
    }
    #expect(outcomes.allSatisfy { $0.relativeError < 1e-6 })
  }

  @Test("A smaller rank is the best approximation, and its error is the one reported")
  func down() throws {
    let (resized, outcomes) = try Resizing(.fixed(2)).resize(adapter)
    for (index, (old, new)) in zip(adapter.modules, resized.modules).enumerated() {
      let whole = try update(old)
      let best = try whole.svd().truncated(to: 2)
      #expect(try relativeDifference(update(new), best.reconstructed()) < 1e-5)
      let error = try (update(new) - whole).norm / whole.norm
      #expect(abs(outcomes[index].relativeError - error) < 1e-5)
    }
  }

  @Test("Rules choose a rank for each module, and the configuration gives each its own")
  func rules() throws {
    for selection in [RankSelection.energy(0.8), .ratioToLargest(0.6), .sum(0.7)] {
      let (resized, _) = try Resizing(selection).resize(adapter)
      let matcher = try PEFTMatcher(resized.configuration)
      for (old, new) in zip(adapter.modules, resized.modules) {
        let spectrum = try update(old).spectrum()
        #expect(new.rank == spectrum.rank(selection) && new.rank < old.rank)
        #expect(try matcher.rank(of: new.path) == new.rank)
        #expect(
          try abs(resized.configuration.scaling.scale(rank: new.rank, alpha: matcher.alpha(of: new.path)) - old.scale)
            < 1e-9)
      }
    }
  }
}

@Suite struct CombinationTests {
  @Test("The exact combination is the weighted sum, over other ranks, alphas, rsLoRA and modules of one only")
  func exact() throws {
    let one = try makeAdapter([("x.q", 20, 30, 6, 9), ("x.v", 16, 30, 4, 2)], rslora: true)
    let two = try makeAdapter([("x.q", 20, 30, 3, 5), ("x.k", 12, 30, 2, 4)], seed: 90)
    var combination = Combination()
    let (sum, outcomes) = try combination.combine([(one, weight: 0.7), (two, weight: -0.3)])
    #expect(sum.modules.map(\.path) == ["x.k", "x.q", "x.v"])
    #expect(outcomes.map(\.relativeError) == [0, 0, 0])
    let expected = [
      try update(two["x.k"]!) * -0.3, try update(one["x.q"]!) * 0.7 - update(two["x.q"]!) * 0.3,
      try update(one["x.v"]!) * 0.7,
    ]
    for (module, expected) in zip(sum.modules, expected) {
      #expect(module.scale == 1)
      #expect(try relativeDifference(update(module), expected) < 2e-6)
    }
    let matcher = try PEFTMatcher(sum.configuration)
    #expect(try sum.modules.allSatisfy { try matcher.targets($0.path) && matcher.rank(of: $0.path) == $0.rank })
    #expect(sum.configuration.scaling == .standard)

    combination.method = .svd
    combination.rank = 3
    let (smaller, errors) = try combination.combine([(one, weight: 0.7), (two, weight: -0.3)])
    let best = try expected[1].svd().truncated(to: 3)
    #expect(try relativeDifference(update(smaller["x.q"]!), best.reconstructed()) < 1e-5)
    #expect(abs(errors[1].relativeError - best.relativeFrobeniusError) < 1e-4)
  }

  @Test("An average is the weighted mean of updates, never of factors, and its error is that of the best of its rank")
  func average() throws {
    let adapters = [
      try makeAdapter([("q", 20, 30, 3, 5)], rslora: true), try makeAdapter([("q", 20, 30, 2, 3)], seed: 50),
      try makeAdapter([("q", 20, 30, 4, 9)], seed: 70),
    ]
    let weights = [1200.0, 300, 500]
    // Σ wᵢ Δᵢ / Σ wᵢ, of rank 3 + 2 + 4.
    let expected = try zip(adapters, weights).reduce(Tensor.zeros([20, 30])) {
      try $0 + update($1.0.modules[0]) * Float($1.1 / 2000)
    }
    var combination = Combination()
    combination.method = .svd
    for rank in [nil, 9, 3] {
      combination.rank = rank
      let (mean, outcomes) = try combination.average(zip(adapters, weights).map { ($0, weight: $1) })
      // The largest of the adapters' ranks, where none is asked for.
      #expect(mean.modules[0].rank == rank ?? 4)
      let best = try expected.svd().truncated(to: rank ?? 4)
      #expect(try relativeDifference(update(mean.modules[0]), best.reconstructed()) < 1e-5)
      #expect(abs(outcomes[0].relativeError - best.relativeFrobeniusError) < 1e-4)
      #expect(rank != 9 || outcomes[0].relativeError < 1e-5)
    }
    // The same update by other factors: B turned round in sign, and so is A. The mean of the factors would be zero.
    var twin = adapters[0]
    let lora = try #require(twin.modules[0].lora)
    twin.modules[0] = StoredModule(
      path: "q", a: try StoredTensor(name: "a", -lora.a.tensor()), b: try StoredTensor(name: "b", -lora.b.tensor()),
      alpha: 5, scaling: .rankStabilized)
    combination.rank = nil
    let (mean, outcomes) = try combination.average([(adapters[0], weight: 1), (twin, weight: 1)])
    #expect(try relativeDifference(update(mean.modules[0]), update(adapters[0].modules[0])) < 1e-5)
    #expect(outcomes[0].relativeError < 1e-5)
  }

  @Test("What adapters hold whole is averaged as it is where it counts whole, and refused else")
  func replacements() throws {
    var one = try makeAdapter([("q", 8, 9, 3, 5)])
    var two = try makeAdapter([("q", 8, 9, 3, 5)], seed: 40)
    one.replacements = [try StoredTensor(name: "score.weight", Tensor([[1, 2], [3, 4]]))]
    two.replacements = [try StoredTensor(name: "score.weight", Tensor([[5, 2], [-1, 0]]))]
    let (mean, _) = try Combination().average([(one, weight: 3), (two, weight: 1)])
    // ¾ · 1 + ¼ · 5, …
    #expect(try mean.replacements.map { try $0.tensor() } == [Tensor([[2, 2], [2, 3]])])
    #expect { try Combination().combine([(one, weight: 0.5), (two, weight: 0.6)]) } throws: {
      "\($0)".contains("would count 1.1")
    }
    two.replacements = [try StoredTensor(name: "score.weight", Tensor([[5, 2, 1]]))]
    #expect { try Combination().average([(one, weight: 1), (two, weight: 1)]) } throws: {
      "\($0)".contains("is [1, 3], expected [2, 2], as in another adapter")
    }
    // Of one that lacks it, the base's own would be needed.
    two.replacements = []
    #expect(throws: CheckpointError.self) { try Combination().average([(one, weight: 1), (two, weight: 1)]) }
  }

  @Test("A bias' difference beside A and B, which no sum of products holds, is refused")
  func biasDifference() throws {
    var one = try makeAdapter([("q", 8, 9, 3, 5)])
    let lora = try #require(one.modules[0].lora)
    one.modules[0].method = try AdapterMethods.make(
      ModuleParts(
        path: "q", file: "",
        tensors: [
          StoredLoRA.a: lora.a, StoredLoRA.b: lora.b,
          StoredDifference.bias: try StoredTensor(name: "d", .ones([8])),
        ], alpha: 5))
    #expect(one.modules[0].method.changesBias)
    #expect { try Combination().combine([(one, weight: 1)]) } throws: { "\($0)".contains("changes a bias") }
  }

  @Test("Methods that add A and B refuse ranks that differ; DoRA is refused")
  func refused() throws {
    let one = try makeAdapter([("q", 8, 9, 3, 3)])
    var two = try makeAdapter([("q", 8, 9, 2, 3)])
    for method in [Combination.Method.linear, .ties, .dareTies, .dareLinear, .magnitudePrune] {
      var combination = Combination()
      combination.method = method
      #expect(throws: CheckpointError.self) { try combination.combine([(one, weight: 1), (two, weight: 1)]) }
    }
    two.modules[0].method = StoredDoRA(two.modules[0].method, magnitude: try StoredTensor(name: "m", .ones([8])))
    #expect(throws: CheckpointError.self) { try Combination().combine([(one, weight: 1), (two, weight: 1)]) }
  }

  @Test("Dropping at random keeps the share that was asked for, and the same seed drops the same")
  func dare() throws {
    let one = try makeAdapter([("q", 80, 90, 30, 30)])
    var combination = Combination()
    combination.method = .dareLinear
    combination.density = 0.3
    let (first, _) = try combination.combine([(one, weight: 1)])
    let (second, _) = try combination.combine([(one, weight: 1)])
    let a = try first.modules[0].lora!.a.tensor()
    #expect(try a.isIdentical(to: second.modules[0].lora!.a.tensor()))
    let kept = Double(a.scalars.count { $0 != 0 }) / Double(a.count)
    #expect(abs(kept - 0.3) < 0.05)
  }
}

@Suite struct ComparisonTests {
  @Test("An adapter is the same as itself; one with other columns of the same space overlaps wholly")
  func adapters() throws {
    let one = try makeAdapter([("q", 20, 30, 4, 8)])
    let same = try AdapterComparison(one, one)
    #expect(same.modules[0].relativeDifference < 1e-3 && same.modules[0].cosine > 0.99999)
    #expect(same.modules[0].outputOverlap > 0.9999 && same.modules[0].inputOverlap > 0.9999)
    // Twice the update: half of it is the difference, and the spaces are the same.
    var twice = one
    twice.modules[0].lora!.alpha *= 2
    let comparison = try AdapterComparison(one, twice)
    #expect(abs(comparison.modules[0].relativeDifference - 1) < 1e-4)
    #expect(comparison.modules[0].outputOverlap > 0.9999)
    let other = try AdapterComparison(one, makeAdapter([("q", 20, 30, 4, 8), ("v", 3, 3, 1, 1)], seed: 50))
    #expect(other.modules[0].outputOverlap < 0.6 && other.onlyInSecond == ["v"])
  }

  @Test("Two spaces at 60 degrees have that principal angle")
  func angle() throws {
    // B = e₁ against B = cos 60° e₁ + sin 60° e₂, A the same.
    func adapter(_ b: [Float]) throws -> StoredAdapter {
      var adapter = try makeAdapter([("q", 2, 3, 1, 1)])
      adapter.modules[0].lora!.a = try StoredTensor(name: "a", Tensor(shape: [1, 3], scalars: [1, 2, 2]))
      adapter.modules[0].lora!.b = try StoredTensor(name: "b", Tensor(shape: [2, 1], scalars: b))
      return adapter
    }
    let comparison = try AdapterComparison(adapter([1, 0]), adapter([0.5, Float(0.75).squareRoot()]))
    #expect(abs(comparison.modules[0].outputAngles[0] - .pi / 3) < 1e-4)
    #expect(comparison.modules[0].inputAngles[0] < 1e-3)
    #expect(abs(comparison.modules[0].cosine - 0.5) < 1e-4)
  }
}

@Suite struct InspectionTests {
  @Test("What is odd is found: zero B, unused rank, NaN")
  func oddities() throws {
    var adapter = try makeAdapter([
      ("zero", 8, 9, 2, 2), ("half", 8, 9, 4, 2), ("nan", 8, 9, 2, 2), ("good", 8, 9, 2, 2),
    ])
    for index in adapter.modules.indices {
      let module = adapter.modules[index]
      switch module.path {
      case "zero": adapter.modules[index].lora!.b = try StoredTensor(name: "b", .zeros([8, 2]))
      case "half":
        let b = randomTensor([8, 2], seed: 8)
        adapter.modules[index].lora!.b = try StoredTensor(name: "b", .concatenated([b, b], axis: 1))
      case "nan":
        var scalars = try module.lora!.a.tensor().scalars
        scalars[3] = .nan
        adapter.modules[index].lora!.a = try StoredTensor(name: "a", Tensor(shape: [2, 9], scalars: scalars))
      default: break
      }
    }
    let inspection = try AdapterInspection(adapter)
    func subjects(_ text: String) -> [String] {
      inspection.findings.first { $0.message.contains(text) }?.subjects ?? []
    }
    #expect(subjects("no effect") == ["zero"])
    #expect(subjects("fewer directions") == ["half: 2 of 4"])
    #expect(subjects("NaN") == ["nan"])
    let good = inspection.modules.first { $0.path == "good" }!
    #expect(abs(good.normOfUpdate - (try update(adapter["good"]!).norm)) < 1e-4)
    #expect(good.effectiveRank > 1 && good.effectiveRank <= 2)
  }
}
