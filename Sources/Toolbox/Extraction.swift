// A LoRA adapter from a full fine-tune: the best low-rank approximation of what changed, module by module.
//
//     let report = try Extraction(base: base, tuned: tuned, rank: .fixed(16)).run(to: directory)
//
// Neither model is ever in memory: one module's difference is, for each thread, and that of a very large matrix only in
// blocks of rows.

import Foundation
import LoRAAdapters
import LoRACKernels
import LoRAFiles
import LoRAFormats
import LoRALinearAlgebra
import LoRATensors

/// An extraction that has been planned and can be run.
public struct Extraction: Sendable {
  /// How the rank of each module is chosen.
  public enum Rank: Sendable, Equatable {
    /// The same for all modules, as far as their shape allows.
    case fixed(Int)
    /// The smallest that keeps this share of each module's ‖ΔW‖².
    case energy(Double)
    /// Shared out so that all factors take no more than these bytes and the least energy is lost in all.
    case budget(bytes: Int)
  }

  /// What else can be said of an extraction.
  public struct Options: Sendable {
    /// The factors' format.
    public var format = NumberFormat.f32
    /// Whether changed biases and norms are kept too.
    public var keepsVectors = false
    /// The highest rank for `energy` and `budget`.
    public var maximumRank = 128
    /// Random directions beyond the rank; `nil` takes more for higher ranks.
    public var oversampling: Int?
    /// Pairs of products that sharpen the randomised decomposition; `nil` takes more for higher ranks.
    ///
    /// On spectra that fall as slowly as 1/√k, the defaults leave the residual within 0.5% of the least possible one:
    /// 0.1% at rank 16, 0.2% at 64, 0.3% at 128.
    public var powerIterations: Int?
    /// Of the randomised decomposition: the same seed gives the same bytes.
    public var seed: UInt64 = 0

    /// Factors in F32, the most accurate decomposition that the time is worth.
    public init() {}

    func oversampling(rank: Int) -> Int { oversampling ?? max(8, min(32, rank / 4)) }
    func powerIterations(rank: Int) -> Int { powerIterations ?? (rank < 32 ? 2 : rank < 96 ? 3 : 4) }
  }

  /// How the rank of each module is chosen.
  public let rank: Rank
  /// What else was said.
  public let options: Options
  let base: Checkpoint
  let plan: ExtractionPlan

  /// - Throws: `CheckpointError` where the two are not versions of one model.
  public init(base: Checkpoint, tuned: Checkpoint, rank: Rank, options: Options = Options()) throws {
    self.base = base
    self.rank = rank
    self.options = options
    plan = try ExtractionPlan(base: base, tuned: tuned, keepsVectors: options.keepsVectors)
  }

  /// What will be extracted and what will not.
  public var findings: [Finding] { plan.findings }
  /// How many modules there are to decompose.
  public var moduleCount: Int { plan.modules.count }

  /// Extracts and writes a PEFT directory.
  ///
  /// - Parameters:
  ///   - directory: the folder that will be written.
  ///   - sharing: the processes that share out the modules. The first one writes, and its report is of all.
  ///   - progress: called with modules done by this process.
  public func run(
    to directory: URL, among sharing: Sharing = .alone, progress: OperationProgress.Handler? = nil
  ) throws -> ExtractionReport {
    var ranks: [Int]?
    let own = sharing.own(plan.modules.map(\.count))
    let passes = if case .budget = rank { 2 } else { 1 }
    let counter = ProgressCounter(total: own.count * passes, progress)
    if case .budget(let bytes) = rank {
      ranks = try allocate(bytes: bytes, own, sharing, counter: counter)
    }

    let limits = plan.modules.enumerated().map { index, module in
      ranks?[index] ?? min(rank.limit(options.maximumRank), module.rows, module.columns)
    }
    let expected = try zip(plan.modules, limits).flatMap { module, limit in
      try module.expected(rank: max(limit, 1), format: options.format, hasBias: plan.hasLoRABias)
    }
    let adapted = Set(plan.modules.map(\.path))
    let replacements = plan.replacements.map { tensor in
      adapted.contains(tensor.info.modulePath)
        ? tensor.renamed(tensor.info.modulePath + ".base_layer." + lastComponent(tensor.name)) : tensor
    }
    let writer =
      sharing.rank > 0
      ? nil
      : try PEFTWriter(
        to: directory, expecting: expected + replacements.map { $0.renamed(PEFTNames.prefix + $0.name).info },
        reserves: rank.isKnown)
    let output = InOrder<Extracted>(count: plan.modules.count) { result in
      if let module = result.module { try writer?.append(module) }
    }
    try forEach(of: own) { index, module in
      guard limits[index] > 0 else {
        try output.submit(index, (nil, .skipped(module, norm: ModuleDifference(module).squareNorm.squareRoot())))
        try counter.advance(by: 1, module.path)
        return
      }
      let result = try extract(module, rank: limits[index])
      try output.submit(index, result)
      try counter.advance(by: 1, module.path)
    }
    try gather(output, own, sharing)
    let results = output.results
    let report = ExtractionReport(
      output: directory, modules: results.map(\.outcome), replaced: replacements.map(\.name),
      unexplained: plan.leftOut, findings: plan.findings)
    guard let writer else { return report }
    let modules = results.compactMap(\.module)
    guard !modules.isEmpty || plan.hasChangedReplacements else { throw plan.nothingToExtract(from: base) }
    for tensor in replacements { try writer.append(replacement: tensor) }
    try writer.finish(plan.configuration(modules: modules))
    return report
  }

  /// A module's factors, if it has any, and what they cost.
  private typealias Extracted = (module: StoredModule?, outcome: ExtractionReport.Module)

  /// Gives the first process what the others have extracted: of each module its figures, and its tensors' bytes.
  private func gather(_ output: InOrder<Extracted>, _ own: [Int], _ sharing: Sharing) throws {
    guard sharing.count > 1 else { return }
    let mine = Dictionary(uniqueKeysWithValues: own.map { ($0, output[$0]!) })
    let figures = try sharing.gather(mine.mapValues(\.outcome.numbers))
    let bytes = try sharing.gather(
      mine.compactMapValues { $0.module?.method.tensors.flatMap { $0.tensor.withBytes(Array.init) } })
    for (index, numbers) in figures.sorted(by: { $0.key < $1.key }) where mine[index] == nil {
      let module = plan.modules[index]
      let outcome = ExtractionReport.Module(path: module.path, numbers)
      let method = try bytes[index].map {
        module.lora(try module.expected(rank: outcome.rank, format: options.format, hasBias: plan.hasLoRABias), $0)
      }
      try output.submit(index, (method.map { StoredModule(path: module.path, method: $0) }, outcome))
    }
  }

  /// Small modules side by side, one to a thread; large ones one after the other, with all threads inside.
  private func forEach(of own: [Int], _ body: @Sendable (Int, ExtractionPlan.Module) throws -> Void) throws {
    let isLarge = { (index: Int) in self.plan.modules[index].count > ModuleDifference.largestInParallel }
    for index in own.filter(isLarge) { try body(index, plan.modules[index]) }
    let small = own.filter { !isLarge($0) }
    try inParallel(small.count) { try body(small[$0], plan.modules[small[$0]]) }
  }

  private func allocate(
    bytes: Int, _ own: [Int], _ sharing: Sharing, counter: ProgressCounter
  ) throws -> [Int] {
    let found = InOrder<[Float]>(count: plan.modules.count) { _ in }
    try forEach(of: own) { index, module in
      let difference = try ModuleDifference(module)
      let limit = min(options.maximumRank, module.rows, module.columns)
      let values =
        difference.squareNorm > 0
        ? try difference.factors(rank: limit, options: options).singularValues : []
      try found.submit(index, values)
      try counter.advance(by: 1, module.path)
    }
    let values = try sharing.exchange(Dictionary(uniqueKeysWithValues: own.map { ($0, found[$0]!) }))
    let spectra = plan.modules.enumerated().map { index, module in
      Spectrum(singularValues: values[index] ?? [], rows: module.rows, columns: module.columns)
    }
    let allocation = RankAllocation(
      spectra: spectra, byteBudget: bytes, bytesPerParameter: options.format.bits / 8)
    guard allocation.ranks.contains(where: { $0 > 0 }) else {
      throw CheckpointError(
        .mismatch, file: plan.tuned.url.path, "\(bytes) bytes are allowed", expected: "enough for rank 1 of a module",
        advice: "Allow more bytes")
    }
    return allocation.ranks
  }

  private func extract(_ module: ExtractionPlan.Module, rank limit: Int) throws -> Extracted {
    let difference = try ModuleDifference(module)
    guard difference.squareNorm > 0 else { return (nil, .skipped(module, norm: 0)) }
    let factors: LowRankFactors
    if case .energy(let share) = rank {
      factors = try difference.factors(energy: share, atMost: limit, options: options)
    } else {
      factors = try difference.factors(rank: limit, options: options)
    }
    guard factors.rank > 0 else { return (nil, .skipped(module, norm: difference.squareNorm.squareRoot())) }
    let (b, a) = factors.balanced()
    let bias = plan.hasLoRABias ? try module.biasDifference() : nil
    let stored = StoredModule(
      path: module.path, method: try module.lora(b, a, bias: bias, format: options.format))
    let residual = difference.residual(factors)
    return (
      stored,
      ExtractionReport.Module(
        path: module.path, rank: factors.rank, norm: difference.squareNorm.squareRoot(),
        relativeChange: difference.baseSquareNorm > 0
          ? (difference.squareNorm / difference.baseSquareNorm).squareRoot() : .infinity,
        residual: residual, parameterCount: factors.parameterCount)
    )
  }
}

extension Extraction.Rank {
  func limit(_ maximum: Int) -> Int {
    if case .fixed(let rank) = self { rank } else { maximum }
  }

  var isKnown: Bool {
    if case .energy = self { false } else { true }
  }
}

/// Results from several threads, consumed in their order as soon as all before them are there.
final class InOrder<Result: Sendable>: @unchecked Sendable {
  private let lock = NSLock()
  private var slots: [Result?]
  private var next = 0
  private let consume: (Result) throws -> Void

  init(count: Int, _ consume: @escaping (Result) throws -> Void) {
    slots = Array(repeating: nil, count: count)
    self.consume = consume
  }

  func submit(_ index: Int, _ result: Result) throws {
    lock.lock()
    defer { lock.unlock() }
    slots[index] = result
    while next < slots.count, let ready = slots[next] {
      next += 1
      try consume(ready)
    }
  }

  /// What is there of one.
  subscript(index: Int) -> Result? { lock.withLock { slots[index] } }

  /// What is there, in order.
  var results: [Result] { lock.withLock { slots.compactMap { $0 } } }
}

/// The outcome of an extraction.
public struct ExtractionReport: Sendable {
  /// One module's figures; norms are Frobenius'.
  public struct Module: Sendable {
    /// The module's path.
    public let path: String
    /// 0 where the module did not change, or no rank was given to it.
    public let rank: Int
    /// ‖ΔW‖.
    public let norm: Double
    /// ‖ΔW‖ / ‖W‖.
    public let relativeChange: Double
    /// ‖ΔW − BA‖.
    public let residual: Double
    /// Numbers in its factors.
    public let parameterCount: Int

    /// ‖ΔW − BA‖ / ‖ΔW‖.
    public var relativeResidual: Double { norm > 0 ? residual / norm : 0 }

    init(path: String, rank: Int, norm: Double, relativeChange: Double, residual: Double, parameterCount: Int) {
      (self.path, self.rank, self.norm, self.relativeChange) = (path, rank, norm, relativeChange)
      (self.residual, self.parameterCount) = (residual, parameterCount)
    }

    /// From the ``numbers`` of another process.
    init(path: String, _ numbers: [Double]) {
      self.init(
        path: path, rank: Int(numbers[0]), norm: numbers[1], relativeChange: numbers[2], residual: numbers[3],
        parameterCount: Int(numbers[4]))
    }

    /// All but the path.
    var numbers: [Double] { [Double(rank), norm, relativeChange, residual, Double(parameterCount)] }

    static func skipped(_ module: ExtractionPlan.Module, norm: Double) -> Module {
      Module(path: module.path, rank: 0, norm: norm, relativeChange: 0, residual: norm, parameterCount: 0)
    }
  }

  /// The folder that was written.
  public let output: URL
  /// Figures in the natural order of the paths.
  public let modules: [Module]
  /// Weights kept whole.
  public let replaced: [String]
  /// Changed tensors that the adapter does not hold, with the norm of their change.
  public let unexplained: [(name: String, norm: Double)]
  /// What was left out and why.
  public let findings: [Finding]

  /// The share of the squared change of all adapted and left-out tensors that the adapter holds.
  public var shareOfChange: Double {
    let change = modules.reduce(0) { $0 + $1.norm * $1.norm } + unexplained.reduce(0) { $0 + $1.norm * $1.norm }
    let missed = modules.reduce(0) { $0 + $1.residual * $1.residual } + unexplained.reduce(0) { $0 + $1.norm * $1.norm }
    return change > 0 ? 1 - missed / change : 1
  }

  /// ‖ΔW − BA‖ / ‖ΔW‖ over all modules.
  public var relativeResidual: Double {
    let change = modules.reduce(0) { $0 + $1.norm * $1.norm }
    return change > 0 ? (modules.reduce(0) { $0 + $1.residual * $1.residual } / change).squareRoot() : 0
  }
}
