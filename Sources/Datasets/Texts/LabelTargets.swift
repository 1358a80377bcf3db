import LoRATensors

/// What texts are labelled with.
public enum LabelTargets: Sendable {
  /// Of each text, the place of its class among the names.
  case classes(SmallIntegers)
  /// Of each text, its labels.
  case sets(LabelSets)
  /// Of each text, a number.
  case scores([Float])

  /// How many texts they are of.
  public var count: Int {
    switch self {
    case .classes(let classes): classes.count
    case .sets(let sets): sets.count
    case .scores(let scores): scores.count
    }
  }

  /// A text's class, labels or the bits of its number: what tells one set of targets from another.
  public func numbers(of text: Int) -> [Int32] {
    switch self {
    case .classes(let classes): [Int32(classes[text])]
    case .sets(let sets): sets[text].map(Int32.init) + [-1]
    case .scores(let scores): [Int32(bitPattern: scores[text].bitPattern)]
    }
  }

  /// What kind they are.
  public var problem: ProblemType {
    switch self {
    case .classes: .singleLabel
    case .sets: .multiLabel
    case .scores: .regression
    }
  }
}

/// Of each text, which labels it has. Those that occur together are held once.
public struct LabelSets: Sendable, Equatable {
  /// Each kind of set, its labels as places among the names, in order.
  private let kinds: [[Int]]
  private let numbers: SmallIntegers

  init(kinds: [[Int]], numbers: SmallIntegers) { (self.kinds, self.numbers) = (kinds, numbers) }

  /// Sets in memory.
  ///
  /// - Parameter sets: at most 65,536 different ones.
  public init(_ sets: [[Int]]) {
    var (kinds, places, numbers) = ([[Int]](), [[Int]: Int](), SmallIntegers())
    for set in sets.map({ Array(Set($0)).sorted() }) {
      let place = places[set] ?? kinds.count
      if place == kinds.count {
        places[set] = place
        kinds.append(set)
      }
      numbers.append(place)
    }
    self.init(kinds: kinds, numbers: numbers)
  }

  /// How many texts there are.
  public var count: Int { numbers.count }
  /// A text's labels, in order.
  public subscript(text: Int) -> [Int] { kinds[numbers[text]] }

  /// A row of zeros and ones for each of some texts, one after another.
  public func flags(at texts: [Int], labelCount: Int) -> [Float] {
    var flags = [Float](repeating: 0, count: texts.count * labelCount)
    for (row, text) in texts.enumerated() { for label in self[text] { flags[row * labelCount + label] = 1 } }
    return flags
  }

  public static func == (a: LabelSets, b: LabelSets) -> Bool {
    a.count == b.count && (0..<a.count).allSatisfy { a[$0] == b[$0] }
  }
}
