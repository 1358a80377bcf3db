// Questions about paths, and small files read whole.

import Foundation

/// Whether a path is a directory.
package func isDirectory(_ url: URL) -> Bool {
  var isDirectory: ObjCBool = false
  return FileManager.default.fileExists(atPath: url.path, isDirectory: &isDirectory) && isDirectory.boolValue
}

/// Reads a JSON file.
package func readJSON(_ url: URL) throws -> JSON {
  let file = try MappedFile(url)
  do throws(JSONError) { return try JSON(parsing: file.bytes) } catch {
    throw CheckpointError(.malformed, file: url.path, "is no valid JSON: \(error)")
  }
}

/// Pickles run code when they are loaded; they are recognised and refused.
package func refusePickle(_ url: URL) throws {
  guard [".bin", ".pt", ".pth", ".ckpt"].contains(where: url.lastPathComponent.hasSuffix) else { return }
  throw CheckpointError(
    .unsupported, file: url.path,
    "is a Python pickle, which can run code when loaded, and is not read here. Convert it in Python: "
      + "safetensors.torch.save_file(torch.load(\"\(url.lastPathComponent)\", weights_only=True), "
      + "\"\(url.deletingPathExtension().lastPathComponent).safetensors\", metadata={\"format\": \"pt\"})")
}
