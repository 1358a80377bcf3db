// Which numbers an adapter was trained on: what its configuration's base is, against what a base holds.
//
// An adapter of a quantised base has learnt to live with that quantisation's errors, and corrects some of them. On other
// numbers it does almost the same; that almost should be known.

import Foundation
import LoRAAdapters
import LoRAFiles

extension Checkpoint {
  /// In which format its quantised matrices are, most of them; nil where all are plain numbers.
  public var quantization: NumberFormat? {
    var bytes: [NumberFormat: Int] = [:]
    for tensor in tensors where tensor.format.isQuantized { bytes[tensor.format, default: 0] += tensor.info.byteCount }
    return bytes.max { ($0.value, $0.key.rawValue) < ($1.value, $1.key.rawValue) }?.key
  }
}

extension StoredAdapter {
  /// What to know where the base that the adapter was trained on was quantised otherwise than this one, as far as the name
  /// in its configuration tells: a folder or a file that is there is looked into, of another the name is read.
  public func quantizationFinding(on base: Checkpoint) -> Finding? {
    guard let name = configuration.baseModel, !name.isEmpty else { return nil }
    let here = base.quantization
    let trained: String?
    if FileManager.default.fileExists(atPath: name), let other = try? Checkpoint(URL(fileURLWithPath: name)) {
      trained = other.quantization?.rawValue ?? "plain numbers"
    } else {
      trained = Self.quantization(named: name)
    }
    let found = here?.rawValue ?? "plain numbers"
    guard let trained, trained != found, !(trained == "4 bits" && here?.bits == 4) else { return nil }
    return Finding(
      .warning,
      "was trained on \(name) (\(trained)), and this base holds \(found): what it learnt of the one's rounding it does to the "
        + "other too"
        + (here == nil
          ? "; to have what was trained, merge it into that base, whose numbers are then written as such" : ""))
  }

  /// What a model's name says of its quantisation, by the words that are usual.
  private static func quantization(named name: String) -> String? {
    let words = [
      ("bnb-4bit", "NF4"), ("nf4", "NF4"), ("gptq", "GPTQ"), ("awq", "AWQ"), ("q8_0", "Q8_0"), ("q4_0", "Q4_0"),
      ("q4_k", "Q4_K"), ("q5_k", "Q5_K"), ("q6_k", "Q6_K"), ("4bit", "4 bits"), ("8bit", "8 bits"),
    ]
    let name = name.lowercased()
    return words.first { name.contains($0.0) }?.1
  }
}
