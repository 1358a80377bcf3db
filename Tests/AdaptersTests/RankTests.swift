import LoRAAdapters
import LoRALinearAlgebra
import LoRANetworks
import LoRATensors
import Testing

@Suite("A rank above the smaller side")
struct RankTests {
  /// What a program that stopped said.
  private static func words(_ result: ExitTest.Result?) -> String {
    String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
  }

  @Test("is refused by every door that takes a rank for one matrix, in the same words", arguments: [0, 4])
  func thrown(rank: Int) {
    let matrix = Tensor.ones([3, 5])
    var generator = SeededGenerator(seed: 1)
    let layer = Linear(inputs: 5, outputs: 3, using: &generator)
    let decomposed = #expect(throws: LinearAlgebraError.self) { try matrix.randomizedSVD(rank: rank) }
    let attached = #expect(throws: AttachmentError.self) {
      try layer.attach(LoRAConfiguration(rank: rank, alpha: 1), using: &generator)
    }
    for error in [decomposed?.description, attached?.description] {
      #expect(error?.contains("rank \(rank) does not fit") == true)
      #expect(error?.contains("it must lie in 1...3") == true)
    }
    #expect(!layer.weight.isParametrized)
  }

  @Test("stops with these words where the caller holds the shape")
  func stopped() async {
    let adapter = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      var generator = SeededGenerator(seed: 1)
      _ = LoRA(rank: 4, alpha: 1, for: Parameter(.ones([3, 5])), using: &generator)
    }
    #expect(Self.words(adapter).contains("rank 4 does not fit a parameter of shape [3, 5]; it must lie in 1...3"))
    let convolution = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      var generator = SeededGenerator(seed: 1)
      _ = LoRA(rank: 9, alpha: 1, for: Parameter(.ones([20, 2, 2, 2])), using: &generator)
    }
    #expect(Self.words(convolution).contains("it must lie in 1...8"))
    let factors = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = try Tensor.ones([3, 5]).svd().truncated(to: 4)
    }
    #expect(Self.words(factors).contains("rank 4 does not fit factors of rank 3; it must lie in 0...3"))
  }

  @Test("means all of a matrix to a rule for many")
  func rule() throws {
    let matrix = Tensor([[1, 2, 0], [0, 1, 5]])
    let factors = try matrix.svd().truncated(by: .fixed(7))
    #expect(factors.rank == 2 && factors.reconstructed().isClose(to: matrix, tolerance: 1e-5))
  }
}
