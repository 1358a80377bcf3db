// Many short lists of whole numbers, such as the tokens of texts: a list's place is known only every few thousand bytes,
// so that what is held grows with the bytes and not with the lists.

import LoRATensors

/// Lists of whole numbers below 2³², each found by its position.
///
/// A list is stored as its length in bytes and its numbers, each in as many bytes as it needs (LEB128).
package struct NumberLists: Sendable {
  package private(set) var count = 0
  private let bytes = ScratchBytes()
  private var marks = PlaceMarks()

  package init() {}

  /// Of a copy, only one may grow.
  package mutating func append(_ numbers: some Sequence<Int32>) throws {
    marks.note(index: count, offset: bytes.count)
    var content: [UInt8] = []
    for number in numbers { NumberLists.encode(UInt32(bitPattern: number), into: &content) }
    var list: [UInt8] = []
    NumberLists.encode(UInt32(content.count), into: &list)
    try bytes.append(list + content)
    count += 1
  }

  package func list(at index: Int) throws -> [Int32] {
    var found: [Int32] = []
    try forEach(in: index..<index + 1) { found = $1 }
    return found
  }

  /// Calls `body` with the positions in a range and their lists.
  package func forEach(in range: Range<Int>, _ body: (Int, [Int32]) throws -> Void) throws {
    expect(
      range.lowerBound >= 0 && range.upperBound <= count, "NumberLists: \(range) of \(count) lists")
    var next = range.lowerBound
    while next < range.upperBound {
      let (mark, end) = marks.place(of: next, end: bytes.count)
      let stretch = try [UInt8](unsafeUninitializedCapacity: end - mark.offset) { buffer, count in
        count = try bytes.read(at: mark.offset, into: UnsafeMutableRawBufferPointer(buffer))
      }
      var place = 0
      var index = mark.index
      while place < stretch.count, index < range.upperBound {
        let length = Int(NumberLists.decode(stretch, &place))
        if index == next {
          var list: [Int32] = []
          let end = place + length
          while place < end { list.append(Int32(bitPattern: NumberLists.decode(stretch, &place))) }
          try body(index, list)
          next += 1
        } else {
          place += length
        }
        index += 1
      }
    }
  }

  private static func encode(_ number: UInt32, into bytes: inout [UInt8]) {
    var rest = number
    while rest >= 0x80 {
      bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    bytes.append(UInt8(rest))
  }

  private static func decode(_ bytes: [UInt8], _ place: inout Int) -> UInt32 {
    var number: UInt32 = 0
    var shift: UInt32 = 0
    while true {
      let byte = bytes[place]
      place += 1
      number |= UInt32(byte & 0x7F) << shift
      guard byte & 0x80 != 0 else { return number }
      shift += 7
    }
  }
}

/// Where some of many items begin that lie one after another: at least every `spacing` bytes one is marked.
package struct PlaceMarks: Sendable {
  package struct Mark: Sendable {
    package let index: Int
    package let offset: Int
    /// What else is counted along, such as lines.
    package let line: Int
  }

  package private(set) var marks: [Mark] = []
  private static let spacing = 4096

  package init() {}

  /// To be told of every item, in order.
  package mutating func note(index: Int, offset: Int, line: Int = 0) {
    guard marks.last.map({ offset - $0.offset >= PlaceMarks.spacing }) ?? true else { return }
    marks.append(Mark(index: index, offset: offset, line: line))
  }

  /// The last mark at or before an item, and where the next one lies.
  package func place(of index: Int, end: Int) -> (mark: Mark, end: Int) {
    var (low, high) = (0, marks.count)  // marks[low].index <= index < marks[high].index
    while high - low > 1 {
      let middle = (low + high) / 2
      if marks[middle].index <= index { low = middle } else { high = middle }
    }
    return (marks[low], high < marks.count ? marks[high].offset : end)
  }
}
