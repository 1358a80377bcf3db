import ArgumentParser
import LoRAKit

extension Precision: ExpressibleByArgument {}

/// In which numbers the model's own weights multiply.
struct PrecisionOptions: ParsableArguments {
  @Option(
    help: """
      How the model's own weights multiply: f32; bf16 (both factors rounded to bfloat16, sums in float32; adapters stay in \
      float32); or, where they lie in GGUF's blocks, int8 (the other factor rounded to 8 bits; not for training). (default: \
      bf16 where they are stored so and this CPU multiplies it faster; int8 for blocks where text is written; else f32)
      """)
  var precision: Precision?

  /// Has a model multiply so, and says what was chosen where that is not float32.
  ///
  /// - Parameters:
  ///   - trains: what is trainable is left alone.
  ///   - writes: whether text is written, token by token, and not measured.
  /// - Returns: what was chosen, for the report.
  @discardableResult
  func apply(to model: any Module, trains: Bool = false, writes: Bool = false, isQuiet: Bool) -> Report.Field {
    let weights = model.multiplyingWeights.filter { !trains || !$0.isTrainable }
    let chosen = precision ?? usual(for: weights, writes: writes)
    switch chosen {
    case .float32: break
    case .bfloat16:
      for weight in weights { weight.multiplyInBFloat16() }
      comment(
        "The model's own weights multiply in bfloat16"
          + (Precision.isBFloat16Fast ? "." : ", which this CPU widens: it saves memory alone.")
          + (precision == nil ? " (--precision f32 for float32)" : ""), isQuiet: isQuiet)
    case .int8:
      for weight in weights { weight.multiplyInBytes() }
      comment(
        weights.contains(where: \.isInBlocks)
          ? "What the model's own weights multiply is rounded to 8 bits."
            + (precision == nil ? " (--precision f32 for float32)" : "")
          : "No weight lies in blocks that multiply in int8: they multiply in float32.", isQuiet: isQuiet)
    }
    return .init("precision", key: "precision", .text(chosen.rawValue))
  }

  private func usual(for weights: [Parameter], writes: Bool) -> Precision {
    if writes && weights.contains(where: \.isInBlocks) { return .int8 }
    return Precision.isBFloat16Fast && weights.contains(where: \.isBFloat16) ? .bfloat16 : .float32
  }
}
