import Foundation
import LoRACZlib
import LoRADatasets
import LoRAModels
import LoRANetworks
import LoRATensors

/// The live page: one HTML file, without a network or a server, in which LoRA trains before one's eyes.
///
/// ```swift
/// let page = LivePage(base: model, train: digits.train, test: digits.test, digit: 9, seed: 0)
/// try Data(page.html.utf8).write(to: url)
/// ```
/// The page holds the base's weights, images to learn from and to test on, and an engine in WebAssembly that is
/// compiled from `Sources/PageEngine` (`Scripts/page/build-engine.sh`). Given the same images, its training is that of
/// `DigitExperiment`, number for number up to rounding.
public struct LivePage {
  /// The frozen network.
  public let base: DigitClassifier
  /// What the page learns from.
  public let train: LabelledImages
  /// What it counts errors on.
  public let test: LabelledImages
  /// The digit that the page offers to teach first.
  public let digit: Int
  /// Of the adapter's first numbers and of the order of the images.
  public let seed: UInt32

  /// A page about a base and a digit.
  ///
  /// - Parameters:
  ///   - base: a classifier of the images; its adapters, if it has any, are left out.
  ///   - train: what the page learns from. Each image takes about 220 bytes of the file.
  ///   - test: what it counts errors on.
  ///   - digit: what is offered to be taught first.
  ///   - seed: of everything random.
  public init(base: DigitClassifier, train: LabelledImages, test: LabelledImages, digit: Int, seed: UInt32) {
    expect(
      train.pixelCount == base.hidden1.weight.shape[1] && test.pixelCount == train.pixelCount,
      "LivePage: images of \(train.pixelCount) and \(test.pixelCount) pixels for a model of "
        + "\(base.hidden1.weight.shape[1]) inputs")
    expect(
      train.count > 0 && test.count > 0 && (0..<train.classCount).contains(digit),
      "LivePage: \(train.count) and \(test.count) images, digit \(digit)")
    self.base = base
    self.train = train
    self.test = test
    self.digit = digit
    self.seed = seed
  }

  private var layers: [Linear] { [base.hidden1, base.hidden2, base.output] }

  /// The whole file.
  public var html: String {
    let template = String(decoding: PackageResources.page_html, as: UTF8.self)
    let parts = [
      ("/* style */", String(decoding: PackageResources.page_css, as: UTF8.self)),
      ("/* lesson */", lesson), ("/* payload */", payload),
      ("/* script */", String(decoding: PackageResources.page_js, as: UTF8.self)),
    ]
    return parts.reduce(template) { $0.replacingOccurrences(of: $1.0, with: $1.1) }
  }

  /// What the script must know to read the payload, as JSON.
  private var lesson: String {
    let sizes = [layers[0].weight.shape[1]] + layers.map { $0.weight.shape[0] }
    return """
      {"engine": \(PackageResources.engine_wasm.count), "sizes": \(sizes), "train": \(train.count), "test": \(test.count), \
      "height": \(train.height), "width": \(train.width), "digit": \(digit), "seed": \(seed)}
      """
  }

  /// Engine, weights (each layer's weight and bias), images and labels, one after the other, in zlib's format and base 64.
  private var payload: String {
    var bytes = Data(PackageResources.engine_wasm)
    for layer in layers {
      for parameter in [layer.weight, layer.bias].compactMap({ $0 }) {
        parameter.original.scalars.withUnsafeBytes { bytes.append(contentsOf: $0) }
      }
    }
    for images in [train, test] {
      for index in 0..<images.count { bytes.append(contentsOf: images.pixels(at: index)) }
      bytes.append(contentsOf: images.labels.map { UInt8($0) })
    }
    return deflated(bytes).base64EncodedString()
  }

  private func deflated(_ bytes: Data) -> Data {
    var count = compressBound(uLong(bytes.count))
    var result = Data(count: Int(count))
    let status = result.withUnsafeMutableBytes { to in
      bytes.withUnsafeBytes { from in
        compress2(
          to.baseAddress!.assumingMemoryBound(to: UInt8.self), &count,
          from.baseAddress!.assumingMemoryBound(to: UInt8.self), uLong(bytes.count), 9)
      }
    }
    expect(status == Z_OK, "LivePage: zlib failed with \(status)")
    return result.prefix(Int(count))
  }
}
