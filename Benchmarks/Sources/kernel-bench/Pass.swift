import Foundation
// Kernels that pass once over memory, against a copy of as many bytes.
import LoRACKernels
import Measuring

/// A kernel that moves `bytes` and is otherwise cheap.
struct Pass {
  var name: String
  var bytes: Int
  var run: () -> Void
  /// Element i of the result, and what it should be.
  var element: (_ i: Int) -> (Float, Float)

  func measure(in table: Table) {
    let from = ck_allocate(bytes / 2)!
    let to = ck_allocate(bytes / 2)!
    defer {
      ck_deallocate(from, bytes / 2)
      ck_deallocate(to, bytes / 2)
    }
    memset(from, 1, bytes / 2)
    table.show(name, work: 1e-9 * Double(bytes), run) { memcpy(to, from, bytes / 2) }
    for i in stride(from: 0, to: 1 << 16, by: 997) {
      let (result, expected) = element(i)
      check(abs(result - expected) <= 1e-5 * max(1, abs(expected)), "\(name): \(result) instead of \(expected) at \(i)")
    }
  }

  /// On `count` numbers, a square of a power of two, at least 2¹⁶.
  static func all(count: Int) -> [Pass] {
    let x = randomValues(count)
    let start = randomValues(count)
    let side = Int(Double(count).squareRoot())
    var (weight, m, v) = (start, [Float](repeating: 0, count: count), [Float](repeating: 0, count: count))
    var y = weight
    var root = [Float](repeating: 0, count: count / 1024)
    let squares = x.reduce(0) { $0 + Double($1) * Double($1) }
    var sum = 0.0
    var halves = [UInt16](repeating: 0, count: count)
    let (float16s, bfloat16s) = (x.map { Float16($0).bitPattern }, x.map { UInt16($0.bitPattern >> 16) })

    func unary(_ name: String, _ op: ck_unary_op, _ formula: @escaping (Float) -> Float) -> Pass {
      Pass(name: name, bytes: 8 * count, run: { ck_unary(op, x, &y, count) }, element: { (y[$0], formula(x[$0])) })
    }
    /// The sum over the row of 1024 in which element i is.
    func rowSum(_ i: Int, _ term: (Float) -> Float) -> Float {
      x[(i / 1024 * 1024)...].prefix(1024).map(term).reduce(0, +)
    }

    return [
      Pass(name: "Adam step", bytes: 28 * count) {
        _ = ck_adam_step(&weight, x, &m, &v, count, 1e-3, 0.9, 0.999, 1e-8, 0, true, 10, 1)
      } element: { i in
        // The first step, from moments of zero, is w − lr · sign(g).
        var (w, m, v) = (Array(start[i..<i + 64]), [Float](repeating: 0, count: 64), [Float](repeating: 0, count: 64))
        _ = ck_adam_step(&w, Array(x[i..<i + 64]), &m, &v, 64, 1e-3, 0.9, 0.999, 1e-8, 0, true, 1, 1)
        return (w[63], start[i + 63] - (x[i + 63] < 0 ? -1e-3 : 1e-3))
      },
      Pass(name: "sum of squares", bytes: 4 * count) {
        sum = ck_sum_of_squares(x, count)
      } element: { _ in
        (Float(sum), Float(squares))
      },
      unary("exp", CK_EXP) { exp($0) },
      unary("erf", CK_ERF) { erf($0) },
      unary("gelu", CK_GELU) { $0 * (1 + erf($0 * Float(0.5).squareRoot())) / 2 },
      Pass(name: "softmax of rows of 1024", bytes: 8 * count) {
        ck_softmax_rows(false, x, &y, count / 1024, 1024)
      } element: { i in
        (1024 * y[i], 1024 * exp(x[i]) / rowSum(i) { exp($0) })
      },
      Pass(name: "RMS norm of rows of 1024", bytes: 8 * count) {
        ck_rms_norm(x, nil, 1e-5, &y, &root, count / 1024, 1024)
      } element: { i in
        (y[i], x[i] / (rowSum(i) { $0 * $0 } / 1024 + 1e-5).squareRoot())
      },
      Pass(name: "float32 to float16", bytes: 6 * count) {
        ck_f32_to_f16(x, &halves, count)
      } element: { i in
        (Float(Float16(bitPattern: halves[i])), Float(Float16(x[i])))
      },
      Pass(name: "float16 to float32", bytes: 6 * count) {
        ck_f16_to_f32(float16s, &y, count)
      } element: { i in
        (y[i], Float(Float16(x[i])))
      },
      Pass(name: "float32 to bfloat16", bytes: 6 * count) {
        ck_f32_to_bf16(x, &halves, count)
      } element: { i in
        let bits = x[i].bitPattern
        return (Float(halves[i]), Float((bits + 0x7fff + (bits >> 16 & 1)) >> 16))
      },
      Pass(name: "bfloat16 to float32", bytes: 6 * count) {
        ck_bf16_to_f32(bfloat16s, &y, count)
      } element: { i in
        (y[i], Float(bitPattern: x[i].bitPattern & 0xffff_0000))
      },
      Pass(name: "transpose \(side)×\(side)", bytes: 8 * count) {
        ck_permute(2, [side, side], x, [1, side], &y)
      } element: { i in
        (y[i], x[i % side * side + i / side])
      },
    ]
  }
}
