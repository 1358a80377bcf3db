// The text encoders of image models: CLIP, as transformers and as OpenCLIP lay it out, and T5.
//
// OpenCLIP keeps queries, keys and values in one tensor. Sources: convert_open_clip_checkpoint of diffusers 0.42,
// transformer.py of mlfoundations/open_clip.

extension ImageModelFamily {
  static let openCLIP = ImageModelFamily(
    .openCLIP, isTextEncoder: true, marks: [["transformer.resblocks.#.attn.in_proj", "token_embedding"]],
    renamings: openCLIPNames + bareCLIPNames)

  static let clip = ImageModelFamily(
    .clip, isTextEncoder: true,
    marks: [
      ["text_model.encoder.layers.#.self_attn.q_proj", "text_model.final_layer_norm"],
      ["encoder.layers.#.self_attn.q_proj", "embeddings.token_embedding", "final_layer_norm"],
    ],
    renamings: bareCLIPNames + openCLIPNames)

  static let t5 = ImageModelFamily(
    .t5, isTextEncoder: true, marks: [["encoder.block.#.layer.#.SelfAttention.q", "shared"]])

  private static let openCLIPNames: [ModuleRenaming] = {
    let layer = "text_model.encoder.layers.#."
    return [
      fusedAttention("transformer.resblocks.#.attn.in_proj", layer + "self_attn", "q_proj", "k_proj", "v_proj")
    ]
      + ModuleRenaming.under(
        "transformer.resblocks.#.", layer,
        [
          "attn.out_proj": "self_attn.out_proj", "ln_1": "layer_norm1", "ln_2": "layer_norm2", "mlp.c_fc": "mlp.fc1",
          "mlp.c_proj": "mlp.fc2",
        ])
      + ModuleRenaming.under(
        "", "text_model.",
        [
          "token_embedding": "embeddings.token_embedding", "positional_embedding": "embeddings.position_embedding",
          "ln_final": "final_layer_norm",
        ])
  }()

  /// transformers 5 saves a CLIPTextModel without "text_model.".
  private static let bareCLIPNames = ModuleRenaming.under(
    "", "text_model.",
    ["encoder.*": "encoder.*", "embeddings.*": "embeddings.*", "final_layer_norm": "final_layer_norm"])
}
