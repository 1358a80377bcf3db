// What every operation on adapters asks of one before it goes on: that all of it was understood.

import LoRAAdapters
import LoRAFiles
import LoRAFormats
import LoRALinearAlgebra
import LoRATensors

extension StoredAdapter {
  /// Insists that everything that was read can be written again, and means what it says.
  ///
  /// - Throws: `CheckpointError` that names what can't.
  func requireWhole(action: String) throws {
    var problems = findings.errors.map { finding in
      finding.message + (finding.subjects.isEmpty ? "" : ": \(finding.subjects.prefix(5).joined(separator: ", "))")
    }
    if !configuration.unsupportedFields.isEmpty {
      problems.append("uses what is not reproduced here: \(configuration.unsupportedFields.joined(separator: ", "))")
    }
    if modules.isEmpty && replacements.isEmpty { problems.append("holds no module") }
    guard problems.isEmpty else {
      throw CheckpointError(
        .malformed, file: url.path, "can't be \(action) (nothing was written): \(problems.joined(separator: "; "))",
        expected: "an adapter that is understood whole", advice: Advice("Look at what it holds", .inspect))
    }
  }

  /// The change of a module as scale · B A; of DoRA, that of its direction.
  ///
  /// - Throws: `CheckpointError` that names the adapter and the module where it is none, or holds NaN or infinity.
  func update(of module: StoredModule) throws -> LowRankUpdate {
    guard let update = try module.method.core.factors() else {
      throw CheckpointError(
        .unsupported, file: url.path,
        "\(module.path) is \(module.method.core.name), which depends on the base's weights or has full rank",
        expected: "a change that is a product of two factors",
        advice: Advice("Merge it into the base, then extract", .merge))
    }
    guard update.a.isFinite, update.b.isFinite, update.scale.isFinite else {
      throw CheckpointError(
        .number, file: url.path, "\(module.path): A, B or the scale holds NaN or infinity", expected: "finite numbers",
        advice: .beforeItDiverged)
    }
    return update
  }

  /// Runs an operation of linear algebra on a module, whose errors then name the adapter and the module.
  func decomposing<Result>(_ module: StoredModule, _ body: () throws -> Result) throws -> Result {
    do { return try body() } catch let error as CheckpointError { throw error } catch LinearAlgebraError.overflow {
      throw CheckpointError(
        .number, file: url.path, "\(module.path): the numbers of A and B are so large that B A is beyond float32",
        expected: "a product within it", advice: .beforeItDiverged)
    } catch {
      throw CheckpointError(
        .number, file: url.path, "\(module.path): \((error as? any DescribedError)?.problem ?? "\(error)")",
        expected: "a matrix that can be decomposed", advice: (error as? any DescribedError)?.advice ?? .beforeItDiverged
      )
    }
  }
}

extension LowRankUpdate {
  /// B with the scale in it.
  var scaledB: Tensor { b * Float(scale) }
}
