// bitsandbytes' layouts: 4 bits that name an entry of a table (NF4, FP4), and LLM.int8's bytes.

import Foundation
import LoRACKernels
import LoRAFiles

extension QuantizedTensors {
  /// A matrix in 4 bits: its codes lie flat, two to a byte, whatever type the bytes are called; `quant_state` holds its shape.
  mutating func bitsandbytes(_ codes: StoredTensor) throws -> StoredTensor? {
    let formats: [(String, NumberFormat)] = [("nf4", .nf4), ("fp4", .fp4)]
    guard let (type, format) = formats.first(where: { self["\(codes.name).quant_state.bitsandbytes__\($0.0)"] != nil }),
      let state = take("\(codes.name).quant_state.bitsandbytes__\(type)")
    else { return nil }
    guard state.format == .u8, state.count < 1 << 16, let json = state.withBytes({ try? JSON(parsing: $0) }) else {
      throw Problem(found: "its quant_state is no JSON", expected: "how bitsandbytes quantised it, as JSON")
    }
    let shape = (json["shape"]?.array ?? []).compactMap(\.integer)
    let group = json["blocksize"]?.integer ?? 0
    guard shape.count == 2, shape.allSatisfy({ $0 > 0 && $0 < 1 << 31 }), group > 0, group <= 1 << 20 else {
      throw Problem(
        found: "its quant_state gives the shape \(shape) and blocks of \(group)",
        expected: "a matrix and blocks of at least one")
    }
    let count = shape[0] * shape[1]
    let groups = (count + group - 1) / group
    guard codes.info.byteCount == (count + 1) / 2 else {
      throw Problem(found: "holds \(codes.info.byteCount) bytes", expected: "\((count + 1) / 2) for \(shape) numbers")
    }
    let table = try FloatTable(take("\(codes.name).quant_map", [.f32], count: 16))
    let nested = json["nested_blocksize"]?.integer
    let scales = try take("\(codes.name).absmax", [nested == nil ? .f32 : .u8], count: groups)
    var (outer, outerTable): (FloatTable?, FloatTable?)
    if let nested {
      guard nested > 0 else { throw Problem(found: "nested_blocksize is \(nested)", expected: "at least 1") }
      outer = try FloatTable(take("\(codes.name).nested_absmax", [.f32], count: (groups + nested - 1) / nested))
      outerTable = try FloatTable(take("\(codes.name).nested_quant_map", [.f32], count: 256))
    }
    let offset = Float(json["nested_offset"]?.number ?? 0)
    return Self.matrix(
      codes.name, format, shape, codes: codes, [table, scales.storage] + [outer, outerTable].compactMap { $0 },
      bytes: codes.info.byteCount + scales.info.byteCount
    ) { matrix in
      matrix.encoding = Int32(CK_CODE_BOOK)
      (matrix.bits, matrix.group, matrix.table) = (4, group, UnsafePointer(table.start))
      guard let outer, let outerTable, let nested else {
        matrix.scales = scales.start
        return
      }
      matrix.scale_codes = scales.start?.assumingMemoryBound(to: UInt8.self)
      (matrix.scale_table, matrix.outer_scales) = (UnsafePointer(outerTable.start), UnsafePointer(outer.start))
      (matrix.outer_group, matrix.outer_offset) = (nested, offset)
    }
  }

  /// LLM.int8: a byte a number, and a scale a row.
  mutating func rowBytes(_ codes: StoredTensor) throws -> StoredTensor? {
    let path = codes.info.modulePath
    guard codes.format == .i8, codes.shape.count == 2, codes.count > 0, self["\(path).SCB"] != nil else { return nil }
    let scales = try take("\(path).SCB", [.f32], count: codes.shape[0])
    if let format = take("\(path).weight_format"), format.numbers?.first != 0 {
      throw Problem(found: "its weight_format is one that bitsandbytes alone can undo", expected: "row-major")
    }
    return Self.matrix(
      codes.name, .int8Rows, codes.shape, codes: codes, [scales.storage],
      bytes: codes.info.byteCount + scales.info.byteCount
    ) { matrix in
      (matrix.encoding, matrix.bits, matrix.scales) = (Int32(CK_ROW_BYTES), 8, scales.start)
    }
  }
}
