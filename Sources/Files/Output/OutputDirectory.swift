// A directory of files that appear together.
//
// It is written beside its final place and takes it in one step: by a rename where the place is free, by an exchange of the
// two directories where it is not. Whoever looks sees the old directory or the new one, never a mixture. What nothing can be
// put in place of (a mount point), or where somebody stands (the current directory), gets its files one by one.

import Foundation
import LoRACKernels

/// A directory being written. Its files go into ``staging``; ``commit()`` gives it its name.
///
/// Of a directory that exists, the weights, indexes and configurations of an earlier output go; all other files stay.
public final class OutputDirectory {
  /// Its final place, links followed.
  public let url: URL
  /// Where the files are written.
  public let staging: URL
  /// Whether the target stays, and its files are replaced.
  private let staysInPlace: Bool
  /// What is in its place has these rights and owners, and so will this.
  private let old: stat?
  private var isCommitted = false

  /// - Throws: ``CheckpointError`` where it can't be made, or where what is no directory has its name.
  public init(_ url: URL) throws {
    // A link goes on pointing to what is written.
    let target = url.standardizedFileURL.resolvingSymlinksInPath()
    self.url = target
    let parent = target.deletingLastPathComponent()
    var information = stat()
    let exists = stat(target.path, &information) == 0
    old = exists ? information : nil
    if exists, information.st_mode & S_IFMT != S_IFDIR {
      throw CheckpointError(
        .inputOutput, file: url.path,
        "is a \(information.st_mode & S_IFMT == S_IFREG ? "file" : "pipe or a device")",
        expected: "a directory, or nothing yet", advice: "Name another place")
    }
    if !exists, lstat(target.path, &information) == 0 {
      throw CheckpointError(
        .inputOutput, file: url.path, "is a link to nothing", expected: "a directory, or nothing yet",
        advice: "Remove it, or name another place")
    }
    var outside = stat()
    let current = FileManager.default.currentDirectoryPath
    staysInPlace =
      exists
      && (ck_is_mount_point(target.path)
        || stat(parent.path, &outside) == 0 && outside.st_dev != information.st_dev
        || access(parent.path, W_OK) != 0 || (current + "/").utf8.starts(with: (target.path + "/").utf8))
    let name = target.lastPathComponent
    let place = staysInPlace ? target : parent
    PartialName.removeStale(for: name, in: place)
    staging = place.appendingPathComponent(PartialName.make(for: name))
    do {
      try FileManager.default.createDirectory(at: staging, withIntermediateDirectories: true)
    } catch {
      throw CheckpointError(
        .inputOutput, file: url.path, "can't be made: \(error.localizedDescription)", advice: .checkPlace)
    }
  }

  deinit {
    if !isCommitted { try? FileManager.default.removeItem(at: staging) }
  }

  /// Whether a directory can be written at a place: makes one beside it and takes it away again, with the directories above
  /// it that were not there.
  ///
  /// - Throws: ``CheckpointError`` where it can't.
  package static func probe(_ url: URL) throws {
    let target = url.standardizedFileURL.resolvingSymlinksInPath()
    var made: [URL] = []
    var above = target.deletingLastPathComponent()
    while above.path != "/", !FileManager.default.fileExists(atPath: above.path) {
      made.append(above)
      above.deleteLastPathComponent()
    }
    defer { for directory in made { rmdir(directory.path) } }
    let directory = try OutputDirectory(url)
    // In a directory that stays, or beside it.
    _ = try OutputFile(directory.staging.appendingPathComponent("probe"))
  }

  /// Gives the directory its name, in one step, after all is on the disk.
  ///
  /// - Throws: ``CheckpointError`` where the system refuses; what was there before is then still there.
  public func commit() throws {
    let files = FileManager.default
    if staysInPlace {
      try replaceContents()
    } else if files.fileExists(atPath: url.path) {
      if let old {
        chmod(staging.path, old.st_mode & 0o7777)
        if old.st_uid != geteuid() || old.st_gid != getegid() { _ = chown(staging.path, old.st_uid, old.st_gid) }
      }
      for name in try kept() { try bring(name) }
      syncDirectory(staging)
      guard exchange(staging.path, url.path) else {
        throw CheckpointError(.inputOutput, file: url.path, "can't be written: \(systemError())", advice: .checkPlace)
      }
      syncDirectory(url)
      try? files.removeItem(at: staging)
    } else {
      syncDirectory(staging)
      try move(staging, url)
    }
    syncDirectory(url.deletingLastPathComponent())
    isCommitted = true
  }

  /// Whether a file belongs to an earlier output: weights, their index, their configuration.
  private static func isOwned(_ name: String) -> Bool {
    [".safetensors", ".safetensors.index.json"].contains(where: name.hasSuffix)
      || ["adapter_config.json", "config.json", "labels.json", "metrics.jsonl"].contains(name)
  }

  /// What stays of the directory that is there.
  private func kept() throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: url.path).filter { name in
      !Self.isOwned(name) && !PartialName.isPartial(name)
        && !FileManager.default.fileExists(atPath: staging.appendingPathComponent(name).path)
        && url.appendingPathComponent(name).path != staging.path
    }
  }

  /// Gives an entry of the old directory a place in the new one, without taking it from the old: by hard links.
  private func bring(_ path: String) throws {
    let (old, new) = (url.appendingPathComponent(path), staging.appendingPathComponent(path))
    var information = stat()
    guard lstat(old.path, &information) == 0 else { return }
    do {
      if information.st_mode & S_IFMT == S_IFDIR {
        try FileManager.default.createDirectory(at: new, withIntermediateDirectories: false)
        chmod(new.path, information.st_mode & 0o7777)
        for name in try FileManager.default.contentsOfDirectory(atPath: old.path) { try bring("\(path)/\(name)") }
      } else if link(old.path, new.path) != 0 {
        try FileManager.default.copyItem(at: old, to: new)
      }
    } catch {
      throw CheckpointError(
        .inputOutput, file: old.path, "can't be kept in the new directory: \(error.localizedDescription)",
        advice: .checkPlace)
    }
  }

  /// Where the directory itself can't be replaced: file by file, those that others refer to first.
  private func replaceContents() throws {
    let files = FileManager.default
    let names = try files.contentsOfDirectory(atPath: staging.path)
    for name in try files.contentsOfDirectory(atPath: url.path) where Self.isOwned(name) && !names.contains(name) {
      try? files.removeItem(at: url.appendingPathComponent(name))
    }
    for name in names.sorted(by: { ($0.hasSuffix(".json") ? 1 : 0, $0) < ($1.hasSuffix(".json") ? 1 : 0, $1) }) {
      let target = url.appendingPathComponent(name)
      // A directory that is there and full can't be renamed over.
      if isDirectory(target) { try? files.removeItem(at: target) }
      try move(staging.appendingPathComponent(name), target)
    }
    syncDirectory(url)
    try? files.removeItem(at: staging)
  }

  private func move(_ source: URL, _ destination: URL) throws {
    guard rename(source.path, destination.path) == 0 else {
      throw CheckpointError(
        .inputOutput, file: destination.path, "can't be written: \(systemError())", advice: .checkPlace)
    }
  }

  /// Exchanges two directories in one step; where the file system can't, in three, the last of which is undone on failure.
  private func exchange(_ one: String, _ other: String) -> Bool {
    if ck_exchange_paths(one, other) { return true }
    let aside = one + ".old"
    guard rename(other, aside) == 0 else { return false }
    guard rename(one, other) == 0 else {
      rename(aside, other)
      return false
    }
    rename(aside, one)
    return true
  }
}
