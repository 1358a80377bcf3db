import LoRAFiles
import LoRALinearAlgebra
import LoRANetworks
import LoRATensors

/// Where an adapter starts that takes over a part of the weight itself.
public enum PrincipalStart: String, Sendable, CaseIterable {
  /// The weight's best approximation of the adapter's rank, U √(S/s) and √(S/s) Vᵀ (Meng et al. 2024, PiSSA).
  case pissa
  /// The first columns of Q and rows of R of its QR decomposition (Büyükakyüz 2024, OLoRA).
  case olora
}

extension LoRA {
  /// An adapter like this one whose A and B start from a part of `weight` and train from there. It counts from that
  /// start: a new one has no effect, and the stored weight stays as it is. (Python peft takes the start off the weight
  /// instead, with the same result.)
  ///
  /// - Throws: `LinearAlgebraError` where the weight has no decomposition (it is not finite).
  public func starting(from start: PrincipalStart, of weight: Parameter) throws -> LoRA {
    let value = weight.value.detached
    // [outputs, inputs]; a convolution's kernel is part of its inputs.
    let matrix =
      weight.layout == .outputsByInputs ? value.reshaped([weight.outputs, weight.inputs]) : value.transposed()
    let factors: (a: Tensor, b: Tensor)
    switch start {
    case .pissa:
      let largest = try matrix.svd().truncated(to: rank)
      let balanced = largest.balanced()
      let share = 1 / scale.squareRoot()
      factors = (balanced.a * share, balanced.b * share)
    case .olora:
      let decomposition = try matrix.qr()
      factors = (decomposition.r.sliced(axis: 0, 0..<rank), decomposition.q.sliced(axis: 1, 0..<rank))
    }
    return LoRA(
      a: Parameter(factors.a), b: Parameter(factors.b), alpha: alpha, scaling: scaling, layout: weight.layout,
      dropout: dropout, origin: Origin(a: factors.a, b: factors.b), name: name)
  }
}
