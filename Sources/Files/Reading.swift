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
