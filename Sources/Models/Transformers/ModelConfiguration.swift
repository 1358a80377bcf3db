import Foundation
import LoRAFiles
import LoRAFormats
import LoRATensors

/// A model's config.json, read field by field; a value that is not supported is an error that names it.
package struct ModelConfiguration {
  package let json: JSON
  let file: String

  package init(_ json: JSON, file: String) {
    self.json = json
    self.file = file
  }

  package init(_ checkpoint: Checkpoint) throws {
    guard let json = checkpoint.configuration else {
      throw CheckpointError(
        .missing, file: checkpoint.url.path,
        "has no config.json",
        advice: "A Hugging Face model is a folder with config.json, model.safetensors and tokenizer.json; name one")
    }
    self.init(json, file: checkpoint.url.appendingPathComponent("config.json").path)
    try checkpoint.requirePlain()
    for name in ["quantization", "quantization_config"] {
      // What is quantised is read as such; if nothing is, another way is meant.
      if let quantization = found(name), !checkpoint.tensors.contains(where: { $0.format.isQuantized }) {
        throw unsupported(
          name, quantization, supported: "bitsandbytes' NF4, FP4 and int8, mlx's affine 4 and 8 bits, GPTQ, AWQ")
      }
    }
  }

  private func found(_ name: String) -> JSON? {
    guard let value = json[name], !value.isNull else { return nil }
    return value
  }

  func malformed(_ name: String, _ value: JSON, expected: String) -> CheckpointError {
    CheckpointError(.malformed, file: file, "\(name) is \(value.compact), expected \(expected)")
  }

  func missing(_ name: String) -> CheckpointError { CheckpointError(.malformed, file: file, "has no \(name)") }

  func unsupported(_ name: String, _ value: JSON, supported: String) -> CheckpointError {
    CheckpointError(
      .unsupported, file: file, "\(name) is \(value.compact), which is not supported; supported: \(supported)",
      advice: "Take a model of a supported kind")
  }

  /// A positive integer.
  func integer(_ name: String, upTo limit: Int = Int(Int32.max), default fallback: Int? = nil) throws -> Int {
    guard let value = found(name) else {
      if let fallback { return fallback }
      throw missing(name)
    }
    guard let integer = value.integer, integer > 0 else { throw malformed(name, value, expected: "a positive integer") }
    guard integer <= limit else { throw malformed(name, value, expected: "at most \(limit)") }
    return integer
  }

  func number(_ name: String, default fallback: Double? = nil) throws -> Double {
    guard let value = found(name) else {
      if let fallback { return fallback }
      throw missing(name)
    }
    guard let number = value.number, number.isFinite else { throw malformed(name, value, expected: "a number") }
    return number
  }

  func positive(_ name: String, default fallback: Double? = nil) throws -> Double {
    let number = try number(name, default: fallback)
    guard number > 0 else { throw malformed(name, found(name) ?? .null, expected: "a number above 0") }
    return number
  }

  func flag(_ name: String, default fallback: Bool) throws -> Bool {
    guard let value = found(name) else { return fallback }
    guard let flag = value.bool else { throw malformed(name, value, expected: "true or false") }
    return flag
  }

  func text(_ name: String) throws -> String? {
    guard let value = found(name) else { return nil }
    guard let text = value.string else { throw malformed(name, value, expected: "a string") }
    return text
  }

  /// The object under `name`, as a configuration of its own.
  func object(_ name: String) throws -> ModelConfiguration? {
    guard let value = found(name) else { return nil }
    guard case .object = value else { throw malformed(name, value, expected: "an object") }
    return ModelConfiguration(value, file: "\(file): \(name)")
  }

  /// Insists that a field, where it is given, has one of `values`.
  func require(_ name: String, _ values: JSON...) throws {
    guard let value = found(name), !values.contains(value) else { return }
    throw unsupported(name, value, supported: values.map(\.compact).joined(separator: ", "))
  }

  func activation(_ name: String, default fallback: Activation) throws -> Activation {
    guard let text = try text(name) else { return fallback }
    guard let activation = Activation(rawValue: text) else {
      throw unsupported(name, .string(text), supported: Activation.allCases.map(\.rawValue).joined(separator: ", "))
    }
    return activation
  }

  /// The classes of a sequence classifier: `id2label` in order; numbers where they have no names.
  func labels() throws -> [String]? {
    if let value = found("id2label") {
      let pairs = try value.members.map { member -> (Int, String) in
        guard let id = Int(member.key), let name = member.value.string else {
          throw malformed("id2label", value, expected: "an object from class numbers to names")
        }
        return (id, name)
      }.sorted { $0.0 < $1.0 }
      guard pairs.map(\.0) == Array(0..<pairs.count) else {
        throw malformed("id2label", value, expected: "the class numbers from 0 without gaps")
      }
      // transformers' names for classes without names.
      return pairs.map { $0.1 == "LABEL_\($0.0)" ? "\($0.0)" : $0.1 }
    }
    guard let value = found("num_labels") else { return nil }
    // A class has a row of a weight; no model has nearly as many.
    guard let count = value.integer, (0...1 << 20).contains(count) else {
      throw malformed("num_labels", value, expected: "a number of classes")
    }
    return (0..<count).map { "\($0)" }
  }
}

/// A non-linearity, under the names that configurations use.
enum Activation: String, CaseIterable {
  case gelu
  case geluNew = "gelu_new"
  case geluTanh = "gelu_pytorch_tanh"
  case relu
  case silu
  case swish

  func callAsFunction(_ x: Tensor) -> Tensor {
    switch self {
    case .gelu: x.gelu()
    case .geluNew, .geluTanh: x.geluTanh()
    case .relu: x.relu()
    case .silu, .swish: x.silu()
    }
  }
}
