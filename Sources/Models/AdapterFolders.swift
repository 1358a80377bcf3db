// Several adapters from folders: what each is called.

import Foundation
import LoRAFiles

/// Adapters are known by their folders' names, with as many of the folders above as tell each from the others.
///
/// - Throws: `CheckpointError` where a folder is given twice.
func namesOfAdapters(_ folders: [URL]) throws -> [String] {
  let paths = folders.map { $0.standardizedFileURL.pathComponents.filter { $0 != "/" } }
  return try paths.indices.map { index in
    let (path, others) = (paths[index], paths.indices.filter { $0 != index }.map { paths[$0] })
    guard !others.contains(path) else {
      throw CheckpointError(
        .mismatch, file: folders[index].path, "is given twice as an adapter", expected: "each once",
        advice: "Give it once")
    }
    let length = (1...max(1, path.count)).first { length in
      !others.contains { $0.suffix(length) == path.suffix(length) }
    }
    return path.suffix(length ?? path.count).joined(separator: "/")
  }
}
