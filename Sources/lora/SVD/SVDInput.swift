import Foundation
import LoRAKit

/// What is to be decomposed.
enum SVDInput {
  case picture(Picture, name: String)
  /// - Parameter skipped: What tensors were left out for: "3 that are no matrices".
  case matrices([NamedMatrix], name: String, skipped: [String])

  /// A matrix that is read when it is needed.
  struct NamedMatrix {
    let name: String
    let shape: [Int]
    let read: () throws -> Tensor
    /// Its numbers.
    var count: Int { shape.reduce(1, *) }
  }

  /// Decides by a file's first bytes what it is.
  ///
  /// - Parameters:
  ///   - file: `nil` is the sample picture.
  ///   - tensor: A regular expression that must occur in a tensor's name.
  init(file: Path?, tensor: String?) throws {
    guard let file else {
      self = .picture(try .sample(), name: "sample")
      return
    }
    let url = try file.input()
    let name = file.isStream ? "picture" : url.deletingPathExtension().lastPathComponent
    var isDirectory: ObjCBool = false
    guard FileManager.default.fileExists(atPath: url.path, isDirectory: &isDirectory) else {
      throw CheckpointError(.inputOutput, file: "\(file)", "does not exist", advice: "Check the path")
    }
    if isDirectory.boolValue || [".safetensors", ".index.json", ".gguf"].contains(where: url.path.hasSuffix)
      || file.isStream && (try? TensorFile(url)) != nil
    {
      self = try Self.tensors(of: try Checkpoint(url), file: file.name, pattern: tensor)
      return
    }
    if tensor != nil { throw InputError("\(file.name): --tensor chooses among the tensors of a checkpoint") }
    if NumPyFile.recognises(url) {
      let array = try NumPyFile(url)
      guard array.shape.count == 2, !array.shape.contains(0) else {
        throw CheckpointError(
          .mismatch, file: file.name, "holds an array of shape \(array.shape)", expected: "a matrix",
          advice: "Save it with two axes, each of at least one")
      }
      self = .matrices(
        [NamedMatrix(name: name, shape: array.shape) { try array.tensor() }], name: file.lastComponent, skipped: [])
      return
    }
    self = try Self.picture(file.content(), file: file.name, name: name)
  }

  private static func picture(_ data: Data, file: String, name: String) throws -> SVDInput {
    guard Picture.recognises(data) else {
      throw InputError("\(file): is no picture (PNG, JPEG, WebP, PGM, PPM), no safetensors, GGUF or NumPy file")
    }
    do { return .picture(try Picture(contentsOf: data), name: name) } catch let error as PictureError {
      throw InputError("\(file): \(error.description)")
    }
  }

  private static func tensors(of checkpoint: Checkpoint, file: String, pattern: String?) throws -> SVDInput {
    let regex = try pattern.map { try Regex($0) }
    let chosen = try checkpoint.tensors.filter { tensor in
      try regex.map { try $0.firstMatch(in: tensor.name) != nil } ?? true
    }
    guard !chosen.isEmpty else {
      let names = checkpoint.tensors.map { "  \($0.name) \($0.shape)" }
      throw InputError(
        names.isEmpty
          ? "\(file): holds no tensors"
          : "\(file): no tensor's name matches '\(pattern ?? "")'. There are:\n" + names.joined(separator: "\n"))
    }
    let matrices = chosen.filter { $0.shape.count == 2 && $0.count > 0 && $0.format.isConvertible }
    guard !matrices.isEmpty else {
      let found = chosen.map { "  \($0.name) \($0.shape) \($0.format.rawValue)" }
      throw InputError(
        "\(file): none of these is a matrix of F32, F16, BF16 or F64 numbers:\n" + found.joined(separator: "\n"))
    }
    let unread = chosen.filter { $0.shape.count == 2 && !$0.format.isConvertible }
    let others = chosen.count - matrices.count - unread.count
    let skipped =
      (others > 0 ? ["\(others) that are no matrices"] : [])
      + unread.map { "\($0.name), whose format \($0.format.rawValue) is not read" }
    return .matrices(
      matrices.map { tensor in
        NamedMatrix(name: tensor.name, shape: tensor.shape) { try tensor.sharedTensor() }
      }, name: URL(fileURLWithPath: file).lastPathComponent, skipped: skipped)
  }
}
