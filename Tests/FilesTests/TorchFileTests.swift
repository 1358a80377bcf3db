import Foundation
import LoRAFiles
import TestSupport
import Testing

@Suite("What torch.save wrote") struct TorchFileTests {
  static let folder = fixtures.appendingPathComponent("torch")

  @Test(
    "is read as the tensors that it holds: views, transposes, every format, before PyTorch 1.6 and after",
    arguments: ["new.bin", "old.bin", "ckpt.pt"])
  func reading(_ name: String) throws {
    let file = try TensorFile(Self.folder.appendingPathComponent(name))
    let reference = try SafetensorsFile(Self.folder.appendingPathComponent("reference.safetensors"))
    #expect(file.tensors.map(\.name).sorted() == reference.tensors.map(\.name).sorted())
    for tensor in reference.tensors {
      let read = try #require(file[tensor.name])
      #expect(read.format == tensor.format && read.shape == tensor.shape)
      #expect(read.hasSameBytes(as: tensor), "\(tensor.name)")
    }
    #expect(file.metadata == [.init("format", "pt")])
    #expect(file.notes == (name == "ckpt.pt" ? ["The weights are those under \"state_dict\"."] : []))
  }

  @Test("with anything but tensors in it is refused by the name of what it asks for, and nothing is run")
  func whole() throws {
    let error = try #require(throws: CheckpointError.self) {
      try TensorFile(Self.folder.appendingPathComponent("module.bin"))
    }
    #expect(error.kind == .unsupported && error.problem.contains("torch.nn.modules.linear.Linear"))
  }

  /// A pickle of protocol 2 as torch.save before 1.6 begins a file, and then `body` in the place of the tensors.
  private func legacy(_ body: [UInt8]) -> [UInt8] {
    TorchFile.legacyMagic + [0x80, 2, UInt8(ascii: "M"), 0xE9, 3, UInt8(ascii: ".")]  // 1001
      + [0x80, 2, UInt8(ascii: "}"), UInt8(ascii: ".")] + [0x80, 2] + body
      + [0x80, 2, UInt8(ascii: "]"), UInt8(ascii: ".")]
  }

  @Test("os.system, eval and every unknown instruction are refused before anything is built of them")
  func attacks() throws {
    func global(_ module: String, _ name: String) -> [UInt8] { Array("c\(module)\n\(name)\n".utf8) }
    let call = Array("X\u{4}\u{0}\u{0}\u{0}true".utf8) + [0x85, UInt8(ascii: "R"), UInt8(ascii: ".")]
    let attacks: [(body: [UInt8], expected: String)] = [
      (global("os", "system") + call, "os.system"), (global("builtins", "eval") + call, "builtins.eval"),
      (global("posix", "system") + call, "posix.system"),
      (global("torch._utils", "_rebuild_tensor_v2") + call, "a tensor is described"),
      (global("collections", "OrderedDict") + call, "with arguments"),
      (Array("ios\nsystem\n.".utf8), "0x69"), ([0x81, UInt8(ascii: ".")], "0x81"),
      ([UInt8(ascii: "h"), 9, UInt8(ascii: ".")], "before it is made"),
      ([UInt8(ascii: "t"), UInt8(ascii: ".")], "mark"),
      ([UInt8(ascii: "R"), UInt8(ascii: ".")], "stack"), ([], "too early"),
    ]
    try withTemporaryDirectory { directory in
      for (index, attack) in attacks.enumerated() {
        let url = directory.appendingPathComponent("\(index).bin")
        try Data(legacy(attack.body)).write(to: url)
        let error = try #require(throws: CheckpointError.self) { try TensorFile(url) }
        #expect(error.problem.contains(attack.expected), "\(error.problem)")
      }
    }
  }

  @Test("nested a million deep, or a list in itself, costs no stack and no memory")
  func nesting() throws {
    try withTemporaryDirectory { directory in
      let url = directory.appendingPathComponent("deep.bin")
      let deep = [UInt8(ascii: ")")] + [UInt8](repeating: 0x85, count: 1_000_000) + [UInt8(ascii: ".")]
      let cycle: [UInt8] = [0x5D, UInt8(ascii: "q"), 0, UInt8(ascii: "h"), 0, UInt8(ascii: "a"), UInt8(ascii: ".")]
      for body in [deep, cycle] {
        try Data(legacy(body)).write(to: url)
        #expect(throws: CheckpointError.self) { try TensorFile(url) }
      }
    }
  }

  @Test("broken anywhere is an error or tensors within the file, never a trap", arguments: ["new.bin", "old.bin"])
  func fuzz(_ name: String) throws {
    let good = [UInt8](try Data(contentsOf: Self.folder.appendingPathComponent(name)))
    try withTemporaryDirectory { directory in
      let url = directory.appendingPathComponent(name)
      var mutator = Mutator(seed: 7)
      var refused = 0
      for _ in 0..<3000 {
        try Data(mutator.mutate(good)).write(to: url)
        do {
          for tensor in try TensorFile(url).tensors where tensor.format.isConvertible {
            _ = try tensor.tensor().scalars
          }
        } catch is CheckpointError {
          refused += 1
        }
      }
      #expect(refused > 500)
    }
  }
}
