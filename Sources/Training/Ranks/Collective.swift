import Foundation
import LoRATensors

/// Processes that train together, each a rank of so many, and what they can say to each other. Every rank must make the
/// same calls in the same order.
///
/// ``OneProcess`` is one alone. With the package trait MPI there is `MPIRanks` too, for what `mpirun` or `srun` starts:
/// ```swift
/// let trainer = Trainer(Adam(model.trainableParameters, learningRate: 1e-3), ranks: try MPIRanks())
/// ```
public protocol Collective: AnyObject {
  /// Which of them this process is, from 0.
  var rank: Int { get }
  /// How many there are.
  var count: Int { get }
  /// Bytes that this rank has given to others so far, each counted once for each rank that it was for.
  var bytesSent: Int { get }
  /// To every rank a run of numbers, in rank order, and one from each.
  ///
  /// - Parameters:
  ///   - numbers: the runs, one after another.
  ///   - sending: how long each is, by the rank that it is for.
  ///   - receiving: how long what comes is, by the rank that it comes from.
  func exchange(_ numbers: [Float], sending: [Int], receiving: [Int]) throws -> [Float]
  /// What every rank has, in rank order; `counts` says how much that is.
  func gather(_ numbers: [Float], counts: [Int]) throws -> [Float]
  /// What rank 0 has; the others' bytes are of no account.
  func broadcast(_ bytes: [UInt8]) throws -> [UInt8]
  /// Goes on once every rank has come here.
  func barrier() throws
}

/// A process by itself.
public final class OneProcess: Collective {
  /// The only rank.
  public init() {}
  public var rank: Int { 0 }
  public var count: Int { 1 }
  public var bytesSent: Int { 0 }
  public func exchange(_ numbers: [Float], sending: [Int], receiving: [Int]) -> [Float] { numbers }
  public func gather(_ numbers: [Float], counts: [Int]) -> [Float] { numbers }
  public func broadcast(_ bytes: [UInt8]) -> [UInt8] { bytes }
  public func barrier() {}
}

/// Why ranks can't go on together.
public enum CollectiveError: DescribedError {
  /// The other ranks do not answer: one has ended, or this one was told to end while it waited.
  case alone(rank: Int, count: Int)
  /// What must be the same on all ranks is not.
  case differ(what: String, rank: Int, found: String, expected: String)
  /// What the library beneath reports.
  case failed(rank: Int, String)

  public var subject: String { "" }

  public var problem: String {
    switch self {
    case .alone(let rank, let count):
      "rank \(rank) of \(count) waited for the others in vain: one of them has ended, or can't be reached"
    case .differ(let what, let rank, let found, let expected):
      "\(what) on rank \(rank) is \(found), and on rank 0 \(expected)"
    case .failed(let rank, let message): "rank \(rank): \(message)"
    }
  }

  public var advice: Advice {
    switch self {
    case .alone: "Go on from the state that was kept last, or begin anew"
    case .differ:
      "Give every rank the same program, model, data and options, on processors with the same instructions"
    case .failed: "Look at the network between the machines, and at what started the ranks"
    }
  }
}

extension Collective {
  /// Which of so many parts are this rank's: a run of them, as long as the others' or one shorter or longer.
  public func ownParts(of count: Int) -> Range<Int> { count.section(rank, of: self.count) }

  /// Σ share · part over all parts of all ranks, each part a vector of `length` numbers. The parts lie with the ranks in
  /// runs (``ownParts(of:)``), and are added in their order, whoever has them: the sum's bits depend on the
  /// parts, not on how many ranks there are.
  ///
  /// Every rank adds up one section of the vector, and the sections are put together: so a rank sends little more than
  /// twice the vector where it has one part, however many ranks there are.
  ///
  /// - Parameters:
  ///   - own: this rank's parts.
  ///   - shares: of all parts of all ranks.
  ///   - length: of every part.
  public func sum(_ own: [[Float]], shares: [Float], length: Int) throws -> [Float] {
    let sections = (0..<count).map { length.section($0, of: count) }
    let held = (0..<count).map { shares.count.section($0, of: count).count }
    expect(
      own.count == held[rank] && own.allSatisfy { $0.count == length },
      "sum: rank \(rank) has parts of \(own.map(\.count)), expected \(held[rank]) of \(length)")
    var sent: [Float] = []
    sent.reserveCapacity(own.count * length)
    for section in sections { for part in own { sent += part[section] } }
    let mine = sections[rank].count
    let received = try exchange(
      sent, sending: sections.map { $0.count * own.count }, receiving: held.map { $0 * mine })
    var sum = Tensor.zeros([mine])
    for (part, share) in shares.enumerated() where mine > 0 {
      sum = sum.adding(Tensor(Array(received[part * mine..<(part + 1) * mine])), scaledBy: share)
    }
    return try gather(sum.scalars, counts: sections.map(\.count))
  }

  /// The bytes of all ranks, in rank order, at rank 0; nothing at the others.
  ///
  /// - Parameter bytes: this rank's.
  public func collect(_ bytes: [UInt8]) throws -> [[UInt8]] {
    guard count > 1 else { return [bytes] }
    // They travel as the bits of float32 numbers, whose count is told in two that are exact.
    let words = (bytes.count + 3) / 4
    let length = [Float(words >> 20), Float(words & 0xf_ffff), Float(words * 4 - bytes.count)]
    let lengths = try gather(length, counts: Array(repeating: 3, count: count)).map(Int.init)
    let counts = (0..<count).map { lengths[3 * $0] << 20 + lengths[3 * $0 + 1] }
    var collected = Array(repeating: [UInt8](), count: rank == 0 ? count : 0)
    // In rounds, since MPI counts in 32 bits.
    let round = (1 << 30) / count
    for start in stride(from: 0, to: counts.max()!, by: round) {
      // Each sends a word more than it has: who neither sends nor receives has no part in Open MPI's exchange, and its
      // next call would be taken for that one.
      let parts = counts.map { max(0, min(round, $0 - start)) + 1 }
      let sent = [Float](unsafeUninitializedCapacity: parts[rank]) { numbers, filled in
        let piece = bytes[min(bytes.count, 4 * start)..<min(bytes.count, 4 * (start + parts[rank] - 1))]
        numbers.initialize(repeating: 0)
        UnsafeMutableRawBufferPointer(numbers).copyBytes(from: piece)
        filled = parts[rank]
      }
      var sending = Array(repeating: 0, count: count)
      sending[0] = parts[rank]
      let none = Array(repeating: 0, count: count)
      let received = try exchange(sent, sending: sending, receiving: rank == 0 ? parts : none)
      var place = 0
      for other in collected.indices {
        received[place..<place + parts[other] - 1].withUnsafeBytes { collected[other] += $0 }
        place += parts[other]
      }
    }
    for other in collected.indices { collected[other].removeLast(lengths[3 * other + 2]) }
    return collected
  }

  /// - Parameter what: is the same on all ranks; `value` is compared, in bits.
  /// - Throws: `CollectiveError.differ` on every rank where it is not.
  func requireSame(_ what: String, _ value: @autoclosure () throws -> [Float]) throws {
    guard count > 1 else { return }
    let value = try value()
    let all = try gather(value, counts: Array(repeating: value.count, count: count))
    for other in 1..<count {
      let found = all[other * value.count..<(other + 1) * value.count]
      guard zip(found, all).allSatisfy({ $0.bitPattern == $1.bitPattern }) else {
        func text(_ numbers: some Sequence<Float>) -> String { numbers.map { "\($0)" }.joined(separator: ", ") }
        throw CollectiveError.differ(
          what: what, rank: other, found: text(found), expected: text(all[..<value.count]))
      }
    }
  }

  /// What rank 0 makes of a question that the others need not answer.
  func first(_ question: () throws -> (score: Double, loss: Double)) throws -> (score: Double, loss: Double) {
    guard count > 1 else { return try question() }
    let own = rank == 0 ? try question() : (score: 0, loss: 0)
    let bytes = try broadcast([own.score, own.loss].withUnsafeBytes(Array.init))
    return bytes.withUnsafeBytes {
      (score: $0.load(as: Double.self), loss: $0.load(fromByteOffset: 8, as: Double.self))
    }
  }

  /// A file of rank 0, readable on this one: itself, or a passing copy for the length of `body`.
  func withFile<Result>(_ url: URL, _ body: (URL) throws -> Result) throws -> Result {
    guard count > 1 else { return try body(url) }
    let bytes = try broadcast(rank == 0 ? (try? Data(contentsOf: url)).map(Array.init) ?? [] : [])
    if rank == 0 { return try body(url) }
    let copy = FileManager.default.temporaryDirectory.appendingPathComponent("lora-rank-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: copy) }
    try Data(bytes).write(to: copy)
    return try body(copy)
  }
}

/// Words in three numbers that ranks can compare: FNV-1a, word by word.
package struct WordDigest {
  private var hash: UInt64 = 0xcbf2_9ce4_8422_2325

  package init() {}

  package mutating func add(_ words: some Sequence<some FixedWidthInteger>) {
    for word in words { hash = (hash ^ UInt64(truncatingIfNeeded: word)) &* 0x100_0000_01b3 }
  }

  /// Integers below 2²⁴, which float32 holds.
  package var numbers: [Float] { [Float(hash >> 40), Float(hash >> 20 & 0xf_ffff), Float(hash & 0xf_ffff)] }
}

extension Int {
  /// The part of 0 ..< self that is section `index` when it is cut into `count`, as equal as can be.
  func section(_ index: Int, of count: Int) -> Range<Int> { self * index / count..<self * (index + 1) / count }
}
