// Fetches files over HTTP: from the first mirror that has them, resuming what an earlier try left, and giving a file
// its final name only once its SHA-256 is right.
import Foundation

#if canImport(FoundationNetworking)
  import FoundationNetworking
#endif

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
    let output = try PartialFile(partial)
    guard output.byteCount < file.byteCount else { return }
    var request = URLRequest(url: source, cachePolicy: .reloadIgnoringLocalCacheData, timeoutInterval: timeout)
    request.setValue("identity", forHTTPHeaderField: "Accept-Encoding")  // the bytes as they are stored
    if output.byteCount > 0 { request.setValue("bytes=\(output.byteCount)-", forHTTPHeaderField: "Range") }

    let transfer = Transfer(into: output, of: file, progress: progress)
    let session = URLSession(configuration: .ephemeral, delegate: transfer, delegateQueue: nil)
    defer { session.finishTasksAndInvalidate() }
    let task = session.dataTask(with: request)
    // Not a Swift task: those wait for each other where all threads are taken.
    let clock = DispatchWorkItem { [limit] in
      transfer.stop(task, Failure("not done after \(limit.formatted()) seconds"))
    }
    DispatchQueue.global().asyncAfter(deadline: .now() + limit, execute: clock)
    defer { clock.cancel() }
    try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { continuation in
        transfer.continuation = continuation
        task.resume()
      }
    } onCancel: {
      task.cancel()
    }
  }
}

/// A file that grows, synced when it is closed.
private final class PartialFile {
  let url: URL
  private(set) var byteCount: Int
  private let handle: FileHandle

  init(_ url: URL) throws {
    self.url = url
    if !FileManager.default.fileExists(atPath: url.path) {
      _ = FileManager.default.createFile(atPath: url.path, contents: nil)
    }
    do {
      handle = try FileHandle(forUpdating: url)
      byteCount = Int(try handle.seekToEnd())
    } catch {
      throw PartialFile.inaccessible(url, error)
    }
  }

  deinit { try? handle.close() }

  func append(_ data: Data) throws {
    do { try handle.write(contentsOf: data) } catch { throw PartialFile.inaccessible(url, error) }
    byteCount += data.count
  }

  func removeContent() throws {
    do { try handle.truncate(atOffset: 0) } catch { throw PartialFile.inaccessible(url, error) }
    byteCount = 0
  }

  func synchronize() throws {
    do { try handle.synchronize() } catch { throw PartialFile.inaccessible(url, error) }
  }

  private static func inaccessible(_ url: URL, _ error: any Error) -> DatasetError {
    DatasetError(
      .inaccessible, file: url, found: "\"\(error.localizedDescription)\"", expected: "to write the download there",
      advice: "Check the folder's permissions and the space on the disk")
  }
}

/// One HTTP answer on its way into a file. Its state is touched by the session's serial queue only, once the task
/// has started; only `failure` may come from outside.
private final class Transfer: NSObject, URLSessionDataDelegate, @unchecked Sendable {
  var continuation: CheckedContinuation<Void, any Error>?
  private let output: PartialFile
  private let file: RemoteFile
  private let progress: @Sendable (Downloader.Progress) -> Void
  private let lock = NSLock()
  private var ownFailure: (any Error)?
  /// Why the transfer was stopped; the first reason counts.
  private var failure: (any Error)? { lock.withLock { ownFailure } }

  init(into output: PartialFile, of file: RemoteFile, progress: @escaping @Sendable (Downloader.Progress) -> Void) {
    self.output = output
    self.file = file
    self.progress = progress
  }

  func urlSession(
    _ session: URLSession, dataTask: URLSessionDataTask, didReceive response: URLResponse,
    completionHandler: @escaping @Sendable (URLSession.ResponseDisposition) -> Void
  ) {
    do { try accept(response) } catch { stop(dataTask, error) }
    completionHandler(failure == nil ? .allow : .cancel)
  }

  /// 206 goes on where the file ends; 200 is the whole file, so what is there gives way.
  private func accept(_ response: URLResponse) throws {
    guard let response = response as? HTTPURLResponse else { return try output.removeContent() }
    switch response.statusCode {
    case 200: try output.removeContent()
    case 206:
      let range = response.value(forHTTPHeaderField: "Content-Range") ?? "none"
      guard range.hasPrefix("bytes \(output.byteCount)-") else {
        throw Downloader.Failure("asked for bytes from \(output.byteCount), got the range \(range)", isContent: true)
      }
    case let status: throw Downloader.Failure("HTTP status \(status)", isContent: status == 416)
    }
  }

  func urlSession(_ session: URLSession, dataTask: URLSessionDataTask, didReceive data: Data) {
    guard failure == nil else { return }
    do {
      guard output.byteCount + data.count <= file.byteCount else {
        throw Downloader.Failure("more than the \(file.byteCount.grouped) bytes expected", isContent: true)
      }
      try output.append(data)
      progress(.init(fileName: file.name, receivedBytes: output.byteCount, totalBytes: file.byteCount))
    } catch {
      stop(dataTask, error)
    }
  }

  func urlSession(_ session: URLSession, task: URLSessionTask, didCompleteWithError error: (any Error)?) {
    continuation?.resume(with: Result { try finish(error) })
    continuation = nil
  }

  private func finish(_ error: (any Error)?) throws {
    if let failure { throw failure }
    if let error = error as? URLError, error.code == .cancelled { throw CancellationError() }
    try output.synchronize()
    if let error { throw Downloader.Failure(error.localizedDescription) }
    guard output.byteCount == file.byteCount else {
      throw Downloader.Failure("the answer ended after \(output.byteCount.grouped) bytes")
    }
  }

  func stop(_ task: URLSessionDataTask, _ error: any Error) {
    lock.withLock { ownFailure = ownFailure ?? error }
    task.cancel()
  }
}
