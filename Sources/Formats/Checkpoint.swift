// One view of a checkpoint however it is laid out: a file, shards with an index, or a model's directory.

import Foundation
import LoRAAdapters
import LoRAFiles

/// A checkpoint's tensors by name, from one safetensors file or from several shards.
public struct Checkpoint: Sendable {
  /// What was opened: a file, an index or a directory.
  public let url: URL
  /// The safetensors files, in the order of their names.
  public let shards: [SafetensorsFile]
  /// The model's `config.json`, where the checkpoint is a directory that has one.
  public let configuration: JSON?
  private let places: [String: (shard: Int, position: Int)]

  package static let singleName = "model.safetensors"
  package static let indexName = "model.safetensors.index.json"

  /// Opens a safetensors file, a `….index.json`, or a directory that holds one of them.
  ///
  /// - Throws: ``CheckpointError``, also where shards and index don't agree.
  public init(_ url: URL) throws {
    let location = try Self.locate(url)
    self.url = url
    if let index = location.index {
      shards = try Self.openShards(of: index)
    } else {
      shards = [try SafetensorsFile(location.file)]
    }
    var places: [String: (shard: Int, position: Int)] = [:]
    for (shard, file) in shards.enumerated() {
      for (position, tensor) in file.tensors.enumerated() {
        if let earlier = places.updateValue((shard, position), forKey: tensor.name) {
          throw CheckpointError(
            .malformed, file: file.url.path, "\(tensor.name) is also in \(shards[earlier.shard].url.lastPathComponent)")
        }
      }
    }
    self.places = places
    let configurationFile = location.directory?.appendingPathComponent("config.json")
    configuration = try configurationFile.flatMap { file -> JSON? in
      // Not `? … : nil`: JSON takes a nil literal for its null.
      guard FileManager.default.fileExists(atPath: file.path) else { return Optional.none }
      return try readJSON(file)
    }
  }

  /// The directory that was opened; `nil` for a lone file.
  public var directory: URL? { isDirectory(url) ? url : nil }

  /// All tensors, shard by shard, in the order of their bytes.
  public var tensors: [StoredTensor] { shards.flatMap(\.tensors) }

  public var tensorCount: Int { places.count }

  /// Bytes of all files.
  public var byteCount: Int { shards.reduce(0) { $0 + $1.byteCount } }

  public subscript(name: String) -> StoredTensor? {
    places[name].map { shards[$0.shard].tensors[$0.position] }
  }

  private static func locate(_ url: URL) throws -> (file: URL, index: URL?, directory: URL?) {
    let exists = { (url: URL) in FileManager.default.fileExists(atPath: url.path) }
    guard exists(url) else { throw CheckpointError(.inputOutput, file: url.path, "does not exist") }
    guard isDirectory(url) else {
      if url.lastPathComponent.hasSuffix(".index.json") { return (url, url, nil) }
      try refusePickle(url)
      return (url, nil, nil)
    }
    let index = url.appendingPathComponent(indexName)
    if exists(index) { return (index, index, url) }
    let single = url.appendingPathComponent(singleName)
    if exists(single) { return (single, nil, url) }
    let names = try FileManager.default.contentsOfDirectory(atPath: url.path).filter { $0.hasSuffix(".safetensors") }
    // `lora digits --save` writes base.safetensors beside an adapter.
    let isAdapter = names.contains { $0.hasPrefix("adapter") }
    let candidates = names.filter { isAdapter ? $0 == "base.safetensors" : true }
    if candidates.count == 1 { return (url.appendingPathComponent(candidates[0]), nil, url) }
    throw CheckpointError(
      .missing, file: url.path,
      candidates.isEmpty
        ? "holds neither \(singleName) nor \(indexName)"
        : "holds several safetensors files and no \(indexName): \(candidates.sorted().joined(separator: ", ")); name one"
    )
  }

  private static func openShards(of index: URL) throws -> [SafetensorsFile] {
    let json = try readJSON(index)
    guard let map = json["weight_map"], !map.members.isEmpty else {
      throw CheckpointError(.malformed, file: index.path, "has no weight_map")
    }
    var namesByFile: [String: Set<String>] = [:]
    for member in map.members {
      guard let file = member.value.string else {
        throw CheckpointError(.malformed, file: index.path, "weight_map: \(member.key) names no file")
      }
      guard !file.contains("/"), file != "..", !file.isEmpty else {
        throw CheckpointError(.malformed, file: index.path, "weight_map: \(file) is not a file beside the index")
      }
      namesByFile[file, default: []].insert(member.key)
    }
    return try namesByFile.keys.sorted().map { name in
      let shard = try SafetensorsFile(index.deletingLastPathComponent().appendingPathComponent(name))
      let found = Set(shard.tensors.map(\.name))
      let missing = namesByFile[name, default: []].subtracting(found).sorted()
      let unlisted = found.subtracting(namesByFile[name, default: []]).sorted()
      guard missing.isEmpty && unlisted.isEmpty else {
        throw CheckpointError(
          .malformed, file: shard.url.path,
          "does not agree with \(index.lastPathComponent): "
            + [("missing here", missing), ("not in the index", unlisted)].filter { !$1.isEmpty }
            .map { "\($0): \($1.prefix(5).joined(separator: ", "))\($1.count > 5 ? " and \($1.count - 5) more" : "")" }
            .joined(separator: "; "))
      }
      return shard
    }
  }
}
