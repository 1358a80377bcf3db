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

  /// Plans the writing of a model in another format, with no adapter.
  ///
  /// - Parameters:
  ///   - base: the model.
  ///   - format: of the output's real numbers.
  public init(converting base: Checkpoint, to format: NumberFormat) throws {
    try self.init(.adding([], to: base, unties: false), format, [])
  }

  private init(_ changes: MergePlan, _ format: NumberFormat?, _ adapters: [StoredAdapter]) throws {
    base = changes.base
    self.changes = changes
    self.format = format
    model = try MergedModel(changes, format: format, adapters: adapters)
  }

  /// What the merge will do, without doing it.
  ///
  /// - Parameter output: where it is to be written, whose name says whether it becomes a GGUF file; nil: what the base is.
  /// - Throws: `CheckpointError` where the base can't become that.
  public func plan(output: URL? = nil) throws -> MergeReport {
    let target = try WeightTarget(base, format: format, output: output)
    let outputs = try base.shards.indices.flatMap { try self.outputs(ofShard: $0, target) }
    var findings = base.findings + changes.findings + model.findings
    let decoded = outputs.filter { $0.source.format.isQuantized && !$0.slot.info.format.isQuantized }
    if let first = decoded.first, !target.isGGUF {
      findings.append(
        Finding(
          .note,
          "the base's quantised weights (\(first.source.format.rawValue)) are written as numbers again "
            + "(\(first.slot.info.format.rawValue))"))
    }
    let unwritten = base.shards.indices.flatMap { base.tensors(ofShard: $0) }.map(\.name).filter(target.doesWithout)
    if !unwritten.isEmpty {
      findings.append(Finding(.note, "not written, since llama.cpp's models do without them", unwritten))
    }
    return MergeReport(
      base: base.url, output: nil, modules: [], changedTensors: changes.changes.count + changes.swapped.count,
      addedTensors: changes.additions.keys.map(\.text).sorted(by: isOrdered),
      copiedTensors: outputs.filter { $0.change == nil && changes.additions[$0.source.name] == nil }.count
        - changes.swapped.count,
      byteCount: outputs.reduce(0) { $0 + $1.slot.info.byteCount }, findings: findings)
  }

  /// Writes the merged checkpoint.
  ///
  /// - Parameters:
  ///   - output: a file where its name ends in ".safetensors" and the base is one file, or in ".gguf"; else a directory.
  ///   - sharing: the processes that share out the shards of a directory; what is one file the first one writes. The first
  ///     one's report is of all.
  ///   - progress: called with bytes written by this process.
  public func run(
    to output: URL, among sharing: Sharing = .alone, progress: OperationProgress.Handler? = nil
  ) throws -> MergeReport {
    let target = try WeightTarget(base, format: format, output: output)
    var report = try plan(output: output)
    let counter = ProgressCounter(total: report.byteCount, progress)
    let account = MergeAccount()
    if target.isGGUF {
      guard sharing.rank == 0 else { return report }
      try write(
        base.shards.indices.flatMap { try outputs(ofShard: $0, target) }, to: output, target, [], counter, account)
    } else if base.shards.count == 1 && output.pathExtension == "safetensors" {
      guard sharing.rank == 0 else { return report }
      try write(outputs(ofShard: 0, target), to: output, target, base.shards[0].metadata, counter, account)
    } else {
      let directory = sharing.rank == 0 ? try OutputDirectory(output) : nil
      let folder = try sharing.folder(directory?.staging)
      let names = base.shardNames
      let sizes = base.shards.indices.map { base.tensors(ofShard: $0).reduce(0) { $0 + $1.info.byteCount } }
      for shard in sharing.own(sizes) {
        try write(
          outputs(ofShard: shard, target), to: folder.appendingPathComponent(names[shard]), target,
          base.shards[shard].metadata, counter, account)
      }
      // Once the others have said what they did, they have done it.
      try gather(account, target, sharing)
      guard let directory else { return report }
      if names.count > 1 { try writeIndex(names, target, to: folder.appendingPathComponent(base.indexName)) }
      try model.write(to: folder)
      try directory.commit()
    }
    report.output = output
    if !account.modules.isEmpty, account.modules.allSatisfy({ $0.update == 0 }), changes.additions.isEmpty,
      changes.swapped.isEmpty
    {
      report.findings.append(
        Finding(.warning, "what is added is zero everywhere: the weights are those of before"))
    }
    report.modules = account.modules.sorted { isOrdered($0.tensor, $1.tensor) }.map { figures in
      var figures = figures
      figures.path = changes.paths[ExactString(figures.tensor)] ?? figures.tensor
      return figures
    }
    return report
  }

  /// Adds the others' figures to the first one's.
  private func gather(_ account: MergeAccount, _ target: WeightTarget, _ sharing: Sharing) throws {
    guard sharing.count > 1 else { return }
    let outputs = try base.shards.indices.flatMap { try self.outputs(ofShard: $0, target) }
    let figures = Dictionary(byName: account.modules, \.tensor)
    var own: [Int: [Double]] = [:]
    for (part, output) in outputs.enumerated() {
      own[part] = output.change.flatMap { figures[ExactString($0.weight.name)]?.numbers }
    }
    for (part, numbers) in try sharing.gather(own) where own[part] == nil {
      let output = outputs[part]
      account.add(
        MergeFigures(tensor: output.change!.weight.name, format: output.slot.info.format, numbers), rows: 0..<0)
    }
  }

  /// A tensor of the output: where its numbers come from, and what it is called.
  private struct Output {
    /// Where nothing changes, its bytes are what is written.
    let source: StoredTensor
    let change: WeightChange?
    let slot: WeightTarget.Slot
  }

  /// What a shard of the output holds, in the order of its bytes.
  private func outputs(ofShard shard: Int, _ target: WeightTarget) throws -> [Output] {
    let isLast = shard == base.shards.count - 1
    let added = isLast ? changes.additions.values.sorted { isOrdered($0.name, $1.name) } : []
    let written = (base.tensors(ofShard: shard) + added).filter {
      changes.changes[ExactString($0.name)] != nil || !target.doesWithout($0.name)
    }
    let outputs = try written.map { tensor -> Output in
      let source = changes.swapped[ExactString(tensor.name)] ?? tensor
      let slot = try target.slot(of: target.isGGUF ? tensor.name : model.name(of: tensor.name), source)
      if let change = changes.changes[ExactString(tensor.name)] {
        return Output(source: source, change: change, slot: try requireWritable(slot))
      }
      if let origin = slot.origin, origin.format == slot.info.format {
        return Output(source: origin, change: nil, slot: slot)
      }
      let isAsStored =
        source.format == slot.info.format && source.head == slot.head && !slot.isTransposed
        && !source.format.isComposite
      return Output(
        source: source, change: isAsStored ? nil : WeightChange(source),
        slot: isAsStored ? slot : try requireWritable(slot))
    }
    return outputs
      + (isLast ? target.additions : []).map { Output(source: $0, change: nil, slot: WeightTarget.Slot(info: $0.info)) }
  }

  private func requireWritable(_ slot: WeightTarget.Slot) throws -> WeightTarget.Slot {
    guard slot.info.format.isWritable else {
      throw CheckpointError(
        .unsupported, file: base.url.path,
        "\(slot.info.name) is stored as \(slot.info.format.rawValue), which is read and not written",
        expected: "a format that can be written", advice: Advice("Choose another format", .chooseFormat))
    }
    return slot
  }

  private func writeIndex(_ names: [String], _ target: WeightTarget, to url: URL) throws {
    var map: [JSON.Member] = []
    var size = 0
    for (shard, name) in names.enumerated() {
      for output in try outputs(ofShard: shard, target) {
        map.append(JSON.Member(output.slot.info.name, .string(name)))
        size += output.slot.info.byteCount
      }
    }
    let index: JSON = [
      "metadata": ["total_size": .integer(size)], "weight_map": .object(map.sorted { $0.key < $1.key }),
    ]
    try OutputFile.write(index.pretty + "\n", to: url)
  }

  private enum Job {
    /// Rows of a tensor that changes or is converted; `place` is where the tensor begins.
    case rows(Range<Int>, change: WeightChange, slot: WeightTarget.Slot, place: Int)
    /// Bytes that stay as they are.
    case bytes(Range<Int>, of: StoredTensor, place: Int)
  }

  private func write(
    _ outputs: [Output], to url: URL, _ target: WeightTarget, _ metadata: [JSON.Member], _ counter: ProgressCounter,
    _ account: MergeAccount
  ) throws {
    let writer = try target.writer(to: url, outputs.map(\.slot.info), metadata: metadata)
    var jobs: [Job] = []
    for output in outputs {
      let place = try writer.place(output.slot.info).lowerBound
      if let change = output.change {
        // A transpose is written whole.
        for rows in output.slot.isTransposed ? [0..<change.rows] : change.blocks(of: output.slot.head) {
          jobs.append(.rows(rows, change: change, slot: output.slot, place: place))
        }
      } else {
        let bytes = output.slot.info.byteCount
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
      change.weight.prefetch(numbers: rows.lowerBound * change.columns..<rows.upperBound * change.columns)
    case .bytes(let range, let tensor, _): tensor.prefetch(bytes: range)
    }
  }

  private func perform(_ job: Job, writer: any TensorWriter, account: MergeAccount) throws -> (
    bytes: Int, name: String
  ) {
    switch job {
    case .bytes(let range, let tensor, let place):
      try writer.write(tensor, bytes: range, at: place + range.lowerBound)
      return (range.count, tensor.name)
    case .rows(let rows, let change, let slot, let place):
      let count = rows.count * change.columns
      let format = slot.info.format
      let size = TensorInfo(name: "", format: format, shape: [count]).byteCount
      let tensor = change.weight
      try withScratch(count) { block in
        let squares = try change.apply(to: block, rows: rows)
        if slot.isTransposed { transpose(block, rows: rows.count, columns: change.columns) }
        // Of numbers that no adapter changes, what rounding does to them is of interest where it is coarse.
        let counts = !change.parts.isEmpty || format.isQuantized
        var figures = MergeFigures(tensor: tensor.name, weight: squares.weight, update: squares.update)
        figures.format = format
        try withScratch((size + 3) / 4) { narrow in
          let bytes = UnsafeMutableRawBufferPointer(start: narrow.baseAddress!, count: size)
          for piece in WeightChange.pieces(count) {
            let numbers = UnsafeMutableBufferPointer(rebasing: block[piece])
            let place = size * piece.lowerBound / count..<size * piece.upperBound / count
            let codes = UnsafeMutableRawBufferPointer(rebasing: bytes[place])
            try encode(numbers, as: format, into: codes, tensor)
            guard counts, format != .f32 && format != .f64 else { continue }
            withScratch(piece.count) { rounded in
              format.decode(UnsafeRawBufferPointer(codes), into: rounded)
              figures.rounding += WeightChange.squareDistance(
                UnsafeBufferPointer(rounded), UnsafeBufferPointer(numbers))
              if format.isQuantized && !change.parts.isEmpty && !slot.isTransposed {
                let first = rows.lowerBound * change.columns + piece.lowerBound
                figures.kept = (figures.kept ?? 0) + kept(of: numbers, rounded, first, tensor)
              }
            }
          }
          try withStoredOrder(bytes, rows: rows.count, head: slot.head) {
            try writer.write($0, at: place + rows.lowerBound * (size / rows.count))
          }
          if counts { account.add(figures, rows: rows) }
        }
      }
      tensor.release(numbers: rows.lowerBound * change.columns..<rows.upperBound * change.columns)
      return (size, tensor.name)
    }
  }

  /// Hands whole heads of rows to `body` as they are stored: see ``StoredTensor/storedRow(_:head:)``.
  private func withStoredOrder(
    _ bytes: UnsafeMutableRawBufferPointer, rows: Int, head: Int, _ body: (UnsafeRawBufferPointer) throws -> Void
  ) rethrows {
    guard head > 0 else { return try body(UnsafeRawBufferPointer(bytes)) }
    let size = bytes.count / rows
    try withScratch((bytes.count + 3) / 4) { scratch in
      let ordered = UnsafeMutableRawPointer(scratch.baseAddress!)
      for row in 0..<rows {
        (ordered + StoredTensor.storedRow(row, head: head) * size)
          .copyMemory(from: bytes.baseAddress! + row * size, byteCount: size)
      }
      try body(UnsafeRawBufferPointer(start: ordered, count: bytes.count))
    }
  }

  private func encode(
    _ numbers: UnsafeMutableBufferPointer<Float>, as format: NumberFormat, into codes: UnsafeMutableRawBufferPointer,
    _ tensor: StoredTensor
  ) throws {
    guard ck_all_finite(numbers.baseAddress!, numbers.count) else {
      throw CheckpointError(
        .number, file: base.url.path,
        "\(tensor.name) would hold NaN or infinity: the base or the adapter is broken", expected: "finite numbers",
        advice: Advice("Inspect both to see which", .inspect))
    }
    let overflows = format.encode(UnsafeBufferPointer(numbers), into: codes)
    guard overflows == 0 else {
      throw CheckpointError(
        .number, file: base.url.path,
        "\(tensor.name): \(overflows) or more numbers are beyond the range of \(format.rawValue)",
        expected: "none", advice: Advice("Choose bf16 or f32", .chooseFormat))
    }
  }

  /// The inner product of the change that was meant, and the one that came about, for numbers from the tensor's `first` on.
  private func kept(
    of numbers: UnsafeMutableBufferPointer<Float>, _ rounded: UnsafeMutableBufferPointer<Float>, _ first: Int,
    _ weight: StoredTensor
  ) -> Double {
    withScratch(numbers.count) { original in
      weight.read(first..<first + numbers.count, into: original)
      return WeightChange.innerProduct(
        UnsafeBufferPointer(numbers), UnsafeBufferPointer(rounded), from: UnsafeBufferPointer(original))
    }
  }

  /// Turns a matrix in its place.
  private func transpose(_ block: UnsafeMutableBufferPointer<Float>, rows: Int, columns: Int) {
    withScratch(block.count) { turned in
      for row in 0..<rows {
        for column in 0..<columns { turned[column * rows + row] = block[row * columns + column] }
      }
      _ = block.update(fromContentsOf: turned)
    }
  }
}
