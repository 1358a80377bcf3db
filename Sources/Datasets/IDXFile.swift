// IDX, the format of MNIST: two zero bytes, the element type, the number of dimensions, then each dimension as a
// big-endian 32-bit count, then the elements, last dimension fastest.
// Source: https://yann.lecun.com/exdb/mnist/ ("The IDX file format").
import Foundation

/// An IDX file of unsigned bytes, gzipped or not.
///
/// ```swift
/// let images = try IDXFile(contentsOf: url, dimensionCount: 3)
/// images.dimensions  // [60000, 28, 28]
/// ```
public struct IDXFile: Sendable {
  /// The sizes, outermost first.
  public let dimensions: [Int]
  /// The elements, row-major; `dimensions` multiplied is their number.
  public let bytes: [UInt8]

  /// - Parameters:
  ///   - file: the file to read.
  ///   - dimensionCount: 3 for images, 1 for labels.
  /// - Throws: `DatasetError` when the file is missing, truncated, damaged, longer than it says, or something else.
  public init(contentsOf file: URL, dimensionCount: Int) throws {
    let reader = try ByteReader(file)
    let magic = try reader.read(4, of: "the header")
    try IDXFile.check(magic, dimensionCount: dimensionCount, file: file)
    let sizes = try reader.read(4 * dimensionCount, of: "the header")
    dimensions = (0..<dimensionCount).map { axis in
      sizes[4 * axis..<4 * axis + 4].reduce(0) { $0 << 8 | Int($1) }
    }
    let count = try IDXFile.elementCount(dimensions, in: reader)
    bytes = try reader.read(count, of: "elements")
    try reader.requireEnd(after: "the \(count.grouped) elements that the header promises")
  }

  private static func check(_ magic: [UInt8], dimensionCount: Int, file: URL) throws {
    let unsignedByte: UInt8 = 0x08
    guard magic != [0, 0, unsignedByte, UInt8(dimensionCount)] else { return }
    let isIDX = magic[0] == 0 && magic[1] == 0 && magic[2] == unsignedByte && (1...4).contains(magic[3])
    throw DatasetError(
      .wrongFormat, file: file,
      found: isIDX
        ? "an IDX file of \(Int(magic[3]).counted("dimension"))"
        : "the first bytes \(magic.map { String(format: "%02x", $0) }.joined(separator: " "))",
      expected: "an IDX file of unsigned bytes with \(dimensionCount.counted("dimension"))"
        + String(format: " (00 00 08 %02x)", dimensionCount),
      advice: isIDX
        ? "Images have 3 dimensions and labels 1: check that the two files are not swapped."
        : "Use the original IDX files, gzipped or not.")
  }

  /// The product of the sizes, once it is known that the file can hold so much: a false header must not make us
  /// allocate more than the file can fill.
  private static func elementCount(_ dimensions: [Int], in reader: ByteReader) throws -> Int {
    var count = 1
    var overflows = false
    for size in dimensions {
      let (product, overflow) = count.multipliedReportingOverflow(by: size)
      (count, overflows) = (product, overflows || overflow)
    }
    let deflateRatio = 1032  // the most that a byte of deflate can expand to
    let bound = reader.isGzipped ? reader.size.multipliedReportingOverflow(by: deflateRatio).partialValue : reader.size
    guard !overflows, count <= bound else {
      throw DatasetError(
        .truncated, file: reader.file, found: "\(reader.size.grouped) bytes",
        expected: "the \(dimensions.map(String.init).joined(separator: "×")) elements that the header promises",
        advice: "The file was probably cut off in transfer; fetch it again")
    }
    return count
  }
}
