import Foundation
import LoRADatasets
import TestSupport
import Testing

struct MNISTTests {
  @Test("The embedded sample is 4,000 and 1,000 digits, 400 and 100 of each, with no image in both")
  func sample() throws {
    let digits = try MNIST.sample()
    #expect(digits.train.labelCounts == Array(repeating: 400, count: 10))
    #expect(digits.test.labelCounts == Array(repeating: 100, count: 10))
    let trained = Set((0..<4000).map { digits.train.pixels(at: $0) })
    #expect(trained.count == 4000)
    #expect(!(0..<1000).contains { trained.contains(digits.test.pixels(at: $0)) })
    // Neither part comes sorted by class.
    #expect(Set(digits.train.labels[..<50]).count > 5)
  }

  @Test("Without the resource folder the error says where it belongs")
  func sampleLeftBehind() throws {
    let scratch = try ScratchFolder()
    let error = #expect(throws: DatasetError.self) { try MNIST.sampleDirectory(candidates: [scratch.url]) }
    #expect(error?.kind == .missing)
    #expect(error?.description.contains("swift-lora_LoRADatasets") == true)
  }

  @Test(
    "Files are found under each usual name",
    arguments: ["-idx#-ubyte", ".idx#-ubyte", "-idx#-ubyte.gz", ".idx#-ubyte.gz"])
  func names(ending: String) throws {
    let scratch = try ScratchFolder()
    for (part, count) in [("train", 3), ("t10k", 2)] {
      let images = "\(part)-images" + ending.replacingOccurrences(of: "#", with: "3")
      let labels = "\(part)-labels" + ending.replacingOccurrences(of: "#", with: "1")
      try scratch.write(idx([count, 28, 28], Array(repeating: 9, count: count * 784)), images)
      try scratch.write(idx([count], Array(repeating: 1, count: count)), labels)
    }
    let digits = try MNIST(directory: scratch.url)
    #expect(digits.train.count == 3)
    #expect(digits.test.count == 2)
  }

  @Test("A folder that lacks a file, no folder, and images of another size are errors")
  func badFolder() throws {
    let scratch = try ScratchFolder()
    let empty = #expect(throws: DatasetError.self) { try MNIST(directory: scratch.url) }
    #expect(empty?.description.contains("found no train-images-idx3-ubyte") == true)
    let absent = #expect(throws: DatasetError.self) {
      try MNIST(directory: scratch.url.appendingPathComponent("absent"))
    }
    #expect(absent?.description.contains("found no such folder") == true)

    try scratch.write(idx([1, 2, 2], [1, 2, 3, 4]), "train-images-idx3-ubyte")
    try scratch.write(idx([1], [5]), "train-labels-idx1-ubyte")
    let small = #expect(throws: DatasetError.self) { try MNIST(directory: scratch.url) }
    #expect(small?.description.contains("images of 2×2 pixels, expected 28×28") == true)
  }

  @Test("What is missing is downloaded; offline the error lists the files to place by hand")
  func downloaded() async throws {
    let scratch = try ScratchFolder()
    var contents: [String: [UInt8]] = [:]
    for (part, count) in [("train", 3), ("t10k", 2)] {
      contents["\(part)-images-idx3-ubyte.gz"] = idx([count, 28, 28], Array(repeating: 9, count: count * 784))
      contents["\(part)-labels-idx1-ubyte.gz"] = idx([count], Array(repeating: 1, count: count))
    }
    let files = contents.sorted { $0.key < $1.key }.map { name, bytes in
      var hash = SHA256()
      hash.update(bytes)
      return RemoteFile(name: name, byteCount: bytes.count, sha256: hash.finalize())
    }
    // The labels to train with were placed by hand, under another of the usual names.
    try scratch.write(try #require(contents["train-labels-idx1-ubyte.gz"]), "train-labels.idx1-ubyte")

    let offline = URL(string: "http://127.0.0.1:1/")!
    let error = await #expect(throws: DatasetError.self) {
      try await MNIST.downloaded(into: scratch.url, mirrors: [offline], files: files)
    }
    let names = "t10k-images-idx3-ubyte.gz, t10k-labels-idx1-ubyte.gz, train-images-idx3-ubyte.gz, gzipped or not"
    #expect(error?.description.contains("put by hand into \(scratch.url.path): \(names)") == true)
    #expect(scratch.fileNames == ["train-labels.idx1-ubyte"])

    let answers = contents
    let server = try MirrorServer { path, _ in .init(body: answers[String(path.dropFirst("/mnist/".count))] ?? []) }
    let digits = try await MNIST.downloaded(into: scratch.url, mirrors: [offline, server.url], files: files)
    #expect(digits.train.count == 3)
    #expect(digits.test.count == 2)
    #expect(server.requests.count == 3)
  }

  @Test(
    "MNIST itself has 60,000 and 10,000 digits with the published mean and deviation",
    .enabled(if: sharedData != nil, "needs the shared data folder"))
  func full() throws {
    let digits = try MNIST(directory: try #require(sharedData).appendingPathComponent("mnist"))
    #expect(digits.train.count == 60_000)
    #expect(digits.test.labelCounts == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009])
    var (sum, squares) = (0.0, 0.0)
    for index in 0..<digits.train.count {
      for pixel in digits.train.pixels(at: index) {
        let value = Double(pixel) / 255
        sum += value
        squares += value * value
      }
    }
    let count = 60_000.0 * 784
    let mean = sum / count
    #expect(abs(mean - 0.1307) < 5e-5)
    #expect(abs((squares / count - mean * mean).squareRoot() - 0.3081) < 5e-5)
  }
}
