import Foundation

/// Writing with errors that name the file and say what to do, most often about a full disk.
enum Disk {
  static func write(_ text: String, to file: URL) throws {
    guard let stream = fopen(file.path, "w") else { throw failure(writing: file) }
    let bytes = Array(text.utf8)
    let isWritten = fwrite(bytes, 1, bytes.count, stream) == bytes.count && fflush(stream) == 0
    let error = errno
    fclose(stream)
    if !isWritten {
      errno = error
      throw failure(writing: file)
    }
  }

  static func makeFolder(_ folder: URL) throws {
    guard mkdir(folder.path, 0o755) == 0 || errno == EEXIST else { throw failure(writing: folder) }
  }

  /// Throws if the disk is full, on which the compiler and the linker fail with other words, or with none.
  static func demandSpace(for file: URL) throws {
    var disk = statvfs()
    guard statvfs(file.deletingLastPathComponent().path, &disk) == 0 else { return }
    if UInt64(disk.f_bavail) * UInt64(disk.f_frsize) < 128 << 10 {
      errno = ENOSPC
      throw failure(writing: file)
    }
  }

  private static func failure(writing file: URL) -> CellFailure {
    CellFailure(
      name: "Disk error",
      message:
        "could not write \(file.path): \(String(cString: strerror(errno))). Free some space there, or set TMPDIR "
        + "to a folder that has it and restart the kernel. What earlier cells defined is kept.")
  }
}
