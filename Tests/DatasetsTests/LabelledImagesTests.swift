import Foundation
import LoRADatasets
import TestSupport
import Testing

/// Knuth's multiplicative generator: deterministic, and independent of the library's.
struct TestGenerator: RandomNumberGenerator {
  var state: UInt64
  mutating func next() -> UInt64 {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return state ^ state >> 29
  }
}

struct LabelledImagesTests {
  /// Six images of 1×2 pixels; image i is [i, 2 i].
  let images = LabelledImages(
    pixels: (0..<6).flatMap { [UInt8($0), UInt8(2 * $0)] }, labels: [0, 1, 2, 0, 1, 1], height: 1, width: 2,
    classCount: 3)

  @Test("A batch is (pixel/255 − mean)/deviation, one image a row, in the order asked for")
  func batch() {
    let images = LabelledImages(pixels: [0, 255, 51, 102], labels: [4, 7], height: 1, width: 2, classCount: 10)
    let (inputs, labels) = images.batch([1, 0, 1])
    // 51/255 = 0.2: (0.2 − 0.1307)/0.3081 = 0.224927; 102/255 = 0.4: 0.874067;
    // 0: −0.1307/0.3081 = −0.424213; 1: 0.8693/0.3081 = 2.821486
    let expected: [Float] = [0.224927, 0.874067, -0.424213, 2.821486, 0.224927, 0.874067]
    #expect(inputs.shape == [3, 2])
    #expect(labels == [7, 4, 7])
    for (value, reference) in zip(inputs.scalars, expected) { #expect(abs(value - reference) < 2e-6) }
  }

  @Test("Indices and counts of a class, and a filter by class, agree")
  func classes() {
    #expect(images.indices(ofLabel: 1) == [1, 4, 5])
    #expect(images.labelCounts == [2, 3, 1])
    let ones = images.filter { $0 == 1 }
    #expect(ones.count == 3)
    #expect(ones.labels == [1, 1, 1])
    #expect((0..<3).map { Array(ones.pixels(at: $0)) } == [[1, 2], [4, 8], [5, 10]])
    #expect(ones.selecting([2, 0]).batch([0]).inputs.isIdentical(to: images.batch([5]).inputs))
  }

  @Test("A split is stratified, disjoint, complete, and the same for the same seed")
  func split() {
    let many = LabelledImages(
      pixels: (0..<100).map { UInt8($0) }, labels: (0..<100).map { $0 < 80 ? 0 : 1 }, height: 1, width: 1, classCount: 2
    )
    var (first, second) = (TestGenerator(state: 1), TestGenerator(state: 1))
    let parts = many.split(fraction: 0.8, using: &first)
    #expect(parts.first.labelCounts == [64, 16])
    #expect(parts.second.labelCounts == [16, 4])
    func pixels(_ part: LabelledImages) -> [UInt8] { (0..<part.count).flatMap { part.pixels(at: $0) } }
    #expect((pixels(parts.first) + pixels(parts.second)).sorted() == (0..<100).map { UInt8($0) })
    // Drawn, not simply the first of each class.
    #expect(pixels(parts.first) != Array(0..<64) + Array(80..<96))
    #expect(pixels(many.split(fraction: 0.8, using: &second).first) == pixels(parts.first))
  }

  @Test("IDX images with labels load as bytes")
  func load() throws {
    let folder = fixtures.appendingPathComponent("datasets")
    let loaded = try LabelledImages(
      images: folder.appendingPathComponent("images.idx.gz"), labels: folder.appendingPathComponent("labels.idx.gz"),
      classCount: 10)
    #expect(loaded.labels == [7, 0, 9])
    #expect(Array(loaded.pixels(at: 1)) == (8..<16).map { UInt8(11 * $0) })
  }

  @Test("Differing counts and a label out of range are errors that give numbers and place")
  func mismatch() throws {
    let scratch = try ScratchFolder()
    let images = fixtures.appendingPathComponent("datasets/images.idx.gz")
    let two = try scratch.write(idx([2], [1, 2]), "two")
    let count = #expect(throws: DatasetError.self) { try LabelledImages(images: images, labels: two, classCount: 10) }
    #expect(count?.kind == .countMismatch)
    #expect(count?.description.contains("found 2 labels, expected 3") == true)

    let ten = try scratch.write(idx([3], [1, 10, 2]), "ten")
    let range = #expect(throws: DatasetError.self) { try LabelledImages(images: images, labels: ten, classCount: 10) }
    #expect(range?.kind == .labelOutOfRange)
    #expect(range?.description.contains("label 10 at row 1, expected labels from 0 to 9") == true)
  }
}
