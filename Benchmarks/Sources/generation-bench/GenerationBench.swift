import Foundation
// Tokens a second, against what memory allows: a token needs every weight once.
//
//     swift run -c release --package-path Benchmarks generation-bench                  # ours, against the floor
//     swift run -c release --package-path Benchmarks generation-bench --python python3 # and generation_peers.py
//     … --lora .build/release/lora        also the time from the program's start to its first token
//     … --llama python3                   and llama.cpp (generation_llamacpp.py) on GGUF files in four formats
//     … --only BF16                       one number format
//
// The model has the shape of SmolLM-135M and random weights, the same ones in float32 and in bfloat16. The floor is the
// time in which all threads together read the model's mapped bytes once and do nothing else; it is measured between
// tokens. Checked: both formats give the same logits, and transformers the same greedy text.
import LoRACKernels
import LoRAKit
import Measuring

@main
struct GenerationBench {
  static func main() throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("generation-bench-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: folder) }
    print("Threads: \(Threads.count)")
    try duels(in: folder)
    let formats = [NumberFormat.f32, .bf16].filter { isWanted($0.rawValue) }
    var logits: [Tensor] = []
    for format in formats {
      let model = folder.appendingPathComponent(format.rawValue)
      try RandomModel.write(as: format, to: model)
      let ours = try Measurement(of: model)
      logits.append(ours.logits)
      print("\n\(format.rawValue), \(ours.byteCount >> 20) MiB")
      ours.show()
      if let lora = option("--lora") { print("  program start to first token: \(try firstToken(lora, model)) s") }
      if let python = option("--python") { try Peers.measure(python, model, ours.text) }
    }
    if let a = logits.first, let b = logits.last {
      check((a - b).norm < 1e-4 * a.norm, "the two formats differ by \((a - b).norm / a.norm)")
    }
  }

  /// Both on GGUF files of the same model, by one thread and by all.
  private static func duels(in folder: URL) throws {
    let base = folder.appendingPathComponent("random")
    try RandomModel.write(as: .bf16, to: base)
    for (format, precision) in [
      (NumberFormat.f32, Precision.float32), (.bf16, .bfloat16), (.q80, .int8), (.q40, .int8),
    ] where isWanted(format.rawValue) {
      let file = folder.appendingPathComponent("\(format.rawValue).gguf")
      let report = try Quantization(Checkpoint(base), to: .blocks(format)).run(to: file)
      print("\n\(format.rawValue) as GGUF, \(report.bytes.after >> 20) MiB")
      for threads in Set([1, Threads.count]).sorted() {
        try Duel.run(file, precision, threads: threads, python: option("--llama"))
      }
      try FileManager.default.removeItem(at: file)
    }
  }

  /// Seconds of `lora generate --tokens 1`, the median of five.
  private static func firstToken(_ lora: String, _ model: URL) throws -> String {
    let times = try (0..<(isShortest ? 1 : 5)).map { _ in
      try seconds {
        try output(of: lora, ["generate", "--model", model.path, "--prompt", "a", "--tokens", "1", "--quiet"])
      }
    }
    return String(format: "%.2f", median(times))
  }
}

/// The times of one model: bare, with an adapter attached, and merged with that adapter.
struct Measurement {
  /// Seconds a token, and for reading all bytes once.
  private struct Times {
    var name: String
    var floor: Double
    var token: Double
  }

  let byteCount: Int
  /// What follows the prompt by the base model.
  let text: [Int]
  let logits: Tensor
  private var times: [Times] = []
  private let reader: StreamingRead

  static let prompt = [1, 403, 407, 261, 378]
  static let tokens = isShortest ? 8 : 100

  init(of folder: URL) throws {
    let checkpoint = try Checkpoint(folder)
    byteCount = checkpoint.tensors.reduce(0) { $0 + $1.info.byteCount }
    reader = StreamingRead(checkpoint)
    let model = try languageModel(contentsOf: folder)
    text = Array(Measurement.continuation(model))
    logits = model.nextLogits(Measurement.prompt, cache: KeyValueCache(for: model, capacity: 8))
    measure("base", model)

    try model.attachRandomAdapter()
    measure("adapter attached (r 8, q and v)", model)

    let (adapter, merged) = (folder.appendingPathComponent("adapter"), folder.appendingPathComponent("merged"))
    try StoredAdapter(of: model, url: adapter).write(peft: adapter)
    _ = try Merge(base: checkpoint, adapters: [(StoredAdapter(peft: adapter), 1)]).run(to: merged)
    measure("merged with it", try languageModel(contentsOf: merged))
  }

  /// Floor and model in turn, so that what disturbs one disturbs the other.
  private mutating func measure(_ name: String, _ model: some LanguageModel) {
    var floors: [Double] = []
    var tokens: [Double] = []
    for _ in 0..<(isShortest ? 1 : 4) {
      floors += (0..<10).map { _ in seconds { reader.run() } }
      tokens += Measurement.tokenTimes(model)
    }
    times.append(Times(name: name, floor: median(floors), token: median(tokens)))
  }

  private static func continuation(_ model: some LanguageModel) -> Continuation<SeededGenerator> {
    Continuation(of: prompt, by: model, limit: tokens, using: SeededGenerator(seed: 0))
  }

  /// Seconds of each token but the first, which reads the prompt.
  private static func tokenTimes(_ model: some LanguageModel) -> [Double] {
    var continuation = continuation(model)
    return (0..<tokens).map { _ in seconds { _ = continuation.next() } }.suffix(tokens - 1)
  }

  func show() {
    for item in times {
      let bytes = 1e-9 * Double(byteCount)
      print(
        "  \(padded(item.name, 34))"
          + String(
            format: "%7.1f tokens/s  %5.1f GB/s, floor %5.1f GB/s: %3.0f%%", 1 / item.token, bytes / item.token,
            bytes / item.floor, 100 * item.floor / item.token))
    }
  }
}

extension LanguageModel {
  /// A LoRA of rank 8 on queries and values.
  func attachRandomAdapter() throws {
    var generator = SeededGenerator(seed: 1)
    let attached = try attach(
      LoRAConfiguration(rank: 8, alpha: 16), to: .names(["q_proj", "v_proj"]), using: &generator)
    for case let lora as LoRA in attached.map(\.adapter) {
      try lora.b.assignOriginal(.normal(lora.b.shape, deviation: 0.01, using: &generator))
    }
  }
}

/// Reads the bytes of all tensors with all threads, each its part of every tensor.
final class StreamingRead: @unchecked Sendable {
  private let tensors: [StoredTensor]
  private let threads = Threads.count
  private var sums: [SIMD16<UInt32>]

  init(_ checkpoint: Checkpoint) {
    tensors = checkpoint.tensors
    sums = Array(repeating: .zero, count: threads)
  }

  func run() {
    ck_parallel(
      Int32(threads),
      { context, part in
        Unmanaged<StreamingRead>.fromOpaque(context!).takeUnretainedValue().read(Int(part))
      }, Unmanaged.passUnretained(self).toOpaque())
  }

  private func read(_ part: Int) {
    var sum: (SIMD16<UInt32>, SIMD16<UInt32>, SIMD16<UInt32>, SIMD16<UInt32>) = (.zero, .zero, .zero, .zero)
    for tensor in tensors {
      tensor.withBytes { bytes in
        let size = bytes.count / threads / 256 * 256
        let start = bytes.baseAddress! + part * size
        for offset in stride(from: 0, to: size, by: 256) {
          sum.0 ^= (start + offset).loadUnaligned(as: SIMD16<UInt32>.self)
          sum.1 ^= (start + offset + 64).loadUnaligned(as: SIMD16<UInt32>.self)
          sum.2 ^= (start + offset + 128).loadUnaligned(as: SIMD16<UInt32>.self)
          sum.3 ^= (start + offset + 192).loadUnaligned(as: SIMD16<UInt32>.self)
        }
      }
    }
    sums[part] = sum.0 ^ sum.1 ^ sum.2 ^ sum.3
  }
}

/// A model folder with random weights: hidden size 576, 30 layers, 9 heads over 3 key heads, 49,152 tokens, tied.
enum RandomModel {
  private static let layers = isShortest ? 2 : 30
  private static let tokens = isShortest ? 512 : 49_152

  static func write(as format: NumberFormat, to folder: URL) throws {
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    let configuration: JSON = [
      "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": .integer(tokens),
      "hidden_size": 576, "num_hidden_layers": .integer(layers), "num_attention_heads": 9, "num_key_value_heads": 3,
      "intermediate_size": 1536, "max_position_embeddings": 2048, "rms_norm_eps": 1e-5, "tie_word_embeddings": true,
      "hidden_act": "silu",
      "dtype": .string(format == .f32 ? "float32" : "bfloat16"),
    ]
    try Data(configuration.pretty.utf8).write(to: folder.appendingPathComponent("config.json"))
    let tokenizer = repository.appendingPathComponent("Tests/Fixtures/models/tokenizer-gpt2.json")
    try FileManager.default.copyItem(at: tokenizer, to: folder.appendingPathComponent("tokenizer.json"))

    var shapes: [(name: String, shape: [Int])] = [("model.embed_tokens.weight", [tokens, 576])]
    for layer in 0..<layers {
      for (name, shape) in [
        ("input_layernorm", [576]), ("self_attn.q_proj", [576, 576]), ("self_attn.k_proj", [192, 576]),
        ("self_attn.v_proj", [192, 576]), ("self_attn.o_proj", [576, 576]), ("post_attention_layernorm", [576]),
        ("mlp.gate_proj", [1536, 576]), ("mlp.up_proj", [1536, 576]), ("mlp.down_proj", [576, 1536]),
      ] {
        shapes.append(("model.layers.\(layer).\(name).weight", shape))
      }
    }
    shapes.append(("model.norm.weight", [576]))
    let infos = shapes.map { TensorInfo(name: $0.name, format: format, shape: $0.shape) }
    let writer = try SafetensorsWriter(
      to: folder.appendingPathComponent("model.safetensors"), expecting: infos,
      metadata: SafetensorsWriter.pythonMetadata)
    var generator = SeededGenerator(seed: 7)
    for (name, shape) in shapes {
      let values: Tensor =
        shape.count == 1 ? .ones(shape) : .uniform(shape, from: -0.06, to: 0.06, using: &generator)
      // Both formats hold numbers of bfloat16.
      let rounded = try StoredTensor(name: name, values, as: .bf16)
      try writer.append(format == .bf16 ? rounded : StoredTensor(name: name, rounded.tensor(), as: format))
    }
    try writer.finish()
  }
}

/// transformers on the same folder.
enum Peers {
  private struct Line: Decodable {
    var name: String
    var tokensPerSecond: Double
    var text: [Int]
  }

  static func measure(_ python: String, _ folder: URL, _ text: [Int]) throws {
    let line: Line = try answer(
      of: "generation_peers.py", by: python,
      [folder.path, Measurement.prompt.map(String.init).joined(separator: ","), "\(text.count)"])
    let same = zip(line.text, text).prefix { $0 == $1 }.count
    print(
      "  \(padded(line.name, 34))"
        + String(format: "%7.1f tokens/s", line.tokensPerSecond)
        + "  the first \(same) of \(text.count) tokens are ours")
    // Its arithmetic in bfloat16 soon writes another text.
    if line.name.hasSuffix("float32") { check(same >= text.count / 2, "transformers writes another text") }
  }
}
