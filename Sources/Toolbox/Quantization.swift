// A model in fewer bits: as a GGUF file in ggml's blocks, or as a folder that transformers loads by bitsandbytes.

import Foundation
import LoRAAdapters
import LoRAFiles
import LoRAFormats

/// Writes a model's matrices in few bits each.
public struct Quantization: Sendable {
  /// How.
  public enum Target: Equatable, Sendable {
    /// A GGUF file, in one of ggml's formats.
    case blocks(NumberFormat)
    /// A folder whose linear layers are NF4, for bitsandbytes.
    case normalFloat
  }

  private let base: Checkpoint
  private let target: Target

  /// - Throws: `CheckpointError` where the model can't be written so.
  public init(_ base: Checkpoint, to target: Target) throws {
    self.base = base
    self.target = target
    try base.requirePlain()
    if case .normalFloat = target, base.gguf != nil || base.configuration?["model_type"] == nil {
      throw CheckpointError(
        .unsupported, file: base.url.path, "has no config.json",
        expected: "a folder with one, which NF4 for transformers needs", advice: "Name the model's folder")
    }
    if case .normalFloat = target, base.configuration?["model_type"]?.string == "gpt2" {
      throw CheckpointError(
        .unsupported, file: base.url.path, "stores its linear layers as [inputs, outputs]",
        expected: "[outputs, inputs], to be written as NF4", advice: "Take a GGUF format")
    }
  }

  /// Writes the model.
  ///
  /// - Parameters:
  ///   - output: the GGUF file or the folder.
  ///   - progress: called with bytes written, or tensors.
  /// - Throws: `CheckpointError` where numbers are not finite, or can't be written.
  public func run(to output: URL, progress: OperationProgress.Handler? = nil) throws -> QuantizationReport {
    switch target {
    case .blocks(let format):
      let report = try Merge(converting: base, to: format).run(to: output, progress: progress)
      return QuantizationReport(
        base: base.url, output: output, bytes: (base.byteCount, report.byteCount),
        tensors: report.modules.filter(\.format.isQuantized), findings: report.findings)
    case .normalFloat: return try writeNormalFloat(to: output, progress: progress)
    }
  }

  private func writeNormalFloat(to url: URL, progress: OperationProgress.Handler?) throws -> QuantizationReport {
    let catalog = WeightCatalog(base)
    let linear = catalog.linearPaths
    let output = try OutputDirectory(url)
    func isQuantized(_ tensor: StoredTensor) -> Bool {
      tensor.shape.count == 2 && tensor.format.isConvertible && tensor.name.hasSuffix(".weight")
        && linear.contains(TensorInfo(name: catalog.parameter(of: tensor.name), format: .f32, shape: []).modulePath)
    }
    let counter = ProgressCounter(total: base.tensorCount, progress)
    var (figures, bytes): ([MergeFigures], Int) = ([], 0)
    var map: [JSON.Member] = []
    let names = base.shardNames
    for shard in base.shards.indices {
      var parts: [StoredTensor] = []
      for tensor in base.tensors(ofShard: shard) {
        if isQuantized(tensor) {
          let (tensors, weight, error) = try NormalFloat.encode(tensor)
          parts += tensors
          var one = MergeFigures(tensor: tensor.name, weight: weight, update: 0)
          (one.rounding, one.format) = (error, .nf4)
          figures.append(one)
        } else {
          parts.append(
            tensor.format.isQuantized ? try StoredTensor(name: tensor.name, tensor.tensor(), as: .bf16) : tensor)
        }
        try counter.advance(by: 1, tensor.name)
      }
      bytes += parts.reduce(0) { $0 + $1.info.byteCount }
      map += parts.map { JSON.Member($0.name, .string(names[shard])) }
      try SafetensorsWriter.write(parts, to: output.staging.appendingPathComponent(names[shard]))
    }
    if names.count > 1 {
      let index: JSON = [
        "metadata": ["total_size": .integer(bytes)], "weight_map": .object(map.sorted { $0.key < $1.key }),
      ]
      try OutputFile.write(index.pretty + "\n", to: output.staging.appendingPathComponent(base.indexName))
    }
    try MergedModel(.adding([], to: base, unties: false), format: nil, adapters: []).write(to: output.staging)
    var configuration = base.configuration!
    configuration["quantization"] = nil
    configuration["quantization_config"] = [
      "quant_method": "bitsandbytes", "load_in_4bit": true, "load_in_8bit": false, "bnb_4bit_quant_type": "nf4",
      "bnb_4bit_use_double_quant": false, "bnb_4bit_compute_dtype": "float32", "bnb_4bit_quant_storage": "uint8",
    ]
    try OutputFile.write(configuration.pretty + "\n", to: output.staging.appendingPathComponent("config.json"))
    try output.commit()
    return QuantizationReport(
      base: base.url, output: url, bytes: (base.byteCount, bytes),
      tensors: figures.sorted { isOrdered($0.tensor, $1.tensor) }, findings: base.findings)
  }
}

/// What a quantisation did to each matrix.
public struct QuantizationReport: Sendable {
  /// What was read and what was written.
  public let base: URL
  /// The GGUF file or the folder.
  public let output: URL
  /// Bytes of the weights before and after.
  public let bytes: (before: Int, after: Int)
  /// The matrices that are stored in few bits.
  public let tensors: [MergeFigures]
  /// What is noteworthy about the model's files.
  public let findings: [Finding]

  /// All of them as one.
  public var total: MergeFigures {
    tensors.reduce(into: MergeFigures(tensor: "", weight: 0, update: 0)) { total, figures in total.add(figures) }
  }
}
