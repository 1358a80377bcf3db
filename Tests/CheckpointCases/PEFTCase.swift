// The cases that Fixtures/checkpoints/make_fixtures.py wrote.

import Foundation
import LoRAFormats
import TestSupport
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
