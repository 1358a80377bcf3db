// The cases that make_fixtures.py wrote, and temporary places to write to.

import Foundation
import LoRAKit
import TestSupport
import Testing

/// A model, an adapter as peft saved it, and peft's own merge of the two.
struct PEFTCase: CustomTestStringConvertible, Sendable {
  let name: String
  var testDescription: String { name }
  var folder: URL { fixtures.appendingPathComponent("checkpoints/\(name)") }

  func base() throws -> Checkpoint { try Checkpoint(folder.appendingPathComponent("base")) }
  func adapter() throws -> StoredAdapter { try StoredAdapter(peft: folder.appendingPathComponent("adapter")) }
  func merged() throws -> Checkpoint { try Checkpoint(folder.appendingPathComponent("merged.safetensors")) }

  static let all = [
    "llama", "llama-rslora-patterns", "llama-dora", "llama-embedding", "llama-embedding-dora", "llama-layers",
    "llama-excluded", "gpt2", "gpt2-dora", "bert-head", "bert-biases", "convolutions", "convolutions-dora",
  ].map(PEFTCase.init)

  static func named(_ name: String) -> PEFTCase { all.first { $0.name == name }! }
}

/// Runs a test with a directory of its own, removed afterwards.
func withTemporaryDirectory<Result>(_ body: (URL) throws -> Result) throws -> Result {
  let url = FileManager.default.temporaryDirectory.appendingPathComponent("checkpoints-\(UUID().uuidString)")
  try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
  defer { try? FileManager.default.removeItem(at: url) }
  return try body(url)
}

/// The largest difference between two tensors, over the largest value.
func relativeDifference(_ a: Tensor, _ b: Tensor) -> Float {
  guard a.shape == b.shape else { return .infinity }
  let largest = b.scalars.map(abs).max() ?? 0
  let difference = zip(a.scalars, b.scalars).map { abs($0 - $1) }.max() ?? 0
  return difference.isNaN ? .infinity : largest > 0 ? difference / largest : difference
}

/// Random numbers of both signs.
func randomTensor(_ shape: [Int], seed: UInt64) -> Tensor {
  var generator = SeededGenerator(seed: seed)
  return Tensor(shape: shape) { buffer in
    for i in buffer.indices { buffer[i] = Float.random(in: -1...1, using: &generator) }
  }
}
