import Foundation
import LoRAFiles
import LoRATensors
import TestSupport

/// A checkpoint in two shards.
public func writeShards(to directory: URL, index: String? = nil) throws {
  try SafetensorsWriter.write(
    [StoredTensor(name: "a.weight", randomTensor([4, 6], seed: 1))],
    to: directory.appendingPathComponent("model-00001-of-00002.safetensors"))
  try SafetensorsWriter.write(
    [
      StoredTensor(name: "b.weight", randomTensor([6, 4], seed: 2), as: .bf16),
      StoredTensor(name: "c", Tensor([1, 2])),
    ],
    to: directory.appendingPathComponent("model-00002-of-00002.safetensors"))
  let text =
    index
    ?? #"{"metadata":{"total_size":152},"weight_map":{"a.weight":"model-00001-of-00002.safetensors","b.weight":"model-00002-of-00002.safetensors","c":"model-00002-of-00002.safetensors"}}"#
  try text.write(
    to: directory.appendingPathComponent("model.safetensors.index.json"), atomically: true, encoding: .utf8)
}
