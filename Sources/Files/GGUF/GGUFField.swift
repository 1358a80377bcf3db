// A field of a GGUF file's metadata: a key and a value of one of thirteen types.

import Foundation

/// A key with its value, whose bytes stay in the mapped file until they are asked for: vocabularies are fields too.
public struct GGUFField: @unchecked Sendable {
  /// The types of values, by ggml's numbers.
  public enum Kind: UInt32, Sendable {
    /// Integers of 8 and 16 bits.
    case uint8, int8, uint16, int16
    /// Integers and floats of 32 bits.
    case uint32, int32, float32
    /// One byte, 0 or 1.
    case bool
    /// A length of 64 bits, then UTF-8.
    case string
    /// A type, a count of 64 bits, then the values.
    case array
    /// Integers and floats of 64 bits.
    case uint64, int64, float64

    /// Bytes of a value; nil where they are not always as many.
    var size: Int? {
      switch self {
      case .uint8, .int8, .bool: 1
      case .uint16, .int16: 2
      case .uint32, .int32, .float32: 4
      case .uint64, .int64, .float64: 8
      case .string, .array: nil
      }
    }
  }

  /// "general.architecture", "llama.block_count"
  public let key: String
  /// The value's type.
  public let kind: Kind
  /// The value as the file has it, all of it valid.
  let bytes: UnsafeRawBufferPointer
  private let owner: AnyObject

  init(key: String, kind: Kind, bytes: UnsafeRawBufferPointer, owner: AnyObject) {
    self.key = key
    self.kind = kind
    self.bytes = bytes
    self.owner = owner
  }

  private init(_ key: String, _ kind: Kind, _ value: [UInt8]) {
    let memory = OwnedBytes(count: value.count)
    memory.bytes.copyBytes(from: value)
    self.init(key: key, kind: kind, bytes: UnsafeRawBufferPointer(memory.bytes), owner: memory)
  }

  // MARK: Reading

  /// A whole number of any width; nil for other values and beyond `Int`.
  public var integer: Int? { withExtendedLifetime(owner) { Self.integer(kind, bytes) } }

  /// A number of any type.
  public var number: Double? { withExtendedLifetime(owner) { Self.number(kind, bytes) } }

  /// A truth value.
  public var bool: Bool? { kind == .bool ? withExtendedLifetime(owner) { bytes[0] != 0 } : nil }

  /// A text; bytes that are no UTF-8 become U+FFFD.
  public var string: String? {
    kind == .string ? withExtendedLifetime(owner) { String(decoding: bytes[8...], as: UTF8.self) } : nil
  }

  /// How many values an array has; nil for other fields.
  public var count: Int? {
    guard kind == .array else { return nil }
    return withExtendedLifetime(owner) { Int(bytes.loadUnaligned(fromByteOffset: 4, as: UInt64.self)) }
  }

  /// The texts of an array of such; nil for other fields.
  public var strings: [String]? {
    var strings: [String] = []
    let isRead = forEachString { strings.append(String(decoding: $0, as: UTF8.self)) }
    return isRead ? strings : nil
  }

  /// Lends each text of an array as bytes.
  ///
  /// - Returns: false for other fields.
  package func forEachString(_ body: (UnsafeRawBufferPointer) -> Void) -> Bool {
    guard let count, elementKind == .string else { return false }
    withExtendedLifetime(owner) {
      var place = 12
      for _ in 0..<count {
        let length = Int(bytes.loadUnaligned(fromByteOffset: place, as: UInt64.self))
        body(UnsafeRawBufferPointer(rebasing: bytes[place + 8..<place + 8 + length]))
        place += 8 + length
      }
    }
    return true
  }

  /// The numbers of an array of such; nil for other fields.
  public var numbers: [Double]? {
    guard let count, let kind = elementKind, let size = kind.size, kind != .bool else { return nil }
    return withExtendedLifetime(owner) {
      (0..<count).map { index in
        let start = 12 + index * size
        return Self.number(kind, UnsafeRawBufferPointer(rebasing: bytes[start..<start + size]))!
      }
    }
  }

  private var elementKind: Kind? {
    guard kind == .array else { return nil }
    return withExtendedLifetime(owner) { Kind(rawValue: bytes.loadUnaligned(as: UInt32.self)) }
  }

  private static func integer(_ kind: Kind, _ bytes: UnsafeRawBufferPointer) -> Int? {
    switch kind {
    case .uint8: Int(bytes[0])
    case .int8: Int(Int8(bitPattern: bytes[0]))
    case .uint16: Int(bytes.loadUnaligned(as: UInt16.self))
    case .int16: Int(bytes.loadUnaligned(as: Int16.self))
    case .uint32: Int(bytes.loadUnaligned(as: UInt32.self))
    case .int32: Int(bytes.loadUnaligned(as: Int32.self))
    case .uint64: Int(exactly: bytes.loadUnaligned(as: UInt64.self))
    case .int64: Int(bytes.loadUnaligned(as: Int64.self))
    default: nil
    }
  }

  private static func number(_ kind: Kind, _ bytes: UnsafeRawBufferPointer) -> Double? {
    switch kind {
    case .float32: Double(bytes.loadUnaligned(as: Float.self))
    case .float64: bytes.loadUnaligned(as: Double.self)
    case .uint64: Double(bytes.loadUnaligned(as: UInt64.self))
    default: integer(kind, bytes).map(Double.init)
    }
  }

  // MARK: Writing

  /// A text.
  public init(_ key: String, _ value: String) { self.init(key, .string, Self.encoded(value)) }

  /// A number that is not negative, in 32 bits.
  public init(_ key: String, _ value: UInt32) { self.init(key, .uint32, Self.encoded(value)) }

  /// A float of 32 bits.
  public init(_ key: String, _ value: Float) { self.init(key, .float32, Self.encoded(value.bitPattern)) }

  /// A truth value.
  public init(_ key: String, _ value: Bool) { self.init(key, .bool, [value ? 1 : 0]) }

  /// Texts.
  public init(_ key: String, _ values: [String]) {
    self.init(
      key, .array,
      Self.encoded(Kind.string.rawValue) + Self.encoded(UInt64(values.count)) + values.flatMap(Self.encoded))
  }

  /// Floats of 32 bits.
  public init(_ key: String, _ values: [Float]) {
    self.init(
      key, .array,
      Self.encoded(Kind.float32.rawValue) + Self.encoded(UInt64(values.count))
        + values.flatMap { Self.encoded($0.bitPattern) })
  }

  /// Integers of 32 bits.
  public init(_ key: String, _ values: [Int32]) {
    self.init(
      key, .array,
      Self.encoded(Kind.int32.rawValue) + Self.encoded(UInt64(values.count)) + values.flatMap(Self.encoded))
  }

  /// Key, type and value as they stand in a file.
  var encoded: [UInt8] {
    withExtendedLifetime(owner) { Self.encoded(key) + Self.encoded(kind.rawValue) + Array(bytes) }
  }

  static func encoded(_ text: String) -> [UInt8] { encoded(UInt64(text.utf8.count)) + Array(text.utf8) }

  static func encoded(_ number: some FixedWidthInteger) -> [UInt8] {
    withUnsafeBytes(of: number.littleEndian) { Array($0) }
  }
}
