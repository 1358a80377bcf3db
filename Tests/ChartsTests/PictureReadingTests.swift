import Foundation
import LoRACharts
import LoRATensors
import TestSupport
import Testing

@Suite struct PictureReadingTests {
  static let pictures: [Picture] = [
    Picture(width: 3, height: 2, pixels: [0, 50, 100, 150, 200, 255]),
    Picture(width: 2, height: 2, channels: 3, pixels: [1, 2, 3, 255, 0, 0, 0, 255, 0, 9, 8, 7]),
  ]

  @Test("A PNG that was written is read back, pixel by pixel", arguments: pictures)
  func png(_ picture: Picture) throws {
    #expect(try Picture(contentsOf: picture.png) == picture)
  }

  @Test("What is transparent lies on white")
  func transparency() throws {
    let picture = Picture(width: 2, height: 1, channels: 4, pixels: [10, 20, 30, 255, 10, 20, 30, 0])
    #expect(try Picture(contentsOf: picture.png).pixels == [10, 20, 30, 255, 255, 255])
  }

  static let netpbm: [(header: String, samples: [UInt8], picture: Int)] = [
    ("P2\n# a comment\n3 2\n255\n0 50 100\n150 200 255\n", [], 0),
    ("P5 3 2 255\n", [0, 50, 100, 150, 200, 255], 0),
    ("P5 3 2 65535\n", [0, 0, 50, 50, 100, 100, 150, 150, 200, 200, 255, 255], 0),
    ("P3 2 2 255 1 2 3 255 0 0 0 255 0 9 8 7", [], 1),
    ("P6\n2 2\n#x\n255\n", [1, 2, 3, 255, 0, 0, 0, 255, 0, 9, 8, 7], 1),
  ]

  @Test("Netpbm's greys and colours are read, plain and raw, of one and two bytes", arguments: netpbm)
  func anymap(_ header: String, _ samples: [UInt8], _ expected: Int) throws {
    #expect(try Picture(contentsOf: Data(header.utf8) + Data(samples)) == Self.pictures[expected])
  }

  @Test(
    "What is no picture, is damaged, or claims too much is an error",
    arguments: [
      "", "P", "GIF89a", "P5 3 2 255\nab", "P2 2 1 255\n7", "P2 2 1 255\n7 x", "P2 2 1 9\n7 10", "P5 0 2 255\n",
      "P5 999999999 999999999 255\n", "P5 2 2 0\nabcd", "P5 2 2 70000\nabcdabcd", "P5 -2 2 255\nabcd", "\u{89}PNG",
    ])
  func bad(_ text: String) {
    #expect(throws: PictureError.self) { try Picture(contentsOf: Data(text.unicodeScalars.map { UInt8($0.value) })) }
  }

  @Test("Every prefix of a PNG is an error, never a crash")
  func truncated() {
    let png = Self.pictures[1].png
    for length in 0..<png.count - 12 {  // the last 12 bytes mark the end
      #expect(throws: PictureError.self) { try Picture(contentsOf: png.prefix(length)) }
    }
  }

  @Test("Channels become matrices from 0 to 1 and back", arguments: pictures)
  func matrices(_ picture: Picture) {
    let matrices = picture.matrices
    #expect(matrices.count == picture.channels && matrices[0].shape == [picture.height, picture.width])
    #expect(matrices[0][0, 1] == Float(picture.pixels[picture.channels]) / 255)
    #expect(Picture(matrices: matrices) == picture)
    #expect(Picture(matrices: [Tensor(shape: [1, 2], scalars: [-3, 2])]).pixels == [0, 255])
  }

  @Test("The sample is nearly of low rank, as photographs are")
  func sample() throws {
    let picture = try Picture.sample()
    #expect((picture.width, picture.height, picture.channels) == (512, 384, 3))
    for matrix in picture.matrices {
      let spectrum = try matrix.spectrum()
      #expect(spectrum.relativeError(atRank: 20) < 0.05)
      #expect(spectrum.relativeError(atRank: 5) > 0.03)
    }
  }

  /// 5 × 3 pixels with red falling from left to right, blue rising downwards; made by Fixtures/pictures/make.py.
  @Test(
    "JPEG and WebP are read, in colour and grey, the transparent on white",
    arguments: [
      ("colour.jpg", 3, 2), ("grey.jpg", 1, 4), ("lossless.webp", 3, 0), ("lossy.webp", 3, 2),
      ("transparent.webp", 3, 0),
    ])
  func compressed(_ name: String, _ channels: Int, _ tolerance: Int) throws {
    let folder = fixtures.appendingPathComponent("pictures")
    let picture = try Picture(contentsOf: Data(contentsOf: folder.appendingPathComponent(name)))
    let expected = try Picture(
      contentsOf: Data(contentsOf: folder.appendingPathComponent(name + ".png")))
    #expect((picture.width, picture.height, picture.channels) == (5, 3, channels))
    #expect(expected.channels == channels)
    #expect(zip(picture.pixels, expected.pixels).allSatisfy { abs(Int($0) - Int($1)) <= tolerance })
  }

  @Test(
    "Every prefix of a JPEG and of a WebP is an error, never a crash",
    arguments: ["colour.jpg", "lossless.webp", "lossy.webp"])
  func cutOff(_ name: String) throws {
    let data = try Data(contentsOf: fixtures.appendingPathComponent("pictures/\(name)"))
    for length in 0..<data.count - 2 {  // a JPEG ends with a marker, a WebP may with padding
      #expect(throws: PictureError.self, "\(length)") { try Picture(contentsOf: data.prefix(length)) }
    }
  }

  @Test(
    "A few bytes that claim millions of pixels are refused before memory is taken",
    arguments: ["bomb.jpg", "bomb.webp", "bomb.png"])
  func bombs(_ name: String) throws {
    let data = try Data(contentsOf: fixtures.appendingPathComponent("pictures/\(name)"))
    #expect(data.count < 2000)
    let error = #expect(throws: PictureError.self) { try Picture(contentsOf: data) }
    #expect(error?.description.contains("claims") == true)
  }
}
