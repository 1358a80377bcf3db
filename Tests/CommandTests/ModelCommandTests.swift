// The commands that use transformers, on small models with random weights.
import Foundation
import TestSupport
import Testing

/// A folder with a small model, its tokenizer, and labelled texts: whether the fox or the dog is named.
struct Workplace {
  let folder: TemporaryFolder
  var encoder: String { folder.file("encoder").path }
  var decoder: String { folder.file("decoder").path }
  var train: String { folder.file("train.tsv").path }
  var story: String { folder.file("story.txt").path }
  var test: String { folder.file("test.csv").path }
  func path(_ name: String) -> String { folder.file(name).path }

  init() throws {
    folder = try TemporaryFolder()
    let models = fixtures.appendingPathComponent("models")
    for (model, tokenizer, name) in [
      ("small-encoder", "wordpiece", "encoder"), ("small-decoder", "metaspace", "decoder"),
    ] {
      try FileManager.default.copyItem(at: models.appendingPathComponent(model), to: folder.file(name))
      try FileManager.default.copyItem(
        at: models.appendingPathComponent("tokenizer-\(tokenizer).json"),
        to: folder.file(name).appendingPathComponent("tokenizer.json"))
    }
    let words = ["the", "quick", "brown", "lazy", "word", "reader", "and", "over"]
    func texts(_ count: Int, _ offset: Int) -> [(String, String)] {
      (0..<count).map { index in
        let animal = index % 2 == 0 ? "fox" : "dog"
        let filler = (0..<3).map { words[(index * 7 + $0 * 3 + offset) % words.count] }
        return ("\(filler[0]) \(animal) \(filler[1]) \(filler[2])", animal)
      }
    }
    let rows = texts(64, 0).map { "\($0.0)\t\($0.1)\n" }.joined()
    try Data(("sentence\tlabel\n" + rows).utf8).write(to: folder.file("train.tsv"))
    try Data(texts(64, 0).map { "\($0.0). " }.joined().utf8).write(to: folder.file("story.txt"))
    let others = texts(16, 1).map { "\"\($0.0)\",\($0.1)\n" }.joined()
    try Data(("text,category\n" + others).utf8).write(to: folder.file("test.csv"))
  }
}

func json(_ path: String) throws -> Any {
  try JSONSerialization.jsonObject(with: Data(contentsOf: URL(fileURLWithPath: path)))
}

func object(_ path: String) throws -> [String: Any] { try #require(try json(path) as? [String: Any]) }

func succeed(_ arguments: [String]) throws -> CommandRun {
  let run = try CommandRun(arguments)
  #expect(run.exitCode == 0, "\(run.errors)")
  return run
}

@Suite("lora train, evaluate, classify, embed, generate, logits")
struct ModelCommandTests {
  @Test("an encoder becomes one GGUF file, without what llama.cpp's models do without, and embeds alike")
  func encoderAsGGUF() throws {
    let place = try Workplace()
    let written = try succeed(["quantize", place.encoder, "--to", "f16", "-o", place.path("encoder.gguf")])
    #expect(written.output.contains("do without them") && written.output.contains("pooler.dense.weight"))
    func vector(_ model: String) throws -> [Double] {
      let line = try succeed(["embed", "--model", model, "the quick fox"]).output
      return try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [Double])
    }
    let (ours, again) = (try vector(place.encoder), try vector(place.path("encoder.gguf")))
    #expect(zip(ours, again).map(*).reduce(0, +) > 0.9999)
  }

  @Test(
    "a configuration that says otherwise than the weights makes no GGUF file, which llama.cpp would refuse",
    arguments: [
      ("num_hidden_layers", 3, "has weights of 2 layers, expected 3"),
      ("num_hidden_layers", 1, "has weights of 2 layers, expected 1"),
      ("hidden_size", 64, "expected 464 × 64"), ("intermediate_size", 40, "ffn_"),
      ("vocab_size", 470, "token_embd.weight of 464 × 32, expected 470 × 32"), ("num_key_value_heads", 4, "attn_k"),
      ("head_dim", 16, "attn_"),
    ])
  func otherConfiguration(key: String, value: Int, message: String) throws {
    let place = try Workplace()
    var configuration = try object(place.decoder + "/config.json")
    configuration[key] = value
    try JSONSerialization.data(withJSONObject: configuration).write(
      to: URL(fileURLWithPath: place.decoder + "/config.json"))
    let run = try CommandRun(["quantize", place.decoder, "--to", "f16", "-o", place.path("x.gguf")])
    #expect(
      run.exitCode == 1 && run.errors.contains(message) && run.errors.contains("by its configuration"),
      "\(run.errors)")
    #expect(!FileManager.default.fileExists(atPath: place.path("x.gguf")))
  }

  @Test(
    "a labelled file becomes an adapter, which classifies, evaluates and embeds", arguments: ["lora", "dora", "full"])
  func classifier(method: String) throws {
    let place = try Workplace()
    let kind =
      method == "full" ? ["--full", "--learning-rate", "2e-3"] : ["--method", method, "--learning-rate", "2e-2"]
    let train = try succeed(
      [
        "train", "classify", "--model", place.encoder, "--data", place.train, "--eval", place.test, "--epochs", "20",
        "--batch-size", "16", "--targets", "all-linear", "--json", place.path("train.json"), "--report",
        place.path("report.html"), "-o", place.path("out"),
      ].filter { method != "full" || ($0 != "--targets" && $0 != "all-linear") }
        + kind)
    let summary = try object(place.path("train.json"))
    let accuracy = try #require(summary["accuracy"] as? Double)
    #expect(accuracy > 0.9, "\(train.output)")
    let files = try FileManager.default.contentsOfDirectory(atPath: place.path("out")).sorted()
    #expect(
      files
        == (method == "full"
          ? ["README.md", "config.json", "metrics.jsonl", "model.safetensors", "tokenizer.json"]
          : ["README.md", "adapter_config.json", "adapter_model.safetensors", "labels.json", "metrics.jsonl"]))
    let card = try String(contentsOfFile: place.path("out/README.md"), encoding: .utf8)
    for text in [
      "The base is `\(place.encoder)`", "pipeline_tag: text-classification", "| accuracy | ", "| seed | 0 |",
      "lora classify --model",
    ] {
      #expect(card.contains(text), "\(text)")
    }
    // A hub refuses a card whose base is a folder.
    #expect(!card.contains("base_model:"))
    #expect(card.contains("PeftModel.from_pretrained(model, \"out\")") == (method != "full"))
    let metrics = try String(contentsOfFile: place.path("out/metrics.jsonl"), encoding: .utf8).split(separator: "\n")
    #expect(metrics.count == 80 + 20)
    #expect(try String(contentsOfFile: place.path("report.html"), encoding: .utf8).contains("<svg"))

    let use =
      method == "full" ? ["--model", place.path("out")] : ["--model", place.encoder, "--adapter", place.path("out")]
    _ = try succeed(["evaluate", "--data", place.test, "--json", place.path("eval.json")] + use)
    let evaluation = try object(place.path("eval.json"))
    #expect(evaluation["accuracy"] as? Double == accuracy && evaluation["count"] as? Int == 16)
    let classify = try succeed(
      ["classify", "the fox and the word", "lazy dog over", "--json", place.path("c.json")] + use)
    #expect(classify.output.hasPrefix("fox\t") && classify.output.contains("\ndog\t"))
    let results = try #require(try object(place.path("c.json"))["results"] as? [[String: Any]])
    let probabilities = try #require(results[0]["probabilities"] as? [Double])
    #expect(abs(probabilities.reduce(0, +) - 1) < 1e-5)
    _ = try succeed(
      ["logits", use[1], "--text", "the fox and the word", "--json", place.path("l.json")] + use.dropFirst(2))
    let logits = try #require(try object(place.path("l.json"))["logits"] as? [Double])
    #expect(abs(1 / (1 + exp(logits[0] - logits[1])) - probabilities[1]) < 1e-5)
    #expect(try succeed(["embed", "a fox", "a dog"] + use).output.split(separator: "\n").count == 2)
  }

  @Test("a decoder learns a text; the adapter writes, alone and beside the base")
  func decoder() throws {
    let place = try Workplace()
    let text = Array(repeating: "the quick brown fox jumps over the lazy dog, ", count: 60).joined()
    try Data(text.utf8).write(to: place.folder.file("text.txt"))
    _ = try succeed([
      "train", "lm", "--model", place.decoder, "--data", place.path("text.txt"), "--eval", place.path("text.txt"),
      "--length", "24", "--steps", "60", "--batch-size", "8", "--accumulation", "2", "--recompute", "--learning-rate",
      "2e-2",
      "--targets", "all-linear", "-o", place.path("out"), "--json", place.path("train.json"),
    ])
    let summary = try object(place.path("train.json"))
    let (base, loss) = (try #require(summary["base_loss"] as? Double), try #require(summary["loss"] as? Double))
    #expect(loss < 0.5 * base)
    let use = ["--model", place.decoder, "--adapter", place.path("out")]
    _ = try succeed(
      ["evaluate", "--data", place.path("text.txt"), "--length", "24", "--json", place.path("e.json")] + use)
    #expect(abs(try #require(try object(place.path("e.json"))["loss"] as? Double) - loss) < 1e-6)
    let written = try succeed(
      ["generate", "--prompt", "the quick", "--tokens", "20", "--compare", "--json", place.path("g.json")] + use)
    #expect(written.output.contains("--- base ---") && written.output.contains("--- out ---"))
    let texts = try #require(try object(place.path("g.json"))["texts"] as? [[String: Any]])
    #expect(texts.count == 2 && (texts[1]["text"] as? String)?.contains("fox") == true)
    _ = try succeed(["logits", place.decoder, "--ids", "1,5,7", "--json", place.path("l.json")])
    #expect((try object(place.path("l.json"))["logits"] as? [Double])?.count == 464)
  }

  @Test("training that was interrupted goes on bit for bit; the best adapter is kept across it")
  func resume() throws {
    let place = try Workplace()
    let state = place.folder.file("state.safetensors")
    let arguments = [
      "train", "classify", "--model", place.encoder, "--data", place.train, "--eval", place.test, "--steps", "900",
      "--evaluate-every", "50", "--batch-size", "16", "--dropout", "0.1", "--targets", "all-linear", "--quiet",
    ]
    _ = try succeed(arguments + ["-o", place.path("whole")])
    let interrupted = try CommandRun(arguments + ["-o", place.path("none"), "--checkpoint", state.path]) { process in
      for _ in 0..<4000 where !FileManager.default.fileExists(atPath: state.path) && process.isRunning { usleep(2000) }
      process.interrupt()
    }
    #expect(interrupted.exitCode == 130 && interrupted.errors.contains("--resume"))
    #expect(!FileManager.default.fileExists(atPath: place.path("none")))
    _ = try succeed(arguments + ["-o", place.path("resumed"), "--resume", state.path])
    func weights(_ name: String) throws -> Data {
      try Data(contentsOf: place.folder.file("\(name)/adapter_model.safetensors"))
    }
    #expect(try weights("whole") == weights("resumed"))
    let other = try CommandRun(arguments + ["-o", place.path("other"), "--resume", state.path, "--seed", "3"])
    #expect(other.exitCode == 1 && other.errors.contains("another run"))
  }

  @Test("the same seed gives the same adapter at any number of threads, another seed another")
  func seeds() throws {
    let place = try Workplace()
    func weights(_ name: String, _ more: String...) throws -> Data {
      _ = try succeed(
        [
          "train", "classify", "--model", place.encoder, "--data", place.train, "--steps", "10", "--dropout", "0.2",
          "--quiet", "-o", place.path(name),
        ] + more)
      return try Data(contentsOf: place.folder.file("\(name)/adapter_model.safetensors"))
    }
    let one = try weights("one", "--threads", "1")
    #expect(try one == weights("two", "--threads", "2"))
    #expect(try one != weights("three", "--seed", "1"))
  }

  @Test(
    "wrong usage is exit code 64 and says what is needed",
    arguments: [
      (["train", "classify"], "--model"), (["logits", "m"], "--ids or --text"),
      (["logits", "--ids", "1"], "--model FOLDER"), (["logits", "m", "--ids", "1,x"], "x"),
      (["generate", "--model", "m", "--top-p", "2"], "above 0 and up to 1"),
      (["generate", "--model", "m", "--temperature=-1"], "at least 0"),
      (["classify", "--model", "m", "--top", "0", "a"], "at least 1"),
      (["train", "classify", "--model", "m", "--data", "d", "-o", "o", "--rank", "0"], "at least 1"),
      (["train", "classify", "--model", "m", "--data", "d", "-o", "o", "--full", "--method", "dora"], "--full"),
      (["train", "lm", "--model", "m", "--data", "d", "-o", "o", "--length", "1"], "at least 2"),
    ])
  func usage(_ arguments: [String], _ expected: String) throws {
    let run = try CommandRun(arguments)
    #expect(run.exitCode == 64 && run.errors.contains(expected), "\(run.errors)")
  }

  @Test("bad input is one clear error, and nothing is written")
  func badInput() throws {
    let place = try Workplace()
    try Data("text\tlabel\na\tx\nb\tx\n".utf8).write(to: place.folder.file("one.tsv"))
    try Data("text,category\nthe fox,cat\n".utf8).write(to: place.folder.file("unseen.csv"))
    try Data([0x61, 0xFF, 0x0A]).write(to: place.folder.file("bytes.txt"))
    let train = ["train", "classify", "--model", place.encoder, "-o", place.path("out")]
    let cases: [([String], String)] = [
      (train + ["--data", place.path("one.tsv")], "the label “x” on every text"),
      (train + ["--data", place.path("none.tsv")], "none.tsv"),
      (train + ["--data", place.train, "--eval", place.path("unseen.csv")], "cat"),
      (train + ["--data", place.train, "--targets", "quary"], "no weight matches 'quary'"),
      (train + ["--data", place.train, "--rank", "64"], "rank 64 does not fit"),
      (["classify", "--model", place.encoder, "a"], "is a model without a classifier"),
      (["classify", "--model", place.decoder, "a"], "is a model without a classifier"),
      (["classify", "--model", place.path("nowhere"), "a"], "does not exist"),
      (["generate", "--model", place.encoder], "model_type is \"bert\""),
      (["embed", "--model", place.encoder, "--file", place.path("bytes.txt")], "not UTF-8 in line 1"),
      (["logits", place.decoder, "--ids", "1,464"], "the id 464 lies outside the model's 464 tokens"),
      (
        ["generate", "--model", place.decoder, "--prompt", String(repeating: "fox ", count: 100)],
        "expected fewer than the 48 that the model reads"
      ),
      (
        ["train", "lm", "--model", place.decoder, "--data", place.train, "-o", place.path("out"), "--length", "49"],
        "48 tokens at most"
      ),
    ]
    let before = place.folder.names
    for (arguments, expected) in cases {
      let run = try CommandRun(arguments)
      #expect(run.exitCode == 1 && run.errors.contains(expected), "\(arguments): \(run.errors)")
    }
    #expect(place.folder.names == before)
  }

  @Test("texts that are too long are cut and counted")
  func longTexts() throws {
    let place = try Workplace()
    let run = try succeed(["embed", "--model", place.encoder, String(repeating: "fox ", count: 100), "a fox"])
    #expect(run.errors.contains("1 of 2 texts was longer than 40 tokens and was cut;"))
  }
}
