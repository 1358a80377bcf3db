// GPTQ's and AWQ's layouts: matrices stored as [inputs, outputs] in words of codes, eight (or four) to a word, along the
// inputs (GPTQ) or the outputs (AWQ).

import LoRACKernels
import LoRAFiles

extension QuantizedTensors {
  mutating func packed(_ codes: StoredTensor) throws -> StoredTensor? {
    let path = codes.info.modulePath
    // A file alone does not say which of GPTQ's versions it is, and the two differ by a step.
    guard let settings = configuration["quantization_config"], [.i32, .u32].contains(codes.format),
      codes.shape.count == 2, let scales = self["\(path).scales"],
      let zeros = self["\(path).qzeros"], scales.shape.count == 2, zeros.shape.count == 2
    else { return nil }
    let (groups, rows) = (scales.shape[0], scales.shape[1])
    let isAWQ = codes.shape[1] != rows
    let bits = settings["bits"]?.integer ?? settings["w_bit"]?.integer ?? 4
    guard bits == 4 || bits == 8 && !isAWQ else { return nil }
    let perWord = 32 / bits
    let columns = isAWQ ? codes.shape[0] : codes.shape[0] * perWord
    guard codes.count > 0, groups > 0, rows % perWord == 0, [.f16, .bf16, .f32].contains(scales.format),
      zeros.format.bits == 32, zeros.shape == [groups, rows / perWord], !isAWQ || codes.shape[1] == rows / 8
    else {
      throw Problem(
        found: "qweight \(codes.shape), qzeros \(zeros.shape) and scales \(scales.shape) do not fit",
        expected: "eight columns or rows in a word, and a zero and a scale for each group")
    }
    for part in ["scales", "qzeros"] { _ = take("\(path).\(part)") }
    var index: IndexTable?
    if let order = take("\(path).g_idx") {
      guard order.count == columns, let places = order.numbers,
        places.allSatisfy({ $0 >= 0 && $0 < Double(groups) && $0 == $0.rounded() })
      else {
        throw Problem(
          found: "\(path).g_idx names other groups, or not as many",
          expected: "one of \(groups) groups for each of \(columns) inputs")
      }
      index = IndexTable(places.map { Int32($0) })
    }
    guard index != nil || columns % groups == 0 else {
      throw Problem(found: "has \(columns) inputs", expected: "a multiple of its \(groups) groups")
    }
    // What the first version stores is one less than the zero point.
    let shift = settings["checkpoint_format"]?.string == "gptq_v2" ? 0 : 1
    return Self.matrix(
      path + ".weight", isAWQ ? .awq : .gptq, [rows, columns], codes: codes,
      [scales.storage, zeros.storage] + (index.map { [$0] } ?? []),
      bytes: codes.info.byteCount + scales.info.byteCount + zeros.info.byteCount
    ) { matrix in
      (matrix.encoding, matrix.bits) = (Int32(isAWQ ? CK_AWQ : CK_GPTQ), Int32(bits))
      (matrix.group, matrix.zero_shift) = (max(1, columns / groups), Int32(shift))
      (matrix.scales, matrix.offsets, matrix.scale_encoding) = (scales.start, zeros.start, scales.format.scaleEncoding)
      matrix.groups = index.map { UnsafePointer($0.start) }
    }
  }
}
