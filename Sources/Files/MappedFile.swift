// A file mapped into memory: its pages are read when they are touched and belong to the system's cache.

import Foundation
import LoRATensors

/// A file's bytes, read-only. The mapping lives as long as the object.
///
/// As with every memory map, another program that shortens the file meanwhile stops this one (SIGBUS). Programs that
/// replace files by renaming, as this library does, don't.
package final class MappedFile: @unchecked Sendable {
  package let bytes: UnsafeRawBufferPointer
  /// Stays open for copies inside the system.
  let descriptor: Int32

  package init(_ url: URL) throws {
    let path = url.path
    // A pipe that nobody writes to would never be open.
    descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else {
      throw CheckpointError(
        .inputOutput, file: path, "can't be opened for reading: \(systemError())",
        advice: "Check the path and its permissions")
    }
    var status = stat()
    guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
      close(descriptor)
      throw CheckpointError(
        .inputOutput, file: path, "is a folder, a pipe or a device", expected: "an ordinary file", advice: "Name a file"
      )
    }
    let length = Int(status.st_size)
    guard length > 0 else {
      bytes = UnsafeRawBufferPointer(start: nil, count: 0)
      return
    }
    guard let base = mmap(nil, length, PROT_READ, MAP_SHARED, descriptor, 0), base != MAP_FAILED else {
      let reason = systemError()
      close(descriptor)
      throw CheckpointError(
        .inputOutput, file: path, "can't be mapped into memory: \(reason)",
        advice: "Free some memory, or copy the file to a disk of this machine")
    }
    bytes = UnsafeRawBufferPointer(start: base, count: length)
  }

  deinit {
    if let base = bytes.baseAddress { munmap(UnsafeMutableRawPointer(mutating: base), bytes.count) }
    close(descriptor)
  }

  /// What is about to be done with a range of bytes.
  enum Advice {
    /// It will be read soon: start reading it now.
    case willNeed
    /// It won't be read again soon: its pages need not stay in this process.
    case finished
  }

  /// Tells the system; a hint, without effect on what is read.
  func advise(_ advice: Advice, _ range: Range<Int>) {
    guard let base = bytes.baseAddress, !range.isEmpty else { return }
    let page = Int(getpagesize())
    // What is finished gives up whole pages only: a neighbour may need the rest.
    let start = advice == .finished ? (range.lowerBound + page - 1) / page * page : range.lowerBound / page * page
    let end = advice == .finished && range.upperBound < bytes.count ? range.upperBound / page * page : range.upperBound
    guard start < end else { return }
    madvise(
      UnsafeMutableRawPointer(mutating: base + start), end - start, advice == .finished ? MADV_DONTNEED : MADV_WILLNEED)
  }
}

extension MappedFile: RereadableMemory {
  package func release(_ part: UnsafeRawBufferPointer) {
    guard let base = bytes.baseAddress, let start = part.baseAddress else { return }
    let begin = start - base
    advise(.finished, begin..<begin + part.count)
  }
}

/// The text of `errno`.
package func systemError() -> String { String(cString: strerror(errno)) }
