// Wan 2.1 and 2.2 (with the image and VACE variants), and Z-Image.
//
// Sources: convert_wan_transformer_to_diffusers and convert_z_image_transformer_checkpoint_to_diffusers of diffusers
// 0.42, model.py of Wan-Video/Wan2.1.

extension ImageModelFamily {
  static let wan = ImageModelFamily(
    .wan,
    marks: [
      ["blocks.#.self_attn.q", "blocks.#.cross_attn.q", "blocks.#.ffn.0"],
      ["blocks.#.attn1.to_q", "blocks.#.attn2.to_q", "blocks.#.ffn.net.2"],
    ],
    renamings: wanBlock("blocks.#.") + wanBlock("vace_blocks.#.") + wanEnds)

  private static func wanBlock(_ block: String) -> [ModuleRenaming] {
    ModuleRenaming.under(
      block, block,
      [
        "self_attn.q": "attn1.to_q", "self_attn.k": "attn1.to_k", "self_attn.v": "attn1.to_v",
        "self_attn.o": "attn1.to_out.0", "self_attn.norm_q": "attn1.norm_q", "self_attn.norm_k": "attn1.norm_k",
        "cross_attn.q": "attn2.to_q", "cross_attn.k": "attn2.to_k", "cross_attn.v": "attn2.to_v",
        "cross_attn.o": "attn2.to_out.0", "cross_attn.norm_q": "attn2.norm_q", "cross_attn.norm_k": "attn2.norm_k",
        "cross_attn.k_img": "attn2.add_k_proj", "cross_attn.v_img": "attn2.add_v_proj",
        "cross_attn.norm_k_img": "attn2.norm_added_k",
        "ffn.0": "ffn.net.0.proj", "ffn.2": "ffn.net.2",
        // The only one of a block's three norms that has a weight.
        "norm3": "norm2",
        "before_proj": "proj_in", "after_proj": "proj_out",
      ])
  }

  private static let wanEnds = ModuleRenaming.under(
    "", "",
    [
      "time_embedding.0": "condition_embedder.time_embedder.linear_1",
      "time_embedding.2": "condition_embedder.time_embedder.linear_2",
      "text_embedding.0": "condition_embedder.text_embedder.linear_1",
      "text_embedding.2": "condition_embedder.text_embedder.linear_2",
      "time_projection.1": "condition_embedder.time_proj", "head.head": "proj_out",
      "img_emb.proj.0": "condition_embedder.image_embedder.norm1",
      "img_emb.proj.1": "condition_embedder.image_embedder.ff.net.0.proj",
      "img_emb.proj.3": "condition_embedder.image_embedder.ff.net.2",
      "img_emb.proj.4": "condition_embedder.image_embedder.norm2",
    ])

  static let zImage = ImageModelFamily(
    .zImage,
    marks: [
      ["noise_refiner.#.attention.qkv", "context_refiner.#.attention.qkv", "layers.#.attention.qkv"],
      ["noise_refiner.#.attention.to_q", "context_refiner.#.attention.to_q", "layers.#.attention.to_q"],
    ],
    renamings: ["noise_refiner.#", "context_refiner.#", "layers.#"].flatMap { block in
      [fusedAttention("\(block).attention.qkv", "\(block).attention", "to_q", "to_k", "to_v")]
        + ModuleRenaming.under(
          "\(block).attention.", "\(block).attention.", ["out": "to_out.0", "q_norm": "norm_q", "k_norm": "norm_k"])
    } + ModuleRenaming.under("", "", ["final_layer.*": "all_final_layer.2-1.*", "x_embedder": "all_x_embedder.2-1"]))
}
