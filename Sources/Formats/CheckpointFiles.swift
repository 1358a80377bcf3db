// Which files of a model's directory hold its weights: the choice of transformers and diffusers.

import Foundation
import LoRAFiles
import LoRATensors

/// The weight files of a checkpoint.
struct CheckpointFiles: Sendable {
  /// In the order of their names.
  let weights: [URL]
  /// From tensors to files, as an index has it; empty without one.
  let map: [ExactString: String]
  /// Where config.json lies; nil for a lone file.
  let directory: URL?
  /// What a single file is called that takes these files' place.
  let singleName: String

  var indexName: String { singleName + ".index.json" }

  /// Names of weight files, in the order in which they are looked for: transformers', diffusers', then torch.save's.
  private static let stems = [
    ("model", ".safetensors"), ("diffusion_pytorch_model", ".safetensors"), ("pytorch_model", ".bin"),
    ("diffusion_pytorch_model", ".bin"),
  ]
  private static let variants = ["", ".fp16", ".bf16", ".fp32", ".non_ema"]

  init(_ url: URL) throws {
    let exists = { (url: URL) in FileManager.default.fileExists(atPath: url.path) }
    guard exists(url) else {
      throw CheckpointError(.inputOutput, file: url.path, "does not exist", advice: "Check the path")
    }
    guard isDirectory(url) else {
      if url.lastPathComponent.hasSuffix(".index.json") {
        try self.init(index: url, directory: nil)
      } else {
        self.init(file: url, directory: nil)
      }
      return
    }
    for (stem, suffix) in Self.stems {
      for variant in Self.variants {
        let single = try file(stem + variant + suffix, in: url)
        if exists(single) {
          self.init(file: single, directory: url)
          return
        }
        // diffusers puts the variant before "index", or after it.
        for name in [stem + variant + suffix + ".index.json", stem + suffix + ".index" + variant + ".json"] {
          let index = try file(name, in: url)
          if exists(index) {
            try self.init(index: index, directory: url)
            return
          }
        }
      }
    }
    let names = try FileManager.default.contentsOfDirectory(atPath: url.path).sorted()
    let weights = names.filter { $0.hasSuffix(".safetensors") }
    // `lora digits --save` writes base.safetensors beside an adapter.
    let isAdapter = weights.contains { $0.hasPrefix("adapter") }
    let candidates = weights.filter { isAdapter ? $0 == "base.safetensors" : true }
    if candidates.count == 1 {
      self.init(file: try file(candidates[0], in: url), directory: url)
      return
    }
    let ggufs = names.filter { $0.hasSuffix(".gguf") }
    if candidates.isEmpty, ggufs.count == 1 {
      self.init(file: try file(ggufs[0], in: url), directory: nil)
      return
    }
    throw Self.notOne(names, candidates, in: url)
  }

  /// What a weight file is called when it is written again, as safetensors.
  static func writtenName(_ name: String) -> String {
    guard let suffix = [".bin", ".pt", ".pth", ".ckpt"].first(where: name.hasSuffix) else { return name }
    let stem = name.dropLast(suffix.count)
    return (stem.hasPrefix("pytorch_") ? stem.dropFirst("pytorch_".count) : stem) + ".safetensors"
  }

  private init(file: URL, directory: URL?) {
    weights = [file]
    map = [:]
    self.directory = directory
    singleName = directory == nil ? "model.safetensors" : Self.writtenName(file.lastPathComponent)
  }

  private init(index: URL, directory: URL?) throws {
    let json = try readJSON(index)
    guard let members = json["weight_map"]?.members, !members.isEmpty else {
      throw CheckpointError(
        .malformed, file: index.path, "has no weight_map", expected: "one, which says in which file each tensor lies",
        advice: "Fetch the index that belongs to these weights")
    }
    var map: [ExactString: String] = [:]
    for member in members {
      guard let file = member.value.string else {
        throw CheckpointError(
          .malformed, file: index.path, "weight_map: \(member.key) is \(member.value.shown)",
          expected: "a file's name", advice: "Fetch the index that belongs to these weights")
      }
      let parts = file.split(separator: "/", omittingEmptySubsequences: false)
      guard !file.isEmpty, !parts.contains(".."), !parts.contains("") else {
        throw CheckpointError(
          .malformed, file: index.path, "weight_map: \(file) lies elsewhere",
          expected: "a file beside the index or in a folder there",
          advice: "Fetch the index that belongs to these weights")
      }
      map[member.key] = file
    }
    self.map = map.mapValues { lastPart($0) }
    let folder = index.deletingLastPathComponent()
    weights = try Set(map.values).sorted().map { try LoRAFiles.file($0, in: folder) }
    self.directory = directory
    let name = index.lastPathComponent
    singleName = Self.writtenName(name.replacing(".index", with: "").replacing(".json", with: ""))
  }

  /// What to say of a directory without one checkpoint in it.
  private static func notOne(_ names: [String], _ candidates: [String], in url: URL) -> CheckpointError {
    func error(_ found: String, _ expected: String, _ advice: Advice) -> CheckpointError {
      CheckpointError(.missing, file: url.path, found, expected: expected, advice: advice)
    }
    if !candidates.isEmpty {
      return error(
        "holds several safetensors files and no index: \(candidates.joined(separator: ", "))",
        "one file, or an index of shards", "Name one")
    }
    if names.contains("model_index.json") {
      let components = names.filter { name in
        let folder = url.appendingPathComponent(name)
        return isDirectory(folder) && (try? CheckpointFiles(folder)) != nil
      }
      return error(
        "is a pipeline of several models: \(components.joined(separator: ", "))", "one model", "Name one of its folders"
      )
    }
    if let pickle = names.first(where: { name in [".bin", ".pt", ".pth", ".ckpt"].contains(where: name.hasSuffix) }) {
      return error(
        "holds \(pickle), a PyTorch file", "a model under a known name", "Name the file, if that is the model")
    }
    let ggufs = names.filter { $0.hasSuffix(".gguf") }
    if !ggufs.isEmpty {
      return error("holds several GGUF files: \(ggufs.joined(separator: ", "))", "one", "Name one")
    }
    return error(
      "holds no weights", "model.safetensors, or an index of shards", "Name the folder that holds them, or a file")
  }
}

private func lastPart(_ path: String) -> String { path.split(separator: "/").last.map(String.init) ?? path }
