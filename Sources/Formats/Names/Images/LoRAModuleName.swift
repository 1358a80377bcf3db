// What a LoRA file of an image model calls a module: a prefix for the component, and the module's name.
//
//   lora_te2_text_model_encoder_layers_0_mlp_fc1   =   text encoder 2, text_model_encoder_layers_0_mlp_fc1
//
// Sources: files and sources of kohya's sd-scripts and musubi-tuner, ai-toolkit, OneTrainer, LyCORIS, ComfyUI's lora.py,
// lora_conversion_utils.py of diffusers 0.42.

/// A module's name in a LoRA file, taken apart.
public struct LoRAModuleName: Equatable, Sendable {
  /// `nil` where the name doesn't say.
  public var component: PipelineComponent?
  /// The name without the prefix; old names of diffusers are made its present ones.
  public var module: String

  /// - Parameter name: the part of a tensor's name before `.lora_down.weight`, `.lora_A.weight`, `.alpha` and so on.
  public init(_ name: String) {
    var name = name[...]
    if let rest = name.dropping(prefix: Self.peft) { name = rest }
    for (prefix, component) in Self.prefixes {
      if let rest = name.dropping(prefix: prefix), !rest.isEmpty {
        self.component = component
        name = rest.dropping(prefix: Self.peft) ?? rest
        break
      }
    }
    module = Self.present(name)
  }

  private static let peft = "base_model.model."

  /// Longer ones first where one begins another.
  private static let prefixes: [(String, PipelineComponent?)] =
    [
      ("model.diffusion_model.", .denoiser), ("diffusion_model.", .denoiser), ("unet.", .denoiser),
      ("transformer.", .denoiser), ("lora_unet_", .denoiser), ("lora_unet.", .denoiser),
      ("lora_transformer_", .denoiser), ("lora_transformer.", .denoiser), ("lycoris_unet_", .denoiser),
      // ComfyUI and one-file checkpoints.
      ("text_encoders.clip_l.transformer.", .textEncoder(1)), ("text_encoders.clip_g.transformer.", .textEncoder(2)),
      ("text_encoders.t5xxl.transformer.", .textEncoder(3)), ("cond_stage_model.transformer.", .textEncoder(1)),
      ("cond_stage_model.model.", .textEncoder(1)), ("conditioner.embedders.0.transformer.", .textEncoder(1)),
      ("conditioner.embedders.1.model.", .textEncoder(2)),
      ("clip_l.", .textEncoder(1)), ("clip_g.", .textEncoder(2)), ("t5xxl.", .textEncoder(3)), ("t5.", .textEncoder(3)),
      ("text_encoder.", .textEncoder(1)), ("text_encoder_1.", .textEncoder(1)), ("text_encoder_2.", .textEncoder(2)),
      ("text_encoder_3.", .textEncoder(3)),
    ]
    + ["lora_", "lycoris_", ""].flatMap { start in
      [("te", 1), ("te1", 1), ("te2", 2), ("te3", 3)].flatMap { stem, number in
        ["_", "."].map { ("\(start)\(stem)\($0)", PipelineComponent.textEncoder(number)) }
      }
    }
    // LyCORIS wraps any model and names no component.
    + [("lycoris_", nil), ("lora_", nil)]

  /// Names of diffusers before peft: "….attn1.processor.to_out_lora" for "….attn1.to_out.0".
  private static func present(_ name: Substring) -> String {
    var name = name
    for suffix in [".lora_linear_layer", ".lora"] where name.hasSuffix(suffix) { name = name.dropLast(suffix.count) }
    let isTextEncoder = name.contains("self_attn.")
    for (old, present, inTextEncoder) in [
      ("to_q", "to_q", "q_proj"), ("to_k", "to_k", "k_proj"), ("to_v", "to_v", "v_proj"),
      ("to_out", "to_out.0", "out_proj"), ("add_q_proj", "add_q_proj", ""),
      ("add_k_proj", "add_k_proj", ""), ("add_v_proj", "add_v_proj", ""),
      ("to_add_out", "to_add_out", ""),
    ] {
      // Readers of tensors' names may have taken "_lora" for a part of what follows it.
      let isOld = name.hasSuffix(".\(old)_lora")
      guard isOld || name.hasSuffix(".processor.\(old)") else { continue }
      var block = name.dropLast(old.count + (isOld ? "_lora".count : 0))
      if block.hasSuffix(".processor.") { block = block.dropLast("processor.".count) }
      return block + (isTextEncoder && !inTextEncoder.isEmpty ? inTextEncoder : present)
    }
    return String(name)
  }
}

extension Substring {
  fileprivate func dropping(prefix: String) -> Substring? { hasPrefix(prefix) ? dropFirst(prefix.count) : nil }
}
