// A module's parameters in a file, by their names.

import Foundation
import LoRAFiles
import LoRATensors

/// Differences between a file and a module that a caller accepts.
public struct NameDifferences: OptionSet, Sendable {
  /// The bits of those below.
  public let rawValue: Int

  /// Those whose bits are set.
  public init(rawValue: Int) { self.rawValue = rawValue }

  /// Parameters that the file does not hold; they stay as they are.
  public static let missing = NameDifferences(rawValue: 1)
  /// Tensors in the file that are no parameters of the module; they are left out.
  public static let unexpected = NameDifferences(rawValue: 2)
}

/// What was not loaded: both empty unless the caller accepted differences.
public struct LoadedNames: Sendable, Equatable {
  /// Parameters that the file does not hold.
  public let missing: [String]
  /// Tensors in the file that are no parameters of the module.
  public let unexpected: [String]
}

extension Module {
  /// Writes every parameter, those of parametrizations included, as it is stored, by name: a safetensors file in
  /// float32. It appears whole or not at all; a file that was there before stays until then.
  ///
  /// - Throws: `CheckpointError` where the file can't be written.
  public func save(to url: URL) throws {
    try SafetensorsWriter.write(
      allParameters.map { try StoredTensor(name: $0.name, $0.parameter.original) }, to: url)
  }

  /// Puts the tensors of a file (safetensors, or what `torch.save` wrote) into the parameters of the same names, those of
  /// parametrizations included: so attach adapters as they were when the module was saved.
  ///
  /// ```swift
  /// try model.load(from: url)                                    // exactly the names of the model
  /// let left = try model.load(from: url, accepting: .unexpected) // more names in the file are left out
  /// print(left.unexpected)
  /// ```
  /// - `accepting`: differences that are no error but are returned.
  /// - Throws: `CheckpointError`, before anything is changed, that lists what is missing, unexpected or of another shape;
  ///   also where no name agrees, whatever is accepted.
  @discardableResult
  public func load(from url: URL, accepting accepted: NameDifferences = []) throws -> LoadedNames {
    let (file, parameters) = (try TensorFile(url), allParameters)
    let known = Set(parameters.map(\.name))
    let found = parameters.compactMap { item in file[item.name].map { (item: item, tensor: $0) } }
    let names = LoadedNames(
      missing: parameters.map(\.name).filter { file[$0] == nil },
      unexpected: file.tensors.map(\.name).filter { !known.contains($0) })
    var problems = found.filter { $0.item.parameter.shape != $0.tensor.shape }.map {
      "\($0.item.name) has shape \($0.tensor.shape), expected \($0.item.parameter.shape)"
    }
    let nothing = found.isEmpty
    if nothing || !accepted.contains(.missing) { problems += names.missing.map { "missing: \($0)" } }
    if nothing || !accepted.contains(.unexpected) { problems += names.unexpected.map { "unexpected: \($0)" } }
    guard problems.isEmpty else {
      let shown = problems.prefix(20).map { "\n  \($0)" }.joined()
      throw CheckpointError(
        .mismatch, file: url.path,
        "the tensors are not those of this \(type(of: self)); nothing was loaded:\(shown)"
          + (problems.count > 20 ? "\n  and \(problems.count - 20) more" : ""),
        advice: "Make the module as it was when it was saved")
    }
    let values = try found.map { try $0.tensor.tensor() }
    for (found, value) in zip(found, values) { try found.item.parameter.assignOriginal(value) }
    return names
  }
}
