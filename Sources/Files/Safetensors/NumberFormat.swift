// The formats in which files store numbers.

import LoRACKernels

/// How a tensor's numbers are stored. Those with ``isConvertible`` can be read as float32; those with ``isWritable`` can
/// be written from it too. The others are passed through as they are.
///
/// Raw values are safetensors' own names, and ggml's and others' for what safetensors has no name for.
public enum NumberFormat: String, CaseIterable, Sendable {
  /// Truth values, a byte each.
  case bool = "BOOL"
  /// Floats of 4 bits (E2M1), two to a byte.
  case f4 = "F4"
  /// Floats of 6 bits, 2 of them exponent.
  case f6e2m3 = "F6_E2M3"
  /// Floats of 6 bits, 3 of them exponent.
  case f6e3m2 = "F6_E3M2"
  /// Unsigned integers of 8 bits; quantized weights are often packed into these.
  case u8 = "U8"
  /// Integers of 8 bits.
  case i8 = "I8"
  /// Floats of 8 bits, 5 of them exponent, with infinities.
  case f8e5m2 = "F8_E5M2"
  /// Floats of 8 bits, 4 of them exponent, without infinities.
  case f8e4m3 = "F8_E4M3"
  /// As E5M2, without infinities and without a negative zero.
  case f8e5m2fnuz = "F8_E5M2FNUZ"
  /// As E4M3, without a negative zero.
  case f8e4m3fnuz = "F8_E4M3FNUZ"
  /// Powers of two: an exponent of 8 bits alone, the scale of a block in microscaling formats.
  case f8e8m0 = "F8_E8M0"
  /// Integers of 16 bits.
  case i16 = "I16"
  /// Unsigned integers of 16 bits.
  case u16 = "U16"
  /// IEEE 754 floats of 16 bits, up to 65,504.
  case f16 = "F16"
  /// The upper half of a float32: its range, 8 bits of precision.
  case bf16 = "BF16"
  /// Integers of 32 bits.
  case i32 = "I32"
  /// Unsigned integers of 32 bits.
  case u32 = "U32"
  /// IEEE 754 floats of 32 bits.
  case f32 = "F32"
  /// Complex numbers of two float32.
  case c64 = "C64"
  /// IEEE 754 floats of 64 bits.
  case f64 = "F64"
  /// Integers of 64 bits.
  case i64 = "I64"
  /// Unsigned integers of 64 bits.
  case u64 = "U64"
  /// ggml: blocks of 32 numbers, signed bytes times a scale.
  case q80 = "Q8_0"
  /// ggml: blocks of 32, 4 bits around 8, times a scale.
  case q40 = "Q4_0"
  /// ggml: blocks of 32, 4 bits times a scale, from a least number on.
  case q41 = "Q4_1"
  /// ggml: blocks of 32, 5 bits around 16, times a scale.
  case q50 = "Q5_0"
  /// ggml: blocks of 32, 5 bits times a scale, from a least number on.
  case q51 = "Q5_1"
  /// ggml: blocks of 256 in parts of 16, 2 bits.
  case q2K = "Q2_K"
  /// ggml: blocks of 256 in parts of 16, 3 bits.
  case q3K = "Q3_K"
  /// ggml: blocks of 256 in parts of 32 with a scale and a least number each, 4 bits.
  case q4K = "Q4_K"
  /// ggml: as Q4_K with 5 bits.
  case q5K = "Q5_K"
  /// ggml: blocks of 256 in parts of 16 with a scale each, 6 bits.
  case q6K = "Q6_K"
  /// bitsandbytes: 4 bits that name quantiles of the normal distribution, blocks with a scale each.
  case nf4 = "NF4"
  /// bitsandbytes: floats of 4 bits, blocks with a scale each.
  case fp4 = "FP4"
  /// bitsandbytes' LLM.int8: signed bytes, rows with a scale each.
  case int8Rows = "INT8"
  /// mlx: 4 bits, groups with a scale and an offset each.
  case affine4 = "MLX-4"
  /// mlx: 8 bits, groups with a scale and an offset each.
  case affine8 = "MLX-8"
  /// GPTQ: 4 or 8 bits, packed along the inputs.
  case gptq = "GPTQ"
  /// AWQ: 4 bits, packed along the outputs.
  case awq = "AWQ"

  /// Bits a number takes, rounded up; below 8 where several share a byte.
  public var bits: Int {
    if let block { return (block.bytes * 8 + block.count - 1) / block.count }
    return plainBits
  }

  private var plainBits: Int {
    switch self {
    case .f4: 4
    case .f6e2m3, .f6e3m2: 6
    case .bool, .u8, .i8, .f8e5m2, .f8e4m3, .f8e5m2fnuz, .f8e4m3fnuz, .f8e8m0: 8
    case .i16, .u16, .f16, .bf16: 16
    case .i32, .u32, .f32: 32
    case .c64, .f64, .i64, .u64: 64
    case .q40, .q41, .q50, .q51, .q80, .q2K, .q3K, .q4K, .q5K, .q6K: 8
    case .nf4, .fp4, .affine4, .gptq, .awq: 4
    case .int8Rows, .affine8: 8
    }
  }

  /// Whether arithmetic is done with it: it can be read as float32.
  public var isConvertible: Bool {
    switch self {
    case .f32, .f16, .bf16, .f64: true
    default: isQuantized
    }
  }

  /// Whether it stands for real numbers by codes and scales.
  public var isQuantized: Bool { block != nil || isComposite }

  /// Whether its codes and its scales are tensors of their own in the file.
  package var isComposite: Bool {
    switch self {
    case .nf4, .fp4, .int8Rows, .affine4, .affine8, .gptq, .awq: true
    default: false
    }
  }

  /// Whether float32 can be rounded into it.
  public var isWritable: Bool {
    switch self {
    case .f32, .f16, .bf16, .f64, .q80, .q40, .q41, .q50, .q51, .q4K, .q5K, .q6K: true
    default: false
    }
  }

  /// The numbers of a block and its bytes, where blocks are what is stored (ggml); else nil.
  package var block: (count: Int, bytes: Int)? {
    guard let encoding = kernelEncoding, encoding > CK_BF16 else { return nil }
    return (ck_block_count(Int32(encoding)), ck_block_bytes(Int32(encoding)))
  }

  /// What kernels call it: ggml's formats; nil for others.
  package var kernelEncoding: Int? {
    switch self {
    case .f32: CK_F32
    case .f16: CK_F16
    case .bf16: CK_BF16
    case .q80: CK_Q8_0
    case .q40: CK_Q4_0
    case .q41: CK_Q4_1
    case .q50: CK_Q5_0
    case .q51: CK_Q5_1
    case .q2K: CK_Q2_K
    case .q3K: CK_Q3_K
    case .q4K: CK_Q4_K
    case .q5K: CK_Q5_K
    case .q6K: CK_Q6_K
    default: nil
    }
  }

  /// Bytes of `count` numbers; `nil` on overflow or where they don't fill whole bytes.
  func byteCount(_ count: Int) -> Int? {
    if let block {
      let (total, overflow) = (count / block.count).multipliedReportingOverflow(by: block.bytes)
      return overflow || count % block.count != 0 ? nil : total
    }
    let (total, overflow) = count.multipliedReportingOverflow(by: bits)
    return overflow || total % 8 != 0 ? nil : total / 8
  }
}
