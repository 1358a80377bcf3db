import Foundation
import LoRAFiles
import LoRATensors
import TestSupport
import Testing

@Suite struct NumPyFileTests {
  static let folder = fixtures.appendingPathComponent("linear-algebra")

  @Test(
    "NumPy's own files are read in every version, precision, order of bytes and order of indices",
    arguments: ["float32", "float64", "float64-fortran", "float32-big-endian", "float16-fortran"])
  func numpy(_ name: String) throws {
    let file = try NumPyFile(Self.folder.appendingPathComponent("\(name).npy"))
    #expect(file.shape == [3, 4])
    #expect(file.isFortranOrder == name.hasSuffix("fortran"))
    #expect(try file.tensor().isIdentical(to: Tensor(shape: [3, 4], scalars: (0..<12).map { Float($0) + 0.5 })))
  }

  /// A file of version 1 with this header and so many bytes after it.
  private func file(_ header: String, bytes: Int, in folder: TemporaryFolder) throws -> URL {
    var data = Data(
      [0x93] + Array("NUMPY".utf8) + [1, 0, UInt8(header.utf8.count & 255), UInt8(header.utf8.count >> 8)])
    data.append(Data(header.utf8))
    data.append(Data(repeating: 0, count: bytes))
    let url = folder.file("array.npy")
    try data.write(to: url)
    return url
  }

  @Test(
    "Scalars, vectors, empty arrays and odd spacing are read",
    arguments: [
      ("{'descr': '<f4', 'fortran_order': False, 'shape': (), }", 4, []),
      ("{'shape':(2,),'fortran_order':True,'descr':\"<f4\"}\n", 8, [2]),
      ("{'descr': '<f8', 'fortran_order': False, 'shape': (0, 3)}", 0, [0, 3]),
      ("{'descr': '<f4', 'fortran_order': False, 'shape': (1L, 2L), }   ", 8, [1, 2]),
    ])
  func shapes(_ header: String, _ bytes: Int, _ shape: [Int]) throws {
    let folder = try TemporaryFolder()
    let array = try NumPyFile(file(header, bytes: bytes, in: folder))
    #expect(array.shape == shape)
    #expect(try array.tensor().shape == shape)
  }

  @Test(
    "A header that is damaged, cut off or of other numbers is an error that names the file",
    arguments: [
      ("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }", 15, "expected 16, for"),
      ("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }", 17, "expected 16, for"),
      ("{'descr': '<i8', 'fortran_order': False, 'shape': (2, 2), }", 32, "'<i8'"),
      ("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,), }", 8, "header"),
      ("{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 8), }", 0, "memory"),
      ("{'descr': '<f4', 'fortran_order': False, 'shape': (2, -2), }", 16, "header"),
      ("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2)", 16, "header"),
      ("{'descr': '<f4', 'shape': (2, 2), }", 16, "header"),
      ("", 16, "header"),
    ])
  func badHeaders(_ header: String, _ bytes: Int, _ message: String) throws {
    let folder = try TemporaryFolder()
    let url = try file(header, bytes: bytes, in: folder)
    let error = #expect(throws: CheckpointError.self) { try NumPyFile(url) }
    #expect(error?.description.contains(message) == true)
    #expect(error?.file == url.path)
  }

  @Test("Every prefix of a file is an error, never a crash")
  func truncated() throws {
    let whole = try Data(contentsOf: Self.folder.appendingPathComponent("float64.npy"))
    let folder = try TemporaryFolder()
    for length in 0..<whole.count {
      try whole.prefix(length).write(to: folder.file("cut.npy"))
      #expect(throws: CheckpointError.self) { try NumPyFile(folder.file("cut.npy")) }
    }
  }

  @Test("A float64 beyond float32 is an error, an infinite one is not")
  func range() throws {
    let folder = try TemporaryFolder()
    let header = "{'descr': '<f8', 'fortran_order': False, 'shape': (1,), }"
    for (value, isError) in [(1e300, true), (Double.infinity, false), (3e38, false)] {
      let url = try file(header, bytes: 0, in: folder)
      var data = try Data(contentsOf: url)
      withUnsafeBytes(of: value) { data.append(contentsOf: $0) }
      try data.write(to: url)
      let array = try NumPyFile(url)
      if isError {
        #expect(throws: CheckpointError.self) { try array.tensor() }
      } else {
        #expect(try array.tensor().scalars == [Float(value)])
      }
    }
  }
}
