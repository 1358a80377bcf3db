// A JSON value that keeps the order of its keys.
//
// Order carries meaning in adapters: of several `rank_pattern` keys that match a module, the first one counts.
// Foundation's parser forgets the order and lets duplicate keys pass, so adapters and headers are read by this one.

/// A JSON value; an object keeps its members in the order of the file, each key once.
///
/// Keys are compared by their bytes: an accent in one character or in two makes two keys.
public enum JSON: Equatable, Sendable {
  /// `null`
  case null
  /// `true` or `false`
  case bool(Bool)
  /// A number that is written without point and exponent and fits 64 bits.
  case integer(Int)
  /// Any other number.
  case number(Double)
  /// A text, its escapes resolved.
  case string(String)
  /// Values in their order.
  case array([JSON])
  /// Members in the order of the file, each key once.
  case object([Member])

  /// One member of an object.
  public struct Member: Equatable, Sendable {
    /// The key, its escapes resolved.
    public var key: String
    /// What stands under it.
    public var value: JSON

    /// A member of an object.
    public init(_ key: String, _ value: JSON) {
      self.key = key
      self.value = value
    }
  }

  /// The value of an object's member; `nil` where there is none or where this is no object. Setting `nil` removes it.
  public subscript(key: String) -> JSON? {
    get {
      guard case .object(let members) = self else { return nil }
      return members.first { $0.key.isExactly(key) }?.value
    }
    set {
      guard case .object(var members) = self else {
        fatalError("JSON subscript: only an object has members, this is \(self)")
      }
      let position = members.firstIndex { $0.key.isExactly(key) }
      switch (position, newValue) {
      case (let position?, let value?): members[position].value = value
      case (let position?, nil): members.remove(at: position)
      case (nil, let value?): members.append(Member(key, value))
      case (nil, nil): break
      }
      self = .object(members)
    }
  }

  /// An object's members, in order; empty for everything else.
  public var members: [Member] {
    if case .object(let members) = self { members } else { [] }
  }

  /// Whether this is `null`, which is not the absence of a member.
  public var isNull: Bool { self == .null }

  /// The text; nil where this is something else.
  public var string: String? {
    if case .string(let value) = self { value } else { nil }
  }

  /// True or false; nil where this is something else.
  public var bool: Bool? {
    if case .bool(let value) = self { value } else { nil }
  }

  /// An integer, also one that is written as `8.0`.
  public var integer: Int? {
    switch self {
    case .integer(let value): value
    case .number(let value): Int(exactly: value)
    default: nil
    }
  }

  /// A number of either kind.
  public var number: Double? {
    switch self {
    case .integer(let value): Double(value)
    case .number(let value): value
    default: nil
    }
  }

  /// The values of an array; nil where this is something else.
  public var array: [JSON]? {
    if case .array(let values) = self { values } else { nil }
  }

  /// An array that holds nothing but strings.
  public var strings: [String]? {
    guard let values = array else { return nil }
    let strings = values.compactMap(\.string)
    return strings.count == values.count ? strings : nil
  }
}

extension JSON {
  /// A number of float32 with no more digits than tell it apart; null where it is none.
  public init(_ number: Float) { self = number.isFinite ? .number(number.asWritten) : .null }
}

extension Float {
  /// The number that its digits say: 0.1 of 0.1, not 0.10000000149.
  package var asWritten: Double { Double("\(self)") ?? Double(self) }
}

extension JSON: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByBooleanLiteral,
  ExpressibleByFloatLiteral, ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral, ExpressibleByNilLiteral
{
  public init(stringLiteral value: String) { self = .string(value) }
  public init(integerLiteral value: Int) { self = .integer(value) }
  public init(booleanLiteral value: Bool) { self = .bool(value) }
  public init(floatLiteral value: Double) { self = .number(value) }
  public init(arrayLiteral elements: JSON...) { self = .array(elements) }
  public init(dictionaryLiteral elements: (String, JSON)...) { self = .object(elements.map { Member($0, $1) }) }
  public init(nilLiteral: ()) { self = .null }
}
