// What lora inspect says of a checkpoint.

import LoRAFiles
import LoRAToolbox

extension CheckpointInspection: CustomPlaygroundDisplayConvertible {
  public var playgroundDescription: Any { report.playgroundDescription }

  /// What the checkpoint holds, and what is odd about it.
  public var report: Report {
    let architecture =
      checkpoint.configuration?["architectures"]?.strings?.first ?? checkpoint.configuration?["model_type"]?.string
    let shards = checkpoint.shards.count
    return Report(
      title: "The checkpoint \(checkpoint.url.lastPathComponent)",
      summary: "\(checkpoint.tensorCount.counted("tensor")), \(parameterCount.counted("parameter")).",
      sections: [
        .init(
          "The checkpoint",
          [
            .fields([
              .init("checkpoint", .text(checkpoint.url.relativePath)), .init("architecture", .text(architecture)),
              .init(shards == 1 ? "file" : "shards", .text(shards == 1 ? "1" : "\(shards)")),
            ])
          ]),
        .init(
          "Formats",
          [
            .table(
              Table(
                of: formats,
                [
                  .init("format", total: "all") { .text($0.format.rawValue) },
                  .init("tensors", total: .count(checkpoint.tensorCount)) { .count($0.tensors) },
                  .init("parameters", total: .count(parameterCount)) { .count($0.parameters) },
                  .init("size", total: .bytes(checkpoint.byteCount)) { .bytes($0.bytes) },
                ]))
          ]),
        .init(
          "Tensors",
          [
            .table(
              Table(
                key: "list", of: checkpoint.tensors,
                [
                  .init("tensor", key: "name") { .text($0.name) },
                  .init("format", key: "dtype") { .text($0.format.rawValue) },
                  .init("shape", key: "shape") { .shape($0.shape) }, .init("parameters") { .count($0.count) },
                ]))
          ]),
      ],
      findings: findings,
      members: [
        .init("tensors", .integer(checkpoint.tensorCount)), .init("parameters", .integer(parameterCount)),
        .init("bytes", .integer(checkpoint.byteCount)),
        .init("shards", .array(checkpoint.shards.map { .string($0.url.lastPathComponent) })),
        .init("metadata", .object(checkpoint.shards.first?.metadata ?? [])),
        .init(
          "formats",
          .object(
            formats.map {
              .init(
                $0.format.rawValue,
                ["tensors": .integer($0.tensors), "parameters": .integer($0.parameters), "bytes": .integer($0.bytes)])
            })),
      ])
  }
}
