// What a checkpoint is, from its header alone; its numbers are looked at only when asked.

import Foundation
import LoRAAdapters
import LoRACKernels
import LoRAFiles
import LoRAFormats

/// The figures of a checkpoint.
public struct CheckpointInspection: Sendable {
  /// What was inspected.
  public let checkpoint: Checkpoint
  /// Numbers in all its tensors.
  public let parameterCount: Int
  /// Numbers and bytes by format, largest first.
  public let formats: [(format: NumberFormat, tensors: Int, parameters: Int, bytes: Int)]
  /// What is odd, or good to know.
  public let findings: [Finding]

  /// - Parameters:
  ///   - checkpoint: what is inspected.
  ///   - readsValues: whether all numbers are read to find NaN and infinity.
  ///   - progress: called with bytes read.
  public init(_ checkpoint: Checkpoint, readsValues: Bool = false, progress: OperationProgress.Handler? = nil) throws {
    self.checkpoint = checkpoint
    let tensors = checkpoint.tensors
    parameterCount = tensors.reduce(0) { $0 + $1.count }
    formats = Dictionary(grouping: tensors, by: \.format)
      .map { ($0, $1.count, $1.reduce(0) { $0 + $1.count }, $1.reduce(0) { $0 + $1.info.byteCount }) }
      .sorted { $0.bytes > $1.bytes }
    var findings = checkpoint.findings
    if let tied = WeightCatalog(checkpoint).tied {
      findings.append(Finding(.note, "the output layer is tied to the input embedding", [tied.input]))
    }
    if let peculiarity = checkpoint.peculiarity {
      findings.append(Finding(.warning, "\(peculiarity.found). \(peculiarity.advice.text)"))
    }
    if readsValues {
      let counter = ProgressCounter(total: tensors.reduce(0) { $0 + $1.info.byteCount }, progress)
      let broken = try mapInParallel(tensors) { tensor in
        let result = tensor.format.isConvertible && !tensor.isFinite
        try counter.advance(by: tensor.info.byteCount, tensor.name)
        return result
      }
      let names = zip(tensors, broken).filter(\.1).map(\.0.name)
      if !names.isEmpty { findings.append(Finding(.error, "tensors that hold NaN or infinity", names)) }
    }
    self.findings = findings
  }
}
