// A module's parameters in a file: the same names or an error, whole or not at all.
import Foundation
import LoRAFiles
import LoRANetworks
import LoRATensors
import TestSupport
import Testing

private final class Scaled: Parametrization {
  let factor: Parameter
  init(_ factor: Tensor) { self.factor = Parameter(factor) }
  func value(of x: Tensor) -> Tensor { x * factor.value }
}

private final class Net: Module {
  let layers: [Linear]
  var extra: Linear?

  init(seed: UInt64, sizes: [Int] = [5, 7, 3], extra: Bool = false) {
    var generator = SeededGenerator(seed: seed)
    layers = zip(sizes, sizes.dropFirst()).map { Linear(inputs: $0, outputs: $1, using: &generator) }
    self.extra = extra ? Linear(inputs: 3, outputs: 2, bias: false, using: &generator) : nil
  }
}

private func isSame(_ a: Net, _ b: Net) -> Bool {
  zip(a.allParameters, b.allParameters).allSatisfy {
    $0.name == $1.name && $0.parameter.original.isIdentical(to: $1.parameter.original)
  }
}

@Suite("Modules in files")
struct ModuleFilesTests {
  @Test("what was saved is loaded, bit for bit, parametrizations with it")
  func roundTrip() throws {
    let folder = try TemporaryFolder()
    let (one, other) = (Net(seed: 1), Net(seed: 2))
    for (net, seed) in [(one, 3), (other, 4)] {
      try net.layers[1].weight.parametrize(by: Scaled(randomTensor([3, 1], seed: UInt64(seed))))
    }
    try one.save(to: folder.file("net.safetensors"))
    #expect(
      try SafetensorsFile(folder.file("net.safetensors")).tensors.map(\.name).sorted() == [
        "layers.0.bias", "layers.0.weight", "layers.1.bias", "layers.1.weight",
        "layers.1.weight.parametrizations.0.factor",
      ])
    #expect(!isSame(one, other))
    let left = try other.load(from: folder.file("net.safetensors"))
    #expect(left.missing.isEmpty && left.unexpected.isEmpty)
    #expect(isSame(one, other))
    #expect(folder.names == ["net.safetensors"])
  }

  @Test(
    "missing and unexpected names are one error that lists both, and nothing is changed; accepted, they are returned")
  func names() throws {
    let folder = try TemporaryFolder()
    let file = folder.file("net.safetensors")
    let saved = Net(seed: 1, extra: true)
    try saved.layers[0].weight.parametrize(by: Scaled(.ones([7, 1])))
    try saved.save(to: file)
    let net = Net(seed: 2, sizes: [5, 7, 3, 4])
    let before = net.parameters.map(\.parameter.original)
    let missing = ["layers.2.weight", "layers.2.bias"]
    let unexpected = ["extra.weight", "layers.0.weight.parametrizations.0.factor"]
    for accepted in [[], NameDifferences.missing, .unexpected] {
      let error = #expect(throws: CheckpointError.self) { try net.load(from: file, accepting: accepted) }
      let text = try #require(error?.description)
      #expect(missing.allSatisfy { text.contains("missing: \($0)") } == !accepted.contains(.missing), "\(text)")
      #expect(unexpected.allSatisfy { text.contains("unexpected: \($0)") } == !accepted.contains(.unexpected))
      #expect(text.contains(file.path) && text.contains("nothing was loaded"))
      #expect(zip(net.parameters, before).allSatisfy { $0.parameter.original.isIdentical(to: $1) })
    }
    let left = try net.load(from: file, accepting: [.missing, .unexpected])
    #expect(left.missing == missing && left.unexpected.sorted() == unexpected)
    #expect(net.layers[0].weight.original.isIdentical(to: saved.layers[0].weight.original))
    #expect(net.layers[2].weight.original.isIdentical(to: before[4]))
  }

  @Test("another shape is an error whatever is accepted, and so is a file with nothing of the module")
  func shapes() throws {
    let folder = try TemporaryFolder()
    let file = folder.file("net.safetensors")
    try Net(seed: 1, sizes: [5, 6, 3]).save(to: file)
    let net = Net(seed: 2)
    let error = #expect(throws: CheckpointError.self) { try net.load(from: file, accepting: [.missing, .unexpected]) }
    #expect(error?.description.contains("layers.0.weight has shape [6, 5], expected [7, 5]") == true)
    try SafetensorsWriter.write([StoredTensor(name: "other", .ones([2]))], to: file)
    #expect(throws: CheckpointError.self) { try net.load(from: file, accepting: [.missing, .unexpected]) }
    try Data("no tensors".utf8).write(to: file)
    #expect(throws: CheckpointError.self) { try net.load(from: file) }
  }

  @Test("a file that can't be written leaves the one before, and nothing half-written")
  func whole() throws {
    let folder = try TemporaryFolder()
    let file = folder.file("net.safetensors")
    try Net(seed: 1).save(to: file)
    let before = try Data(contentsOf: file)
    let broken = Net(seed: 2)
    try FileManager.default.createDirectory(at: folder.file("folder"), withIntermediateDirectories: true)
    for place in ["folder", "no/such/place"] {
      #expect(throws: CheckpointError.self) { try broken.save(to: folder.file(place)) }
    }
    #expect(try Data(contentsOf: file) == before && folder.names == ["folder", "net.safetensors"])
    try broken.save(to: file)
    #expect(try Data(contentsOf: file) != before && folder.names == ["folder", "net.safetensors"])
  }
}
