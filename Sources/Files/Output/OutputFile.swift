// A file that appears under its name only when it is whole.
//
// It is written beside its final name, synced to the disk and renamed; whatever stops the program before leaves the
// old file as it was.

import Foundation
import LoRACKernels

/// A file being written. ``commit()`` makes it appear; without it nothing is left.
package final class OutputFile: @unchecked Sendable {
  let url: URL
  private let partial: URL
  private let descriptor: Int32
  private var isCommitted = false

  /// Pieces of at least this many bytes go to the disk while others are worked on.
  private static let syncedEarly = 1 << 19

  init(_ url: URL) throws {
    var information = stat()
    let exists = stat(url.path, &information) == 0
    guard !exists || information.st_mode & S_IFMT == S_IFREG else {
      throw CheckpointError(
        .inputOutput, file: url.path, "is a folder, a pipe or a device", expected: "an ordinary file, or nothing yet",
        advice: "Name another place")
    }
    guard exists || lstat(url.path, &information) != 0 else {
      throw CheckpointError(
        .inputOutput, file: url.path, "is a link to nothing", expected: "an ordinary file, or nothing yet",
        advice: "Remove it, or name another place")
    }
    // A link goes on pointing to what is written.
    let url = url.resolvingSymlinksInPath()
    self.url = url
    let folder = url.deletingLastPathComponent()
    PartialName.removeStale(for: url.lastPathComponent, in: folder)
    partial = folder.appendingPathComponent(PartialName.make(for: url.lastPathComponent))
    descriptor = open(partial.path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else {
      throw CheckpointError(.inputOutput, file: url.path, "can't be written: \(systemError())", advice: .checkPlace)
    }
    // Who could not read the old one can't read the new one.
    if exists { fchmod(descriptor, information.st_mode & 0o777) }
  }

  deinit {
    if !isCommitted {
      close(descriptor)
      unlink(partial.path)
    }
  }

  /// Whether a file can be written at a place: makes one beside it and takes it away again.
  package static func probe(_ url: URL) throws { _ = try OutputFile(url) }

  /// Reserves room, so that a full disk is noticed before work is done.
  func reserve(_ byteCount: Int) throws {
    #if os(Linux)
      // Where the file system can't reserve, writing notices a full disk later.
      let result = posix_fallocate(descriptor, 0, off_t(byteCount))
      guard result != ENOSPC && result != EDQUOT && result != EFBIG else {
        throw CheckpointError(
          .inputOutput, file: url.path, "\(byteCount) bytes don't fit: \(String(cString: strerror(result)))",
          advice: "Make room on that disk, or name another place")
      }
    #endif
  }

  /// Writes at a position; calls for different ranges may run at the same time.
  func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws {
    var done = 0
    while done < bytes.count {
      let written = pwrite(descriptor, bytes.baseAddress! + done, bytes.count - done, off_t(offset + done))
      if written < 0 && errno == EINTR { continue }
      guard written > 0 else {
        throw CheckpointError(.inputOutput, file: url.path, "can't be written: \(systemError())", advice: .checkPlace)
      }
      done += written
    }
    startSync(offset..<offset + bytes.count)
  }

  /// Writes some of a tensor's bytes, as they are stored, at a position. Those of a mapped file are copied by the system, where
  /// it can: without a detour through this process's memory, or without any copy on file systems that share blocks.
  func write(_ tensor: StoredTensor, bytes range: Range<Int>, at offset: Int) throws {
    let done =
      tensor.place.map {
        ck_copy_file_bytes($0.file.descriptor, $0.range.lowerBound + range.lowerBound, descriptor, offset, range.count)
      } ?? 0
    startSync(offset..<offset + done)
    guard done < range.count else { return }
    try tensor.withBytes {
      try write(UnsafeRawBufferPointer(rebasing: $0[range.lowerBound + done..<range.upperBound]), at: offset + done)
    }
    tensor.release(bytes: range)
  }

  /// Has the system begin to bring a large range to the disk while work goes on, so that the sync at the end is short.
  private func startSync(_ range: Range<Int>) {
    guard range.count >= Self.syncedEarly else { return }
    #if os(Linux)
      // Of a range just written, this advice starts the write-back; pages that wait for it stay.
      posix_fadvise(descriptor, off_t(range.lowerBound), off_t(range.count), POSIX_FADV_DONTNEED)
    #endif
  }

  /// Cuts the file to its length, syncs it and gives it its name.
  func commit(byteCount: Int) throws {
    func check(_ result: Int32) throws {
      guard result == 0 else {
        throw CheckpointError(.inputOutput, file: url.path, "can't be written: \(systemError())", advice: .checkPlace)
      }
    }
    try check(ftruncate(descriptor, off_t(byteCount)))
    try check(fsync(descriptor))
    try check(rename(partial.path, url.path))
    isCommitted = true
    close(descriptor)
    syncDirectory(url.deletingLastPathComponent())
  }

  /// Writes a small file whole. What is there and no regular file (a terminal, a pipe) is written to as it is.
  package static func write(_ data: Data, to url: URL) throws {
    let output = try OutputParts(url)
    try output.append(data)
    try output.finish()
  }

  package static func write(_ text: String, to url: URL) throws { try write(Data(text.utf8), to: url) }
}

/// What is written part by part, none of which is held. A file appears under its name when it is whole; what is there and no
/// regular file (a terminal, a pipe) is written to as it is.
package final class OutputParts {
  private let url: URL
  private enum Place {
    case file(OutputFile)
    case stream(FileHandle)
  }
  private let place: Place
  private var count = 0

  package init(_ url: URL) throws {
    self.url = url
    var information = stat()
    guard stat(url.path, &information) == 0, information.st_mode & S_IFMT != S_IFREG else {
      place = .file(try OutputFile(url))
      return
    }
    do { place = .stream(try FileHandle(forWritingTo: url)) } catch { throw Self.failure(url, error) }
  }

  package func append(_ data: Data) throws {
    switch place {
    case .file(let file): try data.withUnsafeBytes { try file.write($0, at: count) }
    case .stream(let handle): do { try handle.write(contentsOf: data) } catch { throw Self.failure(url, error) }
    }
    count += data.count
  }

  /// Makes the file appear.
  package func finish() throws {
    if case .file(let file) = place { try file.commit(byteCount: count) }
  }

  private static func failure(_ url: URL, _ error: any Error) -> CheckpointError {
    CheckpointError(
      .inputOutput, file: url.path, "can't be written: \(error.localizedDescription)", advice: .checkPlace)
  }
}

/// Makes a rename in a directory last. Some file systems can't; the rename itself is whole in any case.
package func syncDirectory(_ url: URL) {
  let descriptor = open(url.path.isEmpty ? "." : url.path, O_RDONLY | O_CLOEXEC)
  guard descriptor >= 0 else { return }
  fsync(descriptor)
  close(descriptor)
}
