// The commands on decoders: what they learn, write and copy, and what they refuse.
import Foundation
import TestSupport
import Testing

/// A folder with a small decoder of random weights, its tokenizer, and texts.
private struct DecoderFolder {
  let folder = try! TemporaryFolder()
  func path(_ name: String) -> String { folder.file(name).path }

  init() throws {
    try makeModel("decoder")
    try write("the quick brown fox jumps over the lazy dog, and the reader and the word. ", to: "text.txt", times: 20)
  }

  /// A copy of a fixture's model.
  func makeModel(_ name: String, like fixture: String = "small-decoder", tokenizer: String = "metaspace") throws {
    let models = fixtures.appendingPathComponent("models")
    try FileManager.default.copyItem(at: models.appendingPathComponent(fixture), to: folder.file(name))
    try FileManager.default.copyItem(
      at: models.appendingPathComponent("tokenizer-\(tokenizer).json"),
      to: folder.file(name).appendingPathComponent("tokenizer.json"))
  }

  func write(_ text: String, to name: String, times: Int = 1) throws {
    try Data(String(repeating: text, count: times).utf8).write(to: folder.file(name))
  }

  /// Changes fields of a model's config.json.
  func configure(_ name: String, _ changes: [String: Any]) throws {
    let file = folder.file("\(name)/config.json")
    var json = try #require(try JSONSerialization.jsonObject(with: Data(contentsOf: file)) as? [String: Any])
    json.merge(changes) { $1 }
    try JSONSerialization.data(withJSONObject: json).write(to: file)
  }

  func object(_ name: String) throws -> [String: Any] {
    try #require(try JSONSerialization.jsonObject(with: Data(contentsOf: folder.file(name))) as? [String: Any])
  }
}

private func expectSuccess(_ arguments: [String]) throws -> CommandRun {
  let run = try CommandRun(arguments)
  #expect(run.exitCode == 0, "\(arguments): \(run.errors)")
  return run
}

@Suite("lora train lm, generate, logits")
struct DecoderCommandTests {
  @Test("on a quantised base an adapter can begin with what quantising lost, and the loss shows it")
  func quantizedFrom() throws {
    let place = try DecoderFolder()
    _ = try expectSuccess(["quantize", place.path("decoder"), "--to", "nf4", "-o", place.path("nf4")])
    func loss(_ model: String, _ options: [String] = []) throws -> (loss: Double, errors: String) {
      let run = try expectSuccess(
        [
          "train", "lm", "--model", place.path(model), "--data", place.path("text.txt"), "--eval",
          place.path("text.txt"),
          "--length", "16", "--steps", "1", "--learning-rate", "1e-9", "--rank", "8", "--targets", "all-linear",
          "-o", place.path("out"), "--force", "--json", place.path("out.json"),
        ] + options)
      return (try #require(try place.object("out.json")["loss"] as? Double), run.errors)
    }
    let original = try loss("decoder").loss
    let quantized = try loss("nf4").loss
    let mended = try loss("nf4", ["--quantized-from", place.path("decoder")])
    #expect(mended.errors.contains("of what quantising lost"))
    #expect(abs(mended.loss - original) < 0.7 * abs(quantized - original))
    let refused = try CommandRun([
      "train", "lm", "--model", place.path("nf4"), "--data", place.path("text.txt"), "--method", "pissa",
      "--quantized-from", place.path("decoder"),
    ])
    #expect(refused.exitCode == 64 && refused.errors.contains("--quantized-from is for lora and rslora"))
  }

  @Test("what can't be used is one clear error, and nothing is written", arguments: [0, 1, 2])
  func badInput(part: Int) throws {
    let place = try DecoderFolder()
    var cases: [(arguments: [String], code: Int32, message: String)] = []
    func generate(_ arguments: [String] = [], model: String = "decoder", code: Int32 = 1, says message: String) {
      cases.append((["generate", "--quiet", "--tokens", "3", "--model", place.path(model)] + arguments, code, message))
    }
    func train(
      _ arguments: [String] = [], model: String = "decoder", data: String = "text.txt", code: Int32 = 1,
      says message: String
    ) {
      cases.append(
        (
          ["train", "lm", "--model", place.path(model), "--data", place.path(data), "-o", place.path("out")]
            + arguments,
          code, message
        ))
    }
    switch part {
    case 0:
      // Folders that lack something or hold something damaged.
      for (name, missing) in [
        ("unconfigured", "config.json"), ("weightless", "model.safetensors"), ("wordless", "tokenizer.json"),
      ] {
        try place.makeModel(name)
        try FileManager.default.removeItem(at: place.folder.file("\(name)/\(missing)"))
      }
      generate(model: "nowhere", says: "does not exist")
      generate(model: "unconfigured", says: "config.json")
      generate(model: "weightless", says: "expected model.safetensors, or an index of shards")
      generate(model: "wordless", says: "tokenizer.json: is not there")
      train(model: "wordless", says: "tokenizer.json: is not there")
      try place.makeModel("sharded", like: "tiny-llama")
      try FileManager.default.removeItem(at: place.folder.file("sharded/model-00002-of-00004.safetensors"))
      cases.append(
        (["logits", place.path("sharded"), "--ids", "1"], 1, "model-00002-of-00004.safetensors: can't be opened"))
      try place.makeModel("cut")
      let weights = place.folder.file("cut/model.safetensors")
      try Data(contentsOf: weights).prefix(20000).write(to: weights)
      generate(model: "cut", says: "it was cut off")
      try place.makeModel("unigram")
      try place.write(
        #"{"added_tokens":[],"model":{"type":"Syllables","vocab":{"a":0}}}"#,
        to: "unigram/tokenizer.json"
      )
      generate(model: "unigram", says: "the type “Syllables” is not supported")
      // More tokens than the model has: of no matter until a text holds one of them.
      try place.makeModel("wordy", like: "tiny-qwen2")
      generate(["--prompt", "the quick brown fox"], model: "wordy", says: "expected the model's 32 tokens")
    case 1:
      let configurations: [([String: Any], String)] = [
        (["model_type": "mamba"], "model_type is \"mamba\""), (["hidden_act": "snake"], "hidden_act is \"snake\""),
        (["rope_parameters": ["rope_type": "longrope"]], "has no short_factor"),
        (["rope_parameters": ["rope_type": "linear", "factor": 0]], "factor is 0, expected a number above 0"),
        (["quantization_config": ["bits": 4]], "quantization_config is {"),
        (
          ["quantization_config": ["quant_method": "bitsandbytes", "load_in_4bit": true]],
          "says that the weights are quantised (quantization_config: bitsandbytes), and none of them is"
        ),
        (["vocab_size": 99_999_999_999], "vocab_size is 99999999999, expected at most"),
        // Far more memory than there is, had the tensors been made before they were compared.
        (["hidden_size": 2_000_000_000], "has shape"), (["intermediate_size": 2_000_000_000], "has shape"),
        (["num_hidden_layers": 3], "missing: model.layers.2.mlp.down_proj.weight [32, 48]"),
        (["num_hidden_layers": 1], "unexpected: model.layers.1.mlp.down_proj.weight"),
        (["num_hidden_layers": 2_000_000_000], "expected at most 1000"),
        (["max_position_embeddings": 4], "the prompt has 5 tokens, expected fewer than the 4"),
      ]
      for (index, (change, message)) in configurations.enumerated() {
        try place.makeModel("model-\(index)")
        try place.configure("model-\(index)", change)
        generate(["--prompt", "fox"], model: "model-\(index)", says: message)
      }
    default:
      try place.makeModel("encoder", like: "small-encoder", tokenizer: "wordpiece")
      generate(model: "encoder", says: "model_type is \"bert\"")
      train(model: "encoder", says: "model_type is \"bert\"")
      cases.append((["classify", "--model", place.path("decoder"), "a"], 1, "is a model without a classifier"))
      try place.write("\u{FFFD}", to: "good.txt")
      try Data([0x61, 0xFF]).write(to: place.folder.file("bytes.txt"))
      try place.write(" \n", to: "blank.txt")
      try place.write(#"{"prompt":"the quick brown fox jumps over the lazy dog","completion":"a"}"#, to: "long.jsonl")
      train(data: "bytes.txt", says: "bytes.txt: found bytes that are not UTF-8 in line 1")
      train(data: "blank.txt", says: "blank.txt: found no text")
      train(data: "nothing.txt", says: "nothing.txt: found no such file")
      train(data: "decoder", says: "decoder: found a folder")
      train(["--eval", place.path("nothing.txt")], says: "nothing.txt: found no such file")
      train(["--length", "12"], data: "long.jsonl", says: "no token to predict within 12 tokens")
      train(["--length", "49"], says: "the model reads 48 tokens at most")
      train(["--targets", "q_(proj"], says: "'q_(proj' is no regular expression")
      train(
        ["--targets", "quary,q_proj"],
        says: "no weight matches 'quary'; the model has model.embed_tokens, model.layers.0-1.self_attn.q_proj")
      train(["--targets", "lm_head"], says: "no weight matches 'lm_head'")
      train(["--bias", "all"], says: "the model has no bias")
      train(["--batch-size", "100000000"], says: "take a smaller --batch-size")
      generate(["--prompt-file", place.path("bytes.txt")], says: "is not UTF-8")
      generate(["--prompt-file", place.path("nothing.txt")], says: "can't be read")
      generate(["--prompt", "a", "--prompt-file", place.path("text.txt")], code: 64, says: "not both")
      generate(["--temperature", "nan"], code: 64, says: "--temperature nan")
      generate(["--repetition-penalty", "nan"], code: 64, says: "--repetition-penalty nan")
      generate(["--json", "/dev/full"], says: "/dev/full: can't be written")
      let adapters = fixtures.appendingPathComponent("checkpoints")
      generate(["--adapter", adapters.appendingPathComponent("gpt2/adapter").path], says: "nothing was attached")
      generate(["--adapter", adapters.appendingPathComponent("llama/adapter").path], says: "the base's weight")
      cases.append((["logits", place.path("decoder"), "--ids", "1,2,464"], 1, "the id 464 lies outside"))
    }
    let before = place.folder.names
    for (arguments, code, message) in cases {
      let run = try CommandRun(arguments)
      #expect(run.exitCode == code && run.errors.contains(message), "\(arguments): \(run.exitCode) \(run.errors)")
    }
    #expect(place.folder.names == before)
  }

  @Test("a decoder trained whole is a folder that generates, with what lies beside the base")
  func whole() throws {
    let place = try DecoderFolder()
    // As in a download cache, where files are links.
    try FileManager.default.moveItem(
      at: place.folder.file("decoder/tokenizer.json"), to: place.folder.file("decoder/.blob"))
    try FileManager.default.createSymbolicLink(
      atPath: place.path("decoder/tokenizer.json"), withDestinationPath: ".blob")
    try place.write(#"{"eos_token_id":2}"#, to: "decoder/generation_config.json")
    try place.write("{}", to: "decoder/tokenizer_config.json")
    _ = try expectSuccess([
      "train", "lm", "--model", place.path("decoder"), "--data", place.path("text.txt"), "--eval",
      place.path("text.txt"),
      "--full", "--learning-rate", "3e-3", "--steps", "40", "--batch-size", "4", "--json", place.path("train.json"),
      "-o",
      place.path("whole/model"),
    ])
    let written = place.folder.file("whole/model")
    #expect(
      try FileManager.default.contentsOfDirectory(atPath: written.path).sorted() == [
        "README.md", "config.json", "generation_config.json", "metrics.jsonl", "model.safetensors", "tokenizer.json",
        "tokenizer_config.json",
      ])
    let tokenizer = try FileManager.default.attributesOfItem(atPath: place.path("whole/model/tokenizer.json"))
    #expect(tokenizer[.type] as? FileAttributeType == .typeRegular)
    #expect(try place.object("whole/model/config.json")["tie_word_embeddings"] as? Bool == true)
    let summary = try place.object("train.json")
    let (base, loss) = (try #require(summary["base_loss"] as? Double), try #require(summary["loss"] as? Double))
    #expect(loss < 0.6 * base)
    _ = try expectSuccess([
      "evaluate", "--model", written.path, "--data", place.path("text.txt"), "--json", place.path("e.json"),
    ])
    #expect(abs(try #require(try place.object("e.json")["loss"] as? Double) - loss) < 1e-6)
    let text = try expectSuccess(["generate", "--model", written.path, "--prompt", "the", "--tokens", "5", "--quiet"])
    #expect(!text.output.isEmpty)
  }

  @Test("of prompts with completions, what is cut and left out is counted, and writing ends where completions do")
  func completions() throws {
    let place = try DecoderFolder()
    let lines = (0..<24).map {
      #"{"prompt":"the \#($0 % 2 == 0 ? "fox" : "dog"):","completion":" \#($0 % 2 == 0 ? "quick" : "lazy")"}"#
    }
    let long = #"{"prompt":"the quick brown fox jumps over the lazy dog and","completion":" a"}"#
    try place.write((lines + [long]).joined(separator: "\n"), to: "pairs.jsonl")
    let train = try expectSuccess([
      "train", "lm", "--model", place.path("decoder"), "--data", place.path("pairs.jsonl"), "--length", "20",
      "--targets",
      "all-linear", "--learning-rate", "2e-2", "--steps", "80", "--batch-size", "8", "-o", place.path("out"),
    ])
    #expect(train.errors.contains("1 of 25 left out: no token that is learnt lies within 20 tokens."))
    for (animal, word) in [("fox", "quick"), ("dog", "lazy")] {
      try place.write("the \(animal):\n", to: "prompt.txt")
      let run = try expectSuccess([
        "generate", "--model", place.path("decoder"), "--adapter", place.path("out"), "--prompt-file",
        place.path("prompt.txt"), "--quiet",
      ])
      #expect(run.output == " \(word)\n")
    }
  }
}
