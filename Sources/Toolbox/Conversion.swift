// An adapter in another program's format, and a verdict on what that keeps.

import Foundation
import LoRAAdapters
import LoRAFiles
import LoRAFormats

/// Converts adapters between formats.
public struct Conversion: Sendable {
  /// What a conversion keeps.
  public struct Verdict: Sendable {
    /// What the other format has no place for.
    public let lost: [String]
    /// What it holds in another form, with the same effect.
    public let changed: [String]

    public var isLossless: Bool { lost.isEmpty }
  }

  public let format: StoredAdapter.Format
  /// Converts also where something is lost.
  public var allowsLoss = false
  /// What kohya's names begin with.
  public var kohyaPrefix = "lora_unet_"

  public init(to format: StoredAdapter.Format) {
    self.format = format
  }

  public func verdict(on adapter: StoredAdapter) -> Verdict {
    var (lost, changed) =
      switch format {
      case .peft: ([String](), [String]())
      case .mlx: MLXFormat.losses(adapter)
      case .kohya: KohyaFormat.losses(adapter)
      }
    let broken = adapter.findings.filter { $0.severity == .error }
    lost += broken.map { "\($0.message) (\($0.subjects.count))" }
    if format != .peft && adapter.format == .peft {
      // Fields that only peft knows and that don't change what the adapter computes.
      let fields = adapter.configuration
      if fields.dropout > 0 && format == .kohya { changed.append("the dropout of \(fields.dropout) is not stored") }
      if fields.taskType != nil { changed.append("the task type is not stored") }
    }
    return Verdict(lost: lost, changed: changed)
  }

  /// Writes the converted adapter.
  ///
  /// - Parameter base: gives kohya's flat names their whole paths, which peft and mlx-lm need.
  /// - Throws: ``CheckpointError`` where something would be lost and that isn't allowed.
  public func convert(_ adapter: StoredAdapter, to url: URL, base: Checkpoint? = nil) throws -> Verdict {
    var adapter = adapter
    if adapter.format == .kohya && format != .kohya { adapter = try unflattened(adapter, base: base) }
    let verdict = verdict(on: adapter)
    guard verdict.isLossless || allowsLoss else {
      throw CheckpointError(
        .unsupported, file: adapter.url.path,
        "\(format.rawValue) has no place for: \(verdict.lost.joined(separator: "; ")). Nothing was written "
          + "(--allow-loss converts the rest)")
    }
    switch format {
    case .peft: try adapter.write(peft: url)
    case .mlx: try MLXFormat.write(adapter, to: url)
    case .kohya: try KohyaFormat.write(adapter, to: url, prefix: kohyaPrefix)
    }
    return verdict
  }

  private func unflattened(_ adapter: StoredAdapter, base: Checkpoint?) throws -> StoredAdapter {
    var adapter = adapter
    // A path with a dot came from the file's own table.
    if adapter.modules.allSatisfy({ $0.path.contains(".") }) { return adapter }
    guard let base else {
      throw CheckpointError(
        .missing, file: adapter.url.path,
        "names its modules with underscores (\(adapter.modules[0].path)), which can't be turned back without the base "
          + "model: name it (--base)")
    }
    let modules = base.tensors.filter { $0.name.hasSuffix(".weight") }.map(\.info.modulePath)
    let table = KohyaFormat.table(paths: adapter.modules.map(\.path), modules: modules)
    let unresolved = adapter.modules.map(\.path).filter { table[$0] == nil }
    guard unresolved.isEmpty else {
      throw CheckpointError(
        .mismatch, file: adapter.url.path,
        "\(unresolved.count) of \(adapter.modules.count) modules have no place in the base: "
          + unresolved.prefix(5).joined(separator: ", "))
    }
    for index in adapter.modules.indices { adapter.modules[index].path = table[adapter.modules[index].path]! }
    adapter.configuration.setTargets(adapter.modules.map(\.path), among: modules)
    adapter.configuration.setRanks(of: adapter.modules)
    return adapter
  }
}
