// Every reader of files from elsewhere, on good files broken at random: an answer or an error, in time and within memory.
//
// FUZZ in the environment is how many cases each reader gets (`make fuzz`: 20,000); by default, a few. The seeds are
// fixed, so that a failure repeats; the file that failed last lies where the message says.

import Foundation
import LoRAKit
import TestSupport
import Testing

/// Something that reads files of one kind.
struct FuzzedReader: CustomTestStringConvertible, Sendable {
  let name: String
  /// Good files, as bytes.
  let seeds: [[UInt8]]
  /// What the file is called, for readers that ask.
  let fileName: String
  /// A folder of good files around it, among the fixtures.
  var folder: String?
  /// Whether it is given the file's bytes alone, so that its errors can't name the file.
  var readsBytes = false
  /// Reads a broken one. Throws where it is refused.
  let read: @Sendable (URL) throws -> Void
  var testDescription: String { name }

  private static func bytes(_ paths: String...) -> [[UInt8]] {
    paths.map { path in
      FileManager.default.contents(atPath: fixtures.appendingPathComponent(path).path).map { [UInt8]($0) } ?? []
    }
  }

  private static func text(_ text: String) -> [UInt8] { Array(text.utf8) }

  private static func readAll(_ texts: LabelledText) throws { _ = try texts.texts(in: 0..<texts.count) }

  private static func numbers(_ tensors: [StoredTensor]) throws {
    for tensor in tensors where tensor.format.isConvertible && tensor.count < 1 << 20 {
      _ = try tensor.tensor().scalars
    }
  }

  static let all: [FuzzedReader] = [
    FuzzedReader(
      name: "safetensors", seeds: bytes("cases/adapters/single-file/dots.safetensors", "torch/reference.safetensors"),
      fileName: "x.safetensors"
    ) { try numbers(SafetensorsFile($0).tensors) },
    FuzzedReader(name: "torch, zip", seeds: bytes("torch/new.bin", "torch/ckpt.pt"), fileName: "x.bin") {
      try numbers(TensorFile($0).tensors)
    },
    FuzzedReader(name: "torch, pickles", seeds: bytes("torch/old.bin", "torch/module.bin"), fileName: "x.bin") {
      try numbers(TensorFile($0).tensors)
    },
    FuzzedReader(name: "GGUF", seeds: bytes("quantized/blocks.gguf"), fileName: "x.gguf") {
      try numbers(GGUFFile($0).tensors)
    },
    FuzzedReader(
      name: "GGUF models", seeds: bytes("quantized/tiny-llama.gguf", "quantized/tiny-gpt2.gguf"),
      fileName: "x.gguf"
    ) { url in
      let tokenizer = try? Tokenizer(contentsOf: url)
      _ = tokenizer.map { $0.decode($0.encode("ab fox\n").ids) }
      let model = try languageModel(contentsOf: url)
      _ = model.logits(TokenRows(ids: [[1, 3, 2].filter { $0 < model.vocabulary }]))
    },
    FuzzedReader(name: "GGUF adapters", seeds: [adapter], fileName: "x.gguf") { url in
      _ = try AdapterInspection(StoredAdapter(contentsOf: url))
    },
    FuzzedReader(
      name: "codes and scales", seeds: bytes("quantized/bitsandbytes.safetensors"), fileName: "x.safetensors"
    ) { try numbers(Checkpoint($0).tensors) },
    FuzzedReader(
      name: "one-file adapters",
      seeds: bytes("cases/adapters/kohya/alpha-i64.safetensors", "methods/lokr.safetensors", "methods/oft.safetensors"),
      fileName: "x.safetensors"
    ) { _ = try AdapterInspection(StoredAdapter(contentsOf: $0)) },
    FuzzedReader(
      name: "indices of shards", seeds: bytes("cases/adapters/shards/good/model.safetensors.index.json"),
      fileName: "model.safetensors.index.json"
    ) { _ = try Checkpoint($0) },
    FuzzedReader(
      name: "configurations of adapters", seeds: bytes("cases/adapters/plain/adapter_config.json"),
      fileName: "adapter_config.json"
    ) { _ = try PEFTMatcher(PEFTConfiguration(contentsOf: $0)).targets("model.layers.1.self_attn.q_proj") },
    FuzzedReader(
      name: "configurations of models",
      seeds: bytes("models/small-encoder/config.json", "models/small-decoder/config.json"), fileName: "config.json",
      folder: "models/small-encoder"
    ) { url in
      let folder = url.deletingLastPathComponent()
      // Weights that fit the unbroken one; the folder is the test's own.
      _ = try? Transformer(contentsOf: folder)
      _ = try languageModel(contentsOf: folder)
    },
    quantized("GPTQ", "config.json"), quantized("GPTQ", "model.safetensors"), quantized("AWQ", "config.json"),
    quantized("AWQ", "model.safetensors"), quantized("MLX", "config.json"), quantized("MLX", "model.safetensors"),
    sentences("modules", "modules.json"), sentences("pooling", "1_Pooling/config.json"),
    sentences("dense layers", "2_Dense/config.json"), sentences("prompts", "config_sentence_transformers.json"),
    sentences("lengths", "sentence_bert_config.json"),
    FuzzedReader(
      name: "adapters of mlx-lm", seeds: bytes("cases/files/mlx-rank-0/adapter_config.json"),
      fileName: "adapter_config.json", folder: "cases/files/mlx-rank-0"
    ) { url in _ = try AdapterInspection(StoredAdapter(contentsOf: url.deletingLastPathComponent())) },
    FuzzedReader(
      name: "settings of generation",
      seeds: [text("{\"eos_token_id\":[2,3],\"temperature\":0.6,\"top_k\":20,\"top_p\":0.9,\"do_sample\":true}")],
      fileName: "generation_config.json", folder: "models/small-decoder"
    ) { url in _ = try TextGenerator(model: url.deletingLastPathComponent()) },
    FuzzedReader(
      name: "tokenizers",
      seeds: [
        "models/tokenizer-wordpiece.json", "models/tokenizer-metaspace.json",
        "files/tokenizer-strip-huge/tokenizer.json", "models/kinds/xlm-r/tokenizer.json",
        "models/kinds/bpe-hashes/tokenizer.json",
      ].flatMap { bytes($0.hasPrefix("files") ? "cases/" + $0 : $0) }.filter { !$0.isEmpty },
      fileName: "tokenizer.json"
    ) { url in
      let tokenizer = try Tokenizer(contentsOf: url)
      let ids = tokenizer.encode("The fox, jumping ühr \u{1F98A}\n").ids
      _ = tokenizer.decode(ids)
    },
    FuzzedReader(
      name: "SentencePiece",
      seeds: bytes("models/kinds/model-symbols/tokenizer.model", "models/kinds/model-bpe/tokenizer.model"),
      fileName: "tokenizer.model"
    ) { url in
      let tokenizer = try Tokenizer(contentsOf: url)
      _ = tokenizer.decode(tokenizer.encode("The fox, jumping ühr \u{1F98A}\n").ids)
    },
    FuzzedReader(
      name: "chat templates",
      seeds: bytes(
        "chats/templates/qwen-3.jinja", "chats/templates/mistral-tools.jinja", "chats/templates/smollm-3.jinja"),
      fileName: "chat_template.jinja", readsBytes: true
    ) { url in
      let template = try ChatTemplate(String(decoding: Data(contentsOf: url), as: UTF8.self))
      _ = try template.render(
        [["role": "user", "content": "a"], ["role": "assistant", "content": "b"]], addsGenerationPrompt: true)
    },
    FuzzedReader(
      name: "chat templates in configurations",
      seeds: [
        text("{\"chat_template\":\"{{ bos_token }}{{ messages[0]['content'] }}\",\"bos_token\":\"<s>\"}"),
        text("{\"chat_template\":[{\"name\":\"default\",\"template\":\"{{ messages|length }}\"}],\"eos_token\":{}}"),
      ],
      fileName: "tokenizer_config.json"
    ) { url in
      _ = try ChatTemplate(modelFolder: url.deletingLastPathComponent())?.render([["role": "user", "content": "a"]])
    },
    FuzzedReader(
      name: "conversations, JSON",
      seeds: [
        text("[{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]}]"),
        text("{\"data\":[{\"text\":\"x\"},{\"text\":\"y\"}]}"),
      ],
      fileName: "x.json"
    ) { url in try LanguageExamples(url).forEachExample { _, _ in } },
    FuzzedReader(name: "NumPy", seeds: [numPy], fileName: "x.npy") { url in _ = try NumPyFile(url) },
    FuzzedReader(name: "PNG", seeds: [png], fileName: "x.png", readsBytes: true) { url in
      _ = try Picture(contentsOf: Data(contentsOf: url))
    },
    FuzzedReader(
      name: "JPEG and WebP", seeds: bytes("pictures/colour.jpg", "pictures/lossy.webp", "pictures/lossless.webp"),
      fileName: "x", readsBytes: true
    ) { url in _ = try Picture(contentsOf: Data(contentsOf: url)) },
    FuzzedReader(
      name: "Netpbm", seeds: [text("P2\n3 2\n255\n1 2 3 4 5 6\n"), text("P6\n2 1\n255\nabcdef")], fileName: "x.pgm",
      readsBytes: true
    ) { url in _ = try Picture(contentsOf: Data(contentsOf: url)) },
    FuzzedReader(name: "IDX", seeds: bytes("datasets/images.idx"), fileName: "x.idx") { url in
      _ = try IDXFile(contentsOf: url, dimensionCount: 3)
    },
    FuzzedReader(
      name: "gzip", seeds: bytes("datasets/images.idx.gz", "datasets/images-two-members.idx.gz"), fileName: "x.idx.gz"
    ) { url in _ = try IDXFile(contentsOf: url, dimensionCount: 3) },
    FuzzedReader(
      name: "TSV", seeds: [text("sentence\tlabel\na fox\t1\nthe \"dog\"\t0\n")], fileName: "x.tsv"
    ) { url in try readAll(LabelledText(contentsOf: url, text: "sentence", label: "label")) },
    FuzzedReader(
      name: "CSV", seeds: [text("text,label\n\"a \"\"fox\"\", and\n\",1\ndog,0\n")], fileName: "x.csv"
    ) { url in try readAll(LabelledText(contentsOf: url, text: "text", label: "label")) },
    FuzzedReader(
      name: "columns found, CSV",
      seeds: [
        text("0;good film;pos\n1;bad film;neg\n2;a poor one;neg\n"), text("text,labels\na,\"['x', 'y']\"\nb,[]\n"),
        text("premise\thypothesis\tscore\na b\tc\t0.5\nd\t\"e \"\"f\"\"\"\t1\n"), text("a,x\rb,y\rc,x\r"),
      ],
      fileName: "x.csv"
    ) { url in try readAll(LabelledText(contentsOf: url)) },
    FuzzedReader(
      name: "columns found, JSON",
      seeds: [
        text("[{\"text\":\"a\",\"labels\":[1,0]},{\"text\":\"b\",\"labels\":[0,1]}]"),
        text("{\"data\":[{\"sentence1\":\"a\",\"sentence2\":\"b\",\"label\":0.5}]}"),
      ],
      fileName: "x.json"
    ) { url in try readAll(LabelledText(contentsOf: url)) },
    FuzzedReader(
      name: "JSONL", seeds: [text("{\"text\":\"a fox\",\"label\":1}\n{\"text\":\"dog\",\"label\":\"x\"}\n")],
      fileName: "x.jsonl"
    ) { url in try readAll(LabelledText(contentsOf: url, text: "text", label: "label")) },
    FuzzedReader(
      name: "tables in other formats",
      seeds: [
        text("PAR1"), [0xFF, 0xFF, 0xFF, 0xFF, 16, 0, 0, 0], text("SQLite format 3\0"),
        [0xFF, 0xFE] + text("t\0,\0l\0"),
        bytes("torch/new.bin")[0], text("ARROW1\0\0"), [0x1F, 0x8B, 8, 0],
      ].map { $0 + text("text,label\na,b\nc,d\n") },
      fileName: "x.csv"
    ) { url in try readAll(LabelledText(contentsOf: url)) },
    FuzzedReader(
      name: "texts for decoders",
      seeds: [text("{\"prompt\":\"a\",\"completion\":\" fox\"}\n\n{\"text\":\"the dog\"}\n")], fileName: "x.jsonl"
    ) { url in
      let tokenizer = try Tokenizer(contentsOf: fixtures.appendingPathComponent("models/tokenizer-metaspace.json"))
      _ = try TokenWindows(contentsOf: url, tokenizer: tokenizer, length: 8).windows()
    },
    FuzzedReader(name: "training states", seeds: [trainingState], fileName: "state") { url in
      var (trainer, model, sampler) = training()
      try TrainingState.restore(trainer, of: model, sampler: &sampler, purpose: "fuzz", from: url)
      // What was restored can be gone on with, or its numbers are so large that the training says it diverged.
      do {
        try trainer.run(model, steps: 3, drawing: &sampler) { _ in
          model(Tensor(shape: [1, 3], scalars: [1, 2, 3])).sum()
        }
      } catch is TrainingError {}
      (trainer, model, sampler) = training()
    },
  ]

  /// A file of a model whose matrices stand in codes and scales.
  private static func quantized(_ method: String, _ file: String) -> FuzzedReader {
    let folder = "quantized/\(method.lowercased())"
    return FuzzedReader(name: "\(method), \(file)", seeds: bytes("\(folder)/\(file)"), fileName: file, folder: folder) {
      try numbers(Checkpoint($0.deletingLastPathComponent()).tensors)
    }
  }

  /// A file of a folder of sentence-transformers.
  private static func sentences(_ what: String, _ file: String) -> FuzzedReader {
    let folder = "models/sentences/first-dense"
    return FuzzedReader(
      name: "sentences, \(what)", seeds: bytes("\(folder)/\(file)"), fileName: file, folder: folder
    ) { url in
      let parts = file.split(separator: "/").count
      let modules = try SentenceModules(
        contentsOf: (0..<parts).reduce(url) { url, _ in url.deletingLastPathComponent() })
      try modules.check(hidden: 12)
    }
  }

  /// A LoRA as llama.cpp reads it.
  private static let adapter: [UInt8] = {
    let url = FileManager.default.temporaryDirectory.appendingPathComponent("fuzz-\(UUID().uuidString).gguf")
    defer { try? FileManager.default.removeItem(at: url) }
    let tensors = ["attn_q", "ffn_down"].flatMap { name in
      [("a", [2, 4]), ("b", [8, 2])].map {
        try! StoredTensor(name: "blk.0.\(name).weight.lora_\($0.0)", Tensor.full($0.1, 0.5))
      }
    }
    let fields = [
      GGUFField("general.type", "adapter"), GGUFField("general.architecture", "llama"),
      GGUFField("adapter.type", "lora"), GGUFField("adapter.lora.alpha", Float(4)),
      GGUFField("llama.attention.head_count", UInt32(2)),
    ]
    try! GGUFWriter.write(tensors, fields: fields, to: url)
    return FileManager.default.contents(atPath: url.path).map { [UInt8]($0) } ?? []
  }()

  private static func training() -> (Trainer, Linear, ShuffledBatches) {
    var generator = SeededGenerator(seed: 3)
    let model = Linear(inputs: 3, outputs: 2, using: &generator)
    let trainer = Trainer(
      Adam(model.trainableParameters, learningRate: 0.1),
      schedule: Schedule(.constant, learningRate: 0.1, totalSteps: 5))
    return (trainer, model, ShuffledBatches(count: 7, batchSize: 2, seed: 1))
  }

  /// As a run of two steps keeps it.
  private static let trainingState: [UInt8] = {
    var (trainer, model, sampler) = training()
    let url = FileManager.default.temporaryDirectory.appendingPathComponent("fuzz-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: url) }
    var plan = TrainingPlan(steps: 2)
    plan.keeping = StateKeeping(url: url, everySteps: 2, purpose: "fuzz")
    try! trainer.run(model, plan, drawing: &sampler) { _ in model(Tensor(shape: [1, 3], scalars: [1, 2, 3])).sum() }
    return FileManager.default.contents(atPath: url.path).map { [UInt8]($0) } ?? []
  }()

  /// A 2 × 3 array of float32 as NumPy writes it.
  private static let numPy: [UInt8] = {
    let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }"
    let padded = header + String(repeating: " ", count: 117 - header.utf8.count) + "\n"
    return [0x93] + text("NUMPY") + [1, 0, 118, 0] + text(padded) + [UInt8](repeating: 63, count: 24)
  }()

  private static let png: [UInt8] = {
    let pixels = (0..<64).map { Float($0) / 64 }
    let picture = Picture(Tensor(shape: [8, 8], scalars: pixels), black: 0, white: 1)
    return [UInt8](picture.png)
  }()
}

@Suite("Fuzzing") struct FuzzTests {
  static let rounds = ProcessInfo.processInfo.environment["FUZZ"].flatMap(Int.init) ?? 300

  @Test(
    "a broken file is read or refused within 2 seconds, and within 4 times its size and 200 MB of memory; what refuses it says why",
    arguments: FuzzedReader.all)
  func readers(_ reader: FuzzedReader) throws {
    #expect(!reader.seeds.isEmpty && reader.seeds.allSatisfy { !$0.isEmpty })
    let temporary = try TemporaryFolder()
    defer { withExtendedLifetime(temporary) {} }
    let folder = temporary.file("folder")
    let files = FileManager.default
    if let path = reader.folder {
      try files.copyItem(at: fixtures.appendingPathComponent(path), to: folder)
    } else {
      try files.createDirectory(at: folder, withIntermediateDirectories: true)
    }
    let url = folder.appendingPathComponent(reader.fileName)
    for seed in reader.seeds {
      try Data(seed).write(to: url)
      _ = try? reader.read(url)
    }
    var mutator = Mutator(seed: reader.name.utf8.reduce(5) { $0 &* 31 &+ UInt64($1) })
    let largest = peakMemory()
    var slowest = 0.0
    var longest = 0
    var unclear: Set<String> = []
    for round in 0..<Self.rounds {
      let bytes = mutator.mutate(reader.seeds[round % reader.seeds.count])
      longest = max(longest, bytes.count)
      try Data(bytes).write(to: url)
      let (start, work) = (Date(), processorTime())
      do { try reader.read(url) } catch {
        if unclear.count < 20, !isClear(error, about: reader.readsBytes ? nil : folder) { unclear.insert("\(error)") }
      }
      // On a busy machine the clock goes on while the program waits.
      slowest = max(slowest, min(Date().timeIntervalSince(start), processorTime() - work))
    }
    #expect(unclear.isEmpty, "\(unclear.sorted().joined(separator: "\n"))")
    #expect(slowest < 2, "the slowest took \(slowest) s")
    let grown = peakMemory() - largest
    // In a short round other tests beside this one count too.
    let bound = 4 * longest + (200 << 20)
    #expect(grown < bound || Self.rounds < 1000, "memory grew by \(grown >> 20) MB for at most \(longest) bytes")
  }

  /// Whether an error says what file it is about, what was found, what was expected and what to do.
  private func isClear(_ error: any Error, about folder: URL?) -> Bool {
    guard let error = error as? any DescribedError, !error.problem.isEmpty, !error.advice.text.isEmpty else {
      return false
    }
    if let folder, !error.subject.contains(folder.path), !error.problem.contains(folder.path) { return false }
    guard let error = error as? CheckpointError, error.expected == nil else {
      let saysBoth = error is TokenizerError || error is ChatTemplateError || error is DatasetError
      return error.description.hasSuffix(".") && (!saysBoth || error.problem.contains(", expected "))
    }
    // What is missing, or what the system says, needs no more; a list of differences says both in each line.
    return [.missing, .inputOutput].contains(error.kind) || error.found.contains("\n")
  }

  /// Seconds that all threads of the process have worked.
  private func processorTime() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
  }

  /// The most memory that the process has had, in bytes; tests beside this one count too.
  private func peakMemory() -> Int {
    let status = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
    let line = status.split(separator: "\n").first { $0.hasPrefix("VmHWM") } ?? ""
    return (line.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0) << 10
  }
}
