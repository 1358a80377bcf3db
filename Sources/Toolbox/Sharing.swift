// A work in parts that several processes do, on one machine or on several.
//
// Each process plans the whole, so they agree without a word on who does what. What the others have found out they tell
// the first, which puts it together: the result is that of one process, whoever did what.

import Foundation
import LoRAFiles

/// The processes that share out a work: which of them this is, and what they can say to each other. Every one must ask for
/// the same work.
public struct Sharing {
  /// Which this is, from 0.
  public let rank: Int
  /// How many there are.
  public let count: Int
  private let broadcast: ([UInt8]) throws -> [UInt8]
  private let collect: ([UInt8]) throws -> [[UInt8]]

  /// - Parameters:
  ///   - rank: which this is, from 0.
  ///   - count: how many there are.
  ///   - broadcast: gives all of them the bytes of the first.
  ///   - collect: gives the first the bytes of all of them, in their order.
  public init(
    rank: Int, count: Int, broadcast: @escaping ([UInt8]) throws -> [UInt8],
    collect: @escaping ([UInt8]) throws -> [[UInt8]]
  ) {
    (self.rank, self.count, self.broadcast, self.collect) = (rank, count, broadcast, collect)
  }

  /// A process by itself.
  public static var alone: Sharing { Sharing(rank: 0, count: 1, broadcast: { $0 }, collect: { [$0] }) }

  /// The parts that are this process's, in their order: the largest are given away first, each to whoever has least.
  ///
  /// - Parameter sizes: how much work each part is.
  public func own(_ sizes: [Int]) -> [Int] {
    var loads = Array(repeating: 0, count: count)
    let largestFirst = sizes.indices.sorted { (-sizes[$0], $0) < (-sizes[$1], $1) }
    return largestFirst.filter { part in
      let owner = loads.indices.min { (loads[$0], $0) < (loads[$1], $1) }!
      loads[owner] += max(sizes[part], 1)
      return owner == rank
    }.sorted()
  }

  /// What was found of all parts, at the first process; at another, what itself has found.
  ///
  /// - Parameter own: what this process has found, by part.
  public func gather<Number: BitwiseCopyable>(_ own: [Int: [Number]]) throws -> [Int: [Number]] {
    guard count > 1 else { return own }
    return try collect(Self.bytes(own)).reduce(into: own) { $0.merge(Self.findings($1)) { mine, _ in mine } }
  }

  /// What was found of all parts, at every process.
  func exchange<Number: BitwiseCopyable>(_ own: [Int: [Number]]) throws -> [Int: [Number]] {
    guard count > 1 else { return own }
    return try Self.findings(broadcast(Self.bytes(gather(own))))
  }

  /// The first one's folder.
  func folder(_ own: URL?) throws -> URL {
    guard count > 1 else { return own! }
    let path = String(decoding: try broadcast(Array((own?.path ?? "").utf8)), as: UTF8.self)
    return own ?? URL(fileURLWithPath: path, isDirectory: true)
  }

  /// For each part its number, how long it is, and its numbers.
  private static func bytes<Number: BitwiseCopyable>(_ findings: [Int: [Number]]) -> [UInt8] {
    findings.reduce(into: []) { bytes, found in
      for number in [found.key, found.value.count] { withUnsafeBytes(of: number) { bytes += $0 } }
      found.value.withUnsafeBytes { bytes += $0 }
    }
  }

  private static func findings<Number: BitwiseCopyable>(_ bytes: [UInt8]) -> [Int: [Number]] {
    bytes.withUnsafeBytes { bytes in
      var (findings, place): ([Int: [Number]], Int) = ([:], 0)
      while place < bytes.count {
        let part = bytes.loadUnaligned(fromByteOffset: place, as: Int.self)
        let count = bytes.loadUnaligned(fromByteOffset: place + 8, as: Int.self)
        let end = place + 16 + count * MemoryLayout<Number>.stride
        findings[part] = [Number](unsafeUninitializedCapacity: count) { numbers, filled in
          UnsafeMutableRawBufferPointer(numbers).copyMemory(
            from: UnsafeRawBufferPointer(rebasing: bytes[place + 16..<end]))
          filled = count
        }
        place = end
      }
      return findings
    }
  }
}
