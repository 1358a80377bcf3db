/// Whole numbers from 0 to 65,535, in one byte each while all are below 256: the classes of very many examples.
///
/// ```swift
/// var labels: SmallIntegers = [0, 1, 1]
/// labels.append(300)          // now two bytes each
/// labels[3]                   // 300
/// ```
public struct SmallIntegers: RandomAccessCollection, Sendable, ExpressibleByArrayLiteral {
  private var bytes: [UInt8] = []
  private var pairs: [UInt16] = []
  private var isWide = false

  /// The largest number that fits, 65,535.
  public static let largest = Int(UInt16.max)

  /// No numbers yet.
  public init() {}
  public init(arrayLiteral elements: Int...) { self.init(elements) }
  /// Numbers in 0...`largest`.
  public init(_ elements: some Sequence<Int>) { for element in elements { append(element) } }

  public var startIndex: Int { 0 }
  public var endIndex: Int { isWide ? pairs.count : bytes.count }
  public subscript(position: Int) -> Int { isWide ? Int(pairs[position]) : Int(bytes[position]) }

  /// Adds a number in 0...`largest`.
  public mutating func append(_ element: Int) {
    expect(
      element >= 0 && element <= SmallIntegers.largest,
      "SmallIntegers: \(element) does not lie in 0...\(SmallIntegers.largest)")
    if !isWide, element > Int(UInt8.max) {
      pairs = bytes.map(UInt16.init)
      bytes = []
      isWide = true
    }
    if isWide { pairs.append(UInt16(element)) } else { bytes.append(UInt8(element)) }
  }

  /// Puts `new[x]` in the place of every x.
  public mutating func renumber(_ new: [Int]) {
    expect(
      new.allSatisfy { $0 >= 0 && $0 <= (isWide ? SmallIntegers.largest : Int(UInt8.max)) },
      "SmallIntegers: the new numbers should lie in the range of the old ones")
    for index in bytes.indices { bytes[index] = UInt8(new[Int(bytes[index])]) }
    for index in pairs.indices { pairs[index] = UInt16(new[Int(pairs[index])]) }
  }
}

extension SmallIntegers: Equatable {
  public static func == (a: SmallIntegers, b: SmallIntegers) -> Bool { a.elementsEqual(b) }
}
