// What a checkpoint is that holds no weights that are read: quantised in ways that are not known, or wrapped for training.

import LoRAFiles

extension Checkpoint {
  /// Why its weights are no plain numbers nor read as such, and what to do; nil for others.
  public var peculiarity: String? {
    let names = tensors.map(\.name)
    func has(_ suffixes: String...) -> Bool { suffixes.contains { suffix in names.contains { $0.hasSuffix(suffix) } } }
    let quantisation = configuration?["quantization_config"]?["quant_method"]?.string
    let remedy = "take the base that is not quantised, or dequantise it first"
    if names.contains(where: { $0.contains(".lora_A.") || $0.contains(".lora_B.") }),
      has(".base_layer.weight", ".lora_A.default.weight")
    {
      return "is a model with LoRA layers inside (base_layer.weight beside lora_A): save the adapter alone "
        + "(save_pretrained of the PeftModel), or merge it in Python first (merge_and_unload)"
    }
    if has(".quant_state.bitsandbytes__nf4", ".quant_state.bitsandbytes__fp4", ".SCB") {
      return "is quantised by bitsandbytes (quant_state beside the weights): \(remedy)"
    }
    if has(".qweight", ".qzeros") {
      return quantisation == "awq"
        ? "is quantised by AWQ (qweight, qzeros, scales): \(remedy)"
        : "is quantised by \(quantisation == nil || quantisation == "gptq" ? "GPTQ" : quantisation!) "
          + "(qweight, qzeros, scales): \(remedy)"
    }
    if configuration?["quantization"] != nil, has(".scales") {
      return "is quantised by mlx (config.json: quantization): \(remedy)"
    }
    return nil
  }

  /// - Throws: `CheckpointError` where the weights are no plain numbers.
  public func requirePlain() throws {
    guard let peculiarity else { return }
    throw CheckpointError(.unsupported, file: url.path, peculiarity)
  }
}
