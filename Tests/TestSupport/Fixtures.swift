// The cases that make_fixtures.py wrote, and temporary places to write to.

import Foundation
import LoRAKit
import Testing

/// A model, an adapter as peft saved it, and peft's own merge of the two.
public struct PEFTCase: CustomTestStringConvertible, Sendable {
  public let name: String
  public var testDescription: String { name }
  public var folder: URL { fixtures.appendingPathComponent("checkpoints/\(name)") }

  public func base() throws -> Checkpoint { try Checkpoint(folder.appendingPathComponent("base")) }
  public func adapter() throws -> StoredAdapter { try StoredAdapter(peft: folder.appendingPathComponent("adapter")) }
  public func merged() throws -> Checkpoint { try Checkpoint(folder.appendingPathComponent("merged.safetensors")) }

  public static let all = [
    "llama", "llama-rslora-patterns", "llama-dora", "llama-embedding", "llama-embedding-dora", "llama-layers",
    "llama-excluded", "gpt2", "gpt2-dora", "bert-head", "bert-biases", "convolutions", "convolutions-dora",
  ].map(PEFTCase.init)

  public static func named(_ name: String) -> PEFTCase { all.first { $0.name == name }! }
}

/// Runs a test with a directory of its own, removed afterwards.
public func withTemporaryDirectory<Result>(_ body: (URL) throws -> Result) throws -> Result {
  let url = FileManager.default.temporaryDirectory.appendingPathComponent("checkpoints-\(UUID().uuidString)")
  try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
  defer { try? FileManager.default.removeItem(at: url) }
  return try body(url)
}

/// The largest difference between two tensors, over the largest value.
public func relativeDifference(_ a: Tensor, _ b: Tensor) -> Float {
  guard a.shape == b.shape else { return .infinity }
  let largest = b.scalars.map(abs).max() ?? 0
  let difference = zip(a.scalars, b.scalars).map { abs($0 - $1) }.max() ?? 0
  return difference.isNaN ? .infinity : largest > 0 ? difference / largest : difference
}

/// Random numbers of both signs.
public func randomTensor(_ shape: [Int], seed: UInt64) -> Tensor {
  var generator = SeededGenerator(seed: seed)
  return Tensor(shape: shape) { buffer in
    for i in buffer.indices { buffer[i] = Float.random(in: -1...1, using: &generator) }
  }
}

/// A safetensors file from a header's text and a number of data bytes.
public func safetensorsFile(header: String, data: [UInt8] = [], length: UInt64? = nil) -> [UInt8] {
  let text = Array(header.utf8)
  return withUnsafeBytes(of: (length ?? UInt64(text.count)).littleEndian) { Array($0) } + text + data
}
