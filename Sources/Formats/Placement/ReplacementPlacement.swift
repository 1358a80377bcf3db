// Weights that an adapter brings whole, on a base.

import LoRAAdapters
import LoRAFiles

struct ReplacementPlacement {
  private(set) var replacements: [(tensor: StoredTensor, isNew: Bool)] = []
  private(set) var findings: [Finding] = []

  init(_ adapter: StoredAdapter, on base: WeightCatalog, renaming: PathRenaming, matcher: PEFTMatcher) {
    var misshapen: [String] = []
    var grown: [(path: String, found: Int, expected: Int)] = []
    var unreadable: [String] = []
    var added: [String] = []
    var ignored: [String] = []
    for tensor in adapter.replacements where tensor.count > 0 || base.stored(tensor.name) != nil {
      if let name = base.stored(tensor.name) ?? base.stored(renaming(tensor.name)), let entry = base[name] {
        guard entry.shape == tensor.shape else {
          if entry.shape.count == 2, tensor.shape.count == 2, entry.shape[1] == tensor.shape[1],
            tensor.shape[0] > entry.shape[0]
          {
            grown.append((tensor.name, tensor.shape[0], entry.shape[0]))
          } else {
            misshapen.append("\(tensor.name): \(tensor.shape), base \(entry.shape)")
          }
          continue
        }
        // Whole copies of any format; other formats of numbers have to be read.
        guard entry.format == tensor.format || tensor.format.isConvertible && entry.format?.isConvertible != false
        else {
          unreadable.append("\(tensor.name): \(tensor.format.rawValue), base \(entry.format?.rawValue ?? "F32")")
          continue
        }
        replacements.append((tensor.renamed(name), false))
      } else if renaming(tensor.name) == base.tied?.output {
        replacements.append((tensor.renamed(renaming(tensor.name)), true))
      } else if matcher.isReplaced(tensor.info.modulePath)
        || base.architecture.isHead(tensor.info.modulePath, of: adapter.configuration.taskType)
      {
        // A head that the base checkpoint lacks, for example a classifier on an encoder.
        replacements.append((tensor.renamed(renaming(tensor.name)), true))
        added.append(tensor.name)
      } else {
        ignored.append(tensor.name)
      }
    }
    findings.report(.error, "a saved weight has not the base's shape", misshapen)
    findings.reportGrown(grown)
    findings.report(.error, "saved weights in a format that can't become the base's", unreadable)
    findings.report(.note, "saved modules that the base does not have: they are added to it", added)
    findings.report(.error, "tensors without a place in the base: peft ignores them in silence", ignored)
  }
}

extension [Finding] {
  /// Embeddings with more rows than the base has, and what to do.
  mutating func reportGrown(_ grown: [(path: String, found: Int, expected: Int)]) {
    guard let first = grown.first else { return }
    report(
      .error,
      "the adapter's vocabulary is larger than the base's: resize the base's embeddings first "
        + "(model.resize_token_embeddings(\(first.found)))",
      grown.map { "\($0.path): \($0.found) rows, the base has \($0.expected)" })
  }
}
