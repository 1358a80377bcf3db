// What an adapter is: its modules, scales, norms and ranks, and what is odd about it.

import Foundation
import LoRAAdapters
import LoRACKernels
import LoRAFiles
import LoRAFormats
import LoRALinearAlgebra
import LoRATensors

/// The figures of an adapter.
public struct AdapterInspection: Sendable {
  /// The figures of one module.
  public struct Module: Sendable {
    /// The module's path, as the adapter's files have it.
    public let path: String
    /// The method's name: "LoRA".
    public let method: String
    /// Rows and columns of BA.
    public let outputs: Int
    /// Columns of BA, a convolution's kernel counted in.
    public let inputs: Int
    /// The rank of its factors; 0 where its method has none.
    public let rank: Int
    /// scale · rank: the α that gives this scale as α/r.
    public let alpha: Double
    /// The factor of BA: α/r, or α/√r.
    public let scale: Double
    /// Numbers in all its tensors.
    public let parameterCount: Int
    /// Bytes of all its tensors in the file.
    public let byteCount: Int
    /// The format of its first tensor's numbers.
    public let format: NumberFormat
    /// ‖A‖, Frobenius; 0 where the method has no such factor.
    public let normOfA: Double
    /// ‖B‖, Frobenius; 0 where the method has no such factor.
    public let normOfB: Double
    /// The singular values of scale · BA; empty where A or B is not finite, or there are none.
    public let spectrum: [Float]
    /// Whether the change is a product of factors, so that it has a norm and a spectrum without the base's weight.
    public let isProduct: Bool

    /// ‖scale · BA‖, Frobenius.
    public var normOfUpdate: Double { spectrum.reduce(0) { $0 + Double($1) * Double($1) }.squareRoot() }

    /// exp(H(p)), p = σ/Σσ: how many directions the update really uses (Roy and Vetterli, "The effective rank",
    /// EUSIPCO 2007). Between 1 and the rank; 0 for an update that is zero.
    public var effectiveRank: Double {
      let total = spectrum.reduce(0.0) { $0 + Double($1) }
      guard total > 0 else { return 0 }
      let entropy = spectrum.reduce(0.0) { sum, value in
        let share = Double(value) / total
        return share > 0 ? sum - share * log(share) : sum
      }
      return exp(entropy)
    }

    /// Singular values that are more than rounding.
    public var numericalRank: Int {
      Spectrum(singularValues: spectrum, rows: outputs, columns: inputs).numericalRank
    }
  }

  /// What was inspected.
  public let adapter: StoredAdapter
  /// Figures in the order of the adapter's modules.
  public let modules: [Module]
  /// What is odd, of the files and of the numbers.
  public let findings: [Finding]

  /// The method in the usual words: LoRA, rsLoRA, DoRA, with what the configuration adds.
  public var method: String {
    let configuration = adapter.configuration
    var name = adapter.methodNames.joined(separator: " and ")
    if configuration.scaling == .rankStabilized { name = name == "LoRA" ? "rsLoRA" : name + ", rank-stabilised" }
    if let method = configuration.initialization.string { name += ", initialised by \(method)" }
    return name
  }

  /// ‖scale · BA‖ over all modules.
  public var normOfUpdate: Double {
    modules.reduce(0) { $0 + $1.normOfUpdate * $1.normOfUpdate }.squareRoot()
  }

  /// Reads all of the adapter's numbers.
  ///
  /// - Parameters:
  ///   - adapter: what is inspected.
  ///   - progress: called with modules done.
  /// - Throws: `CheckpointError` where its tensors can't be read.
  public init(_ adapter: StoredAdapter, progress: OperationProgress.Handler? = nil) throws {
    self.adapter = adapter
    let counter = ProgressCounter(total: adapter.modules.count, progress)
    modules = try mapInParallel(adapter.modules) { module in
      let result = try adapter.decomposing(module) { try Self.figures(of: module) }
      try counter.advance(by: 1, module.path)
      return result
    }
    findings = adapter.findings + Self.oddities(adapter, modules)
  }

  private static func figures(of module: StoredModule) throws -> Module {
    let update = try module.method.core.factors()
    let isFinite = update.map { $0.a.isFinite && $0.b.isFinite && $0.scale.isFinite } ?? true
    let scale = Float(abs(update?.scale ?? module.scale))
    let tensors = module.tensors
    return Module(
      path: module.path, method: module.method.name, outputs: module.outputs, inputs: module.inputs, rank: module.rank,
      alpha: Scaling.standard.alpha(scale: module.scale, rank: module.rank), scale: module.scale,
      parameterCount: tensors.reduce(0) { $0 + $1.count }, byteCount: tensors.reduce(0) { $0 + $1.info.byteCount },
      format: tensors.first?.format ?? .f32, normOfA: update?.a.norm ?? 0, normOfB: update?.b.norm ?? 0,
      spectrum: try update.map { isFinite ? try svd(ofProduct: $0.b, $0.a).singularValues.map { $0 * scale } : [] }
        ?? [],
      isProduct: update != nil)
  }

  private static func oddities(_ adapter: StoredAdapter, _ modules: [Module]) -> [Finding] {
    var findings: [Finding] = []
    func report(_ severity: Finding.Severity, _ message: String, _ subjects: [String]) {
      if !subjects.isEmpty { findings.append(Finding(severity, message, subjects)) }
    }
    let factors: Set = [StoredLoRA.a, StoredLoRA.b, StoredLoRA.embeddingA, StoredLoRA.embeddingB]
    let others =
      adapter.replacements + adapter.shared
      + adapter.modules.flatMap { $0.method.tensors.filter { !factors.contains($0.part) }.map(\.tensor) }
    report(
      .error, "A or B holds NaN or infinity", modules.filter { !($0.normOfA + $0.normOfB).isFinite }.map(\.path))
    report(
      .error, "tensors that hold NaN or infinity",
      others.filter { $0.format.isConvertible && (try? $0.tensor().isFinite) == false }.map(\.name))
    let empty = modules.filter { $0.isProduct && ($0.normOfB == 0 || $0.normOfA == 0) }
    report(
      .warning,
      empty.count == modules.count && !empty.isEmpty
        ? "B (or A) is zero everywhere: the adapter has no effect, as before training"
        : "B (or A) is zero: these modules have no effect", empty.map(\.path))
    report(
      .warning, "the update uses fewer directions than the rank pays for (resizing makes it smaller without loss)",
      modules.filter { !$0.spectrum.isEmpty && $0.normOfUpdate > 0 && $0.numericalRank < $0.rank }
        .map { "\($0.path): \($0.numericalRank) of \($0.rank)" })
    report(
      .warning, "the rank is above what the module's shape can use",
      modules.filter { $0.isProduct && $0.rank > min($0.outputs, $0.inputs) }.map { "\($0.path): \($0.rank)" })
    report(.note, "the scale is 0: these modules have no effect", modules.filter { $0.scale == 0 }.map(\.path))
    report(
      .warning, "fields that peft 0.21 does not know: it warns and ignores them", adapter.configuration.unknownFields)
    report(.error, "the configuration uses what is not reproduced here", adapter.configuration.unsupportedFields)
    return findings
  }
}
