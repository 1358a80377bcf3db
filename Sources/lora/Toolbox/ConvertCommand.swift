import ArgumentParser
import Foundation
import LoRAKit

extension Conversion.Target: ExpressibleByArgument {}

/// `lora convert`: the same adapter for another program.
struct ConvertCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "convert",
    abstract:
      "Convert an adapter between PEFT, mlx-lm, kohya and GGUF, or into a plain LoRA, with a verdict on what that keeps.",
    discussion: """
      EXAMPLES
        lora convert my-adapter/ --to mlx -o mlx-adapter/
        lora convert style.safetensors --to peft --base my-model/
        lora convert my-adapter/ --to gguf --base my-model/ -o my-adapter.gguf
        lora convert loha-adapter/ --to lora
        lora convert ia3-adapter/ --to lora --base my-model/ --rank 32
      """)

  @Argument(help: "The adapter.")
  var adapter: Path

  @Option(help: "The format to write, or lora: another method's adapter as a plain LoRA, exactly.")
  var to: Conversion.Target

  @Option(
    name: [.long, .customLong("model")],
    help: ArgumentHelp(
      "The model: for GGUF's names, to turn kohya's flat names back into paths, and for what depends on its weights (IA3, VeRA).",
      valueName: "model"))
  var base: Path?

  @Option(help: "With --to lora: the rank to approximate with where a method is no product of two factors.")
  var rank: Int?

  @Option(help: "What kohya's names begin with.")
  var kohyaPrefix = "lora_unet_"

  @Flag(help: "Convert the rest where something has no place in the other format.")
  var allowLoss = false

  @OptionGroup var writing: WritingOptions
  @OptionGroup var output: OutputOptions

  func run() throws {
    try output.prepare()
    let adapter = try adapter.adapter()
    var target = try writing.url(for: adapter.url, suffix: to.rawValue)
    // A PEFT or mlx-lm adapter is a directory, a kohya adapter a file.
    if writing.path == nil {
      let isFile = to == .kohya || to == .lora && adapter.format.isFile
      target = target.deletingPathExtension()
      if to == .gguf { target = target.appendingPathExtension("gguf") }
      if isFile { target = target.appendingPathExtension("safetensors") }
    }
    var conversion = Conversion(to: to)
    conversion.allowsLoss = allowLoss
    conversion.kohyaPrefix = kohyaPrefix
    conversion.rank = rank
    let base = try base.map { try $0.checkpoint() }
    let verdict =
      writing.dryRun
      ? conversion.verdict(on: adapter, base: base) : try conversion.convert(adapter, to: target, base: base)
    try output.show(verdict.report(of: adapter, to: to, output: writing.dryRun ? nil : target))
  }
}
