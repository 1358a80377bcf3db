// Merging adapters into a base checkpoint, shard by shard, in bounded memory.
//
//     let report = try Merge(base: base, adapters: [(adapter, weight: 1)]).run(to: output)
//
// A shard is a list of jobs: blocks of rows that change, and stretches of bytes that don't. Each job reads its bytes from
// the map, does its arithmetic in float32, rounds once and writes to its place in the output; jobs run on all threads.

import Foundation
import LoRAAdapters
import LoRACKernels
import LoRAFiles
import LoRAFormats
import LoRATensors

/// A merge, or the undoing of one, that has been checked and can be run.
public struct Merge: Sendable {
  private let base: Checkpoint
  private let changes: MergePlan
  /// The format of the output's real numbers; `nil` keeps each tensor's.
  private let format: NumberFormat?
  private let model: MergedModel

  /// Plans the merge of adapters, each with a weight.
  ///
  /// - Parameters:
  ///   - base: what is merged into.
  ///   - adapters: the adapters, each with what its change is multiplied by.
  ///   - format: of the output's real numbers; `nil` keeps each tensor's.
  ///   - unties: stores a tied output layer as a tensor of its own, so that one of the pair can change alone.
  /// - Throws: `CheckpointError` that lists what matched and what did not, where an adapter would act only in part.
  public init(
    base: Checkpoint, adapters: [(adapter: StoredAdapter, weight: Double)], format: NumberFormat? = nil,
    unties: Bool = false
  ) throws {
    expect(!adapters.isEmpty, "Merge: no adapters")
    try self.init(.adding(adapters, to: base, unties: unties), format, adapters.map(\.adapter))
  }

  /// Plans the subtraction of what a merge of these adapters added.
  ///
  /// - Parameters:
  ///   - adapters: the adapters, each with what its change is multiplied by.
  ///   - merged: the model that they were merged into.
  ///   - allowsPartial: leaves what can't be subtracted as it is, instead of refusing.
  public init(
    undoing adapters: [(adapter: StoredAdapter, weight: Double)], in merged: Checkpoint, allowsPartial: Bool = false
  ) throws {
    expect(!adapters.isEmpty, "Merge: no adapters")
    try self.init(.subtracting(adapters, from: merged, allowsPartial: allowsPartial), nil, [])
  }

  private init(_ changes: MergePlan, _ format: NumberFormat?, _ adapters: [StoredAdapter]) throws {
    base = changes.base
    self.changes = changes
    self.format = format
    model = try MergedModel(changes, format: format, adapters: adapters)
  }

  /// What the merge will do, without doing it.
  public var plan: MergeReport {
    MergeReport(
      base: base.url, output: nil, modules: [], changedTensors: changes.changes.count + changes.swapped.count,
      addedTensors: changes.additions.keys.map(\.text).sorted(by: isOrdered),
      copiedTensors: base.tensorCount - changes.changes.keys.filter { base[$0.text] != nil }.count
        - changes.swapped.count,
      byteCount: base.shards.indices.reduce(0) { $0 + outputs(ofShard: $1).reduce(0) { $0 + $1.info.byteCount } },
      findings: base.findings + changes.findings + model.findings)
  }

  /// Writes the merged checkpoint.
  ///
  /// - Parameters:
  ///   - output: a file where the base is a file; a directory where it is a directory or an index, or where the name
  ///     does not end in ".safetensors".
  ///   - progress: called with bytes written.
  public func run(to output: URL, progress: OperationProgress.Handler? = nil) throws -> MergeReport {
    let counter = ProgressCounter(total: plan.byteCount, progress)
    let account = MergeAccount()
    if base.shards.count == 1 && output.pathExtension == "safetensors" {
      try writeShard(0, to: output, counter: counter, account: account)
    } else {
      let directory = try OutputDirectory(output)
      let names = base.shardNames
      for shard in base.shards.indices {
        try writeShard(
          shard, to: directory.staging.appendingPathComponent(names[shard]), counter: counter, account: account)
      }
      if names.count > 1 {
        try writeIndex(names, to: directory.staging.appendingPathComponent(base.indexName))
      }
      try model.write(to: directory.staging)
      try directory.commit()
    }
    var report = plan
    report.output = output
    report.modules = account.modules.sorted { isOrdered($0.tensor, $1.tensor) }.map { figures in
      var figures = figures
      figures.path = changes.paths[ExactString(figures.tensor)] ?? figures.tensor
      return figures
    }
    return report
  }

  /// A tensor of the output: where its numbers come from, and what it is called.
  private struct Output {
    let source: StoredTensor
    let change: WeightChange?
    let info: TensorInfo
  }

  /// What a shard of the output holds, in the order of its bytes.
  private func outputs(ofShard shard: Int) -> [Output] {
    let added = shard == base.shards.count - 1 ? changes.additions.values.sorted { isOrdered($0.name, $1.name) } : []
    return (base.tensors(ofShard: shard) + added).map { tensor in
      let source = changes.swapped[ExactString(tensor.name)] ?? tensor
      let format = source.format.isConvertible ? format ?? source.format : source.format
      let change = changes.changes[ExactString(tensor.name)] ?? (format == source.format ? nil : WeightChange(source))
      return Output(
        source: source, change: change,
        info: TensorInfo(name: model.name(of: tensor.name), format: format, shape: tensor.shape))
    }
  }

  private func writeIndex(_ names: [String], to url: URL) throws {
    var map: [JSON.Member] = []
    var size = 0
    for (shard, name) in names.enumerated() {
      for output in outputs(ofShard: shard) {
        map.append(JSON.Member(output.info.name, .string(name)))
        size += output.info.byteCount
      }
    }
    let index: JSON = [
      "metadata": ["total_size": .integer(size)], "weight_map": .object(map.sorted { $0.key < $1.key }),
    ]
    try OutputFile.write(index.pretty + "\n", to: url)
  }

  private enum Job {
    /// Rows of a tensor that changes or is converted; `place` is where the tensor begins.
    case rows(Range<Int>, change: WeightChange, format: NumberFormat, place: Int)
    /// Bytes that stay as they are.
    case bytes(Range<Int>, of: StoredTensor, place: Int)
  }

  private func writeShard(_ shard: Int, to url: URL, counter: ProgressCounter, account: MergeAccount) throws {
    let outputs = outputs(ofShard: shard)
    let metadata = base.shards[shard].metadata
    let writer = try SafetensorsWriter(
      to: url, expecting: outputs.map(\.info), metadata: metadata.isEmpty ? SafetensorsWriter.pythonMetadata : metadata)
    var jobs: [Job] = []
    for output in outputs {
      let place = try writer.place(output.info).lowerBound
      if let change = output.change {
        for rows in change.blocks {
          jobs.append(.rows(rows, change: change, format: output.info.format, place: place))
        }
      } else {
        let bytes = output.info.byteCount
        for start in stride(from: 0, to: bytes, by: 4 << 20) {
          jobs.append(.bytes(start..<min(start + 4 << 20, bytes), of: output.source, place: place))
        }
      }
    }
    let planned = jobs
    try inParallel(planned.count) { index in
      // What comes a few jobs later is fetched from the disk meanwhile.
      if index + 4 < planned.count { prefetch(planned[index + 4]) }
      let written = try perform(planned[index], writer: writer, account: account)
      try counter.advance(by: written.bytes, written.name)
    }
    try writer.finish()
  }

  private func prefetch(_ job: Job) {
    switch job {
    case .rows(let rows, let change, _, _):
      let row = change.columns * change.weight.format.bits / 8
      change.weight.prefetch(bytes: rows.lowerBound * row..<rows.upperBound * row)
    case .bytes(let range, let tensor, _): tensor.prefetch(bytes: range)
    }
  }

  private func perform(_ job: Job, writer: SafetensorsWriter, account: MergeAccount) throws -> (
    bytes: Int, name: String
  ) {
    switch job {
    case .bytes(let range, let tensor, let place):
      try tensor.withBytes {
        try writer.write(UnsafeRawBufferPointer(rebasing: $0[range]), at: place + range.lowerBound)
      }
      tensor.release(bytes: range)
      return (range.count, tensor.name)
    case .rows(let rows, let change, let format, let place):
      let count = rows.count * change.columns
      let size = format.bits / 8
      let tensor = change.weight
      try withScratch(count) { block in
        let squares = try change.apply(to: block, rows: rows)
        guard ck_all_finite(block.baseAddress!, count) else {
          throw CheckpointError(
            .number, file: base.url.path,
            "\(tensor.name) would hold NaN or infinity: the base or the adapter is broken",
            advice: Advice("Inspect both to see which", .inspect))
        }
        try withScratch((count * size + 3) / 4) { narrow in
          let bytes = UnsafeMutableRawBufferPointer(start: narrow.baseAddress!, count: count * size)
          let overflows = format.encode(UnsafeBufferPointer(block), into: bytes)
          guard overflows == 0 else {
            throw CheckpointError(
              .number, file: base.url.path,
              "\(tensor.name): \(overflows) or more numbers are beyond the range of \(format.rawValue)",
              advice: Advice("Choose bf16 or f32", .chooseFormat))
          }
          try writer.write(UnsafeRawBufferPointer(bytes), at: place + rows.lowerBound * change.columns * size)
          guard !change.parts.isEmpty else { return }
          var figures = MergeFigures(tensor: tensor.name, weight: squares.weight, update: squares.update)
          if format != .f32 && format != .f64 {
            withScratch(count) { rounded in
              format.decode(UnsafeRawBufferPointer(bytes), into: rounded)
              figures.rounding = WeightChange.squareDistance(UnsafeBufferPointer(rounded), UnsafeBufferPointer(block))
            }
          }
          account.add(figures, rows: rows)
        }
      }
      let row = change.columns * tensor.format.bits / 8
      tensor.release(bytes: rows.lowerBound * row..<rows.upperBound * row)
      return (count * size, tensor.name)
    }
  }
}
