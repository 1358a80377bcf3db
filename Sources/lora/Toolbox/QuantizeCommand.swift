import ArgumentParser
import Foundation
import LoRAKit

/// `lora quantize`: a model in fewer bits.
struct QuantizeCommand: ParsableCommand {
  /// How a model's matrices are to be stored.
  enum Target: String, CaseIterable, ExpressibleByArgument {
    case q80 = "q8_0"
    case q40 = "q4_0"
    case q4K = "q4_k"
    case q5K = "q5_k"
    case q6K = "q6_k"
    case bf16, f16, f32, nf4

    var target: Quantization.Target {
      switch self {
      case .q80: .blocks(.q80)
      case .q40: .blocks(.q40)
      case .q4K: .blocks(.q4K)
      case .q5K: .blocks(.q5K)
      case .q6K: .blocks(.q6K)
      case .bf16: .blocks(.bf16)
      case .f16: .blocks(.f16)
      case .f32: .blocks(.f32)
      case .nf4: .normalFloat
      }
    }
  }

  static let configuration = CommandConfiguration(
    commandName: "quantize",
    abstract: "Write a model in fewer bits: a GGUF file, or NF4 for bitsandbytes, with the error of each matrix.",
    discussion: """
      Vectors stay float32 in a GGUF file, and rows that are no whole blocks take the next format whose blocks fit. Under \
      q4_k and q5_k, the matrix that makes the logits is Q6_K, as llama.cpp has it.

      EXAMPLES
        lora quantize my-model/ --to q4_k -o my-model.gguf
        lora quantize my-model/ --to nf4 -o my-model-nf4/
        lora quantize model-f16.gguf --to q8_0 -o model-q8_0.gguf
      """)

  @Argument(help: ArgumentHelp("The model: a folder or a GGUF file.", valueName: "model"))
  var model: Path

  @Option(help: "The format.")
  var to: Target

  @OptionGroup var writing: WritingOptions
  @OptionGroup var output: OutputOptions

  func validate() throws {
    if writing.dryRun { throw ValidationError("--dry-run: a quantisation's errors are known only once it is done.") }
  }

  func run() throws {
    try output.prepare()
    let base = try model.checkpoint()
    var url = try writing.url(for: base.url, suffix: to.rawValue)
    if writing.path == nil, to != .nf4, url.pathExtension != "gguf" { url = url.appendingPathExtension("gguf") }
    if to != .nf4, url.pathExtension != "gguf" {
      throw ValidationError("-o \(url.path): \(to.rawValue) is written as a GGUF file; end the name in .gguf.")
    }
    let report = try withProgress("quantising", unit: to == .nf4 ? "tensors" : "bytes", isQuiet: output.quiet) {
      try Quantization(base, to: to.target).run(to: url, progress: $0)
    }
    try output.show(report.report)
  }
}
