// What a GGUF file's metadata says of its tensors' shapes, which llama.cpp believes before it looks at the tensors.

import LoRAFiles

/// The widths and counts of one model's metadata.
struct GGUFShapes {
  private let fields: [String: GGUFField]
  private let architecture: String

  init(_ fields: [GGUFField], architecture: String) {
    self.fields = Dictionary(fields.map { ($0.key, $0) }, uniquingKeysWith: { first, _ in first })
    self.architecture = architecture
  }

  private func integer(_ key: String) -> Int? { fields["\(architecture).\(key)"]?.integer }

  /// Rows and columns of a matrix; nil where nothing is said.
  private func sides(of module: Substring) -> (rows: Int?, columns: Int?)? {
    let (width, inner) = (integer("embedding_length"), integer("feed_forward_length"))
    let heads = integer("attention.head_count")
    func rows(_ heads: Int?) -> Int? {
      guard let heads, let all = integer("attention.head_count"), all > 0,
        let size = integer("attention.key_length") ?? width.map({ $0 / all })
      else { return nil }
      let (rows, overflows) = heads.multipliedReportingOverflow(by: size)
      return overflows ? nil : rows
    }
    switch module {
    case "token_embd", "output": return (fields["tokenizer.ggml.tokens"]?.count, width)
    case "position_embd": return (integer("context_length"), width)
    case "attn_q": return (rows(heads), width)
    case "attn_k", "attn_v": return (rows(integer("attention.head_count_kv") ?? heads), width)
    case "attn_output": return (width, rows(heads))
    case "ffn_up", "ffn_gate": return (inner, width)
    case "ffn_down": return (width, inner)
    default: return nil
    }
  }

  /// - Parameters:
  ///   - tensors: all of the file, by llama.cpp's names.
  ///   - file: for messages.
  /// - Throws: `CheckpointError` for the first tensor of another shape, and for too few or too many layers.
  func check(_ tensors: [TensorInfo], file: String) throws {
    func fail(_ found: String, _ expected: String) -> CheckpointError {
      CheckpointError(
        .mismatch, file: file, found, expected: expected + ", by its configuration",
        advice: "Take the configuration that was saved with these weights")
    }
    var layers = 0
    for tensor in tensors {
      var parts = tensor.name.split(separator: ".")
      if parts.first == "blk", parts.count > 2, let layer = Int(parts[1]) {
        layers = max(layers, layer &+ 1)
        parts.removeFirst(2)
      }
      guard parts.last == "weight", tensor.shape.count == 2, let sides = sides(of: parts[0]) else { continue }
      let said = [sides.rows ?? tensor.shape[0], sides.columns ?? tensor.shape[1]]
      guard tensor.shape == said else {
        throw fail(
          "has \(tensor.name) of \(tensor.shape[0]) × \(tensor.shape[1])", "\(said[0]) × \(said[1])")
      }
    }
    if layers > 0, let said = integer("block_count"), said != layers {
      throw fail("has weights of \(layers.counted("layer"))", "\(said)")
    }
  }
}
