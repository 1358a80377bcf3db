// A directory of files that appear together.

import Foundation

/// A directory being written. Its files go into ``staging``; ``commit()`` gives it its name.
///
/// A new directory appears in one rename. In one that exists already, each file is replaced by a rename of its own,
/// those that others refer to first (weights before indexes and configurations), and other files there are kept.
public final class OutputDirectory {
  public let url: URL
  /// Where the files are written.
  public let staging: URL
  private var isCommitted = false

  /// - Throws: ``CheckpointError`` where it can't be made, or where a file has its name.
  public init(_ url: URL) throws {
    self.url = url.standardizedFileURL
    var isDirectory: ObjCBool = false
    if FileManager.default.fileExists(atPath: self.url.path, isDirectory: &isDirectory), !isDirectory.boolValue {
      throw CheckpointError(.inputOutput, file: url.path, "is a file; a directory is to be written there")
    }
    let parent = self.url.deletingLastPathComponent()
    staging = parent.appendingPathComponent(
      ".\(self.url.lastPathComponent).\(UInt32.random(in: 0...UInt32.max)).partial")
    do {
      try FileManager.default.createDirectory(at: staging, withIntermediateDirectories: true)
    } catch {
      throw CheckpointError(.inputOutput, file: url.path, "can't be made: \(error.localizedDescription)")
    }
  }

  deinit {
    if !isCommitted { try? FileManager.default.removeItem(at: staging) }
  }

  public func commit() throws {
    let files = FileManager.default
    func move(_ source: URL, _ destination: URL) throws {
      guard rename(source.path, destination.path) == 0 else {
        throw CheckpointError(.inputOutput, file: destination.path, "can't be written: \(systemError())")
      }
    }
    syncDirectory(staging)
    if files.fileExists(atPath: url.path) {
      let names = try files.contentsOfDirectory(atPath: staging.path)
      for name in names.sorted(by: { ($0.hasSuffix(".json") ? 1 : 0, $0) < ($1.hasSuffix(".json") ? 1 : 0, $1) }) {
        try move(staging.appendingPathComponent(name), url.appendingPathComponent(name))
      }
      syncDirectory(url)
      try? files.removeItem(at: staging)
    } else {
      try move(staging, url)
    }
    syncDirectory(url.deletingLastPathComponent())
    isCommitted = true
  }
}
