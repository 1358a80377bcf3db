// What a checkpoint is that holds no weights that are read: quantised in ways that are not known, or wrapped for training.

import LoRAFiles
import LoRATensors

extension Checkpoint {
  /// What its weights are that are no plain numbers nor read as such, and what to do; nil for others.
  public var peculiarity: (found: String, advice: Advice)? {
    let names = tensors.map(\.name)
    func has(_ suffixes: String...) -> Bool { suffixes.contains { suffix in names.contains { $0.hasSuffix(suffix) } } }
    let quantisation = configuration?["quantization_config"]?["quant_method"]?.string
    if names.contains(where: { $0.contains(".lora_A.") || $0.contains(".lora_B.") }),
      has(".base_layer.weight", ".lora_A.default.weight")
    {
      return (
        "is a model with LoRA layers inside (base_layer.weight beside lora_A)",
        "Save the adapter alone (save_pretrained of the PeftModel), or merge it in Python first (merge_and_unload)"
      )
    }
    var method: String?
    if has(".quant_state.bitsandbytes__nf4", ".quant_state.bitsandbytes__fp4", ".SCB") {
      method = "bitsandbytes (quant_state beside the weights)"
    } else if has(".qweight", ".qzeros") {
      method =
        "\(quantisation == "awq" ? "AWQ" : quantisation.map { $0 == "gptq" ? "GPTQ" : $0 } ?? "GPTQ") "
        + "(qweight, qzeros, scales)"
    } else if configuration?["quantization"] != nil, has(".scales") {
      method = "mlx (config.json: quantization)"
    }
    return method.map { ("is quantised by \($0)", "Take the base that is not quantised, or dequantise it first") }
  }

  /// - Throws: `CheckpointError` where the weights are no plain numbers.
  public func requirePlain() throws {
    guard let peculiarity else { return }
    throw CheckpointError(
      .unsupported, file: url.path, peculiarity.found, expected: "plain numbers, or codes of a known layout",
      advice: peculiarity.advice)
  }
}
