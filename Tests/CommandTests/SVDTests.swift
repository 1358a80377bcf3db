import Foundation
import LoRAKit
import TestSupport
import Testing

private struct Spectra: Decodable {
  struct Matrix: Decodable {
    let name: String
    let shape: [Int]
    let singularValues: [Float]
    let numericalRank: Int
    let stableRank: Double
    let rankForEnergy99: Int
    let rank: Int
    let relativeError: Double
  }
  let matrices: [Matrix]
}

private func spectra(_ file: URL) throws -> [Spectra.Matrix] {
  let decoder = JSONDecoder()
  decoder.keyDecodingStrategy = .convertFromSnakeCase
  return try decoder.decode(Spectra.self, from: Data(contentsOf: file)).matrices
}

/// 40 × 30 numbers, of rank 5 but for a little noise.
private func nearlyLowRank() -> Tensor {
  var generator = SeededGenerator(seed: 4)
  return Tensor.normal([40, 5], using: &generator).matmul(.normal([5, 30], using: &generator))
    + .normal([40, 30], deviation: 0.01, using: &generator)
}

/// The middle of the sample, 64 × 48.
private func smallPicture() throws -> Picture {
  try Picture(matrices: Picture.sample().matrices.map { $0.sliced(axis: 0, 160..<208).sliced(axis: 1, 200..<264) })
}

private func write(_ tensors: [(String, Tensor, NumberFormat)], to url: URL) throws {
  try SafetensorsWriter.write(tensors.map { try StoredTensor(name: $0.0, $0.1, as: $0.2) }, to: url)
}

@Suite("lora svd")
struct SVDTests {
  @Test("--demo tells the story in text, JSON and one report, the same for the same seed")
  func demo() throws {
    let folder = try TemporaryFolder()
    let (json, report) = (folder.file("demo.json"), folder.file("demo.html"))
    let run = try CommandRun(
      ["svd", "--demo", "--seed", "3", "--json", json.path, "--report", report.path, "--quiet"], in: folder.url)
    #expect(run.exitCode == 0 && run.errors.isEmpty)
    let matrices = try spectra(json)
    #expect(matrices.map(\.name) == ["rank 2", "rank 10 and noise", "red", "green", "blue"])
    #expect(matrices[0].numericalRank == 2 && matrices[0].shape == [10, 10] && matrices[0].relativeError < 1e-6)
    #expect(run.output.contains("10 × 10 = 100 numbers") && run.output.contains("40 numbers"))
    #expect(run.output.contains("keeps 10"))
    let html = try String(contentsOf: report, encoding: .utf8)
    #expect(html.contains("<svg") && html.contains("data:image/png"))
    #expect(folder.names == ["demo.html", "demo.json"], "nothing else is written")
    #expect(try CommandRun(["svd", "--demo", "--seed", "3"]).output == run.output)
  }

  @Test("A picture is rebuilt at each rank, with the least error of that rank", arguments: [1, 3])
  func picture(_ channels: Int) throws {
    let folder = try TemporaryFolder()
    let sample = try smallPicture()
    let picture = Picture(matrices: Array(sample.matrices[0..<channels]))
    try picture.png.write(to: folder.file("photo.png"))
    let json = folder.file("photo.json")
    let run = try CommandRun(["svd", "photo.png", "--rank", "4,48", "--json", json.path], in: folder.url)
    #expect(run.exitCode == 0)
    #expect(folder.names == ["photo-rank-4.png", "photo-rank-48.png", "photo.json", "photo.png"])
    let whole = try Picture(contentsOf: Data(contentsOf: folder.file("photo-rank-48.png")))
    #expect(whole == picture, "all singular values give the picture back")
    let rebuilt = try Picture(contentsOf: Data(contentsOf: folder.file("photo-rank-4.png")))
    #expect(rebuilt.channels == channels)
    for (summary, (before, after)) in zip(try spectra(json), zip(picture.matrices, rebuilt.matrices)) {
      #expect(summary.rank == 4 && summary.shape == [48, 64])
      // Pixels are rounded to 1/255 and cut off at black and white.
      #expect(abs((before - after).norm / before.norm - summary.relativeError) < 0.01)
    }
  }

  @Test("--energy chooses the smallest rank, and --output the folder")
  func energy() throws {
    let folder = try TemporaryFolder()
    let values = try smallPicture().matrices[0].spectrum()
    try Picture(matrices: [smallPicture().matrices[0]]).png.write(to: folder.file("a.png"))
    let json = folder.file("a.json")
    let run = try CommandRun(
      ["svd", "a.png", "--energy", "0.999", "--output", "out", "--json", json.path], in: folder.url)
    #expect(run.exitCode == 0)
    #expect(FileManager.default.fileExists(atPath: folder.file("out/a-energy-0.999.png").path))
    #expect(try spectra(json)[0].rank == values.rank(.energy(0.999)))
  }

  @Test("A checkpoint is measured matrix by matrix, in every precision", arguments: [NumberFormat.f32, .f16, .bf16])
  func checkpoint(_ format: NumberFormat) throws {
    let folder = try TemporaryFolder()
    let matrix = nearlyLowRank()
    try write(
      [("a.weight", matrix, format), ("a.bias", .ones([40]), format), ("b.weight", .ones([6, 9]), format)],
      to: folder.file("model.safetensors"))
    let json = folder.file("model.json")
    let report = folder.file("report.html")
    let run = try CommandRun(
      ["svd", "model.safetensors", "--rank", "5", "--json", json.path, "--report", report.path], in: folder.url)
    #expect(run.exitCode == 0)
    let matrices = try spectra(json)
    #expect(matrices.map(\.name) == ["a.weight", "b.weight"])
    let expected = try matrix.spectrum()
    let tolerance: Float = format == .f32 ? 1e-6 : 0.02
    for (found, value) in zip(matrices[0].singularValues, expected.singularValues) {
      #expect(abs(found - value) < tolerance * expected.singularValues[0])
    }
    #expect(abs(matrices[0].relativeError - expected.relativeError(atRank: 5)) < Double(tolerance))
    #expect(matrices[0].rankForEnergy99 == 5)
    #expect(matrices[1].numericalRank == 1 && abs(matrices[1].stableRank - 1) < 1e-5)
    #expect(run.output.contains("Tensors left out: 1 that are no matrices."))
    #expect(try String(contentsOf: report, encoding: .utf8).contains("b.weight"))
    // One of them by name.
    let one = try CommandRun(["svd", "model.safetensors", "--tensor", "^b", "--json", json.path], in: folder.url)
    #expect(one.exitCode == 0)
    #expect(try spectra(json).map(\.name) == ["b.weight"])
  }

  @Test("A NumPy file is measured", arguments: ["float32", "float64-fortran"])
  func numpy(_ name: String) throws {
    let folder = try TemporaryFolder()
    let json = folder.file("array.json")
    let file = fixtures.appendingPathComponent("linear-algebra/\(name).npy")
    let run = try CommandRun(["svd", file.path, "--rank", "1", "--json", json.path], in: folder.url)
    #expect(run.exitCode == 0)
    // Rows of a ramp: u + v of rank 2.
    let matrix = try spectra(json)[0]
    #expect(matrix.numericalRank == 2 && matrix.shape == [3, 4])
  }

  @Test("The energy of every matrix of a real model is its sum of squares", .enabled(if: sharedData != nil))
  func realModel() throws {
    let folder = try TemporaryFolder()
    let json = folder.file("model.json")
    let model = sharedData!.appendingPathComponent("models/stories260K/model.safetensors")
    let run = try CommandRun(["svd", model.path, "--json", json.path, "--quiet"])
    #expect(run.exitCode == 0 && run.errors.isEmpty)
    let checkpoint = try Checkpoint(model)
    for summary in try spectra(json) {
      // Σσ² is the sum of squares, whoever computes it.
      let norm = try #require(checkpoint[summary.name]).tensor().norm
      let energy = summary.singularValues.reduce(0) { $0 + Double($1) * Double($1) }
      #expect(abs(energy.squareRoot() / norm - 1) < 1e-5)
    }
  }

  @Test(
    "Wrong usage exits with 64",
    arguments: [
      ["--rank", "0"], ["--rank", "x"], ["--rank", "5,"], ["--energy", "1.5"], ["--energy", "0"],
      ["--rank", "2", "--energy", "0.5"], ["--demo", "file.png"], ["--demo", "--rank", "2"], ["--tensor", "x"],
      ["model.safetensors", "--tensor", "("], ["--threads", "0"],
    ])
  func usage(_ arguments: [String]) throws {
    let run = try CommandRun(["svd"] + arguments)
    #expect(run.exitCode == 64)
    #expect(run.output.isEmpty && run.errors.contains("Error"))
  }

  @Test(
    "Input that can't be used is an error that says why, and nothing is written",
    arguments: [
      (["absent.png"], "does not exist"), (["cut.png"], "cut off"), (["text.txt"], "is no picture"),
      (["photo.jpg"], "libjpeg-turbo says"), (["cut.safetensors"], "safetensors"), (["vector.npy"], "[5]"),
      (["nan.npy"], "row 1"),
      (["good.png", "--rank", "9"], "rank 9 is above the smaller side of shape [8, 9]"),
      (["model.safetensors", "--rank", "2,9"], "a.weight: rank 9"),
      (["model.safetensors", "--tensor", "c"], "a.weight [4, 6]"),
      (["model.safetensors", "--tensor", "bias"], "a.bias [4]"),
      (["good.png", "--output", "text.txt"], "is a file"), (["good.png", "--output", "photo.jpg/out"], "is a file"),
      (["good.png", "--report", "absent/r.html"], "no folder"),
    ])
  func badInput(_ arguments: [String], _ message: String) throws {
    let folder = try TemporaryFolder()
    let png = Picture(width: 9, height: 8, pixels: (0..<72).map { UInt8($0) }).png
    try png.write(to: folder.file("good.png"))
    try png.prefix(60).write(to: folder.file("cut.png"))
    try Data("hello".utf8).write(to: folder.file("text.txt"))
    try Data([0xFF, 0xD8, 0xFF, 0xE0]).write(to: folder.file("photo.jpg"))
    try Data([9, 0, 0, 0]).write(to: folder.file("cut.safetensors"))
    try write(
      [("a.weight", .ones([4, 6]), .f32), ("a.bias", .ones([4]), .f32)], to: folder.file("model.safetensors"))
    func npy(_ name: String, _ shape: String, _ values: [Float]) throws {
      let header = "{'descr': '<f4', 'fortran_order': False, 'shape': \(shape), }"
      var data = Data([0x93] + Array("NUMPY".utf8) + [1, 0, UInt8(header.utf8.count), 0]) + Data(header.utf8)
      values.withUnsafeBytes { data.append(contentsOf: $0) }
      try data.write(to: folder.file(name))
    }
    try npy("vector.npy", "(5,)", [1, 2, 3, 4, 5])
    try npy("nan.npy", "(2, 2)", [1, 2, .nan, 4])
    let before = folder.names
    let run = try CommandRun(["svd"] + arguments + ["--json", folder.file("out.json").path], in: folder.url)
    #expect(run.exitCode == 1)
    #expect(run.output.isEmpty)
    #expect(run.errors.contains(message), "\(run.errors)")
    #expect(folder.names == before)
  }
}
