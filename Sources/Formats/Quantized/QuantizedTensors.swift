// Weights whose codes and scales are several tensors of a safetensors file, put together again: what stands for a matrix
// becomes one tensor with the matrix' name and shape, whose numbers are worked out from the codes when they are asked for.

import Foundation
import LoRACKernels
import LoRAFiles
import LoRATensors

/// The tensors of a checkpoint by name, some of which are parts of others.
struct QuantizedTensors {
  /// What a part says that is wrong with it.
  struct Problem: Error {
    let found: String
    let expected: String
  }

  private let tensors: [ExactString: StoredTensor]
  /// What config.json, or a file beside it, says of the quantisation.
  let configuration: JSON
  /// Matrices put together, by the name of the tensor that holds their codes.
  private var composed: [ExactString: StoredTensor] = [:]
  /// Tensors that are parts of those.
  private var parts: Set<ExactString> = []

  /// - Parameters:
  ///   - files: the checkpoint's files; the parts of a matrix may lie in several.
  ///   - configuration: config.json.
  /// - Throws: `CheckpointError` that names a matrix whose parts don't fit each other.
  init(_ files: [TensorFile], configuration: JSON?) throws {
    tensors = Dictionary(byName: files.flatMap(\.tensors), \.name)
    self.configuration = configuration ?? .object([])
    for file in files {
      for tensor in file.tensors {
        do {
          try add(tensor)
        } catch let problem as Problem {
          throw CheckpointError(
            .malformed, file: file.url.path, "\(tensor.name): \(problem.found)", expected: problem.expected,
            advice: .fetchAgain)
        }
      }
    }
  }

  /// Whether anything was put together.
  var isEmpty: Bool { composed.isEmpty }

  /// The file with its matrices whole.
  func reading(_ file: TensorFile) throws -> TensorFile {
    try file.reading(
      file.tensors.compactMap { composed[$0.name] ?? (parts.contains($0.name) ? nil : $0) })
  }

  subscript(name: String) -> StoredTensor? { tensors[name] }

  private mutating func add(_ tensor: StoredTensor) throws {
    let found =
      if tensor.name.hasSuffix(".qweight") { try packed(tensor) } else if tensor.name.hasSuffix(".weight") {
        try bitsandbytes(tensor) ?? rowBytes(tensor) ?? affine(tensor)
      } else { nil as StoredTensor? }
    composed[ExactString(tensor.name)] = found
  }

  /// A part of a matrix, which then is no tensor of its own.
  mutating func take(_ name: String) -> StoredTensor? {
    guard let tensor = tensors[name] else { return nil }
    parts.insert(name)
    return tensor
  }

  /// A part that must be there, of one of these formats and with so many numbers.
  mutating func take(_ name: String, _ formats: [NumberFormat], count: Int) throws -> StoredTensor {
    guard let tensor = take(name) else {
      throw Problem(found: "its \(name) is missing", expected: "\(count) numbers there")
    }
    guard formats.contains(tensor.format), tensor.count == count else {
      throw Problem(
        found: "\(name) is \(tensor.format.rawValue) \(tensor.shape)",
        expected: "\(count) numbers in " + formats.map(\.rawValue).joined(separator: " or "))
    }
    return tensor
  }

  /// A matrix from its codes.
  ///
  /// - Parameters:
  ///   - shape: as the model has it.
  ///   - parts: what else it is made of, kept alive with it.
  ///   - fill: says what the kernels have to know; rows, columns and codes are set.
  static func matrix(
    _ name: String, _ format: NumberFormat, _ shape: [Int], codes: StoredTensor, _ parts: [AnyObject],
    bytes: Int, _ fill: (inout ck_encoded) -> Void
  ) -> StoredTensor {
    var matrix = ck_encoded()
    (matrix.rows, matrix.columns) = (shape.dropLast().reduce(1, *), shape.last ?? 1)
    matrix.codes = codes.start
    fill(&matrix)
    return StoredTensor(
      info: TensorInfo(name: name, format: format, shape: shape), codes: codes,
      EncodedMatrix(matrix, byteCount: bytes, owners: [codes.storage] + parts))
  }
}

/// Floats in memory of our own, for the kernels.
final class FloatTable: @unchecked Sendable {
  let start: UnsafeMutablePointer<Float>
  private let count: Int

  init(_ tensor: StoredTensor) throws {
    let values = try tensor.tensor().scalars
    guard values.allSatisfy(\.isFinite) else {
      throw QuantizedTensors.Problem(found: "\(tensor.name) holds NaN or infinity", expected: "finite numbers")
    }
    count = values.count
    start = .allocate(capacity: max(count, 1))
    start.initialize(from: values, count: count)
  }

  deinit { start.deallocate() }
}

/// Indices in memory of our own.
final class IndexTable: @unchecked Sendable {
  let start: UnsafeMutablePointer<Int32>

  init(_ values: [Int32]) {
    start = .allocate(capacity: max(values.count, 1))
    start.initialize(from: values, count: values.count)
  }

  deinit { start.deallocate() }
}

extension NumberFormat {
  /// What kernels call the format of a scale.
  var scaleEncoding: Int32 { Int32(kernelEncoding ?? Int(CK_F32)) }
}
