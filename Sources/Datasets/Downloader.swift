// Fetches files over HTTP: from the first mirror that has them, resuming what an earlier try left, and giving a file
// its final name only once its SHA-256 is right.
//
// The transfer is curl's, the program: macOS has it, and every Linux that has certificates to trust. Foundation's own
// would bring 25 libraries to every program of this package.
import Foundation

/// A file whose content is known in advance.
public struct RemoteFile: Equatable, Sendable {
  /// The file's name, at the mirrors and here.
  public let name: String
  /// Its size.
  public let byteCount: Int
  /// Lower-case hexadecimal.
  public let sha256: String

  /// A file of that size and that SHA-256, in lower-case hexadecimal.
  public init(name: String, byteCount: Int, sha256: String) {
    self.name = name
    self.byteCount = byteCount
    self.sha256 = sha256
  }
}

/// Fetches files into a folder.
///
/// ```swift
/// let downloader = Downloader(mirrors: MNIST.mirrors, directory: MNIST.cacheDirectory)
/// let url = try await downloader.fetch(MNIST.remoteFiles[0]) { print($0.receivedBytes) }
/// ```
public struct Downloader: Sendable {
  /// How far a download has come.
  public struct Progress: Equatable, Sendable {
    /// Which file.
    public let fileName: String
    /// How much of it is here, what an earlier try left included.
    public let receivedBytes: Int
    /// How much there is in all.
    public let totalBytes: Int
  }

  /// Base addresses, tried in order.
  public let mirrors: [URL]
  /// Where the files go; made when absent.
  public let directory: URL
  /// Seconds without a byte after which a mirror is given up.
  public let timeout: TimeInterval
  /// Seconds after which a mirror is given up in any case: one that lets a byte drip now and then is never silent.
  public let limit: TimeInterval

  /// - Parameters:
  ///   - mirrors: base addresses, tried in order.
  ///   - directory: where the files go; made when absent.
  ///   - timeout: seconds without a byte after which a mirror is given up.
  ///   - limit: seconds after which a mirror is given up in any case.
  public init(mirrors: [URL], directory: URL, timeout: TimeInterval = 30, limit: TimeInterval = 600) {
    self.mirrors = mirrors
    self.directory = directory
    self.timeout = timeout
    self.limit = limit
  }

  /// The file's place in `directory`; it is fetched only when it is not there yet.
  /// - Throws: `DatasetError` when no mirror gave it, with what each one said; `CancellationError`.
  public func fetch(
    _ file: RemoteFile, progress: @escaping @Sendable (Progress) -> Void = { _ in }
  ) async throws -> URL {
    let destination = directory.appendingPathComponent(file.name)
    guard !FileManager.default.fileExists(atPath: destination.path) else { return destination }
    try makeDirectory()
    let partial = directory.appendingPathComponent(file.name + ".partial")

    var reasons: [String] = []
    for mirror in mirrors {
      let source = mirror.appendingPathComponent(file.name)
      // Bytes that an earlier try left may be bad: then this mirror gets a second try from the start.
      var resumes = byteCount(of: partial) > 0
      while true {
        do {
          try await transfer(file, from: source, to: partial, progress: progress)
          let hash = try SHA256.hash(of: partial)
          guard hash == file.sha256 else {
            throw Failure("the SHA-256 is \(hash), not \(file.sha256)", isContent: true)
          }
          try moveIntoPlace(partial, destination)
          return destination
        } catch let failure as Failure {
          if failure.isContent || byteCount(of: partial) == 0 { try? FileManager.default.removeItem(at: partial) }
          if failure.isContent, resumes {
            resumes = false
            continue
          }
          reasons.append("\(source.absoluteString) (\(failure.reason))")
        }
        break
      }
      try Task.checkCancellation()
    }
    throw DatasetError(
      .download, file: destination,
      found: reasons.isEmpty
        ? "no mirror to ask" : "no mirror that gave the file: tried " + reasons.joined(separator: ", "),
      expected: "a file of \(file.byteCount.grouped) bytes with SHA-256 \(file.sha256)",
      advice: "Try again when the network is back, or put \(file.name) into \(directory.path) by hand")
  }

  /// Why one mirror did not give the file.
  struct Failure: Error {
    let reason: String
    /// What arrived is wrong, so that nothing of it is worth keeping.
    let isContent: Bool

    init(_ reason: String, isContent: Bool = false) {
      self.reason = reason
      self.isContent = isContent
    }
  }

  /// 0 also when there is no file.
  private func byteCount(of file: URL) -> Int {
    let attributes = try? FileManager.default.attributesOfItem(atPath: file.path)
    return (attributes?[.size] as? NSNumber)?.intValue ?? 0
  }

  private func makeDirectory() throws {
    do {
      try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
    } catch {
      throw DatasetError(
        .inaccessible, file: directory, found: "\"\(error.localizedDescription)\"",
        expected: "a folder to download into",
        advice: "Check its permissions or choose another")
    }
  }

  private func moveIntoPlace(_ partial: URL, _ destination: URL) throws {
    guard rename(partial.path, destination.path) == 0 else {
      throw DatasetError(
        .inaccessible, file: destination, found: "\"\(String(cString: strerror(errno)))\"",
        expected: "to rename \(partial.lastPathComponent) to it", advice: "Check the folder's permissions")
    }
  }

  /// Brings `partial` to its full length, from where it ends now.
  private func transfer(
    _ file: RemoteFile, from source: URL, to partial: URL, progress: @escaping @Sendable (Progress) -> Void
  ) async throws {
    let resumes = byteCount(of: partial) > 0
    guard byteCount(of: partial) < file.byteCount else { return }
    let curl = Process()
    let errors = Pipe()
    curl.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    curl.arguments = [
      "curl", "--silent", "--show-error", "--fail", "--location", "--proto", "=http,https",
      "--connect-timeout", "\(timeout)", "--speed-limit", "1", "--speed-time", "\(Int(timeout.rounded(.up)))",
      "--max-time", "\(limit)", "--max-filesize", "\(file.byteCount)",
      "--continue-at", "-", "--output", partial.path, "--url", source.absoluteString,
    ]
    curl.standardInput = FileHandle.nullDevice
    curl.standardOutput = FileHandle.nullDevice
    curl.standardError = errors
    do { try curl.run() } catch { throw Failure("curl can't be run: \(error.localizedDescription)") }
    // Also where the task is cancelled. Nobody waits for curl on the way out: what it still writes is checked later.
    defer { if curl.isRunning { curl.terminate() } }

    var received = 0
    while curl.isRunning, received <= file.byteCount {
      try await Task.sleep(for: .milliseconds(50))
      received = byteCount(of: partial)
      if received > 0 { progress(.init(fileName: file.name, receivedBytes: received, totalBytes: file.byteCount)) }
    }
    if curl.isRunning { curl.terminate() }  // it would go on for ever
    curl.waitUntilExit()
    try synchronize(partial)

    received = byteCount(of: partial)
    guard received <= file.byteCount else {
      throw Failure("more than the \(file.byteCount.grouped) bytes expected", isContent: true)
    }
    let message = String(decoding: errors.fileHandleForReading.availableData, as: UTF8.self)
    switch (curl.terminationReason, curl.terminationStatus) {
    case (.exit, 0): break
    case (.exit, 127): throw Failure("the program curl, which fetches it, is not installed")
    case (_, let status):
      // 22: an HTTP status, 416 where the file is shorter than what is here; 33: no ranges; 63: more bytes than expected.
      let reason = message.isEmpty ? "curl ended with \(status)" : message.split(separator: "\n").joined(separator: " ")
      throw Failure(reason, isContent: status == 33 || status == 63 || (status == 22 && resumes))
    }
    guard received == file.byteCount else { throw Failure("the answer ended after \(received.grouped) bytes") }
    progress(.init(fileName: file.name, receivedBytes: received, totalBytes: file.byteCount))
  }

  /// What is there is on the disk, before anyone relies on its name. No file: nothing to do.
  private func synchronize(_ partial: URL) throws {
    let descriptor = open(partial.path, O_RDONLY)
    guard descriptor >= 0 else { return }
    defer { close(descriptor) }
    guard fsync(descriptor) == 0 else {
      throw DatasetError(
        .inaccessible, file: partial, found: "\"\(String(cString: strerror(errno)))\"",
        expected: "to write the download there", advice: "Check the folder's permissions and the space on the disk")
    }
  }
}
