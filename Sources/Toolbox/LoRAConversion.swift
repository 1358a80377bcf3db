// Any method's adapter as a plain LoRA: exactly and by factors where its change is a product, never forming it; else the
// best approximation on a base, with what remains.

import Foundation
import LoRAAdapters
import LoRAFiles
import LoRAFormats
import LoRALinearAlgebra
import LoRATensors

/// An adapter whose modules are LoRA, all of them.
struct LoRAConversion {
  let adapter: StoredAdapter
  /// Of modules that were approximated, ‖what remains‖ / ‖change‖.
  let residuals: [(path: String, relative: Double)]

  /// - Parameters:
  ///   - base: needed where the change depends on the weights, or the tensors don't show how many inputs there are.
  ///   - rank: for changes that are no product of two factors.
  ///   - allowsLoss: leaves out what can't become a LoRA instead of refusing.
  init(_ source: StoredAdapter, base: Checkpoint?, rank: Int?, allowsLoss: Bool) throws {
    var items: [ExactString: Placement.Item] = [:]
    if let base {
      let placement = try Placement(source, on: WeightCatalog(base), unties: true)
      try placement.requireComplete(action: "converted")
      items = Dictionary(byName: placement.items, \.module.path)
    }
    let results = try mapInParallel(source.modules) { [items] module -> Result? in
      do {
        return try Self.converted(module, on: base, at: items[module.path], rank: rank)
      } catch let error as CheckpointError where error.kind == .unsupported && allowsLoss {
        return nil
      } catch let error as CheckpointError where error.file.isEmpty {
        throw CheckpointError(
          error.kind, file: source.url.path, "\(module.path): \(error.found)", expected: error.expected,
          advice: error.advice)
      }
    }.compactMap { $0 }
    var result = source
    result.modules = results.map(\.module)
    result.shared = []
    result.findings = []
    result.configuration.describe(result.modules)
    adapter = result
    residuals = results.compactMap { result in result.residual.map { (result.module.path, $0) } }
  }

  private struct Result: Sendable {
    let module: StoredModule
    var residual: Double?
  }

  /// Whether A and B are all of it: no middle between them.
  private static func isPlain(_ module: StoredModule) -> Bool { module.lora.map { $0.middle == nil } ?? false }

  private static func converted(
    _ module: StoredModule, on base: Checkpoint?, at item: Placement.Item?, rank: Int?
  ) throws -> Result {
    if isPlain(module) { return Result(module: module) }
    let shape = item.flatMap { item in item.places.count == 1 ? base?[item.places[0].tensor]?.shape : nil }
    let inputs = module.inputs > 0 ? module.inputs : item.flatMap { item in shape.map { Self.columns(of: item, $0) } }
    guard inputs != nil || item != nil else {
      throw CheckpointError(
        .unsupported, file: "", "\(module.method.name) does not show its inputs", expected: "the base, which does",
        advice: Advice("Name the base model", .nameBase))
    }
    // A convolution whose factors are flattened gets its kernel from the weight.
    let kernel = shape.map { Array($0.dropFirst(2)) }
    if let inputs, let exact = try product(module, inputs: inputs, kernel: kernel) { return Result(module: exact) }
    guard let base, let item, let shape, let rank else {
      throw CheckpointError(
        .unsupported, file: "", "\(module.method.name) is no product of two factors, whatever the weight",
        expected: "a base model and a rank, which give its best approximation",
        advice: Advice("Name the base model and a rank", .nameBase))
    }
    guard shape.count >= 2 else {
      throw CheckpointError(
        .unsupported, file: "", "its weight has shape \(shape)", expected: "a matrix, which is all that a LoRA changes",
        advice: Advice("Merge it into the base", .merge))
    }
    let weight = base[item.places[0].tensor]!
    let (rows, columns) = (shape[0], weight.count / max(shape[0], 1))
    let whole = Tensor(shape: [rows, columns]) { weight.read(0..<rows * columns, into: $0) }
    let transform = try module.method.transform(
      of: WeightMatrix(shape: shape, isTransposed: item.isTransposed) { whole.sliced(axis: 0, $0) })
    var change = transform(whole, rows: 0..<rows) - whole
    if item.isTransposed { change = change.transposed() }
    guard change.isFinite else {
      throw CheckpointError(
        .number, file: "", "its change holds NaN or infinity", expected: "finite numbers", advice: .beforeItDiverged)
    }
    let options = Extraction.Options()
    let limit = min(rank, rows, columns)
    let spare = options.oversampling(rank: limit)
    // Where a sketch would be as wide as the matrix, the exact decomposition is faster.
    let factors =
      limit + spare >= min(rows, columns)
      ? try change.svd().truncated(to: limit)
      : try change.randomizedSVD(
        rank: limit, oversampling: spare, powerIterations: options.powerIterations(rank: limit))
    let balanced = factors.balanced()
    let update = LowRankUpdate(a: balanced.a, b: balanced.b, scale: 1)
    let norm = change.norm
    let remains = (change - balanced.b.matmul(balanced.a)).norm
    var lora = try StoredLoRA(update, like: module.method, kernel: kernel)
    lora.outputBias = try outputBias(module.method, base: base, item, scale: 1)
    return Result(
      module: StoredModule(path: module.path, method: lora), residual: norm > 0 ? Double(remains / norm) : 0)
  }

  /// The same module by its factors, where its change is a product of such.
  static func product(_ module: StoredModule, inputs: Int, kernel: [Int]? = nil) throws -> StoredModule? {
    guard var update = try module.method.factors(inputs: inputs) else { return nil }
    // A scale of 0 would leave no place for the bias.
    if update.scale == 0, module.method.changesBias { update = LowRankUpdate(a: update.a, b: update.b * 0, scale: 1) }
    var lora = try StoredLoRA(update, like: module.method, kernel: kernel)
    // What is added to any bias is what zeros become.
    lora.outputBias = try module.method.bias(.zeros([lora.outputs])).map {
      try StoredTensor(name: "", $0 * Float(1 / lora.scale))
    }
    return StoredModule(path: module.path, method: lora)
  }

  private static func columns(of item: Placement.Item, _ shape: [Int]) -> Int {
    item.isTransposed ? shape[0] : shape.dropFirst().reduce(1, *)
  }

  /// What a method adds to the bias, as B's own bias, which counts times the scale.
  private static func outputBias(
    _ method: any AdapterMethod, base: Checkpoint?, _ item: Placement.Item?, scale: Double
  ) throws -> StoredTensor? {
    guard method.changesBias else { return nil }
    guard let bias = item?.bias.flatMap({ base?[$0.tensor] }) else {
      if method.needsBias || item == nil {
        throw CheckpointError(
          .unsupported, file: "", "\(method.name) changes a bias", expected: "the base, which has it",
          advice: Advice("Name the base model", .nameBase))
      }
      return nil
    }
    let old = try bias.tensor()
    return try method.bias(old).map { try StoredTensor(name: "", ($0 - old) * Float(1 / scale)) }
  }

  /// Whether a module changes no matrix.
  private static func isVector(_ module: StoredModule) -> Bool {
    if case .same(let shape) = module.method.shape { shape.count < 2 } else { false }
  }

  /// What is no product of two factors, whatever the weight.
  private static func unfactored(_ adapter: StoredAdapter) -> (count: Int, methods: String) {
    let modules = adapter.modules.filter { !isPlain($0) && !isVector($0) && !$0.method.isProduct }
    return (modules.count, Set(modules.map(\.method.name)).sorted().joined(separator: ", "))
  }

  /// What would be lost, and what takes another form.
  static func losses(_ adapter: StoredAdapter, isBaseKnown: Bool, rank: Int?) -> ([String], [String]) {
    let (vectors, unfactored) = (adapter.modules.count(where: isVector), unfactored(adapter))
    let exact = adapter.modules.count { !isPlain($0) && !isVector($0) && $0.method.isProduct }
    var lost: [String] = []
    if vectors > 0 { lost.append("\(vectors.counted("module")) whose weight is no matrix, which no LoRA changes") }
    if unfactored.count > 0, !isBaseKnown || rank == nil {
      lost.append(
        "\(unfactored.count.counted("module")): \(unfactored.methods) is no product of two factors, whatever the weight: "
          + "a base model and a rank give its best approximation")
    }
    return (lost, exact > 0 ? ["\(exact.counted("module")) as LoRA by factors, exactly"] : [])
  }

  /// What is approximated where there is a base.
  static func approximations(_ adapter: StoredAdapter, rank: Int) -> [String] {
    let (count, methods) = unfactored(adapter)
    return count > 0 ? ["\(count.counted("module")) (\(methods)), the best of rank \(rank)"] : []
  }
}
