// A base model and a fine-tune of it, parameter by parameter, whatever the two files call them.

import LoRAAdapters
import LoRAFiles
import LoRAFormats

struct CheckpointPair: Sendable {
  struct Parameter: Sendable {
    /// The name in the model class that transformers builds.
    let name: String
    let tuned: StoredTensor
    /// nil where only the fine-tune has it.
    let base: StoredTensor?
    /// Whether the model class makes one parameter of this tensor and others (experts): the name is then the file's.
    var isPart = false

    var path: String { TensorInfo(name: name, format: .f32, shape: []).modulePath }
  }

  /// In the natural order of their names.
  let parameters: [Parameter]
  /// What only the base has.
  let onlyInBase: [String]
  let architecture: NameTable
  let tied: TiedEmbeddings?
  /// How the fine-tune's names become the base's, where no name table says so.
  let renaming: PathRenaming

  /// - Throws: `CheckpointError` where the two are not versions of one model.
  init(base: Checkpoint, tuned: Checkpoint) throws {
    for checkpoint in [base, tuned] { try checkpoint.requirePlain() }
    let catalog = WeightCatalog(tuned, configuration: tuned.configuration ?? base.configuration)
    let baseCatalog = WeightCatalog(base, configuration: base.configuration ?? tuned.configuration)
    architecture = catalog.architecture
    tied = catalog.tied
    let counterparts = Dictionary(byName: base.tensors) { baseCatalog.parameter(of: $0.name) }
    let counts = Dictionary(tuned.tensors.map { (ExactString(catalog.parameter(of: $0.name)), 1) }, uniquingKeysWith: +)
    func isPart(_ name: String) -> Bool { counts[catalog.parameter(of: name), default: 0] > 1 }
    func counterpart(_ name: String) -> StoredTensor? {
      if isPart(name) { return base[name] }
      return counterparts[catalog.parameter(of: name)] ?? base[name] ?? baseCatalog.stored(name).flatMap { base[$0] }
    }
    let renaming =
      tuned.tensors.contains { counterpart($0.name) != nil } ? .none : PathRenaming.between(tuned, base)
    self.renaming = renaming
    parameters = tuned.tensors.map {
      Parameter(
        name: isPart($0.name) ? $0.name : catalog.parameter(of: $0.name), tuned: $0,
        base: counterpart($0.name) ?? base[renaming($0.name)], isPart: isPart($0.name))
    }.sorted { isOrdered($0.name, $1.name) }
    let used = Set<ExactString>(names: parameters.compactMap { $0.base?.name })
    onlyInBase = base.tensors.map(\.name).filter { !used.contains($0) }
    guard !used.isEmpty else {
      throw CheckpointError(
        .mismatch, file: tuned.url.path, "has no tensor in common with \(base.url.path)",
        expected: "two versions of one model", advice: "Name a model and a fine-tune of it")
    }
  }
}

extension PathRenaming {
  /// The change of prefix that gives most of the fine-tune's tensors their counterpart.
  fileprivate static func between(_ tuned: Checkpoint, _ base: Checkpoint) -> PathRenaming {
    var counts: [ExactString: (renaming: PathRenaming, count: Int)] = [:]
    func count(_ tensors: [StoredTensor], in other: Checkpoint, _ sign: String, _ make: (String) -> PathRenaming) {
      for name in tensors.map(\.name) {
        for index in name.indices where name[index] == "." {
          let prefix = String(name[...index])
          if other[String(name.dropFirst(prefix.count))] != nil {
            counts[sign + prefix, default: (make(prefix), 0)].count += 1
          }
        }
      }
    }
    count(tuned.tensors, in: base, "-") { .dropping($0) }
    count(base.tensors, in: tuned, "+") { .adding($0) }
    return counts.values.max { $0.count < $1.count }?.renaming ?? .none
  }
}
