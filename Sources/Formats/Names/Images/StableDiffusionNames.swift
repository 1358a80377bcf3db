// Stable Diffusion 1.x, 2.x and XL: the UNet.
//
// The original layout numbers all blocks of a side in one row, "input_blocks.4.1"; diffusers numbers levels, and the
// layers within: "down_blocks.1.attentions.0". Sources: single_file_utils.py of diffusers 0.42, openaimodel.py of
// CompVis/latent-diffusion.

extension ImageModelFamily {
  static let stableDiffusion = ImageModelFamily(
    .stableDiffusion,
    marks: [
      ["input_blocks.#.0.in_layers.2", "output_blocks.#.0.in_layers.2"],
      ["down_blocks.#.resnets.#.conv1", "up_blocks.#.resnets.#.conv1", "time_embedding.linear_1"],
    ],
    renamings: { UNetShape($0)?.renamings ?? [] })
}

/// What the numbers of a UNet's blocks depend on.
private struct UNetShape {
  /// Residual layers of a level on the way down; there is one more on the way up.
  let layers: Int
  let levels: Int
  /// The levels on the way up that have attention, behind which the upsampler then stands.
  let attentionLevels: Set<Int>

  init?(_ modules: [[Substring]]) {
    var inputs = 0
    var firstDownsampler = Int.max
    var firstLayers = 0
    var levels = 0
    var attentionBlocks: Set<Int> = []
    var attentionLevels: Set<Int> = []
    for path in modules where path.count > 3 {
      guard let number = Int(path[1]), (0..<1000).contains(number) else { continue }
      switch (path[0], path[2]) {
      case ("input_blocks", _):
        inputs = max(inputs, number)
        if path[3] == "op" { firstDownsampler = min(firstDownsampler, number) }
      case ("output_blocks", "1"): if path[3] != "conv" { attentionBlocks.insert(number) }
      case ("down_blocks", "resnets"):
        levels = max(levels, number + 1)
        if number == 0, let layer = Int(path[3]), (0..<1000).contains(layer) {
          firstLayers = max(firstLayers, layer + 1)
        }
      case ("up_blocks", "attentions"): attentionLevels.insert(number)
      default: break
      }
    }
    if inputs > 0 {
      // Block 0 is conv_in; the first level ends with its downsampler.
      layers = firstDownsampler == Int.max ? inputs : firstDownsampler - 1
      guard layers > 0 else { return nil }
      let perLevel = layers + 1
      levels = inputs / perLevel + 1
      attentionLevels = Set(attentionBlocks.map { $0 / perLevel })
    } else {
      layers = firstLayers
    }
    guard (1...16).contains(layers), (1...16).contains(levels) else { return nil }
    self.levels = levels
    self.attentionLevels = attentionLevels
  }

  var renamings: [ModuleRenaming] {
    var rules = Self.ends
    func add(residual original: String, _ diffusers: String) {
      rules += ModuleRenaming.under(
        original + ".", diffusers + ".",
        [
          "in_layers.0": "norm1", "in_layers.2": "conv1", "emb_layers.1": "time_emb_proj", "out_layers.0": "norm2",
          "out_layers.3": "conv2", "skip_connection": "conv_shortcut",
        ])
    }
    func add(attention original: String, _ diffusers: String) {
      rules.append(ModuleRenaming(original + ".*", diffusers + ".*"))
    }
    add(residual: "middle_block.0", "mid_block.resnets.0")
    add(attention: "middle_block.1", "mid_block.attentions.0")
    add(residual: "middle_block.2", "mid_block.resnets.1")
    for level in 0..<levels {
      for layer in 0..<layers {
        let block = "input_blocks.\(level * (layers + 1) + layer + 1)"
        add(residual: block + ".0", "down_blocks.\(level).resnets.\(layer)")
        add(attention: block + ".1", "down_blocks.\(level).attentions.\(layer)")
      }
      rules.append(
        ModuleRenaming(
          "input_blocks.\((level + 1) * (layers + 1)).0.op", "down_blocks.\(level).downsamplers.0.conv"))
      let hasAttention = attentionLevels.contains(level)
      rules.append(
        ModuleRenaming(
          "output_blocks.\(level * (layers + 1) + layers).\(hasAttention ? 2 : 1).conv",
          "up_blocks.\(level).upsamplers.0.conv"))
      for layer in 0...layers {
        let block = "output_blocks.\(level * (layers + 1) + layer)"
        add(residual: block + ".0", "up_blocks.\(level).resnets.\(layer)")
        if hasAttention { add(attention: block + ".1", "up_blocks.\(level).attentions.\(layer)") }
      }
    }
    return rules
  }

  private static let ends = ModuleRenaming.under(
    "", "",
    [
      "time_embed.0": "time_embedding.linear_1", "time_embed.2": "time_embedding.linear_2",
      // SDXL's; the second pair is what Stable Diffusion 2's unCLIP calls the same modules.
      "label_emb.0.0": "add_embedding.linear_1", "label_emb.0.2": "add_embedding.linear_2",
      "label_emb.0.0": "class_embedding.linear_1", "label_emb.0.2": "class_embedding.linear_2",
      "input_blocks.0.0": "conv_in", "out.0": "conv_norm_out", "out.2": "conv_out",
    ])
}
