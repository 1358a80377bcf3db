// llama.cpp beside the library, on the same GGUF files: both take turns within one run.

import Foundation
import LoRAKit
import Measuring

/// llama.cpp in a process of its own (generation_llamacpp.py).
final class LlamaCpp {
  struct Answer: Decodable {
    var tokensPerSecond: Double
    var promptPerSecond: Double
    /// Of CPU time, a token.
    var milliseconds: Double
    var text: [Int]
    /// Of the first token of the text.
    var logProbability: Double
  }

  private let process = Process()
  private let (questions, answers) = (Pipe(), Pipe())

  init(_ python: String, model: URL, threads: Int) throws {
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    let script = repository.appendingPathComponent("Benchmarks/generation_llamacpp.py").path
    process.arguments = [python, script, model.path, "\(threads)"]
    (process.standardInput, process.standardOutput) = (questions, answers)
    try process.run()
  }

  deinit {
    try? questions.fileHandleForWriting.close()
    process.waitUntilExit()
  }

  func answer(prompt: [Int], tokens: Int) throws -> Answer {
    let question = try JSONSerialization.data(withJSONObject: ["prompt": prompt, "tokens": tokens])
    questions.fileHandleForWriting.write(question + Data("\n".utf8))
    var line = Data()
    while let byte = try answers.fileHandleForReading.read(upToCount: 1), byte != Data("\n".utf8) {
      check(!byte.isEmpty, "llama.cpp ended")
      line += byte
    }
    return try JSONDecoder().decode(Answer.self, from: line)
  }
}

/// Ours and llama.cpp's figures for one file.
struct Duel {
  private struct Figures {
    var tokens: [Double] = []
    var prompts: [Double] = []
    var milliseconds: [Double] = []
  }

  private static let tokens = isShortest ? 4 : 48
  private static let prompt = (0..<(isShortest ? 8 : 128)).map { 300 + $0 }

  /// Turns by both, with so many threads each; prints the medians.
  static func run(_ file: URL, _ precision: Precision, threads: Int, python: String?) throws {
    let before = Threads.count
    defer { Threads.count = before }
    Threads.count = threads
    let (model, adapted) = (try loaded(file, precision), try loaded(file, precision))
    try adapted.attachRandomAdapter()
    let peer = try python.map { try LlamaCpp($0, model: file, threads: threads) }
    var (ours, withAdapter, theirs) = (Figures(), Figures(), Figures())
    for _ in 0..<(isShortest ? 1 : 5) {
      let text = measure(model, &ours)
      _ = measure(adapted, &withAdapter)
      guard let answer = try peer?.answer(prompt: prompt, tokens: tokens) else { continue }
      theirs.tokens.append(answer.tokensPerSecond)
      theirs.prompts.append(answer.promptPerSecond)
      theirs.milliseconds.append(answer.milliseconds)
      check(
        abs(answer.logProbability - text.logProbability) < 0.1 && answer.text.first == text.ids.first,
        "llama.cpp writes \(answer.text.prefix(3)) (\(answer.logProbability)), not \(text.ids.prefix(3)) "
          + "(\(text.logProbability))")
    }
    show("ours", ours, threads)
    show("with an adapter", withAdapter, threads)
    guard peer != nil else { return }
    show("llama.cpp", theirs, threads)
    print(
      "    " + padded("ratio", 22)
        + String(
          format: "%8.2f            %8.2f          %8.2f", median(ours.tokens) / median(theirs.tokens),
          median(theirs.milliseconds) / median(ours.milliseconds), median(ours.prompts) / median(theirs.prompts)))
  }

  private static func loaded(_ file: URL, _ precision: Precision) throws -> any LanguageModel {
    let model = try languageModel(contentsOf: file)
    for weight in model.multiplyingWeights {
      switch precision {
      case .float32: break
      case .bfloat16: weight.multiplyInBFloat16()
      case .int8: weight.multiplyInBytes()
      }
    }
    return model
  }

  private static func measure(_ model: some LanguageModel, _ figures: inout Figures) -> (
    ids: [Int], logProbability: Double
  ) {
    let cache = KeyValueCache(for: model, capacity: prompt.count + tokens + 1)
    var logits = Tensor(0)
    figures.prompts.append(Double(prompt.count) / seconds { logits = model.nextLogits(prompt, cache: cache) })
    var ids = [logits.reshaped([1, logits.count]).argmaxRows()[0]]
    let logProbability = Double(logits.reshaped([1, logits.count]).logSoftmax().scalars[ids[0]])
    let cpu = clock()
    let time = seconds {
      for _ in 0..<tokens {
        let next = model.nextLogits([ids.last!], cache: cache)
        ids.append(next.reshaped([1, next.count]).argmaxRows()[0])
      }
    }
    figures.milliseconds.append(1000 * Double(clock() - cpu) / Double(CLOCKS_PER_SEC) / Double(tokens))
    figures.tokens.append(Double(tokens) / time)
    return (ids, logProbability)
  }

  private static func show(_ name: String, _ figures: Figures, _ threads: Int) {
    print(
      "    " + padded("\(name), \(threads) thread\(threads == 1 ? "" : "s")", 22)
        + String(
          format: "%8.1f tokens/s   %8.2f CPU ms   %8.0f prompt tokens/s", median(figures.tokens),
          median(figures.milliseconds), median(figures.prompts)))
  }
}
