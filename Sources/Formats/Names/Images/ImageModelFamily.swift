// The families of image models whose names are known, and the prefixes of their parts in one-file checkpoints.
//
// A new family is one value here: what its checkpoints are recognised by, and its rules, in a file of its own.

/// A kind of network whose modules have more than one name.
struct ImageModelFamily: Sendable {
  enum Name {
    case stableDiffusion, stableDiffusion3, flux, flux2, qwenImage, wan, hunyuanVideo, zImage, openCLIP, clip, t5
  }

  let name: Name
  let isTextEncoder: Bool
  /// A checkpoint is of this family where it has all modules of one of these groups.
  let marks: [[PathPattern]]
  /// Rules between the original layout and diffusers'; the first that fits counts. They may depend on the modules that
  /// there are: a UNet numbers its blocks by how many layers each has.
  let renamings: @Sendable ([[Substring]]) -> [ModuleRenaming]

  init(_ name: Name, isTextEncoder: Bool = false, marks: [[String]], renamings: [ModuleRenaming] = []) {
    self.init(name, isTextEncoder: isTextEncoder, marks: marks) { _ in renamings }
  }

  init(
    _ name: Name, isTextEncoder: Bool = false, marks: [[String]],
    renamings: @escaping @Sendable ([[Substring]]) -> [ModuleRenaming]
  ) {
    self.name = name
    self.isTextEncoder = isTextEncoder
    self.marks = marks.map { $0.map(PathPattern.init) }
    self.renamings = renamings
  }

  func recognises(_ modules: [[Substring]]) -> Bool {
    marks.contains { group in group.allSatisfy { mark in modules.contains { mark.gaps(of: $0) != nil } } }
  }

  static let all: [ImageModelFamily] = [
    .stableDiffusion, .stableDiffusion3, .flux, .flux2, .qwenImage, .wan, .hunyuanVideo, .zImage, .openCLIP, .clip,
    .t5,
  ]

  /// Qwen-Image has one layout: the original names are diffusers'.
  static let qwenImage = ImageModelFamily(
    .qwenImage, marks: [["transformer_blocks.#.img_mlp.net.2", "transformer_blocks.#.attn.add_q_proj"]])

  /// What the parts of a checkpoint in one file begin with, the longer prefixes first. What is left over has no prefix.
  static let filePrefixes: KeyValuePairs<String, PipelineComponent> = [
    "model.diffusion_model.": .denoiser,
    "diffusion_model.": .denoiser,
    "unet.": .denoiser,
    "transformer.": .denoiser,
    "cond_stage_model.transformer.": .textEncoder(1),
    "cond_stage_model.model.": .textEncoder(1),
    "conditioner.embedders.0.transformer.": .textEncoder(1),
    // SDXL's refiner has only the second encoder.
    "conditioner.embedders.0.model.": .textEncoder(2),
    "conditioner.embedders.1.model.": .textEncoder(2),
    "text_encoders.clip_l.transformer.": .textEncoder(1),
    "text_encoders.clip_g.transformer.": .textEncoder(2),
    "text_encoders.t5xxl.transformer.": .textEncoder(3),
    "text_encoder.": .textEncoder(1),
    "text_encoder_2.": .textEncoder(2),
    "text_encoder_3.": .textEncoder(3),
  ]
}
