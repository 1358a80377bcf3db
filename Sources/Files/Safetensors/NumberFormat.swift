// The formats in which safetensors stores numbers.

/// How a tensor's numbers are stored. Those with ``isConvertible`` can be read as float32 and written from it; the
/// others are passed through as they are.
///
/// Raw values are safetensors' own names.
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

  /// Bits a number takes; below 8 where several share a byte.
  public var bits: Int {
    switch self {
    case .f4: 4
    case .f6e2m3, .f6e3m2: 6
    case .bool, .u8, .i8, .f8e5m2, .f8e4m3, .f8e5m2fnuz, .f8e4m3fnuz, .f8e8m0: 8
    case .i16, .u16, .f16, .bf16: 16
    case .i32, .u32, .f32: 32
    case .c64, .f64, .i64, .u64: 64
    }
  }

  /// Whether arithmetic is done with it: float32, float16, bfloat16 and float64.
  public var isConvertible: Bool {
    switch self {
    case .f32, .f16, .bf16, .f64: true
    default: false
    }
  }

  /// Bytes of `count` numbers; `nil` on overflow or where they don't fill whole bytes.
  func byteCount(_ count: Int) -> Int? {
    let (total, overflow) = count.multipliedReportingOverflow(by: bits)
    return overflow || total % 8 != 0 ? nil : total / 8
  }
}
