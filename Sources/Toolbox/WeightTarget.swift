// The file that a model's weights are written to: which names, formats and orders of rows it asks for.

import Foundation
import LoRAFiles
import LoRAFormats
import LoRATensors

/// A model's weights as safetensors, or as one GGUF file.
struct WeightTarget: Sendable {
  /// What a tensor of the model becomes.
  struct Slot: Sendable {
    let info: TensorInfo
    /// Rows of a head whose halves are stored in turns; 0: rows are stored in their order.
    var head = 0
    /// Whether its transpose is stored.
    var isTransposed = false
    /// What the base's file has in this place, byte by byte the same where nothing changes.
    var origin: StoredTensor?
  }

  /// nil for safetensors.
  private let layout: GGUFLayout?
  /// The format that was asked for; nil: each tensor's own, or what stands in for it.
  let format: NumberFormat?

  /// - Parameters:
  ///   - base: the model.
  ///   - format: of its real numbers.
  ///   - output: where it will be written, whose name says what it becomes; nil: what the base is.
  /// - Throws: `CheckpointError` where the two don't go together.
  init(_ base: Checkpoint, format: NumberFormat?, output: URL?) throws {
    self.format = format
    let isGGUF = output.map { $0.pathExtension == "gguf" } ?? (base.gguf != nil)
    layout = isGGUF ? try GGUFLayout(base) : nil
    if let format, isGGUF ? format == .f64 : format.isQuantized {
      throw CheckpointError(
        .unsupported, file: output?.path ?? base.url.path,
        "\(format.rawValue) is asked for, which has no place in \(isGGUF ? "a GGUF file" : "safetensors")",
        expected: "a format of the file's kind",
        advice: Advice(isGGUF ? "Take another format" : "Name an output that ends in .gguf", .chooseFormat))
    }
  }

  /// Whether it is one GGUF file.
  var isGGUF: Bool { layout != nil }

  /// Tensors that stand in the file beside the model's.
  var additions: [StoredTensor] { layout?.additions ?? [] }

  /// Whether a tensor of the model is not written, since nothing asks for it there.
  func doesWithout(_ name: String) -> Bool { layout?.doesWithout(name) ?? false }

  /// - Parameters:
  ///   - name: the tensor's name in the model.
  ///   - source: the tensor.
  /// - Throws: `CheckpointError` where it can't be written so.
  func slot(of name: String, _ source: StoredTensor) throws -> Slot {
    guard let layout else {
      // Codes and scales become numbers again.
      let own = source.format.isQuantized ? NumberFormat.bf16 : source.format
      return Slot(
        info: TensorInfo(
          name: name, format: source.format.isConvertible ? format ?? own : source.format, shape: source.shape))
    }
    let place = try layout.slot(of: name, shape: source.shape)
    let origin = layout.origin(of: source.name)
    return Slot(
      info: TensorInfo(
        name: place.name, format: Self.fitting(wanted(place, origin?.format ?? source.format, layout), place.shape),
        shape: place.shape), head: place.head, isTransposed: place.isTransposed, origin: origin)
  }

  /// Of numbers in 4-bit blocks of 256, those that make the logits get 6, as llama.cpp does.
  private func wanted(_ slot: GGUFLayout.Slot, _ own: NumberFormat, _ layout: GGUFLayout) -> NumberFormat {
    guard let format else { return own.isComposite || own == .f64 ? .bf16 : own }
    return layout.makesLogits(slot) && (format == .q4K || format == .q5K) ? .q6K : format
  }

  /// A format that numbers of this shape can have: vectors are float32 in every GGUF file, and rows must be whole blocks.
  private static func fitting(_ format: NumberFormat, _ shape: [Int]) -> NumberFormat {
    guard shape.count >= 2 else { return .f32 }
    let smaller: [NumberFormat: NumberFormat] = [.q4K: .q50, .q5K: .q51, .q6K: .q80, .q2K: .q40, .q3K: .q40]
    var format = format
    if let block = format.block, shape.last! % block.count != 0 { format = smaller[format] ?? format }
    if let block = format.block, shape.last! % block.count != 0 { return .f16 }
    return format
  }

  /// The file, with all that it will hold announced.
  func writer(to url: URL, _ tensors: [TensorInfo], metadata: [JSON.Member]) throws -> any TensorWriter {
    guard let layout else {
      return try SafetensorsWriter(
        to: url, expecting: tensors, metadata: metadata.isEmpty ? SafetensorsWriter.pythonMetadata : metadata)
    }
    var bytes: [NumberFormat: Int] = [:]
    for tensor in tensors { bytes[tensor.format, default: 0] += tensor.byteCount }
    let most = bytes.max { ($0.value, $0.key.rawValue) < ($1.value, $1.key.rawValue) }?.key ?? .f32
    return try GGUFWriter(to: url, fields: layout.fields(mostly: format ?? most, of: tensors), tensors: tensors)
  }
}
