// Merging adapters into a base checkpoint, shard by shard, in bounded memory.
//
//     let report = try Merge(base: base, adapters: [(adapter, weight: 1)]).run(to: output)
//
// A shard is a list of jobs: blocks of rows that change, and stretches of bytes that don't. Each job reads its bytes from
// the map, does its arithmetic in float32, rounds once and writes to its place in the output; jobs run on all threads.

import CKernels
import Foundation
import LoRAAdapters
import LoRAFiles
import LoRAFormats
import LoRATensors

/// A merge that has been checked and can be run.
public struct Merge: Sendable {
  public struct Options: Sendable {
    /// The format of the output's real numbers; `nil` keeps each tensor's.
    public var format: NumberFormat?
    /// Stores a tied output layer as a tensor of its own, so that one of the pair can change alone.
    public var unties = false
    /// Subtracts what a merge added.
    public var subtracts = false
    /// Leaves what can't be subtracted as it is, instead of refusing.
    public var allowsPartialSubtraction = false

    public init() {}
  }

  let base: Checkpoint
  let options: Options
  /// By tensor name.
  private let changes: [String: WeightChange]
  /// Tensors that the base does not have.
  private let additions: [StoredTensor]
  private let notes: [Finding]
  private let placedModules: [String: String]
  private let isUntied: Bool

  /// Plans the merge of adapters, each with a weight.
  ///
  /// - Throws: ``CheckpointError`` that lists what matched and what did not, where an adapter would act only in part.
  public init(base: Checkpoint, adapters: [(adapter: StoredAdapter, weight: Double)], options: Options = Options())
    throws
  {
    precondition(!adapters.isEmpty, "Merge: no adapters")
    self.base = base
    self.options = options
    var changes: [String: WeightChange] = [:]
    var additions: [String: StoredTensor] = [:]
    var notes: [Finding] = []
    var paths: [String: String] = [:]
    var isUntied = false
    let sign = options.subtracts ? -1.0 : 1
    for (adapter, weight) in adapters {
      let attachment = try Attachment(adapter, base: base, unties: options.unties)
      try attachment.requireComplete(adapter, action: options.subtracts ? "subtracted" : "merged")
      notes += attachment.findings
      func change(_ weight: StoredTensor) -> WeightChange {
        if let change = changes[weight.name] { return change }
        let change = WeightChange(weight)
        changes[weight.name] = change
        return change
      }
      if options.subtracts {
        // The copy of an adapted embedding is the base's own weight.
        let adapted = Set(attachment.placements.map(\.weight.name))
        let lost =
          attachment.placements.filter { $0.module.magnitude != nil }.map(\.module.path)
          + attachment.replacements.map(\.tensor.name).filter { !adapted.contains($0) }
        if !lost.isEmpty {
          let finding = Finding(
            options.allowsPartialSubtraction ? .warning : .error,
            "can't be restored: DoRA's division by the norm and replaced weights leave no trace of what was there", lost
          )
          guard options.allowsPartialSubtraction else {
            throw CheckpointError(
              .unsupported, file: adapter.url.path,
              "\(finding.message): \(lost.prefix(8).joined(separator: ", "))\(lost.count > 8 ? " and \(lost.count - 8) more" : "")"
            )
          }
          notes.append(finding)
        }
      }
      for placement in attachment.placements {
        let module = placement.module
        paths[placement.weight.name] = module.path
        if module.magnitude != nil {
          guard !options.subtracts else { continue }
          change(placement.weight).add(
            .magnitude(module, coefficient: weight, isTransposed: placement.isTransposed))
        } else {
          change(placement.weight).add(
            .product(module, coefficient: sign * weight, isTransposed: placement.isTransposed))
        }
        if let vector = module.bias, let bias = placement.bias {
          change(bias).add(.vector(vector, coefficient: sign * weight * module.scale))
        }
      }
      guard !options.subtracts else { continue }
      for (tensor, isNew) in attachment.replacements {
        if !isNew {
          change(base[tensor.name]!).add(.replacement(tensor, coefficient: weight))
        } else if additions.updateValue(tensor, forKey: tensor.name) != nil {
          throw CheckpointError(
            .mismatch, file: adapter.url.path,
            "two adapters bring \(tensor.name), which the base does not have; merge them one at a time")
        }
      }
      isUntied = isUntied || attachment.isUntied
    }
    if isUntied, let pair = TiedEmbeddings(base).untied {
      // The output layer starts as a copy of the input embedding, and may have a change of its own.
      additions[pair.name] = pair
      notes.append(Finding(.note, "the tied embedding was untied: \(pair.name) is now stored on its own"))
    }
    self.changes = changes
    self.additions = additions.values.sorted { isOrdered($0.name, $1.name) }
    self.notes = notes
    self.placedModules = paths
    self.isUntied = isUntied
  }

  /// What the merge will do, without doing it.
  public var plan: MergeReport {
    MergeReport(
      base: base.url, output: nil, modules: [], changedTensors: changes.count, addedTensors: additions.map(\.name),
      copiedTensors: base.tensorCount - changes.keys.filter { base[$0] != nil }.count,
      byteCount: outputTensors(ofShard: nil).reduce(0) { $0 + $1.byteCount }, findings: notes)
  }

  /// Writes the merged checkpoint.
  ///
  /// - Parameters:
  ///   - output: a file where the base is a file; a directory where it is a directory or an index, or where the name
  ///     does not end in ".safetensors".
  ///   - progress: called with bytes written.
  public func run(to output: URL, progress: OperationProgress.Handler? = nil) throws -> MergeReport {
    let total = outputTensors(ofShard: nil).reduce(0) { $0 + $1.byteCount }
    let counter = ProgressCounter(total: total, progress)
    let account = MergeAccount()
    if base.shards.count == 1 && output.pathExtension == "safetensors" {
      try writeShard(0, to: output, counter: counter, account: account)
    } else {
      let directory = try OutputDirectory(output)
      for shard in base.shards.indices {
        let name = base.shards.count == 1 ? Checkpoint.singleName : base.shards[shard].url.lastPathComponent
        try writeShard(shard, to: directory.staging.appendingPathComponent(name), counter: counter, account: account)
      }
      try copyCompanions(to: directory.staging)
      try directory.commit()
    }
    var report = plan
    report.output = output
    report.modules = account.modules.sorted { isOrdered($0.tensor, $1.tensor) }.map { figures in
      var figures = figures
      figures.path = placedModules[figures.tensor] ?? figures.tensor
      return figures
    }
    return report
  }

  /// A tensor's format in the output.
  private func outputFormat(_ tensor: StoredTensor) -> NumberFormat {
    tensor.format.isConvertible ? options.format ?? tensor.format : tensor.format
  }

  /// What a shard of the output holds (of all shards for `nil`), in the order of its bytes.
  private func outputTensors(ofShard shard: Int?) -> [TensorInfo] {
    let stored =
      (shard.map { base.shards[$0].tensors } ?? base.tensors)
      + (shard == nil || shard == base.shards.count - 1 ? additions : [])
    return stored.map { TensorInfo(name: $0.name, format: outputFormat($0), shape: $0.shape) }
  }

  private enum Job {
    /// Rows of a tensor that changes or is converted; `place` is where the tensor begins.
    case rows(Range<Int>, change: WeightChange, format: NumberFormat, place: Int)
    /// Bytes that stay as they are.
    case bytes(Range<Int>, of: StoredTensor, place: Int)
  }

  private func writeShard(_ shard: Int, to url: URL, counter: ProgressCounter, account: MergeAccount) throws {
    let tensors = base.shards[shard].tensors + (shard == base.shards.count - 1 ? additions : [])
    let writer = try SafetensorsWriter(
      to: url, expecting: outputTensors(ofShard: shard),
      metadata: base.shards[shard].metadata.isEmpty ? SafetensorsWriter.pythonMetadata : base.shards[shard].metadata)
    var jobs: [Job] = []
    for tensor in tensors {
      let format = outputFormat(tensor)
      let place = writer.place(TensorInfo(name: tensor.name, format: format, shape: tensor.shape)).lowerBound
      if let change = changes[tensor.name] ?? (format == tensor.format ? nil : WeightChange(tensor)) {
        guard change.rows * change.columns > 0 else { continue }
        let step = max(1, (1 << 19) / change.columns)
        for start in stride(from: 0, to: change.rows, by: step) {
          jobs.append(.rows(start..<min(start + step, change.rows), change: change, format: format, place: place))
        }
      } else {
        let bytes = tensor.info.byteCount
        for start in stride(from: 0, to: bytes, by: 4 << 20) {
          jobs.append(.bytes(start..<min(start + 4 << 20, bytes), of: tensor, place: place))
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
            "\(tensor.name) would hold NaN or infinity: the base or the adapter is broken (lora inspect says which)")
        }
        try withScratch((count * size + 3) / 4) { narrow in
          let bytes = UnsafeMutableRawBufferPointer(start: narrow.baseAddress!, count: count * size)
          let overflows = format.encode(UnsafeBufferPointer(block), into: bytes)
          guard overflows == 0 else {
            throw CheckpointError(
              .number, file: base.url.path,
              "\(tensor.name): \(overflows) or more numbers are beyond the range of \(format.rawValue); choose bf16 or f32"
            )
          }
          try writer.write(UnsafeRawBufferPointer(bytes), at: place + rows.lowerBound * change.columns * size)
          guard !change.parts.isEmpty else { return }
          var figures = MergeFigures(tensor: tensor.name, weight: squares.weight, update: squares.update)
          if format != .f32 && format != .f64 {
            withScratch(count) { rounded in
              format.decode(UnsafeRawBufferPointer(bytes), into: rounded)
              figures.rounding = WeightChange.squareDistance(rounded, block)
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

  /// The index and the other files of a model's directory.
  private func copyCompanions(to directory: URL) throws {
    if base.shards.count > 1 {
      var map: [JSON.Member] = []
      var size = 0
      for shard in base.shards.indices {
        for tensor in outputTensors(ofShard: shard) {
          map.append(JSON.Member(tensor.name, .string(base.shards[shard].url.lastPathComponent)))
          size += tensor.byteCount
        }
      }
      let index: JSON = [
        "metadata": ["total_size": .integer(size)],
        "weight_map": .object(map.sorted { $0.key < $1.key }),
      ]
      try OutputFile.write(index.pretty + "\n", to: directory.appendingPathComponent(Checkpoint.indexName))
    }
    guard let source = base.directory else { return }
    let files = FileManager.default
    for name in try files.contentsOfDirectory(atPath: source.path).sorted() where !name.hasPrefix(".") {
      let file = source.appendingPathComponent(name)
      guard !Self.holdsWeights(file), !name.hasPrefix("adapter_") else { continue }
      let target = directory.appendingPathComponent(name)
      if name == "config.json", let configuration = base.configuration {
        try OutputFile.write(merged(configuration).pretty + "\n", to: target)
      } else {
        try files.copyItem(at: file.resolvingSymlinksInPath(), to: target)
      }
    }
  }

  /// Whether a file, or one below a directory, is weights: those of another format would contradict the merged ones.
  private static func holdsWeights(_ url: URL) -> Bool {
    if isDirectory(url) {
      let names = FileManager.default.enumerator(atPath: url.path)?.compactMap { $0 as? String } ?? []
      return names.contains { holdsWeights(URL(fileURLWithPath: $0)) }
    }
    let suffixes = [
      ".safetensors", ".bin", ".pt", ".pth", ".index.json", ".gguf", ".onnx", ".onnx_data", ".h5", ".msgpack",
    ]
    return suffixes.contains(where: url.lastPathComponent.hasSuffix)
  }

  /// The model's configuration as it has to be after the merge.
  private func merged(_ configuration: JSON) -> JSON {
    var configuration = configuration
    if isUntied { configuration["tie_word_embeddings"] = false }
    if let format = options.format {
      let names: [NumberFormat: String] = [.f16: "float16", .bf16: "bfloat16", .f32: "float32", .f64: "float64"]
      for key in ["torch_dtype", "dtype"] where configuration[key] != nil {
        configuration[key] = names[format].map(JSON.string)
      }
    }
    return configuration
  }
}
