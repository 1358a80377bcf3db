import LoRACKernels

/// A matrix in memory as a product reads it, or its transpose.
package typealias Factor = ck_factor

extension ck_factor {
  /// Rows lie `stride` elements apart.
  package init(_ elements: UnsafePointer<Float>, stride: Int, transposed: Bool = false) {
    self.init(
      elements: elements, stride: stride, transposed: transposed, bfloat16: false, rounds: false, encoded: nil,
      bytes: false)
  }

  /// A tensor's elements as they are stored, bfloat16 or encoded too: only the right factor of a product may be that.
  init(_ storage: Storage, stride: Int, transposed: Bool = false) {
    if let encoded = storage.encoded {
      self.init(
        elements: nil, stride: stride, transposed: transposed, bfloat16: false,
        rounds: storage.rounds, encoded: encoded.address, bytes: storage.precision == .int8)
      return
    }
    let elements = storage.narrow.map { UnsafeRawPointer($0) } ?? UnsafeRawPointer(storage.base)
    self.init(
      elements: elements, stride: stride, transposed: transposed, bfloat16: storage.isNarrow, rounds: storage.rounds,
      encoded: nil, bytes: false)
  }
}

/// c = alpha · a b + beta · c for a [m, k], b [k, n] and c [m, n], as they are after transposition. The rows of c lie
/// `stride` elements apart; with beta = 0, c is not read.
package func multiply(
  _ a: Factor, _ b: Factor, m: Int, n: Int, k: Int, alpha: Float = 1, beta: Float = 0,
  to c: UnsafeMutablePointer<Float>, stride: Int
) {
  var product = ck_product(m: m, n: n, k: k, alpha: alpha, beta: beta, a: a, b: b, c: c, ldc: stride)
  ck_multiply(&product)
}

extension Tensor {
  /// op(self) · op(other), where op transposes the last two axes if asked.
  ///
  /// Both have at least two axes. The leading axes of both are equal, or one of the two is a plain matrix that is used
  /// for all products of the other. [.., m, k] · [.., k, n] → [.., m, n].
  public func matmul(_ other: Tensor, transposeSelf: Bool = false, transposeOther: Bool = false) -> Tensor {
    expect(rank >= 2 && other.rank >= 2, "matmul: matrices are needed, found shapes \(shape) and \(other.shape)")
    if rank > 2 && other.rank == 2 && !transposeSelf {
      // One product with all rows at once.
      return reshaped([count / shape[rank - 1], shape[rank - 1]])
        .matmul(other, transposeOther: transposeOther)
        .reshaped(shape.dropLast() + [other.shape[transposeOther ? 0 : 1]])
    }
    return product(other, transposeSelf, transposeOther).recorded(
      .matmul,
      self, Derivative.matmulLeft(shape, other.detached, transposeSelf, transposeOther),
      other, Derivative.matmulRight(detached, other.shape, transposeSelf, transposeOther))
  }

  /// `matmul`, unrecorded.
  package func product(_ other: Tensor, _ transposeSelf: Bool, _ transposeOther: Bool) -> Tensor {
    let (rowsA, columnsA) = (shape[rank - 2], shape[rank - 1])
    let (rowsB, columnsB) = (other.shape[other.rank - 2], other.shape[other.rank - 1])
    let (m, k) = transposeSelf ? (columnsA, rowsA) : (rowsA, columnsA)
    let (otherK, n) = transposeOther ? (columnsB, rowsB) : (rowsB, columnsB)
    let (batchA, batchB) = (Array(shape.dropLast(2)), Array(other.shape.dropLast(2)))
    expect(
      k == otherK && (batchA == batchB || batchA.isEmpty || batchB.isEmpty),
      "matmul: shapes \(shape)\(transposeSelf ? "ᵀ" : "") and \(other.shape)\(transposeOther ? "ᵀ" : "") do not fit")
    // Kernels take bfloat16 and encoded numbers on the right: A B = (Bᵀ Aᵀ)ᵀ.
    if storage.isNarrow && rank == 2 && other.rank == 2 {
      return other.widened.product(self, !transposeOther, !transposeSelf).transposed()
    }
    let batch = batchA.isEmpty ? batchB : batchA
    let batchCount = batch.reduce(1, *)
    let a = widened
    let b = batchCount == 1 ? other : other.widened
    return Tensor(shape: batch + [m, n]) { out in
      var first = ck_product(
        m: m, n: n, k: k, alpha: 1, beta: 0, a: Factor(a.pointer, stride: columnsA, transposed: transposeSelf),
        b: Factor(b.storage, stride: columnsB, transposed: transposeOther), c: out.baseAddress, ldc: n)
      ck_multiply_batch(
        &first, batchCount, batchA.isEmpty ? 0 : rowsA * columnsA, batchB.isEmpty ? 0 : rowsB * columnsB, m * n)
    }
  }

  /// self · weightᵀ for several weights [outputs, inputs], unrecorded: for few rows at about the cost of one large weight.
  /// self: [rows, inputs].
  package func products(_ weights: [Tensor]) -> [Tensor] {
    expect(
      rank == 2 && weights.allSatisfy { $0.rank == 2 && $0.shape[1] == shape[1] },
      "products: input \(shape) and weights \(weights.map(\.shape)) do not fit")
    let x = widened
    let outputs = weights.map { Storage(count: shape[0] * $0.shape[0]) }
    let products = zip(weights, outputs).map { weight, output in
      ck_product(
        m: shape[0], n: weight.shape[0], k: shape[1], alpha: 1, beta: 0, a: Factor(x.pointer, stride: shape[1]),
        b: Factor(weight.storage, stride: shape[1], transposed: true), c: output.base, ldc: weight.shape[0])
    }
    withExtendedLifetime((x, weights)) { ck_multiply_together(products, products.count) }
    return zip(weights, outputs).map { Tensor(storage: $1, shape: [shape[0], $0.shape[0]]) }
  }

  /// self · weightᵀ + bias: the linear map of a layer, for self [.., inputs], weight [outputs, inputs], bias [outputs].
  public func linear(_ weight: Tensor, bias: Tensor? = nil) -> Tensor {
    expect(
      rank >= 1 && weight.rank == 2 && shape[rank - 1] == weight.shape[1]
        && (bias == nil || bias!.shape == [weight.shape[0]]),
      "linear: input \(shape), weight \(weight.shape), bias \(bias?.shape.description ?? "none") do not fit")
    if rank != 2 {
      return reshaped([count / shape[rank - 1], shape[rank - 1]]).linear(weight, bias: bias)
        .reshaped(shape.dropLast() + [weight.shape[0]])
    }
    var result = product(weight, false, true)
    if let bias { result.addToRows(bias) }
    return result.recorded(.linear, [self, weight] + (bias.map { [$0] } ?? [])) { input in
      switch input {
      case 0: Derivative.matmulLeft(shape, weight.detached, false, true)
      case 1: Derivative.matmulRight(detached, weight.shape, false, true)
      default: Derivative.add(to: [weight.shape[0]])
      }
    }
  }

  /// Adds to every row of this matrix, unrecorded; in place where nobody else holds its memory.
  package mutating func addToRows(_ bias: Tensor) {
    let (rows, columns, bias) = (shape[0], shape[1], bias.widened)
    updateInPlace { ck_add_rows(bias.pointer, $0, rows, columns) }
  }

  /// The sum of every row of this matrix and `bias`; in place where nobody else holds its memory.
  package consuming func addingToRows(_ bias: Tensor) -> Tensor {
    addToRows(bias)
    return recorded(.add, self, Derivative.affine(scale: 1), bias, Derivative.add(to: bias.shape))
  }
}
