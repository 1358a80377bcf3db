import Foundation
import LoRAFiles
import LoRAFormats
import TestSupport
import Testing

/// What diffusers' converters do with an original layout's tensors, as Tests/Fixtures/images/make.py wrote it down.
struct ImageLayouts: CustomTestStringConvertible, Sendable {
  let testDescription: String

  static let all = [
    "sd15", "sdxl", "openclip", "sd3", "flux", "chroma", "flux2", "hunyuan", "wan", "zimage",
  ].map(ImageLayouts.init)
  static let fused = all.filter { !["sd15", "sdxl", "wan"].contains($0.testDescription) }

  /// Rows of one tensor and the rows of the other layout's tensor that they are.
  struct Run: Hashable {
    var tensor: String
    var tensorRows: Range<Int>
    var rows: Range<Int>
  }

  struct Layout {
    var tensors: [TensorInfo] = []
    /// Where the rows of a tensor of this layout lie in the other one.
    var elsewhere: [String: [Run]] = [:]

    func rows(of tensor: String) -> Int {
      let shape = tensors.first { $0.name == tensor }!.shape
      return tensor.hasSuffix("text_projection") ? shape[1] : shape[0]
    }
  }

  func read() throws -> (original: Layout, diffusers: Layout) {
    let json = try readJSON(fixtures.appendingPathComponent("images/\(testDescription).json"))
    var (original, diffusers) = (Layout(), Layout())
    for member in json["original"]!.members {
      original.tensors.append(info(member.key, member.value))
    }
    for member in json["diffusers"]!.members {
      diffusers.tensors.append(info(member.key, member.value.array![0]))
      var start = 0
      for run in member.value.array![1].array! {
        let (tensor, first, end) = (run.array![0].string!, run.array![1].integer!, run.array![2].integer!)
        let rows = start..<start + end - first
        diffusers.elsewhere[member.key, default: []].append(Run(tensor: tensor, tensorRows: first..<end, rows: rows))
        original.elsewhere[tensor, default: []].append(Run(tensor: member.key, tensorRows: rows, rows: first..<end))
        start += end - first
      }
    }
    return (original, diffusers)
  }

  private func info(_ name: String, _ shape: JSON) -> TensorInfo {
    TensorInfo(name: name, format: .f32, shape: shape.array!.map { $0.integer! })
  }

  /// Tensors of modules, by the module's name as a LoRA file has it: without the file's prefix.
  func modules(_ layout: Layout) -> [(module: String, isBias: Bool, tensor: String)] {
    layout.tensors.compactMap { tensor in
      let name = ["model.diffusion_model.", "conditioner.embedders.1.model."].reduce(tensor.name) {
        $0.hasPrefix($1) ? String($0.dropFirst($1.count)) : $0
      }
      if ["text_projection", "positional_embedding"].contains(name) { return (name, false, tensor.name) }
      for suffix in [".weight", ".bias", "_weight", "_bias", ".scale"] where name.hasSuffix(suffix) {
        if suffix == ".scale", !name.contains("norm") { return nil }
        return (String(name.dropLast(suffix.count)), suffix.hasSuffix("bias"), tensor.name)
      }
      return nil
    }
  }

  var component: PipelineComponent { testDescription == "openclip" ? .textEncoder(2) : .denoiser }
}

/// Places as runs over all rows.
private func runs(_ places: [WeightPlace], rows: Int, in layout: ImageLayouts.Layout) -> Set<ImageLayouts.Run> {
  Set(
    places.map {
      ImageLayouts.Run(
        tensor: $0.tensor, tensorRows: $0.tensorRows ?? 0..<layout.rows(of: $0.tensor), rows: $0.moduleRows ?? 0..<rows)
    })
}

private func flat(_ module: String) -> String { module.replacingOccurrences(of: ".", with: "_") }

private func infos(_ names: [String]) -> [TensorInfo] {
  names.map { TensorInfo(name: $0, format: .f32, shape: [4, 2]) }
}

@Suite struct ImageModelNamesTests {
  @Test("diffusers' modules lie in the original tensors where diffusers takes them from", arguments: ImageLayouts.all)
  func diffusersInOriginal(_ layouts: ImageLayouts) throws {
    let (original, diffusers) = try layouts.read()
    let names = try #require(ImageModelNames(tensors: original.tensors))
    #expect(names.components == [layouts.component])
    try expect(layouts, of: diffusers, in: original, names)
  }

  @Test("Original modules lie in diffusers' tensors that diffusers makes of them", arguments: ImageLayouts.all)
  func originalInDiffusers(_ layouts: ImageLayouts) throws {
    let (original, diffusers) = try layouts.read()
    let names = try #require(ImageModelNames(tensors: diffusers.tensors, component: layouts.component))
    #expect(names.components == [layouts.component])
    try expect(layouts, of: original, in: diffusers, names)
  }

  /// Every module of one layout, dotted and flat, in a checkpoint of the other.
  private func expect(
    _ layouts: ImageLayouts, of module: ImageLayouts.Layout, in checkpoint: ImageLayouts.Layout,
    _ names: ImageModelNames
  ) throws {
    var count = 0
    for (name, isBias, tensor) in layouts.modules(module) {
      for name in [name, flat(name)] {
        let places =
          isBias ? names.biasPlaces(of: name, in: layouts.component) : names.places(of: name, in: layouts.component)
        let found = runs(places, rows: module.rows(of: tensor), in: checkpoint)
        #expect(found == Set(module.elsewhere[tensor]!), "\(name)")
        count += 1
      }
    }
    #expect(count > 40)
  }

  @Test("A module of the checkpoint's own layout is one whole tensor", arguments: ImageLayouts.all)
  func own(_ layouts: ImageLayouts) throws {
    let (original, diffusers) = try layouts.read()
    for layout in [original, diffusers] {
      let names = try #require(ImageModelNames(tensors: layout.tensors, component: layouts.component))
      for (module, isBias, tensor) in layouts.modules(layout) {
        for module in [module, flat(module)] {
          let places = isBias ? names.biasPlaces(of: module) : names.places(of: module)
          #expect(places == [WeightPlace(tensor: tensor, isTransposed: tensor.hasSuffix(".text_projection"))])
        }
      }
    }
  }

  @Test("Both layouts have the same modules, and their places share every row out once", arguments: ImageLayouts.all)
  func modules(_ layouts: ImageLayouts) throws {
    let (original, diffusers) = try layouts.read()
    let paths = try [original, diffusers].map { layout in
      let names = try #require(ImageModelNames(tensors: layout.tensors, component: layouts.component))
      var rows: [String: [Range<Int>]] = [:]
      for module in names.modules {
        for place in module.places {
          rows[place.tensor, default: []].append(place.tensorRows ?? 0..<layout.rows(of: place.tensor))
        }
      }
      for (_, _, tensor) in layouts.modules(layout).filter({ !$0.isBias }) {
        var end = 0
        for range in rows[tensor]!.sorted(by: { $0.lowerBound < $1.lowerBound }) {
          #expect(range.lowerBound == end, "\(tensor)")
          end = range.upperBound
        }
        #expect(end == layout.rows(of: tensor), "\(tensor)")
      }
      return names.modules.map(\.path)
    }
    #expect(paths[0] == paths[1])
    #expect(Set(paths[0]).count == paths[0].count)
    #expect(Set(paths[0]) == Set(layouts.modules(diffusers).filter { !$0.isBias }.map(\.module)))
  }

  @Test("A fused projection is made of diffusers' modules, one after the other", arguments: ImageLayouts.fused)
  func parts(_ layouts: ImageLayouts) throws {
    let (original, diffusers) = try layouts.read()
    for layout in [original, diffusers] {
      let names = try #require(ImageModelNames(tensors: layout.tensors, component: layouts.component))
      for (module, _, tensor) in layouts.modules(original).filter({ !$0.isBias }) {
        var expected: Set<ImageLayouts.Run> = []
        for part in names.diffusersModules(of: module) {
          let rows = part.moduleRows ?? 0..<original.rows(of: tensor)
          expected.insert(
            ImageLayouts.Run(tensor: part.path + ".weight", tensorRows: part.pathRows ?? 0..<rows.count, rows: rows))
        }
        #expect(expected == Set(original.elsewhere[tensor]!), "\(module)")
      }
    }
  }

  @Test("XLabs' names for Flux: queries, keys and values of a single block without its hidden layer")
  func xlabs() throws {
    let (original, _) = try #require(ImageLayouts.all.first { $0.testDescription == "flux" }).read()
    let names = try #require(ImageModelNames(tensors: original.tensors))
    #expect(
      names.places(of: "single_blocks.1.processor.qkv_lora")
        == [WeightPlace(tensor: "single_blocks.1.linear1.weight", tensorRows: 0..<9216)])
    #expect(
      names.places(of: "double_blocks.0.processor.proj_lora2")
        == [WeightPlace(tensor: "double_blocks.0.txt_attn.proj.weight")])
  }

  @Test("A flat name of two modules has no place; each dotted one has its own")
  func ambiguous() throws {
    let names = try #require(
      ImageModelNames(
        tensors: infos([
          "transformer_blocks.0.img_mlp.net.2.weight", "transformer_blocks.0.attn.add_q_proj.weight",
          "a.b_c.weight", "a_b.c.weight",
        ])))
    #expect(names.places(of: "a_b_c").isEmpty)
    #expect(names.places(of: "a.b_c") == [WeightPlace(tensor: "a.b_c.weight")])
    #expect(names.places(of: "a_b.c") == [WeightPlace(tensor: "a_b.c.weight")])
  }

  @Test("A single file's parts are told apart by their prefixes")
  func singleFile() throws {
    let (unet, _) = try #require(ImageLayouts.all.first { $0.testDescription == "sdxl" }).read()
    let (openCLIP, _) = try #require(ImageLayouts.all.first { $0.testDescription == "openclip" }).read()
    let first = "conditioner.embedders.0.transformer.text_model."
    let clip = infos([
      "\(first)encoder.layers.0.self_attn.q_proj.weight", "\(first)final_layer_norm.weight",
      "first_stage_model.encoder.conv_in.weight",
    ])
    let names = try #require(ImageModelNames(tensors: unet.tensors + openCLIP.tensors + clip))
    #expect(names.components == [.denoiser, .textEncoder(1), .textEncoder(2)])
    let q = "text_model_encoder_layers_0_self_attn_q_proj"
    #expect(
      names.places(of: q, in: .textEncoder(1))
        == [WeightPlace(tensor: "\(first)encoder.layers.0.self_attn.q_proj.weight")])
    let fused = "conditioner.embedders.1.model.transformer.resblocks.0.attn.in_proj_weight"
    #expect(names.places(of: q, in: .textEncoder(2)) == [WeightPlace(tensor: fused, tensorRows: 0..<6)])
    #expect(names.places(of: q, in: .denoiser).isEmpty)
    // In both encoders, and the name doesn't say which.
    #expect(names.places(of: q).isEmpty)
    #expect(names.places(of: "text_model_encoder_layers_1_self_attn_q_proj").count == 1)
  }

  @Test("A lone text encoder is the one that its folder says; T5 is the second and the third")
  func textEncoders() throws {
    let clip = infos(["text_model.encoder.layers.0.self_attn.q_proj.weight", "text_model.final_layer_norm.weight"])
    #expect(ImageModelNames(tensors: clip)?.components == [.textEncoder(1)])
    let second = try #require(
      ImageModelNames(tensors: clip, component: PipelineComponent(folder: "text_encoder_2")))
    #expect(second.components == [.textEncoder(2)])
    #expect(second.places(of: "text_model_final_layer_norm", in: .textEncoder(2)).count == 1)
    // Without its prefix, as transformers 5 saves it.
    #expect(second.places(of: "encoder_layers_0_self_attn_q_proj", in: .textEncoder(2)).count == 1)
    #expect(second.places(of: "text_model_final_layer_norm", in: .textEncoder(1)).isEmpty)
    let t5 = infos(["encoder.block.0.layer.0.SelfAttention.q.weight", "shared.weight"])
    #expect(ImageModelNames(tensors: t5) == nil)
    let flux = try #require(ImageModelNames(tensors: t5, component: .textEncoder(2)))
    for component in [PipelineComponent.textEncoder(2), .textEncoder(3)] {
      #expect(flux.places(of: "encoder_block_0_layer_0_SelfAttention_q", in: component).count == 1)
    }
    #expect(flux.places(of: "encoder_block_0_layer_0_SelfAttention_q", in: .textEncoder(1)).isEmpty)
  }

  @Test("Other models are none of these; names and shapes that fit no rule are refused or kept as they are")
  func others() throws {
    let llama = ["model.embed_tokens.weight", "model.layers.0.self_attn.q_proj.weight", "lm_head.weight"]
    #expect(ImageModelNames(tensors: infos(llama)) == nil)
    #expect(ImageModelNames(tensors: infos(["transformer.h.0.attn.c_attn.weight", "transformer.wte.weight"])) == nil)
    #expect(ImageModelNames(tensors: []) == nil)
    let odd = [
      ".weight", "..weight", "weight", "input_blocks.99999999999999999999.0.op.weight", "input_blocks..weight",
    ]
    let unet = ["input_blocks.1.0.in_layers.2.weight", "output_blocks.1.0.in_layers.2.weight"]
    #expect(ImageModelNames(tensors: infos(odd)) == nil)
    #expect(ImageModelNames(tensors: infos(unet + odd)) != nil)
    #expect(ImageModelNames(tensors: infos(unet + ["input_blocks.900.0.op.weight"]))?.components == [.denoiser])
    // 4 rows are no three equal parts.
    let sd3 = try #require(ImageModelNames(tensors: infos(["joint_blocks.0.x_block.attn.qkv.weight"])))
    #expect(sd3.places(of: "joint_blocks_0_x_block_attn_qkv").map(\.tensorRows) == [nil])
    #expect(sd3.places(of: "transformer_blocks.0.attn.to_q").isEmpty)
    let empty = [TensorInfo(name: "joint_blocks.0.x_block.attn.qkv.weight", format: .f32, shape: [0, 1 << 62])]
    #expect(ImageModelNames(tensors: empty)?.places(of: "transformer_blocks.0.attn.to_q").count == 1)
  }

  @Test(
    "The prefixes and old names of LoRA files",
    arguments: [
      ("lora_unet_input_blocks_4_1_proj_in", .denoiser, "input_blocks_4_1_proj_in"),
      ("lora_transformer_transformer_blocks_0_attn_to_q", .denoiser, "transformer_blocks_0_attn_to_q"),
      ("lora_te_text_model_encoder_layers_0_mlp_fc1", .textEncoder(1), "text_model_encoder_layers_0_mlp_fc1"),
      ("lora_te1_text_model_x", .textEncoder(1), "text_model_x"),
      ("lora_te2_text_model_x", .textEncoder(2), "text_model_x"),
      ("lora_te3_encoder_block_0", .textEncoder(3), "encoder_block_0"),
      ("lycoris_transformer_blocks_0_attn_to_q", nil, "transformer_blocks_0_attn_to_q"),
      ("unet.down_blocks.0.attentions.0.proj_in", .denoiser, "down_blocks.0.attentions.0.proj_in"),
      ("unet.mid_block.attn1.processor.to_out_lora", .denoiser, "mid_block.attn1.to_out.0"),
      ("unet.mid_block.attn1.processor.to_q_lora", .denoiser, "mid_block.attn1.to_q"),
      ("text_encoder.text_model.self_attn.to_v_lora", .textEncoder(1), "text_model.self_attn.v_proj"),
      ("text_encoder_2.text_model.mlp.fc1.lora_linear_layer", .textEncoder(2), "text_model.mlp.fc1"),
      ("text_encoder_3.encoder.block.0", .textEncoder(3), "encoder.block.0"),
      ("transformer.transformer_blocks.0.attn.to_q", .denoiser, "transformer_blocks.0.attn.to_q"),
      ("base_model.model.double_blocks.0.img_attn.qkv", nil, "double_blocks.0.img_attn.qkv"),
      ("diffusion_model.double_blocks.0.img_attn.qkv", .denoiser, "double_blocks.0.img_attn.qkv"),
      ("model.diffusion_model.out.2", .denoiser, "out.2"),
      ("text_encoders.clip_l.transformer.text_model.x", .textEncoder(1), "text_model.x"),
      ("te2_text_model_x", .textEncoder(2), "text_model_x"),
      ("double_blocks.0.processor.qkv_lora1", nil, "double_blocks.0.processor.qkv_lora1"),
      ("transformer_blocks.0.attn.to_q", nil, "transformer_blocks.0.attn.to_q"),
      ("unet.", nil, "unet."), ("", nil, ""),
    ] as [(String, PipelineComponent?, String)])
  func prefixes(_ name: String, _ component: PipelineComponent?, _ module: String) {
    let split = LoRAModuleName(name)
    #expect(split.component == component)
    #expect(split.module == module)
  }
}
