import Foundation

/// Handwritten digits, 28×28 pixels, classes 0 to 9: MNIST itself, its embedded sample, or any data set in the same
/// four files (Fashion-MNIST, for example).
///
/// ```swift
/// let digits = try MNIST.sample()               // 4,000 + 1,000, embedded, offline
/// let digits = try MNIST(directory: folder)     // 60,000 + 10,000 from IDX files
/// let digits = try await MNIST.downloaded(into: MNIST.cacheDirectory)
/// ```
/// Source: LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to document recognition", 1998.
public struct MNIST: Sendable {
  /// What models learn from: 60,000 images, of the sample 4,000.
  public let train: LabelledImages
  /// What they are measured on: 10,000 images, of the sample 1,000.
  public let test: LabelledImages

  /// Reads the four IDX files of a folder, gzipped or not, under their usual names.
  /// - Throws: `DatasetError` when one is absent or bad, or the images are not of 28×28 pixels.
  public init(directory: URL) throws {
    train = try MNIST.load("train", from: directory)
    test = try MNIST.load("t10k", from: directory)
  }

  private static func load(_ part: String, from directory: URL) throws -> LabelledImages {
    let imageFile = try file("\(part)-images", "idx3-ubyte", in: directory)
    let labelFile = try file("\(part)-labels", "idx1-ubyte", in: directory)
    let images = try LabelledImages(images: imageFile, labels: labelFile, classCount: 10)
    guard images.height == 28, images.width == 28 else {
      throw DatasetError(
        .wrongFormat, file: imageFile, found: "images of \(images.height)×\(images.width) pixels",
        expected: "28×28", advice: "This is another data set")
    }
    return images
  }

  /// The first that exists of `train-images-idx3-ubyte`, `train-images.idx3-ubyte` and both with `.gz`.
  private static func file(_ stem: String, _ format: String, in directory: URL) throws -> URL {
    guard let found = existingFile(stem, format, in: directory) else {
      let exists = FileManager.default.fileExists(atPath: directory.path)
      throw DatasetError(
        .missing, file: directory, found: exists ? "no \(stem)-\(format)" : "no such folder",
        expected: "\(stem)-\(format) or \(stem).\(format), with or without .gz",
        advice: "Name the folder that holds the four IDX files of images and labels")
    }
    return found
  }

  private static func existingFile(_ stem: String, _ format: String, in directory: URL) -> URL? {
    ["\(stem)-\(format)", "\(stem).\(format)", "\(stem)-\(format).gz", "\(stem).\(format).gz"]
      .map { directory.appendingPathComponent($0) }
      .first { FileManager.default.fileExists(atPath: $0.path) }
  }
}

// MARK: The embedded sample

extension MNIST {
  /// The embedded 5,000 digits, 500 of each: 4,000 to train with, 1,000 to test with. `Resources/README.md` tells
  /// where they come from.
  /// - Throws: `DatasetError` when the resource folder that belongs to the program was left behind.
  public static func sample() throws -> MNIST {
    try MNIST(directory: sampleDirectory(candidates: sampleCandidates))
  }

  /// SwiftPM's own `Bundle.module` stops the program when the resources are not where they were built; we say so
  /// instead, and also look where an installed program keeps them.
  package static func sampleDirectory(candidates: [URL]) throws -> URL {
    for candidate in candidates where existingFile("train-images", "idx3-ubyte", in: candidate) != nil {
      return candidate
    }
    throw DatasetError(
      .missing, file: candidates.first ?? URL(fileURLWithPath: sampleBundle), found: "no embedded digits",
      expected: "the folder \(sampleBundle) beside the program",
      advice: "Copy it together with the program, or use other digits: a folder of IDX files, or the download")
  }

  #if os(Linux) || os(Windows)
    private static let sampleBundle = "swift-lora_LoRADatasets.resources"
  #else
    private static let sampleBundle = "swift-lora_LoRADatasets.bundle"
  #endif

  package static var sampleCandidates: [URL] {
    let program = Bundle.main.executableURL?.resolvingSymlinksInPath().deletingLastPathComponent()
    let image = Bundle(for: BundleAnchor.self)
    let folders = [
      program, Bundle.main.bundleURL, Bundle.main.resourceURL,
      image.resourceURL, image.bundleURL.deletingLastPathComponent(),
      program?.deletingLastPathComponent().appendingPathComponent("share/swift-lora"),
    ]
    let source = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("Resources")
    return folders.compactMap { $0 }.flatMap { folder in
      let bundle = folder.appendingPathComponent(sampleBundle)
      return [
        bundle.appendingPathComponent("Resources"), bundle.appendingPathComponent("Contents/Resources/Resources"),
      ]
    } + [source]
  }

  /// Lies in the same binary image as this target, so its bundle tells where that is.
  private final class BundleAnchor {}
}

// MARK: Download

extension MNIST {
  /// Where others keep the original files.
  public static let mirrors = [
    URL(string: "https://ossci-datasets.s3.amazonaws.com/mnist/")!,
    URL(string: "https://storage.googleapis.com/cvdf-datasets/mnist/")!,
  ]

  /// The original gzip files, as LeCun published them.
  public static let remoteFiles = [
    RemoteFile(
      name: "train-images-idx3-ubyte.gz", byteCount: 9_912_422,
      sha256: "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
    RemoteFile(
      name: "train-labels-idx1-ubyte.gz", byteCount: 28_881,
      sha256: "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
    RemoteFile(
      name: "t10k-images-idx3-ubyte.gz", byteCount: 1_648_877,
      sha256: "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
    RemoteFile(
      name: "t10k-labels-idx1-ubyte.gz", byteCount: 4_542,
      sha256: "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
  ]

  /// The user's cache folder for MNIST, by the platform's convention (`~/.cache/swift-lora/mnist` on Linux).
  public static var cacheDirectory: URL {
    let caches =
      FileManager.default.urls(for: .cachesDirectory, in: .userDomainMask).first
      ?? FileManager.default.temporaryDirectory
    return caches.appendingPathComponent("swift-lora").appendingPathComponent("mnist")
  }

  /// MNIST from `directory`; the files it lacks are downloaded first.
  /// - Parameters:
  ///   - directory: where the files go, and are found the next time.
  ///   - mirrors: base addresses, tried in order.
  ///   - files: the four files; others give another data set of the same form.
  ///   - progress: is told of every piece that has come.
  /// - Throws: `DatasetError` that names what was tried and how to go on by hand, when no mirror gives a file.
  public static func downloaded(
    into directory: URL, mirrors: [URL] = MNIST.mirrors, files: [RemoteFile] = MNIST.remoteFiles,
    progress: @escaping @Sendable (Downloader.Progress) -> Void = { _ in }
  ) async throws -> MNIST {
    let missing = files.filter { file in
      let parts = file.name.components(separatedBy: "-")  // train, images, idx3, ubyte.gz
      return parts.count != 4 || existingFile("\(parts[0])-\(parts[1])", "\(parts[2])-ubyte", in: directory) == nil
    }
    let downloader = Downloader(mirrors: mirrors, directory: directory)
    do {
      for file in missing { _ = try await downloader.fetch(file, progress: progress) }
    } catch let error as DatasetError where error.kind == .download {
      let names = missing.map(\.name).joined(separator: ", ")
      throw DatasetError(
        .download, file: URL(fileURLWithPath: error.file), found: error.found, expected: error.expected,
        advice: "Try again when the network is back, or put by hand into \(directory.path): \(names), gzipped or not")
    }
    return try MNIST(directory: directory)
  }
}
