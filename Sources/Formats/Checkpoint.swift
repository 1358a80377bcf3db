// One view of a checkpoint however it is laid out: a file, shards with an index, or a model's directory.

import Foundation
import LoRAAdapters
import LoRAFiles

/// A checkpoint's tensors by name, from one file or from several shards.
public struct Checkpoint: Sendable {
  /// What was opened: a file, an index or a directory.
  public let url: URL
  /// The weight files, in the order of their names.
  public let shards: [TensorFile]
  /// The model's `config.json`, where the checkpoint is a directory that has one, or what a GGUF file's metadata makes of
  /// one.
  public let configuration: JSON?
  /// What was odd about the files, without harm.
  public let findings: [Finding]
  /// The names that the files have: "model.safetensors", or diffusers' own.
  let files: CheckpointFiles
  /// Where it is a GGUF file, what that says.
  package let gguf: GGUFModel?
  /// By name: names are bytes, so that two ways of writing "ä" are two names.
  private let places: [ExactString: (shard: Int, position: Int)]

  /// Opens a weight file (safetensors, GGUF, or what torch.save wrote), a `….index.json`, or a directory that holds one of them.
  ///
  /// Which file of a directory counts is what transformers and diffusers take: one whole file before shards, and all
  /// tensors of the shards that the index names, whether it lists them or not.
  /// - Throws: `CheckpointError` where a file is missing or broken, or what it holds is another format.
  public init(_ url: URL) throws {
    self.url = url
    files = try CheckpointFiles(url)
    let opened = try files.weights.map { try TensorFile($0) }
    gguf = try opened.count == 1 && opened[0].format == .gguf ? GGUFModel(opened[0]) : nil
    let configurationFile = try files.directory.map { try file("config.json", in: $0) }
    configuration =
      try gguf?.configuration
      ?? configurationFile.flatMap { file -> JSON? in
        // Not `? … : nil`: JSON takes a nil literal for its null.
        guard FileManager.default.fileExists(atPath: file.path) else { return Optional.none }
        return try readJSON(file)
      }
    let quantized = try QuantizedTensors(opened, configuration: configuration)
    shards = try gguf.map { [$0.file] } ?? (quantized.isEmpty ? opened : opened.map(quantized.reading))
    var places: [ExactString: (shard: Int, position: Int)] = [:]
    var repeated: [String] = []
    for (shard, file) in shards.enumerated() {
      for (position, tensor) in file.tensors.enumerated() {
        // The shard that the index names counts, else the last one that has it, as transformers loads them.
        let key = ExactString(tensor.name)
        let isNamed = files.map[tensor.name] == file.url.lastPathComponent
        if let earlier = places[key] {
          repeated.append(tensor.name)
          if files.map[tensor.name] == shards[earlier.shard].url.lastPathComponent && !isNamed { continue }
        }
        places[key] = (shard, position)
      }
    }
    self.places = places
    var findings: [Finding] = []
    findings.report(.note, "tensors that lie in two shards; one is read", repeated)
    if !files.map.isEmpty, quantized.isEmpty {
      let absent = files.map.keys.filter { places[$0] == nil }.map(\.text)
      findings.report(.note, "tensors that the index names and no shard holds", absent)
      let (map, known) = (files.map, Set<ExactString>(names: repeated))
      let misplaced = shards.flatMap { file in
        file.tensors.map(\.name).filter { map[$0] != file.url.lastPathComponent && !known.contains($0) }
      }
      findings.report(.note, "tensors that the index does not list, or lists in another file", misplaced)
    }
    for note in Set(shards.flatMap(\.notes)).sorted() { findings.append(Finding(.note, note)) }
    self.findings = findings
  }

  /// The directory that was opened; `nil` for a lone file.
  public var directory: URL? { isDirectory(url) ? url : nil }

  /// What the shards are called in a folder of one level.
  package var shardNames: [String] {
    guard shards.count > 1 else { return [files.singleName] }
    let names = shards.map { CheckpointFiles.writtenName($0.url.lastPathComponent) }
    return Set(names).count == names.count
      ? names : names.enumerated().map { "\($0.offset + 1)-\($0.element)" }
  }
  package var indexName: String { files.indexName }

  /// All tensors, shard by shard, in the order of their bytes.
  public var tensors: [StoredTensor] { shards.indices.flatMap(tensors(ofShard:)) }

  /// The tensors of a shard that count.
  public func tensors(ofShard shard: Int) -> [StoredTensor] {
    shards[shard].tensors.enumerated().filter { position, tensor in
      places[ExactString(tensor.name)].map { $0 == (shard, position) } ?? false
    }.map(\.element)
  }

  /// How many names there are over all shards, each counted once.
  public var tensorCount: Int { places.count }

  /// Bytes of all files.
  public var byteCount: Int { shards.reduce(0) { $0 + $1.byteCount } }

  /// The tensor that a name means; nil where no shard has it.
  public subscript(name: String) -> StoredTensor? {
    places[ExactString(name)].map { shards[$0.shard].tensors[$0.position] }
  }
}
