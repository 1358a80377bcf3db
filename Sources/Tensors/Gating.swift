import LoRACKernels

/// A non-linearity that one kernel computes.
public enum Nonlinearity: CaseIterable, Sendable {
  /// `Tensor.gelu`.
  case gelu
  /// `Tensor.geluTanh`.
  case geluTanh
  /// `Tensor.silu`.
  case silu
  /// `Tensor.relu`.
  case relu
  /// `Tensor.sigmoid`.
  case sigmoid
  /// `Tensor.tanh`.
  case tanh

  var kernel: ck_unary_op {
    switch self {
    case .gelu: CK_GELU
    case .geluTanh: CK_GELU_TANH
    case .silu: CK_SILU
    case .relu: CK_RELU
    case .sigmoid: CK_SIGMOID
    case .tanh: CK_TANH
    }
  }
}

extension Tensor {
  /// f(x), or f(x) ∘ `gate` for a gate of the same shape (Shazeer, "GLU Variants Improve Transformer", 2020), elementwise.
  ///
  /// One pass over memory, forward and back, and nothing is kept between f and the gate.
  /// - Parameters:
  ///   - f: the non-linearity.
  ///   - gate: what f(x) is multiplied by; nil for nothing.
  ///   - kept: what x and the gate are kept as for the gradient. Rounded to bfloat16 they take half the memory, and the
  ///     gradient is that at the rounded point; the value is exact in any case.
  public func activated(by f: Nonlinearity, gate: Tensor? = nil, kept: Precision = .float32) -> Tensor {
    expect(gate.map { $0.shape == shape } ?? true, "activated: input \(shape) and gate \(gate?.shape ?? []) differ")
    let (x, other) = (widened, gate?.widened)
    let inputs = [self, gate].compactMap(\.self)
    let output = Storage(count: count)
    func run(_ keptX: UnsafeMutablePointer<UInt16>?, _ keptGate: UnsafeMutablePointer<UInt16>?) {
      ck_gate(f.kernel, x.pointer, other?.pointer, output.base, keptX, keptGate, count)
    }
    guard inputs.contains(where: \.isTracked) else {
      run(nil, nil)
      return Tensor(storage: output, shape: shape)
    }
    var saved = (x: x.detached, gate: other?.detached)
    if kept == .bfloat16 {
      let block = BFloat16Block(count: count * inputs.count) { run($0, other == nil ? nil : $0 + count) }
      func part(_ index: Int) -> Tensor {
        Tensor(
          storage: Storage(borrowingBFloat16: block.base + index * count, count: count, owner: block), shape: shape)
      }
      saved = (part(0), other == nil ? nil : part(1))
    } else {
      run(nil, nil)
    }
    let joint = Derivative.activated(f.kernel, saved.x, gate: saved.gate, wanted: inputs.map(\.isTracked))
    return Tensor(storage: output, shape: shape).recorded(.activated, inputs) { joint.pullback(of: $0) }
  }
}
