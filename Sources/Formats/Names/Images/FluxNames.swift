// Flux and what is built like it: FLUX.1, Chroma, FLUX.2, HunyuanVideo.
//
// Double blocks keep image and text apart, single blocks take both; a single block's first map is queries, keys, values
// and the hidden layer in one tensor. Sources: single_file_utils.py and lora_conversion_utils.py of diffusers 0.42,
// model.py of black-forest-labs/flux.

extension ImageModelFamily {
  static let flux = ImageModelFamily(
    .flux,
    marks: [
      ["double_blocks.#.img_attn.qkv", "double_blocks.#.img_mlp.0", "time_in.in_layer", "double_blocks.#.img_mod.lin"],
      // Chroma has no modulation of its own in the blocks.
      ["double_blocks.#.img_attn.qkv", "double_blocks.#.img_mlp.0", "distilled_guidance_layer.in_proj"],
      ["transformer_blocks.#.attn.add_q_proj", "single_transformer_blocks.#.proj_mlp", "x_embedder"],
    ],
    renamings: fluxAttention + fluxBlocks + fluxEnds + xlabs)

  private static let fluxAttention = [
    fusedAttention("double_blocks.#.img_attn.qkv", "transformer_blocks.#.attn", "to_q", "to_k", "to_v"),
    fusedAttention(
      "double_blocks.#.txt_attn.qkv", "transformer_blocks.#.attn", "add_q_proj", "add_k_proj", "add_v_proj"),
    fusedSingle("single_blocks.#.linear1"),
  ]

  private static func fusedSingle(_ original: String) -> ModuleRenaming {
    let block = "single_transformer_blocks.#"
    return ModuleRenaming(
      original, "\(block).attn.to_q", "\(block).attn.to_k", "\(block).attn.to_v", "\(block).proj_mlp",
      arrangement: .squaresAndRest)
  }

  private static let fluxBlocks =
    ModuleRenaming.under("double_blocks.#.", "transformer_blocks.#.", fluxAttentionNames)
    + ModuleRenaming.under(
      "double_blocks.#.", "transformer_blocks.#.",
      [
        "img_mod.lin": "norm1.linear", "txt_mod.lin": "norm1_context.linear",
        "img_mlp.0": "ff.net.0.proj", "img_mlp.2": "ff.net.2",
        "txt_mlp.0": "ff_context.net.0.proj", "txt_mlp.2": "ff_context.net.2",
      ])
    + ModuleRenaming.under(
      "single_blocks.#.", "single_transformer_blocks.#.",
      [
        "modulation.lin": "norm.linear", "linear2": "proj_out", "norm.query_norm": "attn.norm_q",
        "norm.key_norm": "attn.norm_k",
      ])

  private static let fluxAttentionNames: KeyValuePairs = [
    "img_attn.proj": "attn.to_out.0", "txt_attn.proj": "attn.to_add_out",
    "img_attn.norm.query_norm": "attn.norm_q", "img_attn.norm.key_norm": "attn.norm_k",
    "txt_attn.norm.query_norm": "attn.norm_added_q", "txt_attn.norm.key_norm": "attn.norm_added_k",
  ]

  private static let finalModulation = ModuleRenaming(
    "final_layer.adaLN_modulation.1", "norm_out.linear", arrangement: .halvesSwapped)

  private static let fluxEnds =
    [finalModulation]
    + ModuleRenaming.under(
      "", "",
      [
        "img_in": "x_embedder", "txt_in": "context_embedder", "final_layer.linear": "proj_out",
        "time_in.in_layer": "time_text_embed.timestep_embedder.linear_1",
        "time_in.out_layer": "time_text_embed.timestep_embedder.linear_2",
        "vector_in.in_layer": "time_text_embed.text_embedder.linear_1",
        "vector_in.out_layer": "time_text_embed.text_embedder.linear_2",
        "guidance_in.in_layer": "time_text_embed.guidance_embedder.linear_1",
        "guidance_in.out_layer": "time_text_embed.guidance_embedder.linear_2",
        "distilled_guidance_layer.layers.#.in_layer": "distilled_guidance_layer.layers.#.linear_1",
        "distilled_guidance_layer.layers.#.out_layer": "distilled_guidance_layer.layers.#.linear_2",
      ])

  /// What the trainer of XLabs calls the modules; only LoRA files have these names.
  private static let xlabs =
    [
      fusedAttention("double_blocks.#.processor.qkv_lora1", "transformer_blocks.#.attn", "to_q", "to_k", "to_v"),
      fusedAttention(
        "double_blocks.#.processor.qkv_lora2", "transformer_blocks.#.attn", "add_q_proj", "add_k_proj", "add_v_proj"),
      fusedAttention("single_blocks.#.processor.qkv_lora", "single_transformer_blocks.#.attn", "to_q", "to_k", "to_v"),
    ]
    + ModuleRenaming.under(
      "", "",
      [
        "double_blocks.#.processor.proj_lora1": "transformer_blocks.#.attn.to_out.0",
        "double_blocks.#.processor.proj_lora2": "transformer_blocks.#.attn.to_add_out",
        "single_blocks.#.processor.proj_lora": "single_transformer_blocks.#.proj_out",
      ])

  static let flux2 = ImageModelFamily(
    .flux2, marks: [["double_stream_modulation_img.lin"], ["double_stream_modulation_img.linear"]],
    renamings: fluxAttention.dropLast() + [finalModulation]
      + ModuleRenaming.under("double_blocks.#.", "transformer_blocks.#.", fluxAttentionNames)
      + ModuleRenaming.under(
        "double_blocks.#.", "transformer_blocks.#.",
        [
          "img_mlp.0": "ff.linear_in", "img_mlp.2": "ff.linear_out",
          "txt_mlp.0": "ff_context.linear_in", "txt_mlp.2": "ff_context.linear_out",
        ])
      + ModuleRenaming.under(
        "single_blocks.#.", "single_transformer_blocks.#.attn.",
        [
          "linear1": "to_qkv_mlp_proj", "linear2": "to_out", "norm.query_norm": "norm_q", "norm.key_norm": "norm_k",
        ])
      + ModuleRenaming.under(
        "", "",
        [
          "img_in": "x_embedder", "txt_in": "context_embedder", "final_layer.linear": "proj_out",
          "double_stream_modulation_img.lin": "double_stream_modulation_img.linear",
          "double_stream_modulation_txt.lin": "double_stream_modulation_txt.linear",
          "single_stream_modulation.lin": "single_stream_modulation.linear",
          "time_in.in_layer": "time_guidance_embed.timestep_embedder.linear_1",
          "time_in.out_layer": "time_guidance_embed.timestep_embedder.linear_2",
          "guidance_in.in_layer": "time_guidance_embed.guidance_embedder.linear_1",
          "guidance_in.out_layer": "time_guidance_embed.guidance_embedder.linear_2",
        ]))

  static let hunyuanVideo = ImageModelFamily(
    .hunyuanVideo,
    marks: [
      ["double_blocks.#.img_attn_qkv", "txt_in.individual_token_refiner.blocks.#.self_attn_qkv"],
      ["transformer_blocks.#.attn.add_q_proj", "context_embedder.token_refiner.refiner_blocks.#.attn.to_q"],
    ],
    renamings: [
      fusedAttention("double_blocks.#.img_attn_qkv", "transformer_blocks.#.attn", "to_q", "to_k", "to_v"),
      fusedAttention(
        "double_blocks.#.txt_attn_qkv", "transformer_blocks.#.attn", "add_q_proj", "add_k_proj", "add_v_proj"),
      fusedSingle("single_blocks.#.linear1"), finalModulation,
      fusedAttention(
        "txt_in.individual_token_refiner.blocks.#.self_attn_qkv",
        "context_embedder.token_refiner.refiner_blocks.#.attn", "to_q", "to_k", "to_v"),
    ]
      + ModuleRenaming.under(
        "double_blocks.#.", "transformer_blocks.#.",
        [
          "img_attn_proj": "attn.to_out.0", "txt_attn_proj": "attn.to_add_out",
          "img_attn_q_norm": "attn.norm_q", "img_attn_k_norm": "attn.norm_k",
          "txt_attn_q_norm": "attn.norm_added_q", "txt_attn_k_norm": "attn.norm_added_k",
          "img_mod.linear": "norm1.linear", "txt_mod.linear": "norm1_context.linear",
          "img_mlp.fc1": "ff.net.0.proj", "img_mlp.fc2": "ff.net.2",
          "txt_mlp.fc1": "ff_context.net.0.proj", "txt_mlp.fc2": "ff_context.net.2",
        ])
      + ModuleRenaming.under(
        "single_blocks.#.", "single_transformer_blocks.#.",
        [
          "modulation.linear": "norm.linear", "linear2": "proj_out", "q_norm": "attn.norm_q", "k_norm": "attn.norm_k",
        ])
      + ModuleRenaming.under(
        "txt_in.individual_token_refiner.blocks.#.", "context_embedder.token_refiner.refiner_blocks.#.",
        [
          "self_attn_proj": "attn.to_out.0", "adaLN_modulation.1": "norm_out.linear", "norm1": "norm1",
          "norm2": "norm2", "mlp.fc1": "ff.net.0.proj", "mlp.fc2": "ff.net.2",
        ])
      + ModuleRenaming.under(
        "txt_in.", "context_embedder.",
        [
          "input_embedder": "proj_in", "t_embedder.mlp.0": "time_text_embed.timestep_embedder.linear_1",
          "t_embedder.mlp.2": "time_text_embed.timestep_embedder.linear_2",
          "c_embedder.linear_1": "time_text_embed.text_embedder.linear_1",
          "c_embedder.linear_2": "time_text_embed.text_embedder.linear_2",
        ])
      + ModuleRenaming.under(
        "", "",
        [
          "img_in.proj": "x_embedder.proj", "final_layer.linear": "proj_out",
          "time_in.mlp.0": "time_text_embed.timestep_embedder.linear_1",
          "time_in.mlp.2": "time_text_embed.timestep_embedder.linear_2",
          "guidance_in.mlp.0": "time_text_embed.guidance_embedder.linear_1",
          "guidance_in.mlp.2": "time_text_embed.guidance_embedder.linear_2",
          "vector_in.in_layer": "time_text_embed.text_embedder.linear_1",
          "vector_in.out_layer": "time_text_embed.text_embedder.linear_2",
        ]))
}
