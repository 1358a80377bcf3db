import ArgumentParser
import Foundation
import LoRAKit

/// `lora svd`: how much of a matrix a few numbers hold, shown and measured.
struct SVDCommand: RankedCommand {
  static let configuration = CommandConfiguration(
    commandName: "svd",
    abstract: "Singular values and low-rank approximations of matrices and pictures.",
    discussion: """
      A picture (PNG, JPEG, WebP, PGM, PPM) is rebuilt at each rank and written as PNG. A checkpoint (safetensors) or an array \
      (NumPy's .npy) is measured, matrix by matrix: its rank, its stable rank, the rank that keeps 90, 99 and 99.9% of \
      its energy (the sum of its squared elements), and what is lost at the rank that is asked for. Without a file, a \
      sample picture is used.

      EXAMPLES
        lora svd --demo --report report.html
        lora svd photo.png --rank 5,20,50
        lora svd photo.png --energy 0.99 --output pictures/
        lora svd model.safetensors --tensor 'attention.*weight' --rank 16 --json spectra.json
        mpirun -np 4 lora svd model/ --report report.html
      """)

  @Argument(
    help: "A picture, a safetensors file or folder, or a NumPy file; - for standard input. (default: a sample picture)")
  var file: Path?

  @Flag(help: "Tell the story: a matrix of rank 2, a noisy one, a picture.")
  var demo = false

  @Option(help: "Ranks to keep, separated by commas. (default: 5,20,50 for pictures, 16 for matrices)")
  var rank: String?

  @Option(help: "Shares of the energy to keep instead, as in 0.9,0.99: each matrix at the smallest rank that does.")
  var energy: String?

  @Option(
    help: ArgumentHelp(
      "Only tensors in whose name this regular expression occurs. (default: all)", valueName: "pattern"))
  var tensor: String?

  @Option(
    name: [.customShort("o"), .long],
    help: ArgumentHelp("Where the pictures are written. (default: the current folder)", valueName: "folder"))
  var output: Path?

  @Option(help: "Seed of the demonstration's matrices.")
  var seed: UInt64 = 0

  @OptionGroup var common: OutputOptions

  func validate() throws {
    _ = try keeping()
    if demo, file != nil { throw ValidationError("--demo takes no file.") }
    if demo, output != nil { throw ValidationError("--demo shows its picture in the --report; it writes no others.") }
    if demo, rank != nil || energy != nil { throw ValidationError("--demo chooses its ranks itself.") }
    if let tensor {
      if demo || file == nil { throw ValidationError("--tensor needs a safetensors file.") }
      do { _ = try Regex(tensor) } catch {
        throw ValidationError("--tensor \(tensor): is no regular expression: \(error)")
      }
    }
  }

  func run() throws {
    try common.prepare()
    let folder = try output?.place(of: "a folder of pictures") ?? URL(fileURLWithPath: ".", isDirectory: true)
    if output != nil { try checkFolder(folder) }
    let result: SVDResult
    // Of several processes the first has the standard input, and does all but a model's matrices.
    guard Ranks.isFirst || !(demo || file?.isStream ?? true) else { return }
    if demo {
      result = try SVDDemonstration(seed: seed).run()
    } else {
      switch try SVDInput(file: file, tensor: tensor) {
      case .picture(let picture, let name):
        guard Ranks.isFirst else { return }
        result = try SVDPictureStudy(name: name, picture: picture, keeping: try keeping() ?? .ranks([5, 20, 50]))
          .run(writesPictures: true)
      case .matrices(let matrices, let name, let skipped):
        result = try SVDMatrixStudy(
          name: name, matrices: matrices, skipped: skipped, keeping: try keeping(), isQuiet: common.quiet
        ).run(among: file?.isStream ?? true ? .alone : Ranks.joined().sharing)
      }
    }
    guard Ranks.isFirst else { return }
    if output != nil { try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true) }
    for (name, picture) in result.pictures {
      try OutputFile.write(picture.png, to: folder.appendingPathComponent(name))
    }
    if !result.pictures.isEmpty {
      let names = result.pictures.map { output == nil ? $0.name : folder.appendingPathComponent($0.name).relativePath }
      comment("Written: \(names.joined(separator: ", "))", isQuiet: common.quiet)
    }
    try common.show(result.report)
  }

  /// What `--rank` or `--energy` asks for; `nil` where neither does.
  private func keeping() throws -> Keeping? {
    func list<Value>(_ name: String, _ text: String, _ example: String, _ parse: (String) -> Value?) throws -> [Value] {
      try text.split(separator: ",", omittingEmptySubsequences: false).map {
        let part = $0.trimmingCharacters(in: .whitespaces)
        guard let value = parse(part) else {
          throw ValidationError(
            "--\(name) \(text): '\(part)' is no number; numbers separated by commas are needed, as in \(example).")
        }
        return value
      }
    }
    if rank != nil, energy != nil { throw ValidationError("--rank and --energy: one of the two.") }
    if let rank {
      let ranks = try list("rank", rank, "5,20,50") { Int($0) }
      guard ranks.allSatisfy({ $0 >= 1 }) else {
        throw ValidationError("--rank \(rank): numbers of at least 1 are needed, separated by commas.")
      }
      return .ranks(ranks)
    }
    if let energy {
      let shares = try list("energy", energy, "0.9,0.99") { Double($0) }
      guard shares.allSatisfy({ $0 > 0 && $0 <= 1 }) else {
        throw ValidationError("--energy \(energy): shares above 0 and up to 1 are needed, separated by commas.")
      }
      return .energies(shares)
    }
    return nil
  }
}

/// What a study gives to show and to write.
struct SVDResult {
  let summaries: [MatrixSummary]
  let report: Report
  /// Pictures to write, by file name.
  var pictures: [(name: String, picture: Picture)] = []
}
