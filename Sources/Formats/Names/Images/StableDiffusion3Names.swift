// Stable Diffusion 3 and 3.5: the transformer (MMDiT).
//
// Sources: convert_sd3_transformer_checkpoint_to_diffusers of diffusers 0.42, mmdit.py of Stability-AI/sd3.5.

extension ImageModelFamily {
  static let stableDiffusion3 = ImageModelFamily(
    .stableDiffusion3,
    marks: [
      ["joint_blocks.#.x_block.attn.qkv"], ["transformer_blocks.#.attn.to_q", "pos_embed.proj", "norm_out.linear"],
    ],
    renamings: sd3Blocks + sd3Ends)

  private static let sd3Blocks =
    [
      fusedAttention("joint_blocks.#.x_block.attn.qkv", "transformer_blocks.#.attn", "to_q", "to_k", "to_v"),
      fusedAttention(
        "joint_blocks.#.context_block.attn.qkv", "transformer_blocks.#.attn", "add_q_proj", "add_k_proj", "add_v_proj"),
      // 3.5 medium attends twice in some blocks.
      fusedAttention("joint_blocks.#.x_block.attn2.qkv", "transformer_blocks.#.attn2", "to_q", "to_k", "to_v"),
      // The last block's is scale and shift alone; the others' six parts keep their order.
      ModuleRenaming(
        "joint_blocks.#.context_block.adaLN_modulation.1", "transformer_blocks.#.norm1_context.linear",
        arrangement: .halvesSwapped),
    ]
    + ModuleRenaming.under(
      "joint_blocks.#.", "transformer_blocks.#.",
      [
        "x_block.adaLN_modulation.1": "norm1.linear",
        "x_block.attn.proj": "attn.to_out.0", "context_block.attn.proj": "attn.to_add_out",
        "x_block.attn.ln_q": "attn.norm_q", "x_block.attn.ln_k": "attn.norm_k",
        "context_block.attn.ln_q": "attn.norm_added_q", "context_block.attn.ln_k": "attn.norm_added_k",
        "x_block.attn2.proj": "attn2.to_out.0",
        "x_block.attn2.ln_q": "attn2.norm_q", "x_block.attn2.ln_k": "attn2.norm_k",
        "x_block.mlp.fc1": "ff.net.0.proj", "x_block.mlp.fc2": "ff.net.2",
        "context_block.mlp.fc1": "ff_context.net.0.proj", "context_block.mlp.fc2": "ff_context.net.2",
      ])

  private static let sd3Ends =
    [ModuleRenaming("final_layer.adaLN_modulation.1", "norm_out.linear", arrangement: .halvesSwapped)]
    + ModuleRenaming.under(
      "", "",
      [
        "x_embedder.proj": "pos_embed.proj", "final_layer.linear": "proj_out",
        "t_embedder.mlp.0": "time_text_embed.timestep_embedder.linear_1",
        "t_embedder.mlp.2": "time_text_embed.timestep_embedder.linear_2",
        "y_embedder.mlp.0": "time_text_embed.text_embedder.linear_1",
        "y_embedder.mlp.2": "time_text_embed.text_embedder.linear_2",
      ])

  /// Queries, keys and values in one tensor.
  static func fusedAttention(
    _ original: String, _ diffusers: String, _ q: String, _ k: String, _ v: String
  ) -> ModuleRenaming {
    ModuleRenaming(original, "\(diffusers).\(q)", "\(diffusers).\(k)", "\(diffusers).\(v)")
  }
}
