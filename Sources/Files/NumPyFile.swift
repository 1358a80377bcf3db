// A NumPy array file (.npy), read by memory map.
//
//     let weight = try NumPyFile(url).tensor()

import Foundation
import LoRATensors

/// One array of real numbers in NumPy's file format, versions 1.0 to 3.0 (numpy.lib.format): a magic string, a header
/// that is a Python dictionary, and the numbers.
///
/// Opening it reads and validates the header; numbers are read when asked for. Read are float16, float32 and float64 of
/// either byte order, in C or Fortran order.
public struct NumPyFile: Sendable {
  /// The file.
  public let url: URL
  /// The array's shape; empty for a scalar.
  public let shape: [Int]
  /// The numbers' format: F16, F32 or F64.
  public let format: NumberFormat
  /// Whether the first index varies fastest in the file.
  public let isFortranOrder: Bool
  private let isSwapped: Bool
  private let file: MappedFile
  private let dataOffset: Int

  private static let magic: [UInt8] = [0x93] + Array("NUMPY".utf8)

  /// Whether a file begins as NumPy's do.
  public static func recognises(_ url: URL) -> Bool {
    guard let file = try? MappedFile(url) else { return false }
    return withExtendedLifetime(file) { file.bytes.prefix(magic.count).elementsEqual(magic) }
  }

  /// - Throws: ``CheckpointError`` where the file can't be opened, is not valid, or holds other than real numbers.
  public init(_ url: URL) throws {
    self.url = url
    file = try MappedFile(url)
    let bytes = file.bytes
    func malformed(_ found: String, expected: String = "a valid NumPy file") -> CheckpointError {
      CheckpointError(.malformed, file: url.path, found, expected: expected, advice: .fetchAgain)
    }
    guard bytes.count >= 10, bytes.prefix(6).elementsEqual(Self.magic) else {
      throw malformed("does not begin with \\x93NUMPY and a header")
    }
    let version = bytes[6]
    guard (1...3).contains(version) else {
      throw CheckpointError(
        .unsupported, file: url.path, "has NumPy's format version \(version).\(bytes[7])", expected: "1.0 to 3.0",
        advice: "Save it again with numpy.save")
    }
    // The header's length has two bytes in version 1, then four; little-endian.
    let lengthBytes = version == 1 ? 2 : 4
    let start = 8 + lengthBytes
    let length = (8..<min(start, bytes.count)).reversed().reduce(0) { $0 << 8 | Int(bytes[$1]) }
    guard start + length <= bytes.count else {
      throw malformed(
        "has \(bytes.count) bytes: it was cut off", expected: "a header of \(length) bytes from byte \(start) on")
    }
    var header = HeaderReader(UnsafeRawBufferPointer(rebasing: bytes[start..<start + length]))
    guard let fields = header.read() else {
      throw malformed("has the header '\(header.text)'", expected: "a dictionary of descr, fortran_order and shape")
    }
    shape = fields.shape
    isFortranOrder = fields.isFortranOrder
    dataOffset = start + length

    let formats: [Substring: NumberFormat] = ["f2": .f16, "f4": .f32, "f8": .f64]
    guard let format = formats[fields.type.dropFirst()], let order = fields.type.first, "<>=".contains(order) else {
      throw CheckpointError(
        .unsupported, file: url.path, "holds numbers of type '\(fields.type)'",
        expected: "float16, float32 or float64 (f2, f4, f8)", advice: "Convert it with array.astype(numpy.float32)")
    }
    self.format = format
    isSwapped = order == ">"
    var needed = format.bits / 8
    for length in shape {
      let (product, isOverflow) = needed.multipliedReportingOverflow(by: length)
      guard !isOverflow else {
        throw malformed(
          "has the shape \(shape), beyond all memory", expected: "\(bytes.count - dataOffset) bytes of numbers")
      }
      needed = product
    }
    guard bytes.count - dataOffset == needed else {
      throw malformed(
        "has \(bytes.count - dataOffset) bytes after its header",
        expected: "\(needed), for \(fields.type) numbers of shape \(shape)")
    }
  }

  /// The array as float32, row-major.
  ///
  /// - Throws: ``CheckpointError`` of kind `number` where a finite number is beyond float32's range.
  public func tensor() throws -> Tensor {
    let count = shape.reduce(1, *)
    let size = format.bits / 8
    let values = try Tensor(shape: [count]) { destination in
      let data = UnsafeRawBufferPointer(rebasing: file.bytes[dataOffset...])
      if isSwapped {
        var swapped = [UInt8](repeating: 0, count: data.count)
        for i in swapped.indices { swapped[i] = data[i / size * size + size - 1 - i % size] }
        swapped.withUnsafeBytes { format.decode($0, into: destination) }
      } else {
        format.decode(data, into: destination)
      }
      guard format == .f64 else { return }
      for (index, value) in destination.enumerated() where value.isInfinite {
        var bits = data.loadUnaligned(fromByteOffset: index * size, as: UInt64.self)
        if isSwapped { bits = bits.byteSwapped }
        guard Double(bitPattern: bits).isInfinite else {
          throw CheckpointError(
            .number, file: url.path, "holds \(Double(bitPattern: bits))", expected: "numbers in the range of float32",
            advice: "Scale the numbers before they are saved")
        }
      }
    }
    guard isFortranOrder, shape.count > 1 else { return values.reshaped(shape) }
    return values.reshaped(shape.reversed()).permuted(Array(shape.indices.reversed()))
  }
}

/// Reads the header: `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }`.
private struct HeaderReader {
  let text: String
  private var rest: Substring

  init(_ bytes: UnsafeRawBufferPointer) {
    text = String(decoding: bytes, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
    rest = Substring(text)
  }

  /// `nil` where the header is anything else.
  mutating func read() -> (type: String, isFortranOrder: Bool, shape: [Int])? {
    var type: String?
    var isFortranOrder: Bool?
    var shape: [Int]?
    guard take("{") else { return nil }
    while !take("}") {
      guard let key = string(), take(":") else { return nil }
      switch key {
      case "descr":
        // A list describes a record, whose parts have names of their own.
        guard let value = string() else { return nil }
        type = value
      case "fortran_order":
        if take("True") { isFortranOrder = true } else if take("False") { isFortranOrder = false } else { return nil }
      case "shape":
        guard let value = tuple() else { return nil }
        shape = value
      default: return nil
      }
      guard take(",") || rest.first == "}" else { return nil }
    }
    guard let type, let isFortranOrder, let shape, rest.isEmpty else { return nil }
    return (type, isFortranOrder, shape)
  }

  private mutating func skipSpaces() { rest = rest.drop { $0 == " " } }

  private mutating func take(_ token: String) -> Bool {
    skipSpaces()
    guard rest.hasPrefix(token) else { return false }
    rest = rest.dropFirst(token.count)
    skipSpaces()
    return true
  }

  private mutating func string() -> String? {
    skipSpaces()
    guard let quote = rest.first, quote == "'" || quote == "\"" else { return nil }
    rest = rest.dropFirst()
    guard let end = rest.firstIndex(of: quote) else { return nil }
    defer { rest = rest[rest.index(after: end)...] }
    return String(rest[..<end])
  }

  private mutating func tuple() -> [Int]? {
    guard take("(") else { return nil }
    var lengths: [Int] = []
    while !take(")") {
      let digits = rest.prefix { $0.isNumber }
      guard let length = Int(digits) else { return nil }
      lengths.append(length)
      rest = rest.dropFirst(digits.count)
      // Python 2 wrote long integers with an L.
      _ = take("L")
      guard take(",") || rest.first == ")" else { return nil }
    }
    return lengths
  }
}
