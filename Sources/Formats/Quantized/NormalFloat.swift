// Matrices as bitsandbytes stores them in 4 bits: NF4, whose 16 values are quantiles of the normal distribution
// (Dettmers et al. 2023, appendix E).

import Foundation
import LoRACKernels
import LoRAFiles
import LoRATensors

package enum NormalFloat {
  /// Numbers that share a scale.
  package static let group = 64
  /// Ascending; bitsandbytes' own, to the last bit.
  static let table: [Float] = [
    -1, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
    -0.09105003625154495, 0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
    0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1,
  ]

  /// A matrix' tensors in a file: codes, scales, the table, and a JSON with its shape.
  ///
  /// - Parameters:
  ///   - weight: a matrix [outputs, inputs], which is read in pieces.
  /// - Returns: the tensors, and ‖W‖² and the error's square.
  /// - Throws: `CheckpointError` where it holds NaN or infinity.
  package static func encode(_ weight: StoredTensor) throws -> (tensors: [StoredTensor], weight: Double, error: Double)
  {
    let count = weight.count
    let codes = ScratchNumbers<UInt8>(count: (count + 1) / 2)
    let scales = ScratchNumbers<Float>(count: (count + group - 1) / group)
    var (squares, error) = (0.0, 0.0)
    let piece = 1 << 20
    for start in stride(from: 0, to: count, by: piece) {
      let range = start..<min(start + piece, count)
      try withScratch(range.count) { numbers in
        weight.read(range, into: numbers)
        guard ck_all_finite(numbers.baseAddress!, numbers.count) else {
          throw CheckpointError(
            .number, file: "", "\(weight.name) holds NaN or infinity", expected: "finite numbers",
            advice: .beforeItDiverged)
        }
        let (codes, scales) = (codes.start + start / 2, scales.start + start / group)
        ck_encode_code_book(numbers.baseAddress!, numbers.count, group, table, codes, scales)
        squares += ck_sum_of_squares(numbers.baseAddress!, numbers.count)
        for index in numbers.indices {
          let code = Int(index % 2 == 0 ? codes[index / 2] >> 4 : codes[index / 2] & 15)
          let difference = Double(numbers[index] - table[code] * scales[index / group])
          error += difference * difference
        }
      }
      weight.release(numbers: range)
    }
    let dtypes: [NumberFormat: String] = [.f16: "float16", .bf16: "bfloat16"]
    let state: JSON = [
      "quant_type": "nf4", "blocksize": .integer(group), "dtype": .string(dtypes[weight.format] ?? "float32"),
      "shape": .array(weight.shape.map(JSON.integer)),
    ]
    let text = Array(state.compact.utf8)
    return (
      [
        codes.tensor(weight.name, .u8, [codes.count, 1]), scales.tensor(weight.name + ".absmax", .f32, [scales.count]),
        try StoredTensor(name: weight.name + ".quant_map", Tensor(table)),
        StoredTensor(
          info: TensorInfo(name: weight.name + ".quant_state.bitsandbytes__nf4", format: .u8, shape: [text.count])
        ) { $0.copyBytes(from: text) },
      ], squares, error
    )
  }
}

/// Numbers that are worked out in pieces.
private final class ScratchNumbers<Number> {
  let start: UnsafeMutablePointer<Number>
  let count: Int

  init(count: Int) {
    self.count = count
    start = .allocate(capacity: max(count, 1))
  }

  deinit { start.deallocate() }

  func tensor(_ name: String, _ format: NumberFormat, _ shape: [Int]) -> StoredTensor {
    StoredTensor(info: TensorInfo(name: name, format: format, shape: shape)) {
      $0.copyMemory(from: UnsafeRawBufferPointer(start: start, count: count * MemoryLayout<Number>.stride))
    }
  }
}
