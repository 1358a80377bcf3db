import Foundation
import LoRADatasets
import TestSupport
import Testing

struct IDXFileTests {
  let folder = fixtures.appendingPathComponent("datasets")
  let pixels = (0..<24).map { UInt8(11 * $0 % 256) }

  @Test(
    "Plain, gzipped and two-member files give the same content, whatever their name",
    arguments: ["images.idx", "images.idx.gz", "images-two-members.idx.gz"])
  func content(name: String) throws {
    let file = try IDXFile(contentsOf: folder.appendingPathComponent(name), dimensionCount: 3)
    #expect(file.dimensions == [3, 2, 4])
    #expect(file.bytes == pixels)
    let scratch = try ScratchFolder()
    let renamed = try scratch.write(Array(Data(contentsOf: folder.appendingPathComponent(name))), "noname")
    #expect(try IDXFile(contentsOf: renamed, dimensionCount: 3).bytes == pixels)
  }

  @Test("A file cut off anywhere is an error", arguments: ["images.idx", "images.idx.gz"])
  func truncated(name: String) throws {
    let scratch = try ScratchFolder()
    let whole = Array(try Data(contentsOf: folder.appendingPathComponent(name)))
    for length in 0..<whole.count {
      let file = try scratch.write(Array(whole[..<length]), "cut")
      let error = #expect(throws: DatasetError.self) { try IDXFile(contentsOf: file, dimensionCount: 3) }
      #expect(error?.kind == .truncated, "\(length) bytes: \(String(describing: error))")
      #expect(error?.description.hasPrefix(file.path) == true)
    }
  }

  @Test("A changed byte anywhere in a gzip file is an error or, where it means nothing, leaves the content as it was")
  func corrupt() throws {
    let scratch = try ScratchFolder()
    let whole = Array(try Data(contentsOf: folder.appendingPathComponent("images.idx.gz")))
    var errors = 0
    for position in whole.indices {
      var damaged = whole
      damaged[position] ^= 0x10
      let file = try scratch.write(damaged, "damaged")
      do {
        #expect(try IDXFile(contentsOf: file, dimensionCount: 3).bytes == pixels, "byte \(position)")
      } catch is DatasetError {
        errors += 1
      }
    }
    #expect(errors >= whole.count - 8)  // the header's time, flags of speed and system, and the last byte's padding
  }

  @Test("Bytes after the content are an error, plain, after the gzip data and inside it")
  func trailing() throws {
    let scratch = try ScratchFolder()
    let plain = idx([2], [1, 2])
    let zipped = Array(try Data(contentsOf: folder.appendingPathComponent("labels.idx.gz")))
    for (bytes, name) in [(plain + [0], "plain"), (zipped + [0], "junk"), (zipped + zipped, "twice")] {
      let file = try scratch.write(bytes, name)
      let error = #expect(throws: DatasetError.self) { try IDXFile(contentsOf: file, dimensionCount: 1) }
      #expect(error?.kind == .trailingBytes, "\(name)")
    }
  }

  @Test(
    "Anything but an IDX file of bytes with the expected dimensions is refused, saying what was found",
    arguments: [
      ([0, 0, 8, 1, 0, 0, 0, 0], "an IDX file of 1 dimension,"),
      ([0, 0, 0x0d, 3, 0, 0, 0, 0], "the first bytes 00 00 0d 03"),
      (Array("<html>Not found".utf8), "the first bytes 3c 68 74 6d"),
    ] as [([UInt8], String)])
  func wrongFormat(bytes: [UInt8], found: String) throws {
    let scratch = try ScratchFolder()
    let kept = try scratch.write(bytes, "file")
    let error = #expect(throws: DatasetError.self) { try IDXFile(contentsOf: kept, dimensionCount: 3) }
    #expect(error?.kind == .wrongFormat)
    #expect(error?.description.contains(found) == true)
  }

  @Test("A header that promises more than the file can hold allocates nothing")
  func falseHeader() throws {
    let scratch = try ScratchFolder()
    let sizes = Array(repeating: Int(UInt32.max), count: 3)
    for dimensions in [sizes, [1 << 20, 1 << 10, 1 << 10]] {
      let file = try scratch.write(idx(dimensions, [1, 2, 3]), "huge")
      let error = #expect(throws: DatasetError.self) { try IDXFile(contentsOf: file, dimensionCount: 3) }
      #expect(error?.kind == .truncated)
    }
  }

  @Test("A missing file and a folder in its place are named")
  func missing() throws {
    let scratch = try ScratchFolder()
    let absent = scratch.url.appendingPathComponent("absent")
    let error = #expect(throws: DatasetError.self) { try IDXFile(contentsOf: absent, dimensionCount: 1) }
    #expect(error?.kind == .missing)
    let other = #expect(throws: DatasetError.self) { try IDXFile(contentsOf: scratch.url, dimensionCount: 1) }
    #expect(other?.kind == .inaccessible)
  }
}
