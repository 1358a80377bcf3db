// Adapters of convolutions between a model in memory and peft's folders; the fixtures are
// Fixtures/checkpoints/make_fixtures.py's.

import Foundation
import LoRAKit
import TestSupport
import Testing

@Suite("Convolutions and peft") struct ConvolutionTransferTests {
  private final class Network: Module {
    let first: Conv2d
    let second: Conv2d
    let head: Linear

    init() {
      var generator = SeededGenerator(seed: 0)
      first = Conv2d(
        weight: Parameter(.zeros([4, 3, 3, 2])), bias: Parameter(.zeros([4])))
      second = Conv2d(inputs: 4, outputs: 5, kernel: 3, using: &generator)
      head = Linear(inputs: 5, outputs: 2, using: &generator)
    }

    func callAsFunction(_ x: Tensor) -> Tensor {
      let maps = second(first(x).relu())
      return head(maps.mean(axis: 3).mean(axis: 2))
    }
  }

  @Test(
    "what peft saved gives peft's outputs, and what is saved again is what peft saved",
    arguments: ["convolutions", "convolutions-dora"])
  func transfer(_ name: String) throws {
    let folder = fixtures.appendingPathComponent("checkpoints/\(name)")
    let recorded = try TensorFile(folder.appendingPathComponent("outputs.safetensors"))
    let (input, output) = (try recorded["input"]!.tensor(), try recorded["output"]!.tensor())
    func network(_ adapter: URL) throws -> Network {
      let network = Network()
      try network.load(from: folder.appendingPathComponent("base/model.safetensors"))
      #expect(!network(input).isClose(to: output, tolerance: 0.01))
      try StoredAdapter(contentsOf: adapter).attach(to: network)
      return network
    }
    let own = folder.appendingPathComponent("adapter")
    let attached = try network(own)
    #expect(attached(input).isClose(to: output, tolerance: 1e-5))

    let temporary = try TemporaryFolder()
    let written = temporary.file("written")
    try StoredAdapter(of: attached, url: written).write(peft: written)
    #expect(try network(written)(input).isIdentical(to: attached(input)))
    let (ours, theirs) = try (
      TensorFile(written.appendingPathComponent("adapter_model.safetensors")),
      TensorFile(own.appendingPathComponent("adapter_model.safetensors"))
    )
    #expect(Set(ours.tensors.map(\.name)) == Set(theirs.tensors.map(\.name)))
    for tensor in theirs.tensors {
      let value = try #require(ours[tensor.name]).tensor()
      #expect(try value.isClose(to: tensor.tensor(), tolerance: 1e-6), "\(tensor.name)")
    }
  }
}
