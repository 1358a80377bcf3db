import Foundation
import LoRADatasets
import Testing

struct DownloaderTests {
  /// 200,000 bytes; the hash is Python's:
  /// hashlib.sha256(bytes(i * i % 251 for i in range(200000))).hexdigest()
  let content = (0..<200_000).map { UInt8($0 * $0 % 251) }
  let file = RemoteFile(
    name: "digits.gz", byteCount: 200_000, sha256: "a45477d9b0449be9fc0229ca0f104e8c0a389ddf9768221b3a34beb0287e92f7")
  let folder: ScratchFolder

  init() throws { folder = try ScratchFolder() }

  private func downloader(_ mirrors: URL...) -> Downloader {
    Downloader(mirrors: mirrors, directory: folder.url, timeout: 5)
  }

  private var stored: [UInt8]? { (try? Data(contentsOf: folder.url.appendingPathComponent(file.name))).map(Array.init) }

  @Test("A file is fetched once, reports its progress, and takes its name only when it is whole")
  func fetch() async throws {
    let server = try MirrorServer.serving(content)
    let last = Last()
    for _ in 0..<2 { _ = try await downloader(server.url).fetch(file) { last.set($0) } }
    #expect(stored == content)
    #expect(server.requests == ["/mnist/digits.gz"])
    #expect(folder.fileNames == ["digits.gz"])
    #expect(last.value?.fileName == "digits.gz")
    #expect(last.value?.receivedBytes == 200_000)
    #expect(last.value?.totalBytes == 200_000)
  }

  @Test("A wrong hash, a wrong length and an HTTP error lead to the next mirror")
  func nextMirror() async throws {
    var flipped = content
    flipped[77] ^= 1
    let bad = try MirrorServer.serving(flipped)
    let short = try MirrorServer.serving(Array(content[..<100]))
    let long = try MirrorServer.serving(content + [0])
    let absent = try MirrorServer { _, _ in .init(status: 404, body: Array("no".utf8)) }
    let good = try MirrorServer.serving(content)
    _ = try await downloader(bad.url, short.url, long.url, absent.url, good.url).fetch(file)
    #expect(stored == content)
    #expect(folder.fileNames == ["digits.gz"])
  }

  @Test("A broken connection is resumed where it broke, by the next mirror")
  func resume() async throws {
    let content = content
    let breaking = try MirrorServer { _, _ in .init(body: content, cutAfter: 50_000) }
    await #expect(throws: DatasetError.self) { try await downloader(breaking.url).fetch(file) }
    #expect(folder.fileNames == ["digits.gz.partial"])
    let good = try MirrorServer.serving(content)
    _ = try await downloader(good.url).fetch(file)
    #expect(stored == content)
    #expect(good.requests == ["/mnist/digits.gz from 50000"])
  }

  @Test("A mirror that lets bytes drip is given up after the limit, and the next one goes on")
  func drip() async throws {
    let content = content
    let dripping = try MirrorServer { _, _ in .init(body: content, drip: 0.05) }
    let good = try MirrorServer.serving(content)
    // At this rate the whole file would take some three hours.
    let downloader = Downloader(mirrors: [dripping.url, good.url], directory: folder.url, timeout: 5, limit: 1)
    _ = try await downloader.fetch(file)
    #expect(stored == content)
    let alone = Downloader(mirrors: [dripping.url], directory: folder.url.appendingPathComponent("b"), limit: 1)
    let error = await #expect(throws: DatasetError.self) { try await alone.fetch(file) }
    #expect(error?.description.contains("timed out after 1") == true)
  }

  @Test("A server without ranges, or with the wrong range, still gives the right file")
  func withoutRanges() async throws {
    let content = content
    try folder.write(Array(content[..<1000]), "digits.gz.partial")
    let plain = try MirrorServer { _, _ in .init(body: content) }
    _ = try await downloader(plain.url).fetch(file)
    #expect(stored == content)

    try FileManager.default.removeItem(at: folder.url.appendingPathComponent("digits.gz"))
    try folder.write(Array(content[..<1000]), "digits.gz.partial")
    let confused = try MirrorServer { _, start in
      start == 0
        ? .init(body: content)
        : .init(status: 206, headers: ["Content-Range: bytes 0-199999/200000"], body: content)
    }
    _ = try await downloader(confused.url).fetch(file)
    #expect(stored == content)
  }

  @Test(
    "Bad bytes of an earlier try are thrown away and the same mirror asked again", arguments: [1000, 200_000, 200_001])
  func badPartial(length: Int) async throws {
    try folder.write(Array(repeating: 1, count: length), "digits.gz.partial")
    let server = try MirrorServer.serving(content)
    _ = try await downloader(server.url).fetch(file)
    #expect(stored == content)
  }

  @Test("Offline, the error names what was tried, and how to place the file by hand")
  func offline() async throws {
    let error = await #expect(throws: DatasetError.self) {
      try await downloader(URL(string: "http://127.0.0.1:1/a/")!, URL(string: "http://127.0.0.1:1/b/")!).fetch(file)
    }
    let text = try #require(error?.description)
    #expect(error?.kind == .download)
    #expect(text.contains("http://127.0.0.1:1/a/digits.gz (") && text.contains("http://127.0.0.1:1/b/digits.gz ("))
    #expect(text.contains("put digits.gz into \(folder.url.path) by hand"))
    #expect(!text.contains("\n"))
    #expect(!folder.fileNames.contains("digits.gz"))
  }

  @Test("A folder that can't be made is an error before anything is fetched")
  func unwritable() async throws {
    let obstacle = try folder.write([1], "obstacle")
    let error = await #expect(throws: DatasetError.self) {
      try await Downloader(mirrors: [], directory: obstacle.appendingPathComponent("inside")).fetch(file)
    }
    #expect(error?.kind == .inaccessible)
  }

  private final class Last: @unchecked Sendable {
    private let lock = NSLock()
    private var stored: Downloader.Progress?
    var value: Downloader.Progress? { lock.withLock { stored } }
    func set(_ progress: Downloader.Progress) { lock.withLock { stored = progress } }
  }
}
