// Any adapter by its path: which format it is shows in its files.

import Foundation
import LoRAAdapters
import LoRAFiles

extension StoredAdapter {
  /// Opens an adapter of any known format: a PEFT or mlx-lm directory, or one file (GGUF too).
  ///
  /// A directory that holds a single folder with an adapter (peft's place for one that is not named "default"), or a single
  /// adapter file (diffusers' `pytorch_lora_weights.safetensors`, or the only one), stands for it.
  public init(contentsOf url: URL) throws {
    guard FileManager.default.fileExists(atPath: url.path) else {
      throw CheckpointError(.inputOutput, file: url.path, "does not exist", advice: "Check the path")
    }
    guard isDirectory(url) else {
      if [PEFTNames.weightsName, PEFTNames.legacyWeightsName, PEFTNames.configurationName].contains(
        url.lastPathComponent),
        Self.isDirectoryOfAdapter(url.deletingLastPathComponent())
      {
        try self.init(peft: url.deletingLastPathComponent())
        return
      }
      let file = try TensorFile(url)
      if GGUFAdapter.recognises(file) {
        self = try GGUFAdapter.read(file)
        return
      }
      guard AdapterFile.recognises(file) else {
        throw CheckpointError(
          .unsupported, file: url.path, "its names begin with \(file.tensors.first?.name ?? "nothing")",
          expected: "those of an adapter that is known", advice: "Name a PEFT or mlx-lm directory, or a LoRA file")
      }
      self = try AdapterFile.read(file)
      return
    }
    if MLXFormat.recognises(url) {
      self = try MLXFormat.read(url)
      return
    }
    let inner = Self.isDirectoryOfAdapter(url) ? [] : try Self.innerAdapters(url)
    if inner.count > 1 {
      throw CheckpointError(
        .mismatch, file: url.path, "holds several adapters: \(inner.map(\.lastPathComponent).joined(separator: ", "))",
        expected: "one", advice: "Name one of them")
    }
    if let only = inner.first, !isDirectory(only) {
      self = try AdapterFile.read(TensorFile(only))
    } else {
      try self.init(peft: inner.first ?? url)
    }
  }

  /// Whether `url` is, or directly holds, an adapter.
  public static func recognises(_ url: URL) -> Bool {
    if isDirectory(url) {
      return isDirectoryOfAdapter(url) || MLXFormat.recognises(url) || (try? innerAdapters(url))?.isEmpty == false
    }
    if url.lastPathComponent == PEFTNames.weightsName { return true }
    guard ["", "safetensors", "bin", "pt", "ckpt", "gguf"].contains(url.pathExtension), let file = try? TensorFile(url)
    else {
      return false
    }
    return AdapterFile.recognises(file) || GGUFAdapter.recognises(file)
  }

  private static func isDirectoryOfAdapter(_ url: URL) -> Bool {
    [PEFTNames.weightsName, PEFTNames.legacyWeightsName].contains {
      FileManager.default.fileExists(atPath: url.appendingPathComponent($0).path)
    }
  }

  /// Folders with an adapter in a directory that has none itself; where there are none, the file that is one.
  private static func innerAdapters(_ url: URL) throws -> [URL] {
    let names = try FileManager.default.contentsOfDirectory(atPath: url.path).sorted()
    let folders = names.map(url.appendingPathComponent).filter { isDirectory($0) && isDirectoryOfAdapter($0) }
    guard folders.isEmpty else { return folders }
    let files = names.filter { !$0.hasPrefix(".") && $0.hasSuffix(".safetensors") }
    let chosen = AdapterFile.diffusersNames.first(where: names.contains).map { [$0] } ?? files
    guard chosen.count == 1 else { return [] }
    let only = try file(chosen[0], in: url)
    return (try? TensorFile(only)).map(AdapterFile.recognises) == true ? [only] : []
  }

  /// Writes the adapter in the format that it came in; one of llama.cpp's as a PEFT directory, since that format's names
  /// and rows depend on the base.
  public func write(_ url: URL) throws {
    switch format {
    case .peft, .gguf: try write(peft: url)
    case .mlx: try MLXFormat.write(self, to: url)
    case .kohya, .file: try AdapterFile.write(self, to: url)
    }
  }
}
