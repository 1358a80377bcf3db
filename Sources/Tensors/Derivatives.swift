import LoRACKernels

/// Every differentiable operation. A test sweeps all cases with finite differences; a new case does not compile there
/// until it has an example.
package enum Operation: String, CaseIterable, Sendable {
  case negate, exp, log, tanh, erf, sigmoid, relu, gelu, geluTanh, silu
  case squareRoot, reciprocalSquareRoot, square, absoluteValue, reciprocal, sine, cosine, softplus, affine
  case add, addScaled, subtract, multiply, divide, power, maximum, minimum
  case matmul, linear, lowRank
  case sum, max
  case reshape, permute, slice, concatenate, rows
  case clamp, choose, gather
  case convolution, maxPool, averagePool
  case softmax, logSoftmax, layerNorm, rmsNorm, dropout, crossEntropy
  case linearCrossEntropy, attention, rotary, recompute, activated
  /// What its author says: see `Tensor.custom`.
  case custom
}

/// The derivative rules, all in one place. `dy` is the gradient of an operation's output, `dx` that of an input.
/// Arguments are detached: a rule records nothing.
package enum Derivative {
  // y = f(x)                        dx = dy · f′(x)
  static func unary(_ operation: ck_unary_op, _ x: Tensor) -> Pullback {
    { dy in x.mappedGradient(operation, dy) }
  }

  // y = scale · x + offset          dx = scale · dy; likewise y = z + scale · x
  static func affine(scale: Float) -> Pullback {
    { dy in scale == 1 ? dy : dy * scale }
  }

  // y = a + b                       da = dy, summed over the axes along which a repeats
  static func add(to shape: [Int]) -> Pullback {
    { dy in dy.summed(to: shape) }
  }

  // y = a − b                       db = −dy
  static func subtract(to shape: [Int]) -> Pullback {
    { dy in -dy.summed(to: shape) }
  }

  // y = a · b                       da = dy · b
  static func multiply(by b: Tensor, to shape: [Int]) -> Pullback {
    { dy in (dy * b).summed(to: shape) }
  }

  // y = a / b                       da = dy / b
  static func divide(by b: Tensor, to shape: [Int]) -> Pullback {
    { dy in (dy / b).summed(to: shape) }
  }

  // y = a / b                       db = −dy · a / b²
  static func divisor(_ a: Tensor, _ b: Tensor) -> Pullback {
    { dy in -(dy * a / b.squared()).summed(to: b.shape) }
  }

  // y = aᵇ                          da = dy · b aᵇ⁻¹
  static func power(base a: Tensor, _ b: Tensor) -> Pullback {
    { dy in (dy * a.combined(CK_POWER_BASE_SLOPE, b)).summed(to: a.shape) }
  }

  // y = aᵇ                          db = dy · aᵇ ln a
  static func power(_ a: Tensor, exponent b: Tensor) -> Pullback {
    { dy in (dy * a.combined(CK_POWER_EXPONENT_SLOPE, b)).summed(to: b.shape) }
  }

  // y = max(a, b)                   da = dy where b < a, dy/2 where b = a
  static func maximum(_ a: Tensor, _ b: Tensor) -> Pullback {
    { dy in (dy * share(where: b, isBelow: a)).summed(to: a.shape) }
  }

  // y = min(a, b)                   da = dy where a < b, dy/2 where a = b
  static func minimum(_ a: Tensor, _ b: Tensor) -> Pullback {
    { dy in (dy * share(where: a, isBelow: b)).summed(to: a.shape) }
  }

  /// 1 where a < b, ½ where a = b, else 0.
  private static func share(where a: Tensor, isBelow b: Tensor) -> Tensor {
    (a.combined(CK_LESS, b) + a.combined(CK_LESS_OR_EQUAL, b)) * 0.5
  }

  // C = op(A) op(B)                 dA = dC op(B)ᵀ,  or dAᵀ of that where A is transposed
  // A rule keeps the values that it needs and of the others the shape: a frozen layer's input is let go.
  static func matmulLeft(_ shapeA: [Int], _ b: Tensor, _ transposeA: Bool, _ transposeB: Bool) -> Pullback {
    { dy in
      let da = transposeA ? b.product(dy, transposeB, true) : dy.product(b, false, !transposeB)
      return da.summed(to: shapeA)
    }
  }

  // C = op(A) op(B)                 dB = op(A)ᵀ dC,  or dBᵀ of that where B is transposed
  static func matmulRight(_ a: Tensor, _ shapeB: [Int], _ transposeA: Bool, _ transposeB: Bool) -> Pullback {
    { dy in
      let db = transposeB ? dy.product(a, true, transposeA) : a.product(dy, !transposeA, false)
      return db.summed(to: shapeB)
    }
  }

  // y = z + s (x Aᵀ) Bᵀ             dx = s (dy B) A, dA = s (dy B)ᵀ x, of which only what is asked for
  static func lowRankInward(
    _ x: Tensor, _ wantsInput: Bool, _ a: Tensor, _ wantsFactor: Bool, _ b: Tensor, scale: Float
  ) -> JointPullback {
    JointPullback { dy in
      let inner = dy.product(b, false, false) * scale
      return [wantsInput ? inner.product(a, false, false) : nil, wantsFactor ? inner.product(x, true, false) : nil]
    }
  }

  // y = Σ x                         dx = dy, repeated
  static func sum(from shape: [Int], keptShape: [Int]) -> Pullback {
    { dy in dy.reshaped(keptShape).broadcast(to: shape) }
  }

  // y = max x                       dx = dy at the first largest element, else 0
  static func max(_ x: Tensor, axis: Int) -> Pullback {
    let (outer, length, inner) = x.extents(around: axis)
    let x = x.widened
    return { dy in
      Tensor(shape: x.shape) { dx in
        dx.initialize(repeating: 0)
        for i in 0..<outer {
          for j in 0..<inner {
            let start = i * length * inner + j
            var best = 0
            for k in 1..<Swift.max(1, length) where x.pointer[start + k * inner] > x.pointer[start + best * inner] {
              best = k
            }
            dx[start + best * inner] = dy.pointer[i * inner + j]
          }
        }
      }
    }
  }

  // y = x under another shape       dx = dy under the first
  static func reshape(to shape: [Int]) -> Pullback {
    { dy in dy.reshaped(shape) }
  }

  // y = x permuted                  dx = dy permuted back
  static func permute(_ order: [Int]) -> Pullback {
    var inverse = order
    for (axis, source) in order.enumerated() { inverse[source] = axis }
    return { [inverse] dy in dy.permuted(inverse) }
  }

  // y = x[range]                    dx = dy in the range, 0 elsewhere
  static func slice(from shape: [Int], axis: Int, _ range: Range<Int>) -> Pullback {
    { dy in
      var (before, after) = (shape, shape)
      before[axis] = range.lowerBound
      after[axis] = shape[axis] - range.upperBound
      return .concatenated([.zeros(before), dy, .zeros(after)], axis: axis)
    }
  }

  // y = parts in a row              dx = the part of dy
  static func concatenate(axis: Int, _ range: Range<Int>) -> Pullback {
    { dy in dy.sliced(axis: axis, range) }
  }

  // yᵢ = x[index i]                 dx[j] = Σ dyᵢ over all i with index i = j
  static func rows(_ index: [Int32], of shape: [Int]) -> Pullback {
    { dy in
      Tensor(shape: shape) { dx in
        dx.initialize(repeating: 0)
        ck_scatter_add_rows(dy.pointer, index, dx.baseAddress, index.count, shape[1])
      }
    }
  }

  // y = min(max(x, low), high)      dx = dy where low ≤ x ≤ high, else 0
  static func clamp(_ x: Tensor, from low: Tensor, to high: Tensor) -> Pullback {
    { dy in dy * low.combined(CK_LESS_OR_EQUAL, x) * x.combined(CK_LESS_OR_EQUAL, high) }
  }

  // y = a where c ≠ 0, else b       da = dy where c ≠ 0, else 0;  db the other way round
  static func choose(_ condition: Tensor, isFirst: Bool, to shape: [Int]) -> Pullback {
    { dy in
      let nothing = Tensor.zeros(dy.shape)
      return (isFirst ? condition.selecting(dy, nothing) : condition.selecting(nothing, dy)).summed(to: shape)
    }
  }

  // yₖ = x[index k] along an axis   dx[j] = Σ dyₖ over all k with index k = j
  static func gather(_ index: [Int32], of shape: [Int], axis: Int) -> Pullback {
    { dy in
      let (outer, taken, inner) = dy.extents(around: axis)
      return Tensor(shape: shape) {
        ck_gather_axis_gradient(dy.pointer, index, $0.baseAddress, outer, taken, shape[axis], inner)
      }
    }
  }

  // y[o] = Σ w[o, i] ∗ x[i] + b[o]  dx[i] = Σ w[o, i] turned ∗ dy[o]
  static func convolutionInput(_ convolution: ck_convolution, _ weight: Tensor, _ shape: [Int]) -> Pullback {
    { dy in
      Tensor(shape: shape) { dx in
        withUnsafePointer(to: convolution) {
          ck_convolve_input_gradient($0, weight.pointer, dy.pointer, dx.baseAddress)
        }
      }
    }
  }

  // y[o] = Σ w[o, i] ∗ x[i] + b[o]  dw[o, i] = Σ dy[o] ∗ x[i]
  static func convolutionWeight(_ convolution: ck_convolution, _ x: Tensor, _ shape: [Int]) -> Pullback {
    { dy in
      Tensor(shape: shape) { dw in
        withUnsafePointer(to: convolution) {
          ck_convolve_weight_gradient($0, x.pointer, dy.pointer, dw.baseAddress)
        }
      }
    }
  }

  // y[o] = Σ w[o, i] ∗ x[i] + b[o]  db[o] = Σ dy[o] over images and places
  static func convolutionBias() -> Pullback {
    { dy in dy.reshaped([dy.shape[0], dy.shape[1], -1]).sum(axis: 2).sum(axis: 0) }
  }

  // y = max over a window           dx = Σ dy at the first largest element of each window, else 0
  static func maxPool(_ pooling: ck_pooling, _ places: [Int32], _ shape: [Int]) -> Pullback {
    { dy in
      Tensor(shape: shape) { dx in
        withUnsafePointer(to: pooling) { ck_max_pool_gradient($0, places, dy.pointer, dx.baseAddress) }
      }
    }
  }

  // y = mean over a window          dx = Σ dy / size over the windows that hold it
  static func averagePool(_ pooling: ck_pooling, _ shape: [Int]) -> Pullback {
    { dy in
      Tensor(shape: shape) { dx in
        withUnsafePointer(to: pooling) { ck_average_pool_gradient($0, dy.pointer, dx.baseAddress) }
      }
    }
  }

  // y = softmax x                   dx = y · (dy − Σ y·dy);  in log form dx = dy − eʸ Σ dy
  static func softmax(_ y: Tensor, log: Bool) -> Pullback {
    let columns = y.shape[y.rank - 1]
    return { dy in
      Tensor(shape: y.shape) {
        ck_softmax_rows_gradient(
          log, y.pointer, dy.pointer, $0.baseAddress, columns == 0 ? 0 : y.count / columns, columns)
      }
    }
  }

  // loss = mean(−log softmax x [target])   dx = dy · (softmax x − onehot target) / rows counted
  static func crossEntropy(_ difference: Tensor, counted: Float) -> Pullback {
    { dy in difference * (dy.item / counted) }
  }

  /// What the normalisations keep: the input, the weight and per row the mean and 1/deviation.
  struct Normalized: Sendable {
    let x: Tensor
    let weight: Tensor
    let mean: Tensor?
    let reciprocalDeviation: Tensor
    var rows: Int { reciprocalDeviation.count }
  }

  // x̂ = (x − mean)/σ, y = x̂ w + b   dx = (g − mean(g) − x̂ mean(g·x̂))/σ with g = dy·w;  dw = Σ dy·x̂;  db = Σ dy
  static func layerNorm(_ saved: Normalized, input: Int) -> Pullback {
    let columns = saved.weight.count
    return { dy in
      Tensor(shape: input == 0 ? saved.x.shape : [columns]) { out in
        let target = out.baseAddress
        ck_layer_norm_gradient(
          saved.x.pointer, saved.weight.pointer, saved.mean!.pointer, saved.reciprocalDeviation.pointer, dy.pointer,
          input == 0 ? target : nil, input == 1 ? target : nil, input == 2 ? target : nil, saved.rows, columns)
      }
    }
  }

  // x̂ = x/σ, y = x̂ w                dx = (g − x̂ mean(g·x̂))/σ with g = dy·w;  dw = Σ dy·x̂
  static func rmsNorm(_ saved: Normalized, input: Int) -> Pullback {
    let columns = saved.weight.count
    return { dy in
      Tensor(shape: input == 0 ? saved.x.shape : [columns]) { out in
        let target = out.baseAddress
        ck_rms_norm_gradient(
          saved.x.pointer, saved.weight.pointer, saved.reciprocalDeviation.pointer, dy.pointer,
          input == 0 ? target : nil, input == 1 ? target : nil, saved.rows, columns)
      }
    }
  }

  /// What attention keeps.
  struct Attention: Sendable {
    let query, key, value: Tensor
    let bias: Tensor?
    let queries, keys: Packing
    let rule: AttentionRule
    /// Which of query, key, value and bias need a gradient.
    let wanted: [Bool]
    var heads: Int { query.shape[1] }
    var keyHeads: Int { key.shape[1] }
    var size: Int { query.shape[2] }

    func withRule(_ body: (UnsafePointer<ck_attention_rule>) -> Void) {
      let rule = ck_attention_rule(
        scale: rule.scale ?? 1 / Float(size).squareRoot(), causal: rule.isCausal, window: rule.window ?? 0,
        cap: rule.cap ?? 0, bias: bias.map { UnsafePointer($0.pointer) }, reach: bias.map { $0.shape[1] / 2 } ?? 0,
        rounds: rule.precision == .bfloat16)
      withUnsafePointer(to: rule, body)
    }
  }

  // P = softmax(s Q Kᵀ + b), O = P V
  // dV = Pᵀ dO;  dS = P ∘ (dO Vᵀ − rowsum(dO ∘ O));  dQ = s dS K;  dK = s dSᵀ Q;  db = Σ dS by distance
  static func attention(_ saved: Attention, _ output: Tensor, _ logSums: Tensor) -> JointPullback {
    JointPullback { dy in
      let biasShape = saved.bias.map { [saved.queries.count] + $0.shape } ?? []
      let shapes = [saved.query.shape, saved.key.shape, saved.value.shape, biasShape]
      let gradients = zip(shapes, saved.wanted).map { shape, isWanted in
        isWanted ? Storage(count: shape.reduce(1, *)) : nil
      }
      saved.withRule {
        ck_attention_gradient(
          saved.queries.starts, saved.keys.starts, saved.queries.count, saved.heads, saved.keyHeads, saved.size, $0,
          saved.query.pointer, saved.key.pointer, saved.value.pointer, output.pointer, logSums.pointer, dy.pointer,
          gradients[0]?.base, gradients[1]?.base, gradients[2]?.base, gradients[3]?.base)
      }
      let found = zip(gradients, shapes).map { gradient, shape in gradient.map { Tensor(storage: $0, shape: shape) } }
      return Array(found.dropLast()) + [found[3]?.sum(axis: 0)]
    }
  }

  // y = f(x) ∘ g                    dx = dy ∘ g ∘ f′(x);  dg = dy ∘ f(x)
  static func activated(_ f: ck_unary_op, _ x: Tensor, gate: Tensor?, wanted: [Bool]) -> JointPullback {
    JointPullback { dy in
      let gradients = wanted.map { $0 ? Storage(count: x.count) : nil }
      func elements(_ x: Tensor) -> UnsafeRawPointer { x.storage.narrow.map { .init($0) } ?? .init(x.pointer) }
      ck_gate_gradient(
        f, x.isBFloat16, elements(x), gate.map(elements), dy.pointer, gradients[0]?.base,
        gate == nil ? nil : gradients[1]?.base, x.count)
      return gradients.map { gradient in gradient.map { Tensor(storage: $0, shape: x.shape) } }
    }
  }

  // y = x turned                    dx = dy turned back
  static func rotary(_ table: RotaryTable, _ positions: [Int32]) -> Pullback {
    { dy in dy.turned(table, positions, back: true) }
  }

  /// What a recomputed function keeps. It runs on the thread that differentiates.
  struct Recomputed: @unchecked Sendable {
    let input: Tensor
    /// What a gradient is asked for besides the input.
    let leaves: [Node]
    let function: (Tensor) -> Tensor
  }

  // y = f(x; leaves)                dx, dleaves = the gradients of Σ dy · f(x; leaves), computed anew
  static func recomputed(_ saved: Recomputed) -> JointPullback {
    JointPullback { dy in
      let leaf = saved.input.asLeaf
      let again = (saved.function(leaf) * dy).sum()
      return again.gradients(at: saved.leaves + [leaf.node!])
    }
  }

  /// What `Tensor.custom` keeps. It runs on the thread that differentiates.
  struct Custom: @unchecked Sendable {
    let shapes: [[Int]]
    let derivative: (Tensor) -> [Tensor?]
  }

  // y = f(a, b, …)                  da, db, … = what its author says, zero where that is nil
  static func custom(_ saved: Custom) -> JointPullback {
    JointPullback { dy in
      let found = saved.derivative(dy)
      expect(
        found.count == saved.shapes.count,
        "custom: the derivative gives \(found.count) gradients for \(saved.shapes.count) inputs")
      return zip(found, saved.shapes).enumerated().map { index, pair in
        let (gradient, shape) = pair
        expect(
          gradient == nil || gradient!.shape == shape,
          "custom: gradient \(index) has shape \(gradient!.shape), its input \(shape)")
        return gradient?.widened.detached ?? .zeros(shape)
      }
    }
  }
}
