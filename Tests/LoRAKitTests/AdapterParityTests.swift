import Foundation
// Adapters that Python peft trained, on real models: their logits, and training step by step.
import LoRAAdapters
import LoRAFiles
import LoRAFormats
import LoRAModels
import LoRANetworks
import LoRATensors
import LoRATraining
import TestSupport
import Testing

private func adapterFolder(_ name: String) throws -> URL {
  try #require(sharedData).appendingPathComponent("adapters/\(name)")
}

private func modelFolder(_ name: String) throws -> URL {
  try #require(sharedData).appendingPathComponent("models/\(name)")
}

private func read<T: Decodable>(_ type: T.Type, _ url: URL) throws -> T {
  try JSONDecoder().decode(type, from: Data(contentsOf: url))
}

/// MiniLM as a classifier of two classes.
private func miniLM() throws -> SequenceClassifier {
  var generator = SeededGenerator(seed: 1)
  return try SequenceClassifier(
    contentsOf: modelFolder("all-MiniLM-L6-v2"), labels: ["negative", "positive"], using: &generator)
}

@Suite("Adapters of Python peft", .enabled(if: sharedData != nil, "needs shared/data"))
struct AdapterParityTests {
  private struct Classified: Decodable {
    struct Sentence: Decodable {
      var ids: [Int]
      var base: [Float]
      var adapted: [Float]
      var embedding: [Float]

      enum CodingKeys: String, CodingKey {
        case ids = "input_ids"
        case base = "base_logits"
        case adapted = "adapter_logits"
        case embedding = "adapter_embedding"
      }
    }
    var sentences: [Sentence]
  }

  @Test(
    "classifiers give the logits with the adapter, those of the base without, and embeddings",
    arguments: ["peft-minilm-sst2", "peft-minilm-sst2-dora", "peft-minilm-sst2-rslora"])
  func classifiers(name: String) throws {
    let folder = try adapterFolder(name)
    let reference = try read(Classified.self, folder.appendingPathComponent("reference.json"))
    let model = try miniLM()
    let head = try SafetensorsFile(folder.appendingPathComponent("base_classifier.safetensors"))
    for tensor in head.tensors {
      try #require(model.parameter(named: tensor.name)).assignOriginal(tensor.tensor())
    }
    let adapter = try StoredAdapter(peft: folder)
    let attached = try adapter.attach(to: model)
    #expect(attached.count == adapter.modules.count + 2)
    let rows = TokenRows(ids: reference.sentences.map(\.ids))
    #expect(largestDifference(model(rows), reference.sentences.flatMap(\.adapted)) < 1e-4)
    model.withAdaptersDisabled {
      #expect(largestDifference(model(rows), reference.sentences.flatMap(\.base)) < 1e-4)
    }
    // The same adapter on the mere encoder, whose paths have no "bert.".
    let encoder = try Transformer(contentsOf: modelFolder("all-MiniLM-L6-v2"))
    try adapter.attach(to: encoder, skippingUnplacedWeights: true)
    #expect(largestDifference(encoder.sentenceEmbeddings(rows), reference.sentences.flatMap(\.embedding)) < 1e-4)
    // Folded in, it gives the same.
    try model.foldAdapter()
    #expect(largestDifference(model(rows), reference.sentences.flatMap(\.adapted)) < 1e-4)
  }

  private struct Generated: Decodable {
    struct Prompt: Decodable {
      var ids: [Int]
      var base: [Float]
      var adapted: [Float]
      var baseGreedy: [Int]
      var adaptedGreedy: [Int]

      enum CodingKeys: String, CodingKey {
        case ids = "input_ids"
        case base = "base_last_logits"
        case adapted = "adapter_last_logits"
        case baseGreedy = "base_greedy_ids"
        case adaptedGreedy = "adapter_greedy_ids"
      }
    }
    struct Window: Decodable {
      var ids: [Int]
      var base: Float
      var adapted: Float

      enum CodingKeys: String, CodingKey {
        case ids = "input_ids"
        case base = "base_mean_nll"
        case adapted = "adapter_mean_nll"
      }
    }
    var prompts: [Prompt]
    var window: Window

    enum CodingKeys: String, CodingKey {
      case prompts
      case window = "validation_window"
    }
  }

  @Test(
    "decoders give the logits, losses and greedy texts, with the adapter and without",
    arguments: [
      "peft-stories260k-shakespeare", "peft-stories260k-shakespeare-dora", "peft-stories260k-shakespeare-rslora",
    ])
  func decoders(name: String) throws {
    let folder = try adapterFolder(name)
    let reference = try read(Generated.self, folder.appendingPathComponent("reference.json"))
    let model = try languageModel(contentsOf: modelFolder("stories260K"))
    try StoredAdapter(peft: folder).attach(to: model)
    func check(
      _ name: String, _ logits: (Generated.Prompt) -> [Float], _ greedy: (Generated.Prompt) -> [Int], _ loss: Float
    ) {
      for prompt in reference.prompts {
        let last = model.logits(TokenRows(ids: [prompt.ids])).rows(at: [prompt.ids.count - 1])
        #expect(largestDifference(last, logits(prompt)) < 1e-4, "\(name)")
        var continuation = Continuation(of: prompt.ids, by: model, limit: 32, using: SeededGenerator(seed: 0))
        while continuation.next() != nil {}
        #expect(continuation.ids == greedy(prompt), "\(name)")
      }
      #expect(abs(model.loss(TokenRows(ids: [reference.window.ids])).item - loss) < 1e-4, "\(name)")
    }
    check("adapted", \.adapted, \.adaptedGreedy, reference.window.adapted)
    model.withAdaptersDisabled { check("base", \.base, \.baseGreedy, reference.window.base) }
  }

  // MARK: Training

  private struct Run: Decodable {
    struct Optimizer: Decodable {
      var rate: Float
      var decay: Float
      var clipping: Float?

      enum CodingKeys: String, CodingKey {
        case rate = "lr"
        case decay = "weight_decay"
        case clipping = "clip_norm"
      }
    }
    enum Batch: Decodable {
      case windows([[Int]])
      case labelled(ids: [[Int]], mask: [[Int]], labels: [Int])

      private enum CodingKeys: String, CodingKey {
        case ids = "input_ids"
        case mask = "attention_mask"
        case labels
      }

      init(from decoder: any Decoder) throws {
        if let ids = try? decoder.singleValueContainer().decode([[Int]].self) {
          self = .windows(ids)
        } else {
          let values = try decoder.container(keyedBy: CodingKeys.self)
          self = .labelled(
            ids: try values.decode([[Int]].self, forKey: .ids), mask: try values.decode([[Int]].self, forKey: .mask),
            labels: try values.decode([Int].self, forKey: .labels))
        }
      }
    }
    var optimizer: Optimizer
    var losses: [Float]
    var norms: [Float]
    var finalLoss: Float
    var batches: [Batch]

    enum CodingKeys: String, CodingKey {
      case optimizer
      case losses
      case norms = "gradient_norms_before_clipping"
      case finalLoss = "loss_on_batch_0_after_training"
      case batches
    }
  }

  @Test(
    "training is that of PyTorch and peft, step by step: losses, norms, gradients, the adapter at the end",
    arguments: ["train-parity-minilm-sst2-lora", "train-parity-stories260k-lora", "train-parity-stories260k-dora"])
  func training(name: String) throws {
    let folder = try adapterFolder(name)
    let run = try read(Run.self, folder.appendingPathComponent("train.json"))
    // A PEFT folder of the adapter's start.
    let start = FileManager.default.temporaryDirectory.appendingPathComponent("adapter-\(UUID())")
    try FileManager.default.createDirectory(at: start, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: start) }
    for (file, copy) in [
      ("adapter_config.json", "adapter_config.json"), ("adapter_init.safetensors", "adapter_model.safetensors"),
    ] {
      try FileManager.default.copyItem(at: folder.appendingPathComponent(file), to: start.appendingPathComponent(copy))
    }
    let classifier = name.contains("minilm") ? try miniLM() : nil
    let decoder = classifier == nil ? try languageModel(contentsOf: modelFolder("stories260K")) : nil
    let model: any Module = classifier ?? decoder!
    try StoredAdapter(peft: start).attach(to: model)
    func loss(_ batch: Run.Batch) -> Tensor {
      switch batch {
      case .windows(let ids): return decoder!.loss(TokenRows(ids: ids))
      case .labelled(let ids, let mask, let labels):
        let unpadded = zip(ids, mask).map { ids, mask in zip(ids, mask).filter { $0.1 == 1 }.map(\.0) }
        return classifier!(TokenRows(ids: unpadded)).crossEntropy(labels)
      }
    }
    let trainer = Trainer(
      Adam(model.trainableParameters, learningRate: run.optimizer.rate, weightDecay: .decoupled(run.optimizer.decay)),
      clipping: run.optimizer.clipping ?? .infinity)
    for (index, batch) in run.batches.enumerated() {
      let report = try trainer.step { loss(batch) }
      #expect(abs(report.loss - run.losses[index]) < 1e-4, "step \(report.step)")
      #expect(abs(report.gradientNorm! - run.norms[index]) < 1e-3 * run.norms[index], "step \(report.step)")
    }
    let (final, gradients) = model.valueAndGradients { loss(run.batches[0]) }
    #expect(abs(final.item - run.finalLoss) < 1e-4)

    // Gradients and parameters under peft's names.
    let expectedGradients = try SafetensorsFile(folder.appendingPathComponent("gradients_final.safetensors"))
    let expectedParameters = try SafetensorsFile(folder.appendingPathComponent("adapter_final.safetensors"))
    let largest = try expectedGradients.tensors.map { try $0.tensor().scalars.map(abs).max()! }.max()!
    var compared = 0
    for item in model.attachedAdapters {
      let dora = item.adapter as? DoRA
      let lora = dora?.lora ?? item.adapter as? LoRA
      let parts: [(String, Parameter?)] = [
        (".lora_A.weight", lora?.a), (".lora_B.weight", lora?.b), (".lora_magnitude_vector", dora?.magnitude),
        ("", (item.adapter as? Replacement)?.parameter),
      ]
      for case (let suffix, let parameter?) in parts {
        let name = "base_model.model." + item.path + suffix
        let gradient = try #require(expectedGradients[name], "\(name)").tensor()
        #expect(largestDifference(try #require(gradients[parameter]), gradient.scalars) < 1e-4 * largest, "\(name)")
        let value = try #require(expectedParameters[name]).tensor()
        let mean =
          zip(parameter.original.scalars, value.scalars).reduce(0) { $0 + abs($1.0 - $1.1) } / Float(value.count)
        #expect(mean < 1e-4, "\(name)")
        compared += 1
      }
    }
    #expect(compared == expectedGradients.tensors.count)

    // Written as a PEFT folder and read again, it is the same adapter.
    let written = start.appendingPathComponent("written")
    try StoredAdapter(of: model, url: written).write(peft: written)
    let again: any Module = classifier == nil ? try languageModel(contentsOf: modelFolder("stories260K")) : try miniLM()
    try StoredAdapter(peft: written).attach(to: again)
    let pairs = zip(model.attachedAdapters, again.attachedAdapters)
    for (a, b) in pairs {
      #expect(a.path == b.path && a.adapter.allParameters.count == b.adapter.allParameters.count)
      for (x, y) in zip(a.adapter.allParameters, b.adapter.allParameters) {
        #expect(x.parameter.original.isIdentical(to: y.parameter.original))
      }
    }
  }

  @Test(
    "peft's adapters on a decoder in memory act as peft's merge does, embeddings included",
    arguments: [
      "llama", "llama-rslora-patterns", "llama-dora", "llama-embedding", "llama-embedding-dora", "llama-layers",
      "llama-excluded", "gpt2", "gpt2-dora",
    ])
  func merged(name: String) throws {
    let folder = fixtures.appendingPathComponent("checkpoints/\(name)")
    let model = try languageModel(contentsOf: folder.appendingPathComponent("base"))
    let merged = try languageModel(contentsOf: folder.appendingPathComponent("base"))
    let rows = TokenRows(ids: [[3, 1, 5, 2, 8]])
    let before = model.logits(rows)
    try StoredAdapter(peft: folder.appendingPathComponent("adapter")).attach(to: model)
    let parameters = Dictionary(uniqueKeysWithValues: merged.parameters.map { ($0.name, $0.parameter) })
    for tensor in try SafetensorsFile(folder.appendingPathComponent("merged.safetensors")).tensors {
      try #require(parameters[tensor.name], "\(tensor.name)").assignOriginal(try tensor.tensor())
    }
    let logits = model.logits(rows)
    #expect((logits - before).norm > 1e-2 * before.norm)
    #expect(largestDifference(logits, merged.logits(rows).scalars) < 1e-5)
  }

  @Test(
    "an adapter on a tied embedding leaves the output layer as it is, as in peft",
    arguments: [("tiny-llama3", "embed_tokens"), ("tiny-gpt2", "wte")])
  func tied(name: String, table: String) throws {
    let model = try languageModel(contentsOf: fixtures.appendingPathComponent("models/\(name)"))
    let rows = TokenRows(ids: [[3, 1, 5, 2, 8]])
    let (before, output) = (model.logits(rows), model.outputWeight)
    var generator = SeededGenerator(seed: 4)
    let attached = try model.attach(LoRAConfiguration(rank: 2, alpha: 3), to: .names([table]), using: &generator)
    let lora = try #require(attached.first?.adapter as? LoRA)
    try lora.b.assignOriginal(.normal(lora.b.shape, using: &generator))
    #expect(model.outputWeight.isIdentical(to: output))
    #expect((model.logits(rows) - before).norm > 1e-2 * before.norm)
    // The whole model's training reaches the table from both sides.
    try model.removeAdapter()
    model.setTrainable(true)
    let weight = attached[0].weight
    let (_, gradients) = model.trainableParameters.valueAndGradients { model.loss(rows) }
    // Token 30 is neither read nor a target, so only the output layer gives its row a gradient.
    #expect(try #require(gradients[weight]).rows(at: [30]).norm > 0)
  }

  @Test("an adapter for another model is refused with what does not fit, and nothing is attached")
  func misfit() throws {
    let model = try languageModel(contentsOf: modelFolder("stories260K"))
    let adapter = try StoredAdapter(peft: adapterFolder("peft-minilm-sst2"))
    #expect {
      try adapter.attach(to: model)
    } throws: {
      "\($0)".contains("bert.encoder.layer.0.attention.self.query")
        && "\($0)".contains("nothing was attached")
    }
    #expect(model.attachedAdapters.isEmpty)
  }
}
