// Questions about paths, and small files read whole.

import Foundation

/// Whether a path is a directory.
package func isDirectory(_ url: URL) -> Bool {
  var isDirectory: ObjCBool = false
  return FileManager.default.fileExists(atPath: url.path, isDirectory: &isDirectory) && isDirectory.boolValue
}

/// A small file's bytes; nil where there is none.
///
/// - Throws: ``CheckpointError`` where it is no ordinary file, or can't be read.
package func contents(of file: URL) throws -> Data? {
  guard FileManager.default.fileExists(atPath: file.path) else { return nil }
  let mapped = try MappedFile(file)
  return withExtendedLifetime(mapped) { Data(mapped.bytes) }
}

/// Reads a JSON file.
package func readJSON(_ url: URL) throws -> JSON {
  let file = try MappedFile(url)
  do throws(JSONError) { return try JSON(parsing: file.bytes) } catch {
    switch withExtendedLifetime(file, { FileKind(file.bytes) }) {
    case .json, .text, .unknown:
      throw CheckpointError(.malformed, file: url.path, "\(error)", expected: "valid JSON", advice: .fetchAgain)
    case let kind:
      throw CheckpointError(
        .malformed, file: url.path, "is \(kind)", expected: "a JSON text", advice: kind.advice ?? .fetchAgain)
    }
  }
}

/// A file of a model's or an adapter's folder, which comes from elsewhere: a link in it is followed within the folder, or
/// to the blobs of Hugging Face's cache that it is a snapshot of, and nowhere else.
///
/// - Throws: ``CheckpointError`` where it is a link to another place, or to nothing.
package func file(_ name: String, in folder: URL) throws -> URL {
  let file = folder.appendingPathComponent(name)
  if let target = try? FileManager.default.destinationOfSymbolicLink(atPath: file.path),
    !FileManager.default.fileExists(atPath: file.path)
  {
    throw CheckpointError(
      .missing, file: file.path, "is a link to \(target), where nothing is", expected: "a file within the folder",
      advice: "Fetch the file again, or remove the link")
  }
  guard !liesOutside(file, folder) else {
    throw CheckpointError(
      .inputOutput, file: file.path, "is a link to \(file.resolvingSymlinksInPath().path), and is not followed",
      expected: "a file within the folder", advice: "Copy the file into the folder")
  }
  return file
}

/// Whether a file of a folder is, by a link, one that lies elsewhere.
package func liesOutside(_ file: URL, _ folder: URL) -> Bool {
  // The usual file is no link and lies in the folder itself.
  if (try? FileManager.default.destinationOfSymbolicLink(atPath: file.path)) == nil,
    file.deletingLastPathComponent().path == folder.path
  {
    return false
  }
  let target = file.resolvingSymlinksInPath().standardizedFileURL.path
  let own = folder.resolvingSymlinksInPath().standardizedFileURL
  if target.hasPrefix(own.path + "/") { return false }
  // models--NAME/snapshots/COMMIT, and the folders in it, link to models--NAME/blobs.
  var place = own.deletingLastPathComponent()
  while place.path != "/", place.lastPathComponent != "snapshots" { place.deleteLastPathComponent() }
  return place.path == "/" || !target.hasPrefix(place.deletingLastPathComponent().path + "/blobs/")
}
