// The cases that Fixtures/methods/make.py wrote: what peft and LyCORIS made of an adapted module.

import Foundation
import LoRAAdapters
import LoRAFiles
import LoRATensors
import Testing

/// One adapted module, and its weight as the program that made it merges it.
public struct MethodCase: CustomTestStringConvertible, Sendable {
  public let file: String
  public let name: String
  public let weight: Tensor
  public let merged: Tensor
  public let bias: Tensor?
  public let mergedBias: Tensor?
  /// Whether the weight is stored [inputs, outputs].
  public let isTransposed: Bool
  public var parts: ModuleParts
  public var testDescription: String { "\(file) \(name)" }

  public static let files = [
    "loha", "lokr", "vera", "adalora", "ia3", "difference", "oft", "glora", "locon", "tokens", "miss", "delora",
  ]
  public static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .appendingPathComponent("../Fixtures/methods")

  public static let all: [MethodCase] = files.flatMap { file in
    // swift-format-ignore: NeverUseForceTry
    try! cases(of: file)
  }

  public static func named(_ file: String, _ name: String) -> MethodCase {
    all.first { $0.file == file && $0.name == name }!
  }

  private static func cases(of file: String) throws -> [MethodCase] {
    let stored = try SafetensorsFile(folder.appendingPathComponent("\(file).safetensors"))
    let text = stored.metadata.first { $0.key == "cases" }?.value.string ?? "{}"
    return try JSON(parsing: text).members.map { member in
      var (tensors, shared): ([MethodPart: StoredTensor], [String: StoredTensor]) = ([:], [:])
      for tensor in stored.tensors where tensor.name.hasPrefix("\(member.key)|") {
        let name = String(tensor.name.dropFirst(member.key.count + 1))
        if name.hasPrefix("shared.") { shared["base_model." + name.dropFirst("shared.".count)] = tensor }
        guard name.hasPrefix("module.") else { continue }
        let suffix = String(name.dropFirst("module".count))
        tensors[try #require(AdapterMethods.partBySuffix[suffix], "\(suffix) belongs to no method")] = tensor
      }
      func tensor(_ name: String) throws -> Tensor? { try stored["\(member.key)|\(name)"]?.tensor() }
      return MethodCase(
        file: file, name: member.key, weight: try tensor("w")!, merged: try tensor("merged")!, bias: try tensor("bias"),
        mergedBias: try tensor("merged_bias"), isTransposed: member.value["transposed"]?.bool ?? false,
        parts: ModuleParts(
          path: "model.module", file: "\(file).safetensors", tensors: tensors, alpha: member.value["alpha"]?.number,
          shared: shared, fields: member.value["fields"] ?? .object([])))
    }
  }

  public func method() throws -> any AdapterMethod { try AdapterMethods.make(parts) }
}

/// The weight, stored as it is or transposed, worked out in blocks of so many rows, or as many more as the method asks.
public func worked(_ method: any AdapterMethod, _ weight: Tensor, isTransposed: Bool, rows: Int) throws -> Tensor {
  let shape = weight.shape
  let matrix = weight.reshaped([shape[0], weight.count / shape[0]])
  let transform = try method.transform(
    of: WeightMatrix(shape: shape, isTransposed: isTransposed) { matrix.sliced(axis: 0, $0) })
  let multiple = transform.rowMultiple
  let step = (rows + multiple - 1) / multiple * multiple
  let blocks = stride(from: 0, to: shape[0], by: step).map { start in
    let range = start..<min(start + step, shape[0])
    return transform(matrix.sliced(axis: 0, range), rows: range)
  }
  return Tensor.concatenated(blocks, axis: 0).reshaped(shape)
}
