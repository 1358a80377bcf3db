// The header of a safetensors file: 8 bytes of length, then JSON that says where each tensor's bytes lie.
//
// The rules are those of the Rust reference implementation: the tensors' byte ranges, in order, must fill the rest of
// the file without a hole and without overlap; names are bytes; fields that are unknown are read over. (Of a name that
// occurs twice, the reference takes the last; here it is refused.) It is parsed without building a JSON tree, so that a
// hostile header costs no more memory than its own size warrants.
// https://github.com/huggingface/safetensors#format

import LoRATensors

/// A validated header: every range in it lies within the file and has the size that its shape asks for.
public struct SafetensorsHeader: Sendable {
  /// A tensor and where its bytes lie, counted from the end of the header.
  public struct Entry: Sendable {
    /// Its name, number format and shape.
    public let info: TensorInfo
    /// Where its bytes lie, from the end of the header.
    public let range: Range<Int>
  }

  /// In the order of their bytes.
  public let entries: [Entry]
  /// `__metadata__`, in its order: keys and texts.
  public let metadata: [JSON.Member]
  /// Where the tensors' bytes begin in the file.
  public let dataOffset: Int

  /// Longer headers are refused, as the reference implementation does.
  static let longest = 100_000_000

  /// Reads and validates the header at the start of a file's bytes.
  public init(file bytes: UnsafeRawBufferPointer) throws(JSONError) {
    func fail(_ message: String) -> JSONError { JSONError(offset: 0, message: message) }
    guard bytes.count >= 8 else { throw fail("\(bytes.count) bytes are too few: a safetensors file begins with 8") }
    let length = UInt64(littleEndian: bytes.loadUnaligned(as: UInt64.self))
    guard length <= UInt64(Self.longest) else { throw fail("a header of \(length) bytes is beyond \(Self.longest)") }
    guard length <= UInt64(bytes.count - 8) else {
      throw fail("the header's length is given as \(length) bytes, the file has \(bytes.count - 8) left")
    }
    dataOffset = 8 + Int(length)
    let text = UnsafeRawBufferPointer(rebasing: bytes[8..<dataOffset])
    guard text.first == UInt8(ascii: "{") else { throw fail("the header does not begin with '{'") }
    let parsed = try Self.parse(text)
    metadata = parsed.metadata
    entries = try Self.order(parsed.entries, dataLength: bytes.count - dataOffset)
  }

  private static func parse(
    _ text: UnsafeRawBufferPointer
  ) throws(JSONError) -> (entries: [Entry], metadata: [JSON.Member]) {
    var entries: [Entry] = []
    var metadata: [JSON.Member] = []
    var names: Set<ExactString> = []
    var reader = JSONReader(text)
    try reader.readObject { reader, name throws(JSONError) in
      guard names.insert(ExactString(name)).inserted else { throw reader.error("the name \"\(name)\" occurs twice") }
      if name == "__metadata__" {
        metadata = try readMetadata(&reader)
      } else {
        entries.append(try readEntry(&reader, name: name))
      }
    }
    try reader.expectEnd()
    return (entries, metadata)
  }

  /// Texts under names; of a name that occurs twice, the last counts. `null` is as good as none.
  private static func readMetadata(_ reader: inout JSONReader) throws(JSONError) -> [JSON.Member] {
    if reader.peek() == UInt8(ascii: "n") {
      _ = try reader.readValue()
      return []
    }
    var members: [JSON.Member] = []
    var positions: [ExactString: Int] = [:]
    try reader.readObject { reader, key throws(JSONError) in
      let member = JSON.Member(key, .string(try reader.readString()))
      if let position = positions[ExactString(key)] {
        members[position] = member
      } else {
        positions[ExactString(key)] = members.count
        members.append(member)
      }
    }
    return members
  }

  private static func readEntry(_ reader: inout JSONReader, name: String) throws(JSONError) -> Entry {
    var format: NumberFormat?
    var shape: [Int]?
    var offsets: [Int]?
    try reader.readObject { reader, key throws(JSONError) in
      switch key {
      case "dtype" where format == nil:
        let word = try reader.readString()
        format = NumberFormat(rawValue: word).flatMap { $0.isQuantized ? nil : $0 }
        guard format != nil else { throw reader.error("\(name): the dtype \"\(word)\" is unknown") }
      case "shape" where shape == nil: shape = try readNaturals(&reader, atMost: TensorInfo.mostAxes, of: name)
      case "data_offsets" where offsets == nil: offsets = try readNaturals(&reader, atMost: 2, of: name)
      case "dtype", "shape", "data_offsets": throw reader.error("\(name): \"\(key)\" occurs twice")
      default: try reader.skipValue()
      }
    }
    guard let format, let shape, let offsets, offsets.count == 2 else {
      throw reader.error("\(name): dtype, shape and two data_offsets are needed")
    }
    guard offsets[0] <= offsets[1] else { throw reader.error("\(name): ends before it begins") }
    guard let size = TensorInfo.byteCount(format, shape) else {
      throw reader.error(
        "\(name): the shape \(shape) of \(format.rawValue) is too large, or no whole number of bytes")
    }
    guard size == offsets[1] - offsets[0] else {
      throw reader.error(
        "\(name): shape \(shape) of \(format.rawValue) takes \(size) bytes, its data_offsets hold \(offsets[1] - offsets[0])"
      )
    }
    return Entry(info: TensorInfo(name: name, format: format, shape: shape), range: offsets[0]..<offsets[1])
  }

  private static func readNaturals(
    _ reader: inout JSONReader, atMost most: Int, of name: String
  ) throws(JSONError) -> [Int] {
    var values: [Int] = []
    try reader.readArray { reader throws(JSONError) in
      guard case .integer(let value) = try reader.readNumber(), value >= 0 else {
        throw reader.error("\(name): a size or an offset is no natural number")
      }
      guard values.count < most else { throw reader.error("\(name): more than \(most) numbers in one list") }
      values.append(value)
    }
    return values
  }

  /// The entries in the order of their bytes, shown to fill the data exactly.
  private static func order(_ entries: [Entry], dataLength: Int) throws(JSONError) -> [Entry] {
    func fail(_ message: String) -> JSONError { JSONError(offset: 0, message: message) }
    let ordered = entries.sorted {
      ($0.range.lowerBound, $0.range.upperBound, $0.info.name) < (
        $1.range.lowerBound, $1.range.upperBound, $1.info.name
      )
    }
    var end = 0
    for entry in ordered {
      guard entry.range.lowerBound == end else {
        throw fail(
          entry.range.lowerBound < end
            ? "\(entry.info.name) overlaps the tensor before it"
            : "a hole of \(entry.range.lowerBound - end) bytes before \(entry.info.name)")
      }
      end = entry.range.upperBound
    }
    guard end == dataLength else {
      throw fail(
        end > dataLength
          ? "the tensors need \(end) bytes, the file has \(dataLength): it was cut off"
          : "\(dataLength - end) bytes after the last tensor")
    }
    return ordered
  }
}

extension SafetensorsHeader {
  /// The header's bytes, the leading length included, for tensors that lie one after the other in the given order.
  ///
  /// - Parameter length: bytes to fill with trailing spaces, at least what is needed; by default up to a multiple of 8.
  static func encode(_ tensors: [TensorInfo], metadata: [JSON.Member], length: Int? = nil) -> [UInt8] {
    var members: [JSON.Member] = []
    if !metadata.isEmpty { members.append(JSON.Member("__metadata__", .object(metadata))) }
    var offset = 0
    for tensor in tensors {
      let end = offset + tensor.byteCount
      members.append(
        JSON.Member(
          tensor.name,
          [
            "dtype": .string(tensor.format.rawValue), "shape": .array(tensor.shape.map(JSON.integer)),
            "data_offsets": [.integer(offset), .integer(end)],
          ]))
      offset = end
    }
    let text = Array(JSON.object(members).compact.utf8)
    let needed = 8 + (text.count + 7) / 8 * 8
    let total = length ?? needed
    expect(total >= needed && total % 8 == 0, "SafetensorsHeader: \(needed) bytes do not fit into \(total)")
    var bytes = withUnsafeBytes(of: UInt64(total - 8).littleEndian) { Array($0) }
    bytes.reserveCapacity(total)
    bytes += text
    bytes += [UInt8](repeating: 0x20, count: total - bytes.count)
    return bytes
  }
}
