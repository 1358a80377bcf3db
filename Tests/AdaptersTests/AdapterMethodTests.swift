// Every method at rest beside what peft and LyCORIS make of the same tensors (Fixtures/methods/make.py).

import LoRAAdapters
import LoRAFiles
import LoRANetworks
import LoRATensors
import MethodCases
import TestSupport
import Testing

@Suite("Methods at rest beside peft and LyCORIS")
struct AdapterMethodTests {
  @Test(
    "block by block, a weight becomes what the program that wrote the adapter makes of it", arguments: MethodCase.all)
  func merging(_ item: MethodCase) throws {
    let method = try item.method()
    for rows in [1, 3, item.weight.shape[0]] {
      let result = try worked(method, item.weight, isTransposed: item.isTransposed, rows: rows)
      #expect(relativeDifference(result, item.merged) < 1e-6, "in blocks of \(rows) rows")
    }
    #expect(relativeDifference(item.merged, item.weight) > 1e-3, "the case shows nothing")
  }

  @Test("a bias becomes what that program makes of it", arguments: MethodCase.all.filter { $0.bias != nil })
  func biases(_ item: MethodCase) throws {
    let method = try item.method()
    let (bias, merged) = (try #require(item.bias), try #require(item.mergedBias))
    let result = try method.bias(bias)
    #expect(relativeDifference(result ?? bias, merged) < 1e-6)
    #expect((result != nil) == method.changesBias)
    #expect(method.changesBias == (relativeDifference(bias, merged) > 0))
  }

  @Test("factors, where a method has them, make the same difference", arguments: MethodCase.all)
  func factors(_ item: MethodCase) throws {
    let weight = item.weight.reshaped([item.weight.shape[0], item.weight.count / item.weight.shape[0]])
    let inputs = item.isTransposed ? weight.shape[0] : weight.shape[1]
    guard let factors = try item.method().factors(inputs: inputs) else { return }
    let product = factors.b.matmul(factors.a) * Float(factors.scale)
    let sum = weight + (item.isTransposed ? product.transposed() : product)
    #expect(relativeDifference(sum, item.merged.reshaped(weight.shape)) < 1e-6)
  }

  @Test("which methods have factors: those that are a LoRA, whatever the weight")
  func haveFactors() throws {
    let without = try MethodCase.all.filter {
      let method = try $0.method()
      let factors = try method.factors(inputs: $0.weight.count / $0.weight.shape[0])
      #expect(method.isProduct == (factors != nil), "\($0)")
      return factors == nil
    }
    let with = Set(MethodCase.files).subtracting(["ia3", "oft", "glora", "tokens"])
    let exceptions = without.filter { with.contains($0.file) }.map(\.name)
    #expect(exceptions.allSatisfy { $0.contains("dora") || $0.contains("bat") || $0.contains("norm") })
    #expect(Set(without.map(\.file)).isSuperset(of: ["ia3", "oft", "glora", "tokens"]))
  }

  @Test(
    "of a transposed weight, the transpose comes out",
    arguments: MethodCase.all.filter { $0.weight.shape.count == 2 && !["difference", "tokens"].contains($0.file) })
  func transposed(_ item: MethodCase) throws {
    let method = try item.method()
    for rows in [1, 3, item.weight.shape[1]] {
      let result = try worked(
        method, item.weight.transposed(), isTransposed: !item.isTransposed, rows: rows)
      #expect(relativeDifference(result, item.merged.transposed()) < 1e-6, "in blocks of \(rows) rows")
    }
  }

  @Test("a layer with the method attached computes as with the merged weight", arguments: MethodCase.all)
  func attaching(_ item: MethodCase) throws {
    guard item.weight.shape.count == 2 else { return }
    let weight = Parameter(item.weight, layout: item.isTransposed ? .inputsByOutputs : .outputsByInputs)
    let method = try item.method()
    weight.parametrizeForTest(try method.attached(to: weight, named: "default"))
    let bias = item.bias.map { Parameter($0) }
    if let bias, let changed = try FixedBias(method, on: bias, named: "default") { bias.parametrizeForTest(changed) }
    var generator = SeededGenerator(seed: 3)
    let input = Tensor.normal([4, weight.inputs], using: &generator)
    let merged = Parameter(item.merged, layout: weight.layout)
    let expected = merged.linear(input, bias: item.mergedBias.map { Parameter($0) })
    #expect(relativeDifference(weight.linear(input, bias: bias), expected) < 3e-6)
    #expect(relativeDifference(weight.value, item.merged) < 1e-6)
    for adapter in weight.parametrizations.compactMap({ $0 as? any Adapter }) { adapter.isEnabled = false }
    #expect(weight.value.isIdentical(to: item.weight))
  }

  @Test("its shape is the weight's", arguments: MethodCase.all)
  func shapes(_ item: MethodCase) throws {
    let shape = item.weight.shape
    let (rows, columns) = (shape[0], item.weight.count / shape[0])
    let (outputs, inputs) = item.isTransposed ? (columns, rows) : (rows, columns)
    switch try item.method().shape {
    case .matrix(let o, let i, let kernel):
      #expect(o == outputs && i == inputs && (kernel.isEmpty || kernel == Array(shape.dropFirst(2))))
    case .embedding(let o, let i): #expect(o == outputs && i == inputs)
    case .outputs(let o): #expect(o == outputs)
    case .inputs(let i): #expect(i == inputs || (shape.count > 2 && i == shape[1]))
    case .rows(let width): #expect(width == columns)
    case .same(let own): #expect(own == shape)
    }
  }

  @Test("each of its tensors is needed, and must fit", arguments: MethodCase.all)
  func brokenShapes(_ item: MethodCase) throws {
    for (part, tensor) in item.parts.tensors {
      var parts = item.parts
      parts.tensors[part] = nil
      let isOptional = [
        "diff", "b_norm", "rescale", "dora_scale", "lora_magnitude_vector", "hada_t", "lokr_t2", "lora_mid",
      ]
      .contains { part.suffixes.joined().contains($0) }
      if !isOptional {
        #expect(throws: CheckpointError.self, "without \(part.suffix)") { try AdapterMethods.make(parts) }
      }
      // Cut by one along each axis, with one axis more, empty: refused in words or taken, never a trap.
      for axis in tensor.shape.indices where tensor.format == .f32 {
        var shape = tensor.shape
        shape[axis] += 1
        for broken in [
          shape, tensor.shape + [3, 2], [tensor.count + 1], Array(repeating: 0, count: tensor.shape.count),
        ] {
          parts.tensors[part] = try StoredTensor(name: tensor.name, .full(broken, 0.5))
          do {
            let method = try AdapterMethods.make(parts)
            // A placement offers a method only weights of its shape.
            guard method.shape == (try item.method().shape) else { continue }
            _ = try method.factors(inputs: item.weight.count / item.weight.shape[0])
            _ = try worked(method, item.weight, isTransposed: item.isTransposed, rows: 1)
          } catch let error as CheckpointError {
            #expect(error.expected != nil || error.kind == .missing, "\(error)")
          }
        }
      }
    }
  }
}

@Suite("What the methods refuse, and what they ask of configurations")
struct AdapterMethodDetailTests {
  @Test("a message names the module, what was found and what was expected")
  func messages() throws {
    var parts = MethodCase.named("loha", "peft-linear").parts
    let part = try #require(AdapterMethods.partBySuffix[".hada_w1_b"])
    parts.tensors[part] = try StoredTensor(name: "m.hada_w1_b", .ones([2, 7]))
    let error = try #require(throws: CheckpointError.self) { try AdapterMethods.make(parts) }
    for word in ["model.module", "hada_w1_b [2, 7]", "hada_w1_a [5, 3]", "expected"] {
      #expect(error.problem.contains(word), "\(error.problem)")
    }
  }

  @Test("VeRA without its projections says what to do")
  func projections() throws {
    var parts = MethodCase.named("vera", "peft-wide").parts
    parts.shared = [:]
    let error = try #require(throws: CheckpointError.self) { try AdapterMethods.make(parts) }
    #expect(error.kind == .unsupported && error.description.contains("save_projection"))
  }

  @Test("VeRA's projections may be wider than a module, not narrower")
  func narrowProjections() throws {
    let item = MethodCase.named("vera", "peft-wide")
    #expect(throws: CheckpointError.self) { try item.method().factors(inputs: 12) }
    #expect(try item.method().factors(inputs: 11)?.inputs == 11)
  }

  @Test(
    "LyCORIS' scalar multiplies the change, of LoHa, LoKr, GLoRA and LoRA",
    arguments: ["loha", "lokr", "glora", "locon"])
  func scalars(_ file: String) throws {
    var item = MethodCase.named(file, "lycoris-linear")
    let scale = try item.method().scale
    item.parts.tensors[try #require(AdapterMethods.partBySuffix[".scalar"])] = try StoredTensor(
      name: "scalar", Tensor(-0.75))
    #expect(abs(try item.method().scale + 0.75 * scale) < 1e-12)
  }

  @Test("where both matrices of a LoKr are whole, LyCORIS' scale is 1 and peft's goes by the configured rank")
  func wholeKronecker() throws {
    var item = MethodCase.named("lokr", "peft-whole")
    #expect(try item.method().scale == 3 / 5)
    item.parts.rank = 6
    #expect(try item.method().scale == 3 / 6)
    item.parts.rank = nil
    item.parts.fields["rank_pattern"] = ["module": 4]
    #expect(throws: CheckpointError.self) { try item.method() }
    item = MethodCase.named("lokr", "lycoris-whole")
    item.parts.alpha = 4
    #expect(try item.method().scale == 1)
  }

  @Test("an AdaLoRA whose ranks are all pruned changes nothing")
  func prunedToNothing() throws {
    var item = MethodCase.named("adalora", "peft-pruned")
    for (suffix, shape) in [(".lora_A", [0, 7]), (".lora_B", [5, 0]), (".lora_E", [0, 1])] {
      item.parts.tensors[try #require(AdapterMethods.partBySuffix[suffix])] = try StoredTensor(
        name: suffix, .zeros(shape))
    }
    let method = try item.method()
    #expect(method.rank == 0)
    #expect(try worked(method, item.weight, isTransposed: false, rows: 2).isIdentical(to: item.weight))
  }

  @Test("which inputs an (IA)³ of a convolution scales, the configuration says: a list or a pattern")
  func feedforward() throws {
    var item = MethodCase.named("ia3", "peft-conv-inputs")
    #expect(try item.method().shape == .inputs(3))
    item.parts.fields["feedforward_modules"] = .string(".*\\.module")
    #expect(try item.method().shape == .inputs(3))
    item.parts.fields["feedforward_modules"] = .string("mod")
    #expect(try item.method().shape == .outputs(3))
    item.parts.fields["feedforward_modules"] = .array([.string("dule")])
    #expect(try item.method().shape == .outputs(3))
  }

  @Test("trained tokens need their indices, as many as there are rows, within the table")
  func tokenIndices() throws {
    let item = MethodCase.named("tokens", "peft-beside-lora")
    for fields: JSON in [
      .object([]), ["trainable_token_indices": [1]], ["trainable_token_indices": [1, -2]],
      ["trainable_token_indices": ["elsewhere": [1, 2]]], ["trainable_token_indices": [1, 2.5]],
    ] {
      var broken = item
      broken.parts.fields = fields
      #expect(throws: CheckpointError.self) { try broken.method() }
    }
    var outside = item
    outside.parts.fields = ["trainable_token_indices": [1, 11]]
    #expect(throws: CheckpointError.self) {
      try worked(try outside.method(), item.weight, isTransposed: true, rows: 1)
    }
  }

  @Test("a Kronecker product too large to be formed is refused, not tried")
  func hugeProducts() throws {
    var item = MethodCase.named("lokr", "peft-whole")
    for suffix in [".lokr_w1", ".lokr_w2"] {
      item.parts.tensors[try #require(AdapterMethods.partBySuffix[suffix])] = try StoredTensor(
        name: suffix, .ones([700, 700]))
    }
    let method = try item.method()
    #expect(throws: CheckpointError.self) { try method.factors() }
  }

  @Test("a difference of the bias alone leaves the weight as it is")
  func biasAlone() throws {
    var item = MethodCase.named("difference", "lycoris-linear")
    item.parts.tensors[try #require(AdapterMethods.partBySuffix[".diff"])] = nil
    let method = try item.method()
    #expect(method.shape == .outputs(5))
    #expect(try worked(method, item.weight, isTransposed: false, rows: 2).isIdentical(to: item.weight))
    #expect(relativeDifference(try #require(try method.bias(item.bias!)), item.mergedBias!) < 1e-6)
  }

  @Test("OFT and BOFT are told apart by their blocks")
  func names() throws {
    #expect(try MethodCase.named("oft", "lycoris-linear").method().name == "OFT")
    #expect(try MethodCase.named("oft", "butterfly-linear").method().name == "BOFT")
  }
}

extension Parameter {
  fileprivate func parametrizeForTest(_ adapter: any Adapter) { try! parametrize(by: adapter) }
}
