// The tiny models four times as wide, so that products reach the kernels that large models use.
import Foundation
import LoRAFiles
import LoRAFormats
import LoRATensors
import TestSupport

/// Writes a model like a fixture with every size times four (but for a classifier's three classes), of random weights.
func writeEnlarged(_ name: String, to folder: URL) throws {
  let source = fixtures.appendingPathComponent("models/\(name)")
  let data = try Data(contentsOf: source.appendingPathComponent("config.json"))
  var config = try JSONSerialization.jsonObject(with: data) as! [String: Any]
  for key in [
    "hidden_size", "intermediate_size", "vocab_size", "max_position_embeddings", "n_embd", "n_positions", "n_ctx",
    "n_inner", "type_vocab_size", "head_dim",
  ] {
    if let value = config[key] as? Int { config[key] = 4 * value }
  }
  try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
  try JSONSerialization.data(withJSONObject: config).write(to: folder.appendingPathComponent("config.json"))
  var generator = SeededGenerator(seed: 12)
  let tensors = try Checkpoint(source).tensors.map { tensor in
    let shape = tensor.shape.map { $0 == 3 ? 3 : 4 * $0 }
    return try StoredTensor(name: tensor.name, .normal(shape, deviation: 0.2, using: &generator))
  }
  try SafetensorsWriter.write(tensors, to: folder.appendingPathComponent("model.safetensors"))
}
