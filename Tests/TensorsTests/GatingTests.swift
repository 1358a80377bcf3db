// Activations and their gates, in one pass.
import LoRATensors
import Testing

@Suite("Activations and gates")
struct GatingTests {
  /// More than one block, and a part of one.
  private static let shape = [3, 1001]

  private static func random(seed: UInt64) -> Tensor {
    var generator = SeededGenerator(seed: seed)
    return .uniform(shape, from: -3, to: 3, using: &generator)
  }

  /// f(x) by the operation of that name.
  private static func value(_ f: Nonlinearity, _ x: Tensor) -> Tensor {
    switch f {
    case .gelu: x.gelu()
    case .geluTanh: x.geluTanh()
    case .silu: x.silu()
    case .relu: x.relu()
    case .sigmoid: x.sigmoid()
    case .tanh: x.tanh()
    }
  }

  /// The value of `body` and the gradients of Σ value ∘ w at its inputs.
  private static func gradients(_ inputs: [Tensor], _ body: ([Tensor]) -> Tensor) -> [Tensor] {
    let leaves = inputs.map(\.asLeaf)
    let value = body(leaves)
    let found = (value * random(seed: 9)).sum().gradients(at: leaves)
    return [value.detached] + found.map { $0! }
  }

  @Test("one pass has the bits of the operations one after another", arguments: Nonlinearity.allCases)
  func bits(f: Nonlinearity) {
    let (x, gate) = (Self.random(seed: 1), Self.random(seed: 2))
    let alone = zip(Self.gradients([x]) { $0[0].activated(by: f) }, Self.gradients([x]) { Self.value(f, $0[0]) })
    #expect(alone.allSatisfy { $0.isIdentical(to: $1) })
    let gated = zip(
      Self.gradients([x, gate]) { $0[0].activated(by: f, gate: $0[1]) },
      Self.gradients([x, gate]) { Self.value(f, $0[0]) * $0[1] })
    #expect(gated.allSatisfy { $0.isIdentical(to: $1) })
  }

  @Test(
    "kept as bfloat16, the value is exact and the gradient that at the rounded point", arguments: Nonlinearity.allCases)
  func kept(f: Nonlinearity) {
    let (x, gate) = (Self.random(seed: 3), Self.random(seed: 4))
    let exact = Self.gradients([x, gate]) { $0[0].activated(by: f, gate: $0[1]) }
    let kept = Self.gradients([x, gate]) { $0[0].activated(by: f, gate: $0[1], kept: .bfloat16) }
    let rounded = Self.gradients([x.inBFloat16.widened, gate.inBFloat16.widened]) {
      $0[0].activated(by: f, gate: $0[1])
    }
    #expect(kept[0].isIdentical(to: exact[0]) && !kept[0].isIdentical(to: rounded[0]))
    #expect(kept[1].isIdentical(to: rounded[1]) && kept[2].isIdentical(to: rounded[2]))
    #expect(!kept[1].isIdentical(to: exact[1]))
  }

  @Test("a gate alone, or an input alone, may need a gradient")
  func parts() {
    let (x, gate) = (Self.random(seed: 5), Self.random(seed: 6))
    let both = Self.gradients([x, gate]) { $0[0].activated(by: .silu, gate: $0[1], kept: .bfloat16) }
    let first = Self.gradients([x]) { $0[0].activated(by: .silu, gate: gate, kept: .bfloat16) }
    let second = Self.gradients([gate]) { x.activated(by: .silu, gate: $0[0], kept: .bfloat16) }
    #expect(first[1].isIdentical(to: both[1]) && second[1].isIdentical(to: both[2]))
  }
}
