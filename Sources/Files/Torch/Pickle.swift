// The part of Python's pickle format that dictionaries of tensors are written in.
//
// A pickle is a program for a small stack machine that may call any function that Python can import. This machine
// imports nothing and calls nothing: it knows the few names with which torch.save describes a tensor, builds values of
// its own for them, and refuses every other instruction and every other name, saying which it was.
// https://docs.python.org/3/library/pickletools.html

import LoRATensors

/// A value that a pickle describes, as far as it is read here. What holds other values is a place in ``Pickle``, so that
/// no depth of nesting and no cycle in a file becomes one in memory.
enum PickleValue {
  case none
  case bool(Bool)
  case integer(Int)
  case number(Double)
  case text(String)
  case bytes
  case tuple(Int)
  case list(Int)
  case dictionary(Int)
  /// A name that was imported: "torch.FloatStorage".
  case global(String)
  case storage(TorchStorage)
  case tensor(TorchTensor)

  var text: String? { if case .text(let value) = self { value } else { nil } }
  var integer: Int? { if case .integer(let value) = self { value } else { nil } }
  var tensor: TorchTensor? { if case .tensor(let value) = self { value } else { nil } }
}

/// Values that hold others.
struct Pickle {
  typealias Member = (key: PickleValue, value: PickleValue)
  fileprivate(set) var tuples: [[PickleValue]] = []
  fileprivate(set) var lists: [[PickleValue]] = []
  fileprivate(set) var dictionaries: [[Member]] = []

  func tuple(_ value: PickleValue) -> [PickleValue]? {
    if case .tuple(let place) = value { tuples[place] } else { nil }
  }
  func list(_ value: PickleValue) -> [PickleValue]? { if case .list(let place) = value { lists[place] } else { nil } }
  func members(_ value: PickleValue) -> [Member]? {
    if case .dictionary(let place) = value { dictionaries[place] } else { nil }
  }

  /// A tuple of whole numbers.
  fileprivate func integers(_ value: PickleValue) -> [Int]? {
    guard let values = tuple(value) else { return nil }
    let numbers = values.compactMap(\.integer)
    return numbers.count == values.count ? numbers : nil
  }

  fileprivate mutating func add(tuple: [PickleValue]) -> PickleValue {
    tuples.append(tuple)
    return .tuple(tuples.count - 1)
  }
  fileprivate mutating func addList() -> PickleValue {
    lists.append([])
    return .list(lists.count - 1)
  }
  fileprivate mutating func addDictionary() -> PickleValue {
    dictionaries.append([])
    return .dictionary(dictionaries.count - 1)
  }
}

/// Numbers that several tensors may share.
struct TorchStorage {
  let format: NumberFormat
  let key: String
  /// Of numbers.
  let count: Int
  /// Bytes of what a file before PyTorch 1.6 counts.
  let unit: Int
}

/// A view of a storage.
struct TorchTensor {
  let storage: TorchStorage
  /// Both in numbers.
  let offset: Int
  let strides: [Int]
  let shape: [Int]
}

/// Runs one pickle.
struct PickleReader {
  /// The first byte that is not read yet.
  private(set) var offset: Int
  private let bytes: LittleEndianReader
  private let path: String
  private(set) var pickle = Pickle()
  private var stack: [PickleValue] = []
  private var marks: [Int] = []
  private var memo: [Int: PickleValue] = [:]

  init(_ bytes: UnsafeRawBufferPointer, from offset: Int = 0, path: String) {
    self.bytes = LittleEndianReader(bytes: bytes)
    self.offset = offset
    self.path = path
  }

  /// - Throws: ``CheckpointError`` where the pickle is broken, or does anything but describe tensors.
  mutating func read() throws -> PickleValue {
    while true {
      let code = UInt8(try integer(1))
      switch code {
      case 0x80: _ = try integer(1)  // PROTO
      case 0x95: _ = try integer(8)  // FRAME
      case UInt8(ascii: "."):
        guard let value = stack.popLast() else { throw broken("it ends without a value") }
        return value
      case UInt8(ascii: "("): marks.append(stack.count)
      case UInt8(ascii: "0"): _ = try pop()
      case UInt8(ascii: "N"): stack.append(.none)
      case 0x88: stack.append(.bool(true))
      case 0x89: stack.append(.bool(false))
      case UInt8(ascii: "K"): stack.append(.integer(try integer(1)))
      case UInt8(ascii: "M"): stack.append(.integer(try integer(2)))
      case UInt8(ascii: "J"): stack.append(.integer(Int(Int32(truncatingIfNeeded: try integer(4)))))
      case 0x8A: stack.append(.integer(try longInteger(try integer(1))))
      case UInt8(ascii: "G"): stack.append(.number(try number()))
      case UInt8(ascii: "X"): stack.append(.text(try text(try integer(4))))
      case 0x8C: stack.append(.text(try text(try integer(1))))
      case 0x8D: stack.append(.text(try text(try integer(8))))
      // Python 2's texts.
      case UInt8(ascii: "U"): stack.append(.text(try text(try integer(1))))
      case UInt8(ascii: "T"): stack.append(.text(try text(try integer(4))))
      case UInt8(ascii: "C"): try skip(try integer(1))
      case UInt8(ascii: "B"): try skip(try integer(4))
      case UInt8(ascii: "]"): stack.append(pickle.addList())
      case UInt8(ascii: "}"): stack.append(pickle.addDictionary())
      case UInt8(ascii: ")"): stack.append(pickle.add(tuple: []))
      case 0x85: stack.append(pickle.add(tuple: try pop(1)))
      case 0x86: stack.append(pickle.add(tuple: try pop(2)))
      case 0x87: stack.append(pickle.add(tuple: try pop(3)))
      case UInt8(ascii: "t"): stack.append(pickle.add(tuple: try popToMark()))
      case UInt8(ascii: "q"): try remember(try integer(1))
      case UInt8(ascii: "r"): try remember(try integer(4))
      case 0x94: try remember(memo.count)
      case UInt8(ascii: "h"): try recall(try integer(1))
      case UInt8(ascii: "j"): try recall(try integer(4))
      case UInt8(ascii: "a"): try append([try pop()])
      case UInt8(ascii: "e"): try append(try popToMark())
      case UInt8(ascii: "s"): try set(try pop(2))
      case UInt8(ascii: "u"): try set(try popToMark())
      case UInt8(ascii: "c"): stack.append(try global(module: try line(), name: try line()))
      case 0x93:
        let names = try pop(2)
        guard let module = names[0].text, let name = names[1].text else { throw broken("a name is no text") }
        stack.append(try global(module: module, name: name))
      case UInt8(ascii: "Q"): stack.append(try storage(try pop()))
      case UInt8(ascii: "R"):
        let arguments = try pop()
        stack.append(try call(try pop(), arguments))
      case UInt8(ascii: "b"): try build()
      default:
        throw CheckpointError(
          .unsupported, file: path, "holds the pickle instruction 0x\(String(code, radix: 16)), which is not run",
          expected: "what tensors need", advice: Self.advice)
      }
    }
  }

  static let advice: Advice =
    "If you trust the file, load it in Python and save its tensors with safetensors.torch.save_file"

  // MARK: The few names

  private static let formats: [String: NumberFormat] = [
    "FloatStorage": .f32, "HalfStorage": .f16, "BFloat16Storage": .bf16, "DoubleStorage": .f64, "LongStorage": .i64,
    "IntStorage": .i32, "ShortStorage": .i16, "CharStorage": .i8, "ByteStorage": .u8, "BoolStorage": .bool,
    // Bytes of what has no storage of its own; the tensor says what they are.
    untyped: .u8,
  ]
  private static let untyped = "UntypedStorage"
  private static let types: [String: NumberFormat] = [
    "float8_e4m3fn": .f8e4m3, "float8_e5m2": .f8e5m2, "float8_e4m3fnuz": .f8e4m3fnuz, "float8_e5m2fnuz": .f8e5m2fnuz,
    "float8_e8m0fnu": .f8e8m0, "uint16": .u16, "uint32": .u32, "uint64": .u64,
  ]
  private static let rebuildTensor: Set = [
    "torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2", rebuildTyped,
  ]
  private static let rebuildTyped = "torch._utils._rebuild_tensor_v3"
  private static let rebuildParameter = "torch._utils._rebuild_parameter"
  private static let orderedDictionary = "collections.OrderedDict"
  private static let size = "torch.Size"

  /// "FloatStorage" of "torch.FloatStorage".
  private func lastPart(_ name: String) -> String { name.split(separator: ".").last.map(String.init) ?? name }

  private func global(module: String, name: String) throws -> PickleValue {
    let full = "\(module).\(name)"
    guard
      ["torch", "torch.storage"].contains(module) && Self.formats[name] != nil
        || module == "torch" && Self.types[name] != nil
        || Self.rebuildTensor.contains(full)
        || [Self.rebuildParameter, Self.orderedDictionary, Self.size].contains(full)
    else {
      throw CheckpointError(
        .unsupported, file: path, "asks Python for “\(full.prefix(80))”, and nothing is run here",
        expected: "what tensors need", advice: Self.advice)
    }
    return .global(full)
  }

  /// `("storage", kind, key, device, count)`, and for files before PyTorch 1.6 a view, which must be none.
  private func storage(_ identifier: PickleValue) throws -> PickleValue {
    guard let fields = pickle.tuple(identifier), fields.count >= 5, fields[0].text == "storage",
      case .global(let kind) = fields[1], let format = Self.formats[lastPart(kind)],
      let key = fields[2].text, let count = fields[4].integer, count >= 0
    else { throw broken("a storage is described in a way that is unknown") }
    if fields.count > 5, case .tuple = fields[5] {
      throw CheckpointError(
        .unsupported, file: path, "holds views of storages, as PyTorch had them before 0.4", expected: "tensors",
        advice: "Load it in a newer PyTorch and save it again")
    }
    return .storage(TorchStorage(format: format, key: key, count: count, unit: format.bits / 8))
  }

  private mutating func call(_ function: PickleValue, _ arguments: PickleValue) throws -> PickleValue {
    guard case .global(let name) = function, let arguments = pickle.tuple(arguments) else {
      throw broken("a call of no function")
    }
    if Self.rebuildTensor.contains(name) {
      guard arguments.count >= 4, case .storage(let storage) = arguments[0], let offset = arguments[1].integer,
        let shape = pickle.integers(arguments[2]), let strides = pickle.integers(arguments[3]),
        shape.count == strides.count
      else { throw broken("a tensor is described in a way that is unknown") }
      var storageOfType = storage
      if name == Self.rebuildTyped {
        guard arguments.count >= 7, case .global(let type) = arguments[6], let format = Self.types[lastPart(type)]
        else {
          throw broken("a tensor is of an unknown type")
        }
        storageOfType = TorchStorage(
          format: format, key: storage.key, count: storage.count / (format.bits / 8), unit: 1)
      }
      return .tensor(TorchTensor(storage: storageOfType, offset: offset, strides: strides, shape: shape))
    }
    switch name {
    case Self.rebuildParameter:
      guard let data = arguments.first, case .tensor = data else { throw broken("a parameter without a tensor") }
      return data
    case Self.orderedDictionary:
      guard arguments.isEmpty else { throw broken("a dictionary with arguments") }
      return pickle.addDictionary()
    case Self.size:
      guard let shape = arguments.first else { throw broken("a size without numbers") }
      return shape
    default: throw broken("\(name) is called")
    }
  }

  /// Attributes of a dictionary (`_metadata` of a state dictionary) are of no matter to its tensors.
  private mutating func build() throws {
    _ = try pop()
    guard case .dictionary? = stack.last else { throw broken("attributes of something that has none") }
  }

  // MARK: The stack

  private mutating func pop() throws -> PickleValue {
    guard stack.count > (marks.last ?? 0), let value = stack.popLast() else { throw broken("its stack is empty") }
    return value
  }

  private mutating func pop(_ count: Int) throws -> [PickleValue] {
    guard stack.count >= (marks.last ?? 0) + count else { throw broken("its stack is empty") }
    defer { stack.removeLast(count) }
    return Array(stack.suffix(count))
  }

  private mutating func popToMark() throws -> [PickleValue] {
    guard let mark = marks.popLast(), mark <= stack.count else { throw broken("a mark is missing") }
    defer { stack.removeSubrange(mark...) }
    return Array(stack[mark...])
  }

  private mutating func remember(_ index: Int) throws {
    guard let top = stack.last else { throw broken("its stack is empty") }
    memo[index] = top
  }

  private mutating func recall(_ index: Int) throws {
    guard let value = memo[index] else { throw broken("value \(index) is used before it is made") }
    stack.append(value)
  }

  private mutating func append(_ elements: [PickleValue]) throws {
    guard case .list(let list)? = stack.last else { throw broken("elements of something that is no list") }
    pickle.lists[list] += elements
  }

  private mutating func set(_ pairs: [PickleValue]) throws {
    guard case .dictionary(let dictionary)? = stack.last, pairs.count.isMultiple(of: 2) else {
      throw broken("members of something that is no dictionary")
    }
    for index in stride(from: 0, to: pairs.count, by: 2) {
      pickle.dictionaries[dictionary].append((pairs[index], pairs[index + 1]))
    }
  }

  // MARK: Bytes

  private mutating func integer(_ count: Int) throws -> Int {
    guard let value = bytes.integer(at: offset, bytes: count) else { throw broken("it ends too early") }
    offset += count
    return value
  }

  /// A signed whole number of so many bytes; one beyond 8 bytes means something only as torch's magic number.
  private mutating func longInteger(_ count: Int) throws -> Int {
    guard let slice = bytes.slice(at: offset, count: count) else { throw broken("it ends too early") }
    offset += count
    let value = slice.prefix(8).reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    guard count < 8, count > 0, slice[count - 1] & 0x80 != 0 else { return Int(truncatingIfNeeded: value) }
    return Int(truncatingIfNeeded: value | ~UInt64(0) << (8 * UInt64(count)))
  }

  private mutating func number() throws -> Double {
    guard let slice = bytes.slice(at: offset, count: 8) else { throw broken("it ends too early") }
    offset += 8
    return Double(bitPattern: slice.reduce(UInt64(0)) { $0 << 8 | UInt64($1) })
  }

  private mutating func text(_ count: Int) throws -> String {
    guard let slice = bytes.slice(at: offset, count: count) else { throw broken("it ends too early") }
    offset += count
    guard let text = String(validating: slice, as: UTF8.self) else { throw broken("a text is not in UTF-8") }
    guard text.isStreamSafe else { throw broken("a name has more than 30 combining marks in a row") }
    return text
  }

  private mutating func skip(_ count: Int) throws {
    guard bytes.slice(at: offset, count: count) != nil else { throw broken("it ends too early") }
    offset += count
    stack.append(.bytes)
  }

  private mutating func line() throws -> String {
    let start = offset
    while try integer(1) != 10 {
      guard offset - start < 1000 else { throw broken("a name has no end") }
    }
    return String(decoding: bytes.bytes[start..<offset - 1], as: UTF8.self)
  }

  private func broken(_ reason: String) -> CheckpointError {
    CheckpointError(
      .malformed, file: path, "\(reason) (byte \(offset))", expected: "a valid pickle of torch.save's",
      advice: .fetchAgain)
  }
}
