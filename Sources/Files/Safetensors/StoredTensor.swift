// A tensor as it is stored: bytes in some number format, in a mapped file or in memory, read as float32 when asked.

import Foundation
import LoRACKernels
import LoRATensors

/// A named tensor whose numbers stay where they are stored until they are read.
///
/// Copying one copies no numbers. Read it whole as a `Tensor`, or piece by piece where memory must stay small.
public struct StoredTensor: @unchecked Sendable {
  /// Its name, number format and shape.
  public var info: TensorInfo
  /// Keeps the bytes alive: a mapped file, or memory of our own.
  private let owner: AnyObject
  private let bytes: UnsafeRawBufferPointer
  /// How to read it where its numbers are encoded, or its rows lie in another order; else nil.
  let encoded: EncodedMatrix?

  /// A tensor in a mapped file; `range` must lie within it.
  init(info: TensorInfo, file: MappedFile, range: Range<Int>) {
    self.init(info: info, owner: file, bytes: UnsafeRawBufferPointer(rebasing: file.bytes[range]))
  }

  private init(info: TensorInfo, owner: AnyObject, bytes: UnsafeRawBufferPointer, head: Int? = nil) {
    self.info = info
    self.owner = owner
    self.bytes = bytes
    guard let encoding = info.format.kernelEncoding, info.format.isQuantized || head != nil, info.count > 0 else {
      encoded = nil
      return
    }
    var matrix = ck_encoded()
    matrix.encoding = Int32(encoding)
    matrix.columns = info.shape.last ?? 1
    matrix.rows = info.count / matrix.columns
    matrix.codes = bytes.baseAddress
    matrix.head = head ?? 0
    encoded = EncodedMatrix(matrix, byteCount: bytes.count, owners: [owner])
  }

  /// Numbers whose codes and scales are tensors of their own: the codes' bytes count as its bytes.
  ///
  /// - Parameters:
  ///   - info: its name, its logical shape and what it is encoded as.
  ///   - codes: the tensor that holds the codes.
  ///   - encoded: how to read it.
  package init(info: TensorInfo, codes: StoredTensor, _ encoded: EncodedMatrix) {
    self.info = info
    owner = codes.owner
    bytes = codes.bytes
    self.encoded = encoded
  }

  /// Numbers in memory, rounded once, to nearest even, into `format`.
  ///
  /// - Throws: ``CheckpointError`` of kind `number` where a finite number is beyond the format's range.
  public init(name: String, _ tensor: Tensor, as format: NumberFormat = .f32) throws {
    let info = TensorInfo(name: name, format: format, shape: tensor.shape)
    let memory = OwnedBytes(count: info.byteCount)
    let overflows = tensor.withUnsafeBufferPointer { format.encode($0, into: memory.bytes) }
    guard overflows == 0 else {
      throw CheckpointError(
        .number, file: "", "\(name) has \(overflows) numbers beyond the range of \(format.rawValue)", expected: "none",
        advice: Advice("Write it as BF16 or F32", .chooseFormat))
    }
    self.init(info: info, owner: memory, bytes: UnsafeRawBufferPointer(memory.bytes))
  }

  /// A tensor in memory, whose bytes `fill` writes, all of them.
  package init(info: TensorInfo, _ fill: (UnsafeMutableRawBufferPointer) -> Void) {
    let memory = OwnedBytes(count: info.byteCount)
    fill(memory.bytes)
    self.init(info: info, owner: memory, bytes: UnsafeRawBufferPointer(memory.bytes))
  }

  /// The name by which its file knows it.
  public var name: String { info.name }
  /// The length of every axis; empty for a scalar.
  public var shape: [Int] { info.shape }
  /// How its numbers are stored.
  public var format: NumberFormat { info.format }
  /// How many numbers it holds.
  public var count: Int { info.count }

  /// The same numbers under another name.
  public func renamed(_ name: String) -> StoredTensor {
    var result = self
    result.info.name = name
    return result
  }

  /// The same numbers in another shape of equal count.
  public func reshaped(_ shape: [Int]) -> StoredTensor {
    expect(shape.reduce(1, *) == count, "StoredTensor.reshaped: \(info.shape) has not the count of \(shape)")
    var result = self
    result.info.shape = shape
    return result
  }

  /// The same numbers with the two halves of every `head` rows, which are stored in turns, one after the other: row
  /// j + s · head / 2 of the result is stored as row 2j + s.
  ///
  /// - Precondition: it is a matrix, or a vector, of a format that kernels decode, whose first axis is a multiple of `head`.
  package func untwisted(head: Int) -> StoredTensor {
    expect(
      (1...2).contains(shape.count) && shape[0] % head == 0 && head % 2 == 0 && format.kernelEncoding != nil,
      "StoredTensor.untwisted: \(info) has no heads of \(head) rows")
    // Of a vector, each number is a row.
    let rows = TensorInfo(name: name, format: format, shape: shape.count == 1 ? [shape[0], 1] : shape)
    var result = StoredTensor(info: rows, owner: owner, bytes: bytes, head: head)
    result.info.shape = shape
    return result
  }

  /// How many rows a head has whose halves are stored in turns; 0 where rows are stored in their order.
  package var head: Int { encoded?.matrix.head ?? 0 }

  /// The same with its bytes in memory in the order of its rows; itself where they are so already.
  package var inOrder: StoredTensor {
    guard head > 0, let rows = shape.first, rows > 0 else { return self }
    let size = bytes.count / rows
    var result = StoredTensor(info: info) { target in
      withBytes { source in
        for row in 0..<rows {
          target.baseAddress!.advanced(by: row * size)
            .copyMemory(from: source.baseAddress! + Self.storedRow(row, head: head) * size, byteCount: size)
        }
      }
    }
    result.info = info
    return result
  }

  /// Where a row is stored, counted in rows.
  package static func storedRow(_ row: Int, head: Int) -> Int {
    guard head > 0 else { return row }
    let place = row % head
    return row - place + 2 * (place % (head / 2)) + place / (head / 2)
  }

  /// The transpose of a matrix, in memory, its numbers bit for bit the same; encoded numbers become float32.
  ///
  /// - Precondition: it has two axes, and numbers of whole bytes.
  public func transposed() -> StoredTensor {
    if encoded != nil, let decoded = try? tensor() {
      return try! StoredTensor(name: name, decoded.transposed())  // float32 holds every float32
    }
    expect(shape.count == 2 && format.bits >= 8, "StoredTensor.transposed: \(info) is no matrix of whole bytes")
    let (rows, columns, size) = (shape[0], shape[1], format.bits / 8)
    let memory = OwnedBytes(count: info.byteCount)
    withBytes { source in
      for row in 0..<rows {
        for column in 0..<columns {
          memory.bytes.baseAddress!.advanced(by: (column * rows + row) * size)
            .copyMemory(from: source.baseAddress! + (row * columns + column) * size, byteCount: size)
        }
      }
    }
    let info = TensorInfo(name: name, format: format, shape: [columns, rows])
    return StoredTensor(info: info, owner: memory, bytes: UnsafeRawBufferPointer(memory.bytes))
  }

  /// What keeps its bytes, and where they begin: for what is read by way of pointers.
  package var storage: AnyObject { owner }
  package var start: UnsafeRawPointer? { bytes.baseAddress }

  /// The bytes as they are stored.
  public func withBytes<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) rethrows -> Result {
    try withExtendedLifetime(owner) { try body(bytes) }
  }

  /// Reads the numbers `range` (counted in row-major order) as float32.
  ///
  /// - Precondition: the format is convertible and `destination` has the range's count.
  package func read(_ range: Range<Int>, into destination: UnsafeMutableBufferPointer<Float>) {
    expect(
      destination.count == range.count, "StoredTensor.read: \(range.count) numbers into \(destination.count)")
    if let encoded { return withExtendedLifetime(owner) { encoded.decode(range, into: destination.baseAddress!) } }
    let size = format.bits / 8
    withBytes {
      format.decode(
        UnsafeRawBufferPointer(rebasing: $0[range.lowerBound * size..<range.upperBound * size]), into: destination)
    }
  }

  /// The whole tensor as float32.
  ///
  /// - Throws: ``CheckpointError`` where the format holds no real numbers (integers, 8-bit floats).
  public func tensor() throws -> Tensor {
    guard format.isConvertible else {
      throw CheckpointError(
        .unsupported, file: "", "\(name) is stored as \(format.rawValue)",
        expected: "F32, F16, BF16 or F64, which arithmetic needs", advice: "Convert it to one of these")
    }
    return Tensor(shape: shape) { read(0..<count, into: $0) }
  }

  /// The whole tensor, without a copy where it is stored as float32, or is a matrix in another format that products
  /// read: the numbers then stay in the mapped file as they are. (Vectors are small, and no product widens them as it
  /// goes.)
  package func sharedTensor() throws -> Tensor {
    if let encoded { return shape.count == 2 ? Tensor(encoded) : try tensor() }
    guard let start = bytes.baseAddress else { return try tensor() }
    func isAligned(to size: Int) -> Bool { Int(bitPattern: start) % size == 0 }
    switch format {
    case .f32 where isAligned(to: 4):
      return Tensor(shape: shape, borrowing: start.assumingMemoryBound(to: Float.self), owner: owner)
    case .bf16 where shape.count == 2 && isAligned(to: 2):
      return Tensor(shape: shape, borrowingBFloat16: start.assumingMemoryBound(to: UInt16.self), owner: owner)
    case .f16, .bf16, .f32:
      guard shape.count == 2, count > 0 else { return try tensor() }
      return Tensor(StoredTensor(info: info, owner: owner, bytes: bytes, head: 0).encoded!)
    default: return try tensor()
    }
  }

  /// Starts reading a range of its bytes from disk.
  package func prefetch(bytes range: Range<Int>) { advise(.willNeed, range) }

  /// Lets the pages of a mapped file go; they are read again if needed.
  package func release() { advise(.finished, 0..<bytes.count) }

  /// The same for a range of its bytes.
  package func release(bytes range: Range<Int>) { advise(.finished, range) }

  /// The same for the bytes of numbers, counted in row-major order, as far as they lie in that order.
  package func release(numbers range: Range<Int>) { advise(.finished, byteRange(range)) }

  /// Starts reading the bytes of numbers from disk.
  package func prefetch(numbers range: Range<Int>) { advise(.willNeed, byteRange(range)) }

  private func byteRange(_ range: Range<Int>) -> Range<Int> {
    func place(_ number: Int) -> Int { count == 0 ? 0 : Int(Double(bytes.count) * (Double(number) / Double(count))) }
    return place(range.lowerBound)..<place(range.upperBound)
  }

  /// The mapped file that it lies in, and where; `nil` for a tensor in memory.
  var place: (file: MappedFile, range: Range<Int>)? {
    guard let file = owner as? MappedFile, let base = file.bytes.baseAddress, let start = bytes.baseAddress else {
      return nil
    }
    return (file, start - base..<start - base + bytes.count)
  }

  /// Where its bytes lie in the mapped file; `nil` for a tensor in memory.
  package var fileRange: Range<Int>? { place?.range }

  private func advise(_ advice: MappedFile.Advice, _ range: Range<Int>) {
    guard let place else { return }
    let start = place.range.lowerBound
    place.file.advise(advice, start + range.lowerBound..<start + range.upperBound)
  }
}

/// Memory of our own.
final class OwnedBytes {
  let bytes: UnsafeMutableRawBufferPointer

  init(count: Int) {
    let block = UnsafeMutableRawBufferPointer.allocate(byteCount: max(count, 1), alignment: 64)
    bytes = UnsafeMutableRawBufferPointer(rebasing: block[..<count])
  }

  deinit { bytes.deallocate() }
}

extension NumberFormat {
  /// Widens or narrows stored numbers to float32.
  package func decode(_ source: UnsafeRawBufferPointer, into destination: UnsafeMutableBufferPointer<Float>) {
    guard let from = source.baseAddress, let to = destination.baseAddress, !destination.isEmpty else { return }
    let count = destination.count
    // A file may put a tensor at any byte; the kernels want their numbers aligned.
    guard block != nil || Int(bitPattern: from) % (bits / 8) == 0 else {
      return withUnsafeTemporaryAllocation(byteCount: source.count, alignment: 64) { aligned in
        aligned.copyMemory(from: source)
        decode(UnsafeRawBufferPointer(aligned), into: destination)
      }
    }
    switch self {
    case .f32: to.update(from: from.assumingMemoryBound(to: Float.self), count: count)
    case .f16: ck_f16_to_f32(from.assumingMemoryBound(to: UInt16.self), to, count)
    case .bf16: ck_bf16_to_f32(from.assumingMemoryBound(to: UInt16.self), to, count)
    case .f64: ck_f64_to_f32(from.assumingMemoryBound(to: Double.self), to, count)
    default:
      guard let block, count % block.count == 0 else {
        fatalError("NumberFormat.decode: \(count) numbers of \(rawValue) can't be read")
      }
      var matrix = ck_encoded()
      (matrix.encoding, matrix.rows, matrix.columns, matrix.codes) = (Int32(kernelEncoding!), 1, count, from)
      ck_decode_rows(&matrix, 0, 1, to, count)
    }
  }

  /// Rounds finite float32 numbers into this format and says how many became infinite.
  ///
  /// - Precondition: it is writable; of a format with blocks, `source` holds whole ones.
  package func encode(_ source: UnsafeBufferPointer<Float>, into destination: UnsafeMutableRawBufferPointer) -> Int {
    guard let from = source.baseAddress, let to = destination.baseAddress, !source.isEmpty else { return 0 }
    switch self {
    case .f32: to.copyMemory(from: from, byteCount: source.count * 4)
    case .f16: ck_f32_to_f16(from, to.assumingMemoryBound(to: UInt16.self), source.count)
    case .bf16: ck_f32_to_bf16(from, to.assumingMemoryBound(to: UInt16.self), source.count)
    case .f64: ck_f32_to_f64(from, to.assumingMemoryBound(to: Double.self), source.count)
    default:
      guard isWritable, let block, source.count % block.count == 0 else {
        fatalError("NumberFormat.encode: \(source.count) numbers can't be written as \(rawValue)")
      }
      ck_encode_blocks(Int32(kernelEncoding!), from, to, source.count)
      return blockOverflows(destination, count: source.count)
    }
    guard let limit = overflowLimit else { return 0 }
    let beyond = ck_count_from(from, limit, source.count)
    return beyond == 0 ? 0 : Int(beyond - ck_count_from(from, .infinity, source.count))
  }

  /// How many blocks have a scale beyond float16.
  private func blockOverflows(_ bytes: UnsafeMutableRawBufferPointer, count: Int) -> Int {
    guard let block else { return 0 }
    // Where a block's float16 lie.
    let places = [.q6K].contains(self) ? [208] : [.q80, .q40, .q50].contains(self) ? [0] : [0, 2]
    var overflows = 0
    for start in stride(from: 0, to: count / block.count * block.bytes, by: block.bytes) {
      for place in places where bytes.loadUnaligned(fromByteOffset: start + place, as: UInt16.self) & 0x7C00 == 0x7C00 {
        overflows += 1
      }
    }
    return overflows
  }

  /// The least float32 that rounds to infinity here.
  private var overflowLimit: Float? {
    switch self {
    case .f16: 65520
    case .bf16: Float(bitPattern: 0x7F7F_8000)
    default: nil
    }
  }
}
