// A GGUF file, read by memory map: metadata, then where each tensor lies, then the tensors.
// https://github.com/ggml-org/ggml/blob/master/docs/gguf.md

import Foundation

/// A GGUF file opened for reading. Opening it validates all that stands before the numbers: every length in it lies within
/// the file, and every tensor has the bytes that its shape asks for.
public final class GGUFFile: Sendable {
  /// The file.
  public let url: URL
  /// The metadata, in its order.
  public let fields: [GGUFField]
  /// Bytes of the whole file.
  public let byteCount: Int
  /// Tensors begin at multiples of so many bytes.
  public let alignment: Int
  let list: TensorList

  /// More axes than ggml has.
  private static let mostAxes = 4
  /// Fields are tens; so many more would be an attack on what looks them up.
  private static let mostFields = 65536

  /// - Throws: ``CheckpointError`` where the file can't be opened or is not valid, which the error says.
  public convenience init(_ url: URL) throws { try self.init(MappedFile(url), at: url) }

  init(_ file: MappedFile, at url: URL) throws {
    func fail(
      _ found: String, expected: String = "a valid GGUF file", _ kind: CheckpointError.Kind = .malformed
    ) -> CheckpointError {
      CheckpointError(
        kind, file: url.path, found, expected: expected,
        advice: kind == .unsupported ? "Convert it with llama.cpp, or take another" : .fetchAgain)
    }
    self.url = url
    byteCount = file.bytes.count
    var reader = GGUFReader(file.bytes)
    do {
      guard try reader.take(UInt32.self) == 0x4655_4747 else { throw fail("does not begin with GGUF") }
      let version = try reader.take(UInt32.self)
      guard version == 2 || version == 3 else {
        throw fail(
          (1...3).contains(version.byteSwapped)
            ? "is a GGUF file of a big-endian machine" : "is GGUF version \(version)",
          expected: "version 2 or 3, little-endian", .unsupported)
      }
      let (tensorCount, fieldCount) = (try reader.take(UInt64.self), try reader.take(UInt64.self))
      // A tensor takes 24 bytes at least.
      guard tensorCount <= UInt64(byteCount / 24), fieldCount <= UInt64(Self.mostFields) else {
        throw fail(
          "claims \(tensorCount) tensors and \(fieldCount) fields of metadata",
          expected: "at most \(byteCount / 24) and \(Self.mostFields)")
      }
      var fields: [GGUFField] = []
      var keys: Set<ExactString> = []
      for _ in 0..<fieldCount {
        let key = try reader.takeText()
        guard keys.insert(key) else { throw fail("has the key \"\(key)\" twice", expected: "each once") }
        let number = try reader.take(UInt32.self)
        guard let kind = GGUFField.Kind(rawValue: number) else { throw fail("\(key) has the unknown type \(number)") }
        let start = reader.place
        try reader.skip(kind, depth: 0)
        fields.append(
          GGUFField(
            key: key, kind: kind, bytes: UnsafeRawBufferPointer(rebasing: file.bytes[start..<reader.place]), owner: file
          ))
      }
      self.fields = fields
      let alignment = fields.first { $0.key == "general.alignment" }.map { $0.integer ?? 0 } ?? 32
      guard alignment > 0, alignment <= 1 << 20, alignment & (alignment - 1) == 0 else {
        throw fail("general.alignment is \(alignment)", expected: "a power of two")
      }
      self.alignment = alignment
      var found: [(info: TensorInfo, offset: Int, bytes: Int)] = []
      var names: Set<ExactString> = []
      for _ in 0..<tensorCount {
        let name = try reader.takeText()
        guard names.insert(name) else { throw fail("has the name \"\(name)\" twice", expected: "each once") }
        let axes = try reader.take(UInt32.self)
        guard axes <= UInt32(Self.mostAxes) else {
          throw fail("\(name) has \(axes) axes", expected: "at most \(Self.mostAxes)")
        }
        // The fastest axis comes first.
        let shape = try (0..<axes).map { _ in Int(exactly: try reader.take(UInt64.self)) ?? -1 }.reversed() as [Int]
        let type = try reader.take(UInt32.self)
        guard let format = GGMLType.format(type) else {
          throw fail(
            "\(name) is stored as \(GGMLType.name(type))", expected: "F32, F16, BF16, Q4_0 to Q8_0 or Q2_K to Q6_K",
            .unsupported)
        }
        let offset = try reader.take(UInt64.self)
        guard let bytes = TensorInfo.byteCount(format, shape) else {
          throw fail(
            "\(name) has the shape \(shape)",
            expected: "rows of whole blocks of \(format.rawValue), not beyond all memory")
        }
        guard offset % UInt64(alignment) == 0, offset <= UInt64(byteCount) else {
          throw fail("\(name) begins at \(offset)", expected: "a multiple of \(alignment) within the file")
        }
        found.append((TensorInfo(name: name, format: format, shape: shape), Int(offset), bytes))
      }
      let data = (reader.place + alignment - 1) / alignment * alignment
      let end = file.bytes.count
      list = TensorList(
        try found.map { info, offset, bytes in
          guard bytes <= end, data + offset + bytes <= end else {
            throw fail(
              "ends at byte \(end): it was cut off",
              expected: "\(bytes) bytes of \(info.name) from byte \(data + offset) on")
          }
          return StoredTensor(info: info, file: file, range: data + offset..<data + offset + bytes)
        })
    } catch let error as GGUFReader.Truncation {
      throw fail(error.message)
    }
  }

  /// In the order of the file's list.
  public var tensors: [StoredTensor] { list.tensors }

  /// The tensor of this name; names are compared by their bytes.
  public subscript(name: String) -> StoredTensor? { list[name] }

  /// The field of this key.
  public func field(_ key: String) -> GGUFField? { fields.first { $0.key.isExactly(key) } }
}

/// Takes numbers and texts off the front of a file.
struct GGUFReader {
  /// The file ends, or a length says that it should go on.
  struct Truncation: Error {
    let message: String
  }

  private let bytes: UnsafeRawBufferPointer
  private(set) var place = 0

  /// Arrays in arrays: no file has them, and each level costs stack.
  private static let deepest = 2
  /// A name is some tens of bytes; texts that are compared may not be endless.
  private static let longestName = 1 << 16

  init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

  mutating func take<Number: FixedWidthInteger>(_ type: Number.Type) throws(Truncation) -> Number {
    let start = try advance(by: MemoryLayout<Number>.size)
    return Number(littleEndian: bytes.loadUnaligned(fromByteOffset: start, as: type))
  }

  /// A name or a key, with its length before it.
  mutating func takeText() throws(Truncation) -> String {
    let length = try take(UInt64.self)
    guard length <= UInt64(Self.longestName) else {
      throw Truncation(message: "a name of \(length) bytes (byte \(place))")
    }
    let start = try advance(by: Int(length))
    guard let text = String(validating: bytes[start..<place], as: UTF8.self), text.isStreamSafe else {
      throw Truncation(message: "a name that is no text (byte \(start))")
    }
    return text
  }

  /// Goes over a value, whose lengths must lie within the file.
  mutating func skip(_ kind: GGUFField.Kind, depth: Int) throws(Truncation) {
    if let size = kind.size {
      try advance(by: size)
    } else if kind == .string {
      let length = try take(UInt64.self)
      try advance(by: Int(exactly: length) ?? .max)
    } else {
      guard depth < Self.deepest else { throw Truncation(message: "arrays within arrays (byte \(place))") }
      let number = try take(UInt32.self)
      let count = try take(UInt64.self)
      guard let element = GGUFField.Kind(rawValue: number) else {
        throw Truncation(message: "an array of the unknown type \(number) (byte \(place))")
      }
      // Each takes a byte at least, texts and arrays eight.
      guard count <= UInt64(bytes.count / (element.size ?? 8)) else {
        throw Truncation(message: "an array of \(count) values, which the file can't hold (byte \(place))")
      }
      if let size = element.size {
        try advance(by: size * Int(count))
      } else {
        for _ in 0..<count { try skip(element, depth: depth + 1) }
      }
    }
  }

  /// Where the bytes begin that were gone over.
  @discardableResult
  private mutating func advance(by count: Int) throws(Truncation) -> Int {
    guard count <= bytes.count - place else {
      throw Truncation(
        message: "ends at byte \(bytes.count), where \(count) bytes more are needed from byte \(place) on")
    }
    defer { place += count }
    return place
  }
}

/// ggml's numbers for formats.
enum GGMLType {
  private static let formats: [UInt32: NumberFormat] = [
    0: .f32, 1: .f16, 2: .q40, 3: .q41, 6: .q50, 7: .q51, 8: .q80, 10: .q2K, 11: .q3K, 12: .q4K, 13: .q5K,
    14: .q6K, 24: .i8, 25: .i16, 26: .i32, 27: .i64, 28: .f64, 30: .bf16,
  ]

  private static let others: [UInt32: String] = [
    9: "Q8_1", 15: "Q8_K", 16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S", 20: "IQ4_NL", 21: "IQ3_S",
    22: "IQ2_S", 23: "IQ4_XS", 29: "IQ1_M", 34: "TQ1_0", 35: "TQ2_0", 39: "MXFP4", 40: "NVFP4", 41: "Q1_0",
  ]

  static func format(_ type: UInt32) -> NumberFormat? { formats[type] }

  /// The number of a format; nil where ggml has none.
  static func number(_ format: NumberFormat) -> UInt32? { formats.first { $0.value == format }?.key }

  static func name(_ type: UInt32) -> String { others[type] ?? format(type)?.rawValue ?? "the unknown type \(type)" }
}
