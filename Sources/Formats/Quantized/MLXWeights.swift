// mlx's affine layout: words of codes, and a scale and an offset ("bias") for each group of a row.

import LoRACKernels
import LoRAFiles

extension QuantizedTensors {
  mutating func affine(_ codes: StoredTensor) throws -> StoredTensor? {
    let path = codes.info.modulePath
    guard codes.format == .u32, codes.shape.count == 2, let scales = self["\(path).scales"],
      self["\(path).biases"] != nil,
      let settings = configuration["quantization"] ?? configuration["quantization_config"]
    else { return nil }
    let own = settings[path]
    func setting(_ name: String) -> JSON? { own?[name] ?? settings[name] }
    guard let bits = setting("bits")?.integer, bits == 4 || bits == 8, setting("mode")?.string ?? "affine" == "affine"
    else { return nil }
    let (rows, columns) = (codes.shape[0], codes.shape[1] * 32 / bits)
    guard codes.count > 0, scales.shape.count == 2, scales.shape[0] == rows, scales.shape[1] > 0,
      columns % scales.shape[1] == 0, columns / scales.shape[1] % 8 == 0
    else {
      throw Problem(
        found: "\(codes.shape) words of \(bits) bits and scales \(scales.shape) do not fit",
        expected: "a scale for each group of a row")
    }
    if let group = setting("group_size")?.integer, group != columns / scales.shape[1] {
      throw Problem(
        found: "its groups hold \(columns / scales.shape[1]) numbers",
        expected: "\(group), as config.json (mlx's quantization) says")
    }
    let formats: [NumberFormat] = [.f16, .bf16, .f32]
    _ = try take("\(path).scales", formats, count: scales.count)
    let offsets = try take("\(path).biases", [scales.format], count: scales.count)
    return Self.matrix(
      codes.name, bits == 4 ? .affine4 : .affine8, [rows, columns], codes: codes, [scales.storage, offsets.storage],
      bytes: codes.info.byteCount + 2 * scales.info.byteCount
    ) { matrix in
      (matrix.encoding, matrix.bits, matrix.group) = (Int32(CK_AFFINE), Int32(bits), columns / scales.shape[1])
      (matrix.scales, matrix.offsets, matrix.scale_encoding) = (
        scales.start, offsets.start, scales.format.scaleEncoding
      )
    }
  }
}
