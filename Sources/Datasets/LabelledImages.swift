import Foundation
import LoRACKernels
import LoRATensors

/// Grey images of one size, each with a class: MNIST and whatever is stored like it.
///
/// The pixels stay bytes, in one copy that every selection shares; only a batch becomes floating point.
/// ```swift
/// let nines = digits.test.filter { $0 == 9 }
/// let (inputs, labels) = nines.batch(0..<10)  // [10, 784], 10
/// ```
public struct LabelledImages: Sendable {
  /// Rows of pixels.
  public let height: Int
  /// Columns of pixels.
  public let width: Int
  /// How many classes there are; labels are below it.
  public let classCount: Int

  private let storedPixels: [UInt8]  // [stored, height, width]
  private let storedLabels: [UInt8]  // [stored]
  private let rows: [Int32]  // the stored image of each image of this selection

  /// - Parameters:
  ///   - pixels: [count, height, width], 0 is background and 255 is ink.
  ///   - labels: [count], each below `classCount`.
  ///   - height: rows of pixels.
  ///   - width: columns of pixels.
  ///   - classCount: how many classes there are.
  public init(pixels: [UInt8], labels: [UInt8], height: Int, width: Int, classCount: Int) {
    expect(
      pixels.count == labels.count * height * width,
      "LabelledImages: \(pixels.count) pixels, but \(labels.count) labels for images of \(height)×\(width)")
    expect(
      labels.allSatisfy { Int($0) < classCount },
      "LabelledImages: label \(labels.max() ?? 0) with \(classCount) classes")
    self.init(
      height: height, width: width, classCount: classCount, storedPixels: pixels, storedLabels: labels,
      rows: Array(0..<Int32(labels.count)))
  }

  /// Reads an IDX file of images, [count, height, width], and one of labels, [count].
  /// - Throws: `DatasetError` when a file is bad, the counts differ or a label is not below `classCount`.
  public init(images imageFile: URL, labels labelFile: URL, classCount: Int) throws {
    let labels = try IDXFile(contentsOf: labelFile, dimensionCount: 1)
    if let row = labels.bytes.firstIndex(where: { Int($0) >= classCount }) {
      throw DatasetError(
        .labelOutOfRange, file: labelFile, found: "label \(labels.bytes[row]) at row \(row.grouped)",
        expected: "labels from 0 to \(classCount - 1)",
        advice: "The file belongs to another data set or is damaged")
    }
    let images = try IDXFile(contentsOf: imageFile, dimensionCount: 3)
    guard images.dimensions[0] == labels.dimensions[0] else {
      throw DatasetError(
        .countMismatch, file: labelFile, found: "\(labels.dimensions[0].grouped) labels",
        expected: "\(images.dimensions[0].grouped), one for each image of \(imageFile.lastPathComponent)",
        advice: "Take both files from the same source")
    }
    self.init(
      pixels: images.bytes, labels: labels.bytes, height: images.dimensions[1], width: images.dimensions[2],
      classCount: classCount)
  }

  private init(
    height: Int, width: Int, classCount: Int, storedPixels: [UInt8], storedLabels: [UInt8], rows: [Int32]
  ) {
    self.height = height
    self.width = width
    self.classCount = classCount
    self.storedPixels = storedPixels
    self.storedLabels = storedLabels
    self.rows = rows
  }

  /// How many images there are.
  public var count: Int { rows.count }
  /// Pixels of an image: what a model that sees it as a vector takes.
  public var pixelCount: Int { height * width }

  /// The class of the image at `index`.
  public func label(at index: Int) -> Int { Int(storedLabels[Int(rows[index])]) }

  /// The classes of all images, [count].
  public var labels: [Int] { rows.map { Int(storedLabels[Int($0)]) } }

  /// The bytes of the image at `index`, [height, width].
  public func pixels(at index: Int) -> ArraySlice<UInt8> {
    let start = Int(rows[index]) * pixelCount
    return storedPixels[start..<start + pixelCount]
  }

  /// Where the images of one class are, ascending.
  public func indices(ofLabel label: Int) -> [Int] {
    (0..<count).filter { self.label(at: $0) == label }
  }

  /// How many images each class has, [classCount].
  public var labelCounts: [Int] {
    rows.reduce(into: Array(repeating: 0, count: classCount)) { $0[Int(storedLabels[Int($1)])] += 1 }
  }
}

// MARK: Selections. They share the pixels.

extension LabelledImages {
  /// The images at `indices`, in that order.
  public func selecting(_ indices: some Sequence<Int>) -> LabelledImages {
    LabelledImages(
      height: height, width: width, classCount: classCount, storedPixels: storedPixels, storedLabels: storedLabels,
      rows: indices.map { rows[$0] })
  }

  /// The images whose label satisfies a condition.
  public func filter(_ isIncluded: (_ label: Int) throws -> Bool) rethrows -> LabelledImages {
    selecting(try (0..<count).filter { try isIncluded(label(at: $0)) })
  }

  /// Two disjoint parts that together are everything; of each class, `fraction` (rounded) is in the first.
  /// Which images go where is drawn from `generator`; inside a part the order stays.
  public func split(
    fraction: Double, using generator: inout some RandomNumberGenerator
  ) -> (first: LabelledImages, second: LabelledImages) {
    expect((0...1).contains(fraction), "split: the fraction \(fraction) is not between 0 and 1")
    var isFirst = Array(repeating: false, count: count)
    for label in 0..<classCount {
      let members = indices(ofLabel: label).shuffled(using: &generator)
      for index in members.prefix(Int((fraction * Double(members.count)).rounded())) { isFirst[index] = true }
    }
    return (
      selecting(isFirst.indices.filter { isFirst[$0] }), selecting(isFirst.indices.filter { !isFirst[$0] })
    )
  }
}

// MARK: Batches

extension LabelledImages {
  /// x ↦ (x/255 − mean)/deviation, for a byte x.
  public struct Normalization: Equatable, Sendable {
    /// Subtracted, of pixels between 0 and 1.
    public let mean: Float
    /// Divided by, of pixels between 0 and 1.
    public let deviation: Float

    /// Normalisation by a mean and a standard deviation of pixels between 0 and 1.
    public init(mean: Float, deviation: Float) {
      self.mean = mean
      self.deviation = deviation
    }

    /// Mean and standard deviation of MNIST's training pixels.
    public static let mnist = Normalization(mean: 0.1307, deviation: 0.3081)
  }

  /// The images at `indices` as a model takes them, [batch, height · width], and their labels, [batch].
  public func batch(
    _ indices: some Collection<Int>, normalization: Normalization = .mnist
  ) -> (inputs: Tensor, labels: [Int]) {
    let inputs = Tensor(shape: [indices.count, pixelCount]) { buffer in
      storedPixels.withUnsafeBufferPointer { pixels in
        for (position, index) in indices.enumerated() {
          ck_normalize_bytes(
            pixels.baseAddress! + Int(rows[index]) * pixelCount, normalization.mean, normalization.deviation,
            buffer.baseAddress! + position * pixelCount, pixelCount)
        }
      }
    }
    return (inputs, indices.map(label(at:)))
  }
}
