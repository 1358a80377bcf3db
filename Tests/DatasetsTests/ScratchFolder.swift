import Foundation

/// A folder of its own for one test, removed with it.
final class ScratchFolder {
  let url: URL

  init() throws {
    url = FileManager.default.temporaryDirectory.appendingPathComponent("datasets-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(at: url) }

  @discardableResult
  func write(_ bytes: [UInt8], _ name: String) throws -> URL {
    let file = url.appendingPathComponent(name)
    try Data(bytes).write(to: file)
    return file
  }

  func write(_ text: String, _ name: String) throws -> URL { try write(Array(text.utf8), name) }

  var fileNames: [String] { (try? FileManager.default.contentsOfDirectory(atPath: url.path).sorted()) ?? [] }
}

/// An IDX file of unsigned bytes, written here by the format's definition.
func idx(_ dimensions: [Int], _ bytes: [UInt8]) -> [UInt8] {
  [0, 0, 8, UInt8(dimensions.count)] + dimensions.flatMap { size in (0..<4).map { UInt8(size >> (24 - 8 * $0) & 255) } }
    + bytes
}
