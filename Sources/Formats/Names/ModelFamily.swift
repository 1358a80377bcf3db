// The families of transformers' models, and what their parameters are called: the data behind `NameTable`.
//
// Facts of transformers 5.24 and of the releases that renamed: 4.52 (vision-language models), 5.0 (experts in one tensor,
// vision encoders). Tests/Fixtures/names checks them against transformers.

/// Models that name their parts alike.
struct ModelFamily: Sendable {
  enum Kind: Sendable { case decoder, encoder, sequenceToSequence, visionLanguage, vision, audio }

  let kind: Kind
  /// `model_type` of `config.json`.
  let types: [String]
  /// The attribute under which a class with a head keeps the model without one; "" where there is none.
  let body: String
  /// Endings of classes that have a head and yet no body attribute.
  var bodyless: [String] = []
  /// The input embedding's module within the body.
  var input: String?
  /// The output layer's module in classes that end in a vocabulary.
  var output: String?
  /// Modules besides the body, by the class's ending, where they aren't what the kind has.
  var heads: [String: [String]] = [:]
  var changes: [NameChange] = []

  init(
    _ kind: Kind, _ types: [String], body: String, bodyless: [String] = [], input: String? = nil,
    output: String? = nil, heads: [String: [String]] = [:], changes: [NameChange] = []
  ) {
    self.kind = kind
    self.types = types
    self.body = body
    self.bodyless = bodyless
    self.input = input
    self.output = output
    self.heads = heads
    self.changes = changes
  }

  static func of(type: String?) -> ModelFamily? {
    type.flatMap { type in all.first { $0.types.contains(type) } }
  }

  // MARK: Changes

  /// Holds for all models: TensorFlow's names in BERT's first files, torch's older weight normalization.
  static let general = [
    NameChange(
      "general",
      [
        Rename("LayerNorm.gamma", "LayerNorm.weight"), Rename("LayerNorm.beta", "LayerNorm.bias"),
        Rename("weight_g", "parametrizations.weight.original0"),
        Rename("weight_v", "parametrizations.weight.original1"),
      ])
  ]
  private static let experts = NameChange("5.0", experts(under: "mlp.experts", ["gate_proj", "up_proj", "down_proj"]))
  private static let mixtralExperts = NameChange(
    "5.0", [Rename("block_sparse_moe", "mlp")] + experts(under: "mlp.experts", ["w1", "w3", "w2"]))

  private static func experts(under path: String, _ names: [String]) -> [Rename] {
    [
      Rename("\(path).*.\(names[0]).weight", "\(path).gate_up_proj", .part(slot: 0, slots: 2)),
      Rename("\(path).*.\(names[1]).weight", "\(path).gate_up_proj", .part(slot: 1, slots: 2)),
      Rename("\(path).*.\(names[2]).weight", "\(path).down_proj", .part(slot: 0, slots: 1)),
    ]
  }

  /// The whole causal model stood beside the vision tower; since 4.52 its body does, within one model below the head.
  private static let oneBody = NameChange(
    "4.52",
    [
      Rename("^model.language_model.model", "model.language_model"),
      Rename("^language_model.model", "model.language_model"), Rename("^language_model.lm_head", "lm_head"),
      Rename("^vision_tower", "model.vision_tower"), Rename("^vision_model", "model.vision_model"),
      Rename("^audio_tower", "model.audio_tower"), Rename("^image_tower", "model.image_tower"),
      Rename("^video_tower", "model.video_tower"), Rename("^multi_modal_projector", "model.multi_modal_projector"),
      Rename("^image_newline", "model.image_newline"),
    ])
  /// CLIP's and SigLIP's encoders lost a level.
  private static let flatTower = NameChange("5.0", [Rename("vision_tower.vision_model", "vision_tower")])
  private static let qwenBody = NameChange(
    "4.52",
    [
      Rename("^model.layers", "model.language_model.layers"), Rename("^model.norm", "model.language_model.norm"),
      Rename("^model.embed_tokens", "model.language_model.embed_tokens"), Rename("^visual", "model.visual"),
    ])

  private static func attention(_ path: String) -> [Rename] {
    ["query", "key", "value"].map { Rename("attention.\(path).\($0)", "attention.\($0.prefix(1))_proj") } + [
      Rename("attention.output.dense", "attention.o_proj")
    ]
  }
  private static let feedForward = [Rename("intermediate.dense", "mlp.fc1"), Rename("output.dense", "mlp.fc2")]
  private static let vit = NameChange(
    "5.0", [Rename("encoder.layer", "layers")] + attention("attention") + feedForward)
  private static let dinov2 = NameChange(
    "5.0",
    attention("attention") + [
      Rename("mlp.weights_in.weight", "mlp.gate_proj.weight", .split(["mlp.up_proj.weight"])),
      Rename("mlp.weights_in.bias", "mlp.gate_proj.bias", .split(["mlp.up_proj.bias"])),
      Rename("mlp.weights_out", "mlp.down_proj"),
    ])
  private static let swin = NameChange(
    "5.0",
    attention("self") + feedForward + [
      Rename(
        "attention.self.relative_position_bias_table",
        "attention.relative_position_bias.relative_position_bias_table")
    ])

  // MARK: Families

  private static let words = "embeddings.word_embeddings"

  static let all: [ModelFamily] = [
    // Decoders
    ModelFamily(
      .decoder,
      [
        "llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text", "phi", "phi3", "cohere", "cohere2",
        "olmo", "olmo2", "stablelm", "starcoder2", "granite", "smollm3", "persimmon", "xglm", "glm", "glm4", "helium",
        "nemotron", "exaone4", "seed_oss", "ernie4_5", "arcee", "apertus", "gpt_oss", "llama4_text",
      ], body: "model", input: "embed_tokens", output: "lm_head"),
    ModelFamily(
      .decoder, ["mixtral", "minimax"], body: "model", input: "embed_tokens", output: "lm_head",
      changes: [mixtralExperts]),
    ModelFamily(
      .decoder, ["qwen2_moe", "qwen3_moe", "olmoe", "deepseek_v2", "deepseek_v3", "glm4_moe", "dots1", "flex_olmo"],
      body: "model", input: "embed_tokens", output: "lm_head", changes: [experts]),
    ModelFamily(.decoder, ["opt"], body: "model", input: "decoder.embed_tokens", output: "lm_head"),
    ModelFamily(
      .decoder, ["gpt2", "gpt_bigcode", "gptj", "gpt_neo", "codegen", "mpt"], body: "transformer", input: "wte",
      output: "lm_head", heads: ["ForTokenClassification": ["classifier"]]),
    ModelFamily(.decoder, ["falcon", "bloom"], body: "transformer", input: "word_embeddings", output: "lm_head"),
    ModelFamily(
      .decoder, ["gpt_neox"], body: "gpt_neox", input: "embed_in", output: "lm_head",
      changes: [NameChange("5.0", [Rename("^embed_out", "lm_head")])]),

    // Encoders
    ModelFamily(
      .encoder, ["bert", "big_bird", "megatron-bert"], body: "bert", input: words, output: "cls.predictions.decoder"),
    ModelFamily(
      .encoder, ["roberta", "xlm-roberta", "camembert", "xlm-roberta-xl"], body: "roberta", input: words,
      output: "lm_head.decoder"),
    ModelFamily(
      .encoder, ["distilbert"], body: "distilbert", input: words, output: "vocab_projector",
      heads: [
        "ForSequenceClassification": ["pre_classifier", "classifier"],
        "ForMaskedLM": ["vocab_transform", "vocab_layer_norm", "vocab_projector"],
      ]),
    ModelFamily(
      .encoder, ["electra"], body: "electra", input: words, output: "generator_lm_head",
      heads: [
        "ForMaskedLM": ["generator_predictions", "generator_lm_head"],
        "ForCausalLM": ["generator_predictions", "generator_lm_head"], "ForPreTraining": ["discriminator_predictions"],
      ]),
    ModelFamily(
      .encoder, ["deberta", "deberta-v2"], body: "deberta", input: words, output: "cls.predictions.decoder",
      heads: ["ForSequenceClassification": ["pooler", "classifier"]]),
    ModelFamily(.encoder, ["mpnet"], body: "mpnet", input: words, output: "lm_head.decoder"),
    ModelFamily(
      .encoder, ["albert"], body: "albert", input: words, output: "predictions.decoder",
      heads: ["ForPreTraining": ["predictions", "sop_classifier"]]),
    ModelFamily(
      .encoder, ["modernbert"], body: "model", input: "embeddings.tok_embeddings", output: "decoder",
      heads: [
        "ForMaskedLM": ["head", "decoder"], "ForSequenceClassification": ["head", "classifier"],
        "ForTokenClassification": ["head", "classifier"], "ForQuestionAnswering": ["head", "classifier"],
      ]),

    // From sequence to sequence
    ModelFamily(
      .sequenceToSequence, ["t5", "mt5", "umt5", "longt5"], body: "transformer",
      bodyless: ["ForConditionalGeneration", "ForQuestionAnswering"], input: "shared", output: "lm_head",
      heads: ["ForTokenClassification": ["classifier"]]),
    ModelFamily(
      .sequenceToSequence, ["bart", "mbart", "pegasus", "marian", "m2m_100", "blenderbot", "plbart"], body: "model",
      input: "shared", output: "lm_head"),

    // Vision and language
    ModelFamily(
      .visionLanguage,
      [
        "llava", "llava_next", "llava_next_video", "llava_onevision", "vipllava", "video_llava", "paligemma", "gemma3",
        "aya_vision", "mistral3", "internvl", "got_ocr2", "aria", "fuyu", "mllama", "qwen2_audio", "voxtral",
        "audioflamingo3",
      ], body: "model", input: "language_model.embed_tokens", output: "lm_head", changes: [oneBody, flatTower]),
    ModelFamily(
      .visionLanguage, ["qwen2_vl", "qwen2_5_vl"], body: "model", input: "language_model.embed_tokens",
      output: "lm_head", changes: [qwenBody]),
    ModelFamily(
      .visionLanguage, ["qwen3_vl"], body: "model", input: "language_model.embed_tokens", output: "lm_head"),
    ModelFamily(
      .visionLanguage, ["idefics2", "idefics3", "smolvlm"], body: "model", input: "text_model.embed_tokens",
      output: "lm_head"),

    // Images, and the texts that belong to them
    ModelFamily(.vision, ["vit"], body: "vit", changes: [vit]),
    ModelFamily(
      .vision, ["deit"], body: "deit",
      heads: ["ForImageClassificationWithTeacher": ["cls_classifier", "distillation_classifier"]], changes: [vit]),
    ModelFamily(.vision, ["beit"], body: "beit", changes: [vit]),
    ModelFamily(.vision, ["dinov2"], body: "dinov2", changes: [dinov2]),
    ModelFamily(.vision, ["dinov2_with_registers"], body: "dinov2_with_registers", changes: [dinov2]),
    ModelFamily(.vision, ["swin"], body: "swin", changes: [swin]),
    ModelFamily(
      .vision, ["clip_vision_model", "siglip_vision_model"], body: "vision_model",
      heads: ["ModelWithProjection": ["visual_projection"]]),
    ModelFamily(
      .vision, ["clip_text_model", "siglip_text_model"], body: "text_model", input: "embeddings.token_embedding",
      heads: ["ModelWithProjection": ["text_projection"]]),
    ModelFamily(.vision, ["clip", "siglip"], body: ""),

    // Sound
    ModelFamily(
      .audio, ["whisper"], body: "model", bodyless: ["ForAudioClassification"], input: "decoder.embed_tokens",
      output: "proj_out"),
    ModelFamily(.audio, ["wav2vec2"], body: "wav2vec2"), ModelFamily(.audio, ["hubert"], body: "hubert"),
    ModelFamily(.audio, ["wavlm"], body: "wavlm"),
  ]
}
