// One base model and several adapters from files, served by an actor to many callers at once.
//
// Modules are classes without locks. The actor lets one caller at a time at them; which adapter answers is the caller's
// choice, not state of the model. Every answer is, bit for bit, what a model with that adapter alone gives.

import Foundation
import LoRAKit

/// What happened to the images before they came, and the adapter that was trained for it.
enum Mishap: String, CaseIterable {
  case none
  case mirrored
  case upsideDown = "upside-down"

  var adapter: String? { self == .none ? nil : rawValue }

  /// Images [batch, 28 · 28] → the same with their pixels in another order.
  func befalling(_ images: Tensor) -> Tensor {
    let order =
      switch self {
      case .none: (0..<784).map { $0 }
      case .mirrored: (0..<784).map { $0 / 28 * 28 + 27 - $0 % 28 }
      case .upsideDown: (0..<784).map { 783 - $0 }
      }
    return images.transposed().rows(at: order).transposed()
  }
}

actor DigitServer {
  private let model: DigitClassifier

  init(base: sending DigitClassifier, adapters: [URL]) throws {
    for folder in adapters {
      try StoredAdapter(contentsOf: folder).attach(to: base, named: folder.lastPathComponent)
    }
    model = base
  }

  /// Logits [batch, 10]. Without an adapter it is the base that answers.
  func answer(_ images: Tensor, adapter: String?) throws -> Tensor {
    try model.withAdapters(adapter.map { [$0] } ?? []) { model(images) }
  }
}

func train(_ model: DigitClassifier, on images: LabelledImages, after mishap: Mishap, rate: Float) throws {
  let trainer = Trainer(Adam(model.trainableParameters, learningRate: rate))
  for start in stride(from: 0, to: images.count, by: 50) {
    let (inputs, labels) = images.batch(start..<min(start + 50, images.count))
    try trainer.step { model(mishap.befalling(inputs)).crossEntropy(labels) }
  }
}

/// The same base again and again: its seed says which.
func makeBase(on images: LabelledImages) throws -> DigitClassifier {
  var generator = SeededGenerator(seed: 1)
  let model = DigitClassifier(hidden: (256, 128), using: &generator)
  for rate in [1e-3, 3e-4] as [Float] { try train(model, on: images, after: .none, rate: rate) }
  return model
}

/// Trains an adapter and writes it as a PEFT folder of its name.
func makeAdapter(for mishap: Mishap, on images: LabelledImages, in place: URL) throws -> URL {
  var generator = SeededGenerator(seed: 2)
  let model = try makeBase(on: images)
  try model.attach(LoRAConfiguration(rank: 8, alpha: 8), using: &generator)
  for rate in [5e-3, 2e-3, 5e-4] as [Float] { try train(model, on: images, after: mishap, rate: rate) }
  let folder = place.appendingPathComponent(mishap.rawValue)
  try StoredAdapter(of: model, url: folder).write(peft: folder)
  return folder
}

let digits = try MNIST.sample()
let place = FileManager.default.temporaryDirectory.appendingPathComponent("adapters-\(UUID().uuidString)")
try FileManager.default.createDirectory(at: place, withIntermediateDirectories: true)
defer { try? FileManager.default.removeItem(at: place) }
let mishaps = Mishap.allCases
let folders = try mishaps.dropFirst().map { try makeAdapter(for: $0, on: digits.train, in: place) }
let server = try DigitServer(base: makeBase(on: digits.train), adapters: folders)

/// A batch of test images after a mishap, and whose answer is asked for.
struct Request: Sendable {
  let mishap, adapter: Mishap
  let images: Tensor
  let labels: [Int]
}

var requests: [Request] = []
for mishap in mishaps {
  for start in stride(from: 0, to: 1000, by: 100) {
    let (inputs, labels) = digits.test.batch(start..<start + 100)
    let images = mishap.befalling(inputs)
    requests += mishaps.map { Request(mishap: mishap, adapter: $0, images: images, labels: labels) }
  }
}
let answers = try await withThrowingTaskGroup(of: (Request, Tensor).self) { group in
  for request in requests.shuffled() {
    group.addTask { (request, try await server.answer(request.images, adapter: request.adapter.adapter)) }
  }
  var answers: [(Request, Tensor)] = []
  for try await answer in group { answers.append(answer) }
  return answers
}

print("Accuracy in percent over \(answers.count) answers, given in a random order:")
print("images       base  " + mishaps.dropFirst().map(\.rawValue).joined(separator: "  "))
for mishap in mishaps {
  let shares = mishaps.map { adapter in
    let found = answers.filter { $0.0.mishap == mishap && $0.0.adapter == adapter }
    let right = found.map { request, logits in zip(logits.argmaxRows(), request.labels).count { $0 == $1 } }
    return Double(right.reduce(0, +)) / 10
  }
  print(
    mishap.rawValue.padding(toLength: 11, withPad: " ", startingAt: 0),
    String(format: "%5.1f %9.1f %12.1f", shares[0], shares[1], shares[2]))
  guard shares.max() == shares[mishaps.firstIndex(of: mishap)!] else {
    fatalError("images that are \(mishap) should be read best by the adapter for them")
  }
}

for (adapter, folder) in zip(mishaps, [nil] + folders) {
  let alone = try makeBase(on: digits.train)
  if let folder { try StoredAdapter(contentsOf: folder).attach(to: alone) }
  guard answers.allSatisfy({ $0.0.adapter != adapter || alone($0.0.images).isIdentical(to: $0.1) }) else {
    fatalError("the server's answers should be those of \(adapter) alone")
  }
}
print("Every answer is, bit for bit, that of its adapter alone.")
