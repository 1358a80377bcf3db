// Elementwise operations of one and two operands. Two operands broadcast as in NumPy: aligned at the last axis, an
// axis of length 1 or absent repeats.

import LoRACKernels

extension Tensor {
  package func mapped(_ operation: ck_unary_op) -> Tensor {
    let x = widened
    return Tensor(shape: shape) { ck_unary(operation, x.pointer, $0.baseAddress, count) }
  }

  /// outputGradient · f′(self)
  package func mappedGradient(_ operation: ck_unary_op, _ outputGradient: Tensor) -> Tensor {
    let x = widened
    return Tensor(shape: shape) {
      ck_unary_gradient(operation, x.pointer, outputGradient.pointer, $0.baseAddress, count)
    }
  }

  private func unary(_ operation: Operation, _ kernel: ck_unary_op) -> Tensor {
    mapped(kernel).recorded(operation, self, Derivative.unary(kernel, detached))
  }

  /// −x, elementwise.
  public static prefix func - (x: Tensor) -> Tensor { x.unary(.negate, CK_NEGATE) }
  /// eˣ, elementwise; infinite from x ≈ 88.7 on.
  public func exp() -> Tensor { unary(.exp, CK_EXP) }
  /// The natural logarithm, elementwise: −∞ of 0, NaN of what is negative.
  public func log() -> Tensor { unary(.log, CK_LOG) }
  /// The hyperbolic tangent, elementwise, in (−1, 1).
  public func tanh() -> Tensor { unary(.tanh, CK_TANH) }
  /// The error function 2/√π ∫₀ˣ e^(−t²) dt.
  public func erf() -> Tensor { unary(.erf, CK_ERF) }
  /// σ(x) = 1 / (1 + e^(−x)), elementwise, without overflow for any x.
  public func sigmoid() -> Tensor { unary(.sigmoid, CK_SIGMOID) }
  /// max(x, 0), elementwise; the gradient at 0 is 0.
  public func relu() -> Tensor { unary(.relu, CK_RELU) }
  /// x Φ(x) (Hendrycks and Gimpel, 2016), exactly by erf.
  public func gelu() -> Tensor { unary(.gelu, CK_GELU) }
  /// The tanh approximation of `gelu` (the same paper), as GPT-2 uses it.
  public func geluTanh() -> Tensor { unary(.geluTanh, CK_GELU_TANH) }
  /// x σ(x), also called swish.
  public func silu() -> Tensor { unary(.silu, CK_SILU) }
  /// √x, elementwise: NaN of what is negative. Its gradient at 0 is infinite.
  public func squareRoot() -> Tensor { unary(.squareRoot, CK_SQRT) }
  /// 1/√x, elementwise; infinite at 0.
  public func reciprocalSquareRoot() -> Tensor { unary(.reciprocalSquareRoot, CK_RSQRT) }
  /// x², elementwise.
  public func squared() -> Tensor { unary(.square, CK_SQUARE) }
  /// |x|, elementwise; the gradient at 0 is 0.
  public func absoluteValue() -> Tensor { unary(.absoluteValue, CK_ABS) }
  /// 1/x, elementwise; infinite at 0.
  public func reciprocal() -> Tensor { unary(.reciprocal, CK_RECIPROCAL) }
  /// The sine of an angle in radians.
  public func sin() -> Tensor { unary(.sine, CK_SIN) }
  /// The cosine of an angle in radians.
  public func cos() -> Tensor { unary(.cosine, CK_COS) }
  /// ln(1 + eˣ), a smooth `relu`; exact where eˣ overflows or vanishes.
  public func softplus() -> Tensor { unary(.softplus, CK_SOFTPLUS) }

  /// scale · self + offset
  public func affine(scale: Float, offset: Float) -> Tensor {
    let x = widened
    return Tensor(shape: shape) { ck_affine(x.pointer, scale, offset, $0.baseAddress, count) }
      .recorded(.affine, self, Derivative.affine(scale: scale))
  }

  /// x + c for every element.
  public static func + (x: Tensor, c: Float) -> Tensor { x.affine(scale: 1, offset: c) }
  /// c + x for every element.
  public static func + (c: Float, x: Tensor) -> Tensor { x.affine(scale: 1, offset: c) }
  /// x − c for every element.
  public static func - (x: Tensor, c: Float) -> Tensor { x.affine(scale: 1, offset: -c) }
  /// c − x for every element.
  public static func - (c: Float, x: Tensor) -> Tensor { x.affine(scale: -1, offset: c) }
  /// x c for every element.
  public static func * (x: Tensor, c: Float) -> Tensor { x.affine(scale: c, offset: 0) }
  /// c x for every element.
  public static func * (c: Float, x: Tensor) -> Tensor { x.affine(scale: c, offset: 0) }
  /// x / c for every element, as a product with 1/c.
  public static func / (x: Tensor, c: Float) -> Tensor { x.affine(scale: 1 / c, offset: 0) }
  /// c / x for every element.
  public static func / (c: Float, x: Tensor) -> Tensor { x.reciprocal() * c }

  /// a + b, elementwise. Shapes broadcast as in NumPy: [4, 1] and [3] give [4, 3].
  public static func + (a: Tensor, b: Tensor) -> Tensor {
    a.combined(CK_ADD, b).recorded(.add, a, Derivative.add(to: a.shape), b, Derivative.add(to: b.shape))
  }

  /// a − b, elementwise. Shapes broadcast as in NumPy.
  public static func - (a: Tensor, b: Tensor) -> Tensor {
    a.combined(CK_SUBTRACT, b).recorded(.subtract, a, Derivative.add(to: a.shape), b, Derivative.subtract(to: b.shape))
  }

  /// a b, elementwise (for the product of matrices see `matmul`). Shapes broadcast as in NumPy.
  public static func * (a: Tensor, b: Tensor) -> Tensor {
    a.combined(CK_MULTIPLY, b).recorded(
      .multiply, a, Derivative.multiply(by: b.detached, to: a.shape),
      b, Derivative.multiply(by: a.detached, to: b.shape))
  }

  /// a / b, elementwise. Shapes broadcast as in NumPy.
  public static func / (a: Tensor, b: Tensor) -> Tensor {
    a.combined(CK_DIVIDE, b).recorded(
      .divide, a, Derivative.divide(by: b.detached, to: a.shape),
      b, Derivative.divisor(a.detached, b.detached))
  }

  /// self + scale · other, for equal shapes, in one pass.
  public func adding(_ other: Tensor, scaledBy scale: Float) -> Tensor {
    expect(shape == other.shape, "adding: shapes \(shape) and \(other.shape) differ")
    let (x, y) = (widened, other.widened)
    return Tensor(shape: shape) { out in
      out.baseAddress!.update(from: x.pointer, count: count)
      ck_accumulate(y.pointer, scale, out.baseAddress, count)
    }.recorded(.addScaled, self, Derivative.affine(scale: 1), other, Derivative.affine(scale: scale))
  }

  /// self to the power of `exponent`, elementwise with broadcasting: not a number where a negative base has an exponent
  /// that is not whole. The gradient of the exponent is 0 where the base is 0.
  public func pow(_ exponent: Tensor) -> Tensor {
    combined(CK_POWER, exponent).recorded(
      .power, self, Derivative.power(base: detached, exponent.detached), exponent,
      Derivative.power(detached, exponent: exponent.detached))
  }

  /// self to the power of a constant.
  public func pow(_ exponent: Float) -> Tensor { exponent == 2 ? squared() : pow(Tensor(exponent)) }

  /// The larger of both, elementwise; at ties the gradient goes to both by half.
  public func maximum(_ other: Tensor) -> Tensor {
    combined(CK_MAXIMUM, other).recorded(
      .maximum, self, Derivative.maximum(self.detached, other.detached), other,
      Derivative.maximum(other.detached, self.detached))
  }

  /// The smaller of both, elementwise; at ties the gradient goes to both by half.
  public func minimum(_ other: Tensor) -> Tensor {
    combined(CK_MINIMUM, other).recorded(
      .minimum, self, Derivative.minimum(self.detached, other.detached), other,
      Derivative.minimum(other.detached, self.detached))
  }

  /// Adds in place where nobody else holds this value's memory.
  mutating func accumulate(_ other: Tensor) {
    expect(shape == other.shape, "accumulate: shapes \(shape) and \(other.shape) differ")
    let (count, other) = (count, other.widened)
    updateInPlace { ck_accumulate(other.pointer, 1, $0, count) }
  }

  /// a op b with broadcasting, unrecorded.
  package func combined(_ operation: ck_binary_op, _ other: Tensor) -> Tensor {
    let (a, b) = (widened, other.widened)
    if shape == other.shape {
      return Tensor(shape: shape) { out in
        ck_binary(operation, 1, [count], a.pointer, [1], b.pointer, [1], out.baseAddress)
      }
    }
    let shape = Tensor.broadcastShape(self.shape, other.shape, operation: "elementwise operation")
    return Tensor(shape: shape) { out in
      ck_binary(
        operation, Int32(shape.count), shape, a.pointer, a.broadcastStrides(to: shape), b.pointer,
        b.broadcastStrides(to: shape), out.baseAddress)
    }
  }

  static func broadcastShape(_ a: [Int], _ b: [Int], operation: String) -> [Int] {
    let rank = Swift.max(a.count, b.count)
    return (0..<rank).map { axis in
      let x = axis < rank - a.count ? 1 : a[axis - (rank - a.count)]
      let y = axis < rank - b.count ? 1 : b[axis - (rank - b.count)]
      expect(x == y || x == 1 || y == 1, "\(operation): shapes \(a) and \(b) do not broadcast")
      return x == 1 ? y : x
    }
  }

  /// Strides in elements for reading this tensor as `target`, 0 where an axis repeats.
  private func broadcastStrides(to target: [Int]) -> [Int] {
    var strides = [Int](repeating: 0, count: target.count)
    var stride = 1
    for axis in shape.indices.reversed() {
      if shape[axis] != 1 { strides[axis + target.count - rank] = stride }
      stride *= shape[axis]
    }
    return strides
  }

  /// This tensor repeated to `shape`.
  public func broadcast(to shape: [Int]) -> Tensor {
    self.shape == shape ? self : self + Tensor.zeros(shape)
  }

  /// The sum over the axes along which `shape` was broadcast to this tensor's shape.
  package func summed(to target: [Int]) -> Tensor {
    if shape == target { return self }
    var result = self
    let extra = rank - target.count
    for axis in 0..<rank where axis < extra || (target[axis - extra] == 1 && shape[axis] != 1) {
      result = result.sum(axis: axis, keepingAxis: true)
    }
    return result.reshaped(target)
  }
}
