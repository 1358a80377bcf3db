import ArgumentParser
import LoRAKit

extension Precision: ExpressibleByArgument {}

/// In which numbers the model's own weights multiply.
struct PrecisionOptions: ParsableArguments {
  @Option(
    help: """
      How the model's own weights multiply: f32, or bf16 (both factors rounded to bfloat16, sums in float32; adapters stay \
      in float32). (default: bf16 where they are stored so and this CPU multiplies it faster, else f32)
      """)
  var precision: Precision?

  /// Has a model multiply so, and says what was chosen where that is not float32.
  ///
  /// - Parameter trains: what is trainable is left alone.
  /// - Returns: what was chosen, for the report.
  @discardableResult
  func apply(to model: any Module, trains: Bool = false, isQuiet: Bool) -> Report.Field {
    let weights = model.multiplyingWeights.filter { !trains || !$0.isTrainable }
    let chosen = precision ?? (Precision.isBFloat16Fast && weights.contains(where: \.isBFloat16) ? .bfloat16 : .float32)
    if chosen == .bfloat16 {
      for weight in weights { weight.multiplyInBFloat16() }
      comment(
        "The model's own weights multiply in bfloat16"
          + (Precision.isBFloat16Fast ? "." : ", which this CPU widens: it saves memory alone.")
          + (precision == nil ? " (--precision f32 for float32)" : ""), isQuiet: isQuiet)
    }
    return .init("precision", key: "precision", .text(chosen.rawValue))
  }
}
