// A merge whose shards several processes write, on one machine or on several that see one disk.
//
// Each process plans the whole, so they agree without a word on who writes what. The first makes the folder, and gives it
// its name once all are done; what a process has to report lies in the folder until then.

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
  private let barrier: () throws -> Void

  /// - Parameters:
  ///   - rank: which this is, from 0.
  ///   - count: how many there are.
  ///   - broadcast: gives all of them the bytes of the first.
  ///   - barrier: goes on once all have come here.
  public init(
    rank: Int, count: Int, broadcast: @escaping ([UInt8]) throws -> [UInt8], barrier: @escaping () throws -> Void
  ) {
    (self.rank, self.count, self.broadcast, self.barrier) = (rank, count, broadcast, barrier)
  }

  /// A process by itself.
  public static var alone: Sharing { Sharing(rank: 0, count: 1, broadcast: { $0 }, barrier: {}) }

  /// Whether a part of the work is this process's.
  func has(_ part: Int) -> Bool { part % count == rank }

  /// The first one's folder.
  func folder(_ own: URL?) throws -> URL {
    guard count > 1 else { return own! }
    let path = String(decoding: try broadcast(Array((own?.path ?? "").utf8)), as: UTF8.self)
    return own ?? URL(fileURLWithPath: path, isDirectory: true)
  }

  /// Waits until every process has written its part into `folder`, and adds the others' figures to the first one's.
  func join(_ account: MergeAccount, in folder: URL) throws {
    guard count > 1 else { return }
    func notes(_ rank: Int) -> URL { folder.appendingPathComponent("figures-\(rank)") }
    if rank > 0 {
      try OutputFile.write(JSON.array(account.modules.map(\.json)).pretty, to: notes(rank))
      return try barrier()
    }
    try barrier()
    for other in 1..<count {
      for figures in try readJSON(notes(other)).array ?? [] { account.add(try MergeFigures(figures), rows: 0..<0) }
      try FileManager.default.removeItem(at: notes(other))
    }
  }
}

extension MergeFigures {
  fileprivate var json: JSON {
    [
      "tensor": .string(tensor), "format": .string(format.rawValue), "weight": .number(weight),
      "update": .number(update), "rounding": .number(rounding), "kept": kept.map(JSON.number) ?? .null,
    ]
  }

  fileprivate init(_ json: JSON) throws {
    guard let tensor = json["tensor"]?.string, let format = json["format"]?.string.flatMap(NumberFormat.init),
      let weight = json["weight"]?.number, let update = json["update"]?.number, let rounding = json["rounding"]?.number
    else {
      throw CheckpointError(
        .malformed, file: "", "another process's figures can't be read", expected: "those that it has written",
        advice: "Give every process the same program")
    }
    self.init(tensor: tensor, weight: weight, update: update)
    (self.format, self.rounding, self.kept) = (format, rounding, json["kept"]?.number)
  }
}
