// Bytes of a program's own, too many for its memory: in a file without a name, which is gone with the program however
// that ends.

import Foundation

/// Bytes that grow at their end and are read at any place: in memory while they are few, then in the system's folder for
/// temporary files.
///
/// One writes; after that any number may read.
package final class ScratchBytes: @unchecked Sendable {
  package private(set) var count = 0
  /// The bytes from `written` on, which are not in the file.
  private var tail: [UInt8] = []
  private var written = 0
  private var descriptor: Int32 = -1
  private let memoryLimit: Int

  /// - Parameter memoryLimit: how many bytes are kept in memory before a file is made.
  package init(memoryLimit: Int = 16 << 20) { self.memoryLimit = memoryLimit }

  deinit { if descriptor >= 0 { close(descriptor) } }

  /// - Throws: ``CheckpointError`` where the temporary file can't be written.
  package func append(_ bytes: some Collection<UInt8>) throws {
    tail += bytes
    count += bytes.count
    if tail.count > (descriptor < 0 ? memoryLimit : 1 << 20) { try moveToFile() }
  }

  /// Fills `buffer` with the bytes from `offset` on; fewer only at their end.
  package func read(at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
    let wanted = min(buffer.count, count - offset)
    guard wanted > 0 else { return 0 }
    let stored = max(0, min(wanted, written - offset))
    if stored > 0 {
      guard
        readFully(descriptor, at: offset, into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<stored])) == stored
      else { throw failure("can't be read: \(systemError())") }
    }
    tail.withUnsafeBytes { tail in
      let start = max(0, offset - written)
      UnsafeMutableRawBufferPointer(rebasing: buffer[stored..<wanted]).copyMemory(
        from: UnsafeRawBufferPointer(rebasing: tail[start..<start + wanted - stored]))
    }
    return wanted
  }

  private var folder: URL { FileManager.default.temporaryDirectory }

  private func moveToFile() throws {
    if descriptor < 0 {
      var path = Array(folder.appendingPathComponent("lora-XXXXXX").path.utf8CString)
      descriptor = mkstemp(&path)
      guard descriptor >= 0 else { throw failure("no temporary file can be made there: \(systemError())") }
      unlink(path)
    }
    try tail.withUnsafeBytes { bytes in
      var done = 0
      while done < bytes.count {
        let count = pwrite(descriptor, bytes.baseAddress! + done, bytes.count - done, off_t(written + done))
        guard count > 0 || errno == EINTR else { throw failure("a temporary file there can't grow: \(systemError())") }
        done += max(0, count)
      }
    }
    written += tail.count
    tail.removeAll(keepingCapacity: descriptor >= 0 && tail.count < 2 << 20)
  }

  private func failure(_ message: String) -> CheckpointError {
    CheckpointError(
      .inputOutput, file: folder.path, message, advice: "Name a folder with more room in the environment (TMPDIR)")
  }
}

/// Fills `buffer` with a file's bytes from `offset` on; fewer at the file's end, −1 where it can't be read.
package func readFully(_ descriptor: Int32, at offset: Int, into buffer: UnsafeMutableRawBufferPointer) -> Int {
  var done = 0
  while done < buffer.count {
    let count = pread(descriptor, buffer.baseAddress! + done, buffer.count - done, off_t(offset + done))
    if count < 0, errno == EINTR { continue }
    guard count >= 0 else { return -1 }
    if count == 0 { break }
    done += count
  }
  return done
}
