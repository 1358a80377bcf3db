import Foundation
import LoRAFiles
import LoRATensors
import TestSupport
import Testing

@Suite struct SafetensorsTests {
  @Test("What is written is read again: names, shapes, formats, metadata, bytes")
  func roundTrip() throws {
    try withTemporaryDirectory { directory in
      let url = directory.appendingPathComponent("a.safetensors")
      let a = randomTensor([3, 5], seed: 1)
      let b = randomTensor([7], seed: 2)
      try SafetensorsWriter.write(
        [
          StoredTensor(name: "b", b, as: .bf16), StoredTensor(name: "a", a),
          StoredTensor(name: "empty", .zeros([0, 4])),
          StoredTensor(name: "scalar", Tensor(2.5), as: .f64), StoredTensor(name: "é\"\\\n", b, as: .f16),
        ], to: url, metadata: [.init("format", "pt"), .init("note", "ü\n\"")])
      let file = try SafetensorsFile(url)
      #expect(file.metadata == [.init("format", "pt"), .init("note", "ü\n\"")])
      #expect(file.tensors.map(\.name) == ["b", "a", "empty", "scalar", "é\"\\\n"])
      #expect(try file["a"]?.tensor().isIdentical(to: a) == true)
      #expect(file["b"]?.format == .bf16 && file["b"]?.shape == [7])
      #expect(try relativeDifference(file["b"]!.tensor(), b) < 1.0 / 256)
      #expect(try relativeDifference(file["é\"\\\n"]!.tensor(), b) < 1.0 / 2048)
      #expect(try file["scalar"]?.tensor().item == 2.5)
      #expect(try file["empty"]?.tensor().count == 0)
      #expect(try FileManager.default.contentsOfDirectory(atPath: directory.path) == ["a.safetensors"])
    }
  }

  @Test("Rounding is to nearest, ties to even; a number beyond the range is an error, infinity and NaN pass")
  func rounding() throws {
    // bfloat16 has 8 bits of precision: between 1 and 1 + 2⁻⁷ the middle is a tie, to the even 1; above it goes up.
    let step: Float = 1.0 / 256
    let ties: [Float] = [1 + step, 1 + 3 * step, 1 + step + step / 256, -1 - step]
    let rounded = try StoredTensor(name: "x", Tensor(ties), as: .bf16).tensor().scalars
    let expected: [Float] = [1, 1 + 4 * step, 1 + 2 * step, -1]
    #expect(rounded == expected)
    // float16's largest number is 65504; 65519.99 still rounds down to it.
    #expect(try StoredTensor(name: "x", Tensor([65519]), as: .f16).tensor().scalars == [65504])
    #expect(throws: CheckpointError.self) { try StoredTensor(name: "x", Tensor([65520]), as: .f16) }
    #expect(throws: CheckpointError.self) { try StoredTensor(name: "x", Tensor([3.4e38]), as: .bf16) }
    let special = try StoredTensor(name: "x", Tensor([.infinity, .nan]), as: .f16).tensor().scalars
    #expect(special[0] == .infinity && special[1].isNaN)
  }

  @Test("A transposed tensor holds the same bits in the other order", arguments: [NumberFormat.f32, .bf16, .f64])
  func transposed(_ format: NumberFormat) throws {
    let x = try StoredTensor(name: "x", randomTensor([3, 5], seed: 4), as: format)
    let y = x.transposed()
    #expect(y.shape == [5, 3] && y.format == format)
    #expect(try y.tensor().isIdentical(to: x.tensor().transposed()))
  }

  static let good =
    #"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"U8","shape":[],"data_offsets":[8,9]}}"#

  static let malformed: [(String, [UInt8])] = {
    let nine = [UInt8](repeating: 0, count: 9)
    func entry(_ fields: String) -> [UInt8] { safetensorsFile(header: "{\"a\":{\(fields)}}", data: nine) }
    return [
      ("empty", []), ("seven bytes", [1, 2, 3, 4, 5, 6, 7]),
      ("a header longer than the file", safetensorsFile(header: good, data: nine, length: 1000)),
      ("a header of 2⁶³ bytes", safetensorsFile(header: good, data: nine, length: 1 << 63)),
      ("a header of 2⁶⁴ − 1 bytes", safetensorsFile(header: good, data: nine, length: .max)),
      ("no header", safetensorsFile(header: "")), ("an array", safetensorsFile(header: "[]")),
      ("leading space", safetensorsFile(header: " " + good, data: nine)),
      ("cut off", safetensorsFile(header: good, data: Array(nine.dropLast()))),
      ("bytes after the end", safetensorsFile(header: good, data: nine + [0])),
      ("text after the header", safetensorsFile(header: good + "x", data: nine)),
      ("an unknown dtype", entry(#""dtype":"F33","shape":[9],"data_offsets":[0,9]"#)),
      ("no shape", entry(#""dtype":"U8","data_offsets":[0,9]"#)),
      ("a negative extent", entry(#""dtype":"U8","shape":[-9],"data_offsets":[0,9]"#)),
      ("a fraction of an extent", entry(#""dtype":"U8","shape":[9.5],"data_offsets":[0,9]"#)),
      ("a shape of another size", entry(#""dtype":"U8","shape":[8],"data_offsets":[0,9]"#)),
      ("a shape beyond 2⁶³", entry(#""dtype":"U8","shape":[4611686018427387904,4],"data_offsets":[0,9]"#)),
      ("offsets beyond 2⁶³", entry(#""dtype":"U8","shape":[9],"data_offsets":[0,99999999999999999999]"#)),
      ("offsets the wrong way round", entry(#""dtype":"U8","shape":[0],"data_offsets":[9,0]"#)),
      ("three offsets", entry(#""dtype":"U8","shape":[9],"data_offsets":[0,9,9]"#)),
      ("a field twice", entry(#""dtype":"U8","dtype":"U8","shape":[9],"data_offsets":[0,9]"#)),
      ("half a byte", entry(#""dtype":"F4","shape":[17],"data_offsets":[0,9]"#)),
      (
        "a hole",
        safetensorsFile(
          header:
            #"{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[5,9]}}"#,
          data: nine)
      ),
      (
        "an overlap",
        safetensorsFile(
          header:
            #"{"a":{"dtype":"U8","shape":[6],"data_offsets":[0,6]},"b":{"dtype":"U8","shape":[4],"data_offsets":[5,9]}}"#,
          data: nine)
      ),
      (
        "a name twice",
        safetensorsFile(
          header:
            #"{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"a":{"dtype":"U8","shape":[5],"data_offsets":[4,9]}}"#,
          data: nine)
      ),
      ("metadata that is no text", safetensorsFile(header: #"{"__metadata__":{"a":1}}"#)),
    ]
  }()

  @Test("A malformed header is refused", arguments: malformed.map(\.0))
  func refused(_ name: String) throws {
    let bytes = Self.malformed.first { $0.0 == name }!.1
    #expect(throws: JSONError.self) { try bytes.withUnsafeBytes { try SafetensorsHeader(file: $0) } }
    try withTemporaryDirectory { directory in
      let url = directory.appendingPathComponent("x.safetensors")
      try Data(bytes).write(to: url)
      let error = #expect(throws: CheckpointError.self) { try SafetensorsFile(url) }
      #expect(error?.description.contains(url.path) == true)
    }
  }

  @Test("The good header that the malformed ones are made of is read")
  func accepted() throws {
    let header = try safetensorsFile(header: Self.good, data: [UInt8](repeating: 0, count: 9)).withUnsafeBytes {
      try SafetensorsHeader(file: $0)
    }
    #expect(header.entries.map(\.info.name) == ["a", "b"])
    #expect(header.entries.map(\.range) == [0..<8, 8..<9])
  }

  @Test("A tensor that lies at an odd byte is read all the same")
  func unaligned() throws {
    try withTemporaryDirectory { directory in
      let url = directory.appendingPathComponent("x.safetensors")
      let header =
        #"{"u":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},"x":{"dtype":"F32","shape":[2],"data_offsets":[3,11]}}"#
      let numbers: [UInt8] = [Float(1.5).bitPattern, Float(-2).bitPattern].flatMap { bits in
        withUnsafeBytes(of: bits.littleEndian) { Array($0) }
      }
      try Data(safetensorsFile(header: header, data: [1, 2, 3] + numbers)).write(to: url)
      #expect(try SafetensorsFile(url)["x"]?.tensor().scalars == [1.5, -2])
    }
  }

  @Test("An output that is not finished leaves the old file as it was, and nothing beside it")
  func unfinished() throws {
    try withTemporaryDirectory { directory in
      let url = directory.appendingPathComponent("x.safetensors")
      try Data("old".utf8).write(to: url)
      do {
        let tensor = try StoredTensor(name: "a", randomTensor([4], seed: 1))
        let writer = try SafetensorsWriter(to: url, expecting: [tensor.info])
        try writer.append(tensor)
      }
      #expect(try String(contentsOf: url, encoding: .utf8) == "old")
      #expect(try FileManager.default.contentsOfDirectory(atPath: directory.path) == ["x.safetensors"])
    }
  }

  @Test("A header that turned out shorter than what was reserved for it is filled with spaces")
  func reserved() throws {
    try withTemporaryDirectory { directory in
      let url = directory.appendingPathComponent("x.safetensors")
      let writer = try SafetensorsWriter(
        to: url,
        expecting: [
          TensorInfo(name: "a", format: .f32, shape: [1000, 1000]), TensorInfo(name: "b", format: .f32, shape: [9]),
        ])
      let tensor = try StoredTensor(name: "a", randomTensor([2, 3], seed: 5))
      try writer.append(tensor)
      try writer.finish()
      let file = try SafetensorsFile(url)
      #expect(file.tensors.map(\.name) == ["a"])
      #expect(try file["a"]?.tensor().isIdentical(to: tensor.tensor()) == true)
      #expect(file.byteCount < 1000)
    }
  }

  @Test("What the reference reads is read: null metadata, unknown fields, names that differ by an accent's encoding")
  func leniency() throws {
    let header = #"""
      {"__metadata__":null,"\u00e9":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"x":{"y":[1,"z"]}},
      "e\u0301":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}
      """#
    let bytes = safetensorsFile(header: header, data: [7, 9])
    try withTemporaryDirectory { directory in
      let url = directory.appendingPathComponent("x.safetensors")
      try Data(bytes).write(to: url)
      let file = try SafetensorsFile(url)
      #expect(file.metadata.isEmpty && file.tensors.count == 2)
      #expect(file["\u{e9}"]?.numbers == [7] && file["e\u{301}"]?.numbers == [9])
    }
  }

  @Test("One name, one tensor: the second is refused and nothing is left")
  func twice() throws {
    try withTemporaryDirectory { directory in
      let url = directory.appendingPathComponent("x.safetensors")
      let tensor = try StoredTensor(name: "a", randomTensor([2], seed: 5))
      #expect(throws: CheckpointError.self) { try SafetensorsWriter.write([tensor, tensor], to: url) }
      #expect(try FileManager.default.contentsOfDirectory(atPath: directory.path).isEmpty)
    }
  }

  @Test("names of very many combining marks are refused at once, in every kind of file that holds names")
  func combiningMarks() throws {
    let marks = String(repeating: "\u{316}\u{301}", count: 50_000)
    let start = Date()
    let header = "{\"a\(marks)\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}"
    for text in [
      header, header.unicodeScalars.map { $0.value < 128 ? String($0) : "\\u0\(String($0.value, radix: 16))" }.joined(),
    ] {
      try withTemporaryDirectory { folder in
        let url = folder.appendingPathComponent("x.safetensors")
        try Data(safetensorsFile(header: text, data: [1])).write(to: url)
        let error = #expect(throws: CheckpointError.self) { try SafetensorsFile(url) }
        #expect(error?.problem.contains("more than 30 combining marks in a row") == true)
      }
      #expect(throws: JSONError.self) { try JSON(parsing: "{\"target_modules\":[\"x\(marks)\"]}") }
    }
    #expect(Date().timeIntervalSince(start) < 5)
    // Two dozen are somebody's writing.
    #expect(throws: Never.self) {
      try JSON(parsing: "{\"a\(marks.unicodeScalars.prefix(24).map(String.init).joined())\":1}")
    }
  }
}
