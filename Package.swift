// swift-tools-version: 6.1
import PackageDescription

/// A floor of the library: a module, its tests, and the product for who wants it and what is below it alone.
///
/// Folders have short names and modules the prefix LoRA, since SwiftPM wants target names unique over all packages of
/// a program: `LoRATensors` lies in Sources/Tensors, its tests in Tests/TensorsTests.
struct Floor {
  let library: Target
  let tests: Target
  var product: Product { .library(name: library.name, targets: [library.name]) }

  init(
    _ folder: String, on floors: String..., optional: [Target.Dependency] = [], resources: [Resource] = [],
    linker: [LinkerSetting] = [], cases: [Target.Dependency] = []
  ) {
    library = .target(
      name: "LoRA\(folder)", dependencies: floors.map { .target(name: "LoRA\($0)") } + optional,
      path: "Sources/\(folder)",
      resources: resources, linkerSettings: linker)
    tests = .testTarget(name: "\(folder)Tests", dependencies: [.target(name: library.name), "TestSupport"] + cases)
  }
}

// Ground first: a floor imports only what stands before it. See docs/architecture.md.
let floors = [
  Floor("Tensors", on: "CKernels"),
  Floor(
    "LinearAlgebra", on: "Tensors", "CKernels", "COpenBLAS",
    linker: [.linkedFramework("Accelerate", .when(platforms: [.macOS]))]),
  Floor("Files", on: "Tensors", "CKernels"),
  Floor("Networks", on: "Tensors", "Files"),
  Floor(
    "Training", on: "Networks", "Files", "CKernels",
    optional: [.target(name: "LoRACMPI", condition: .when(traits: ["MPI"]))]),
  Floor("Adapters", on: "Networks", "LinearAlgebra", "Files", cases: ["MethodCases"]),
  Floor("Formats", on: "Adapters", cases: ["MethodCases", "CheckpointCases"]),
  Floor("Toolbox", on: "Formats", cases: ["CheckpointCases"]),
  Floor("Datasets", on: "Files", "CKernels", "CZlib", resources: [.copy("Resources")]),
  Floor("Models", on: "Formats", "Datasets"),
  Floor("FineTuning", on: "Models", "Datasets", "Training"),
  Floor("PageEngine", on: "Tensors"),
  Floor(
    "Page", on: "Models", "Datasets", "CZlib",
    resources: ["page.html", "page.css", "page.js", "engine.wasm"].map { .embedInCode("Resources/\($0)") }),
  Floor("Charts", on: "Toolbox", "Datasets", "Training", "FineTuning", "CPNG", "CTurboJPEG", "CWebP"),
]

/// C, and the system libraries. Tensors, networks and training need none of those; linear algebra, OpenBLAS alone.
let c: [Target] = [
  .target(name: "LoRACKernels", path: "Sources/CKernels"),
  .systemLibrary(
    name: "LoRACOpenBLAS", path: "Sources/COpenBLAS", pkgConfig: "openblas",
    providers: [.apt(["libopenblas-dev"]), .brew(["openblas"])]),
  .systemLibrary(
    name: "LoRACZlib", path: "Sources/CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"]), .brew(["zlib"])]),
  .systemLibrary(
    name: "LoRACPNG", path: "Sources/CPNG", pkgConfig: "libpng", providers: [.apt(["libpng-dev"]), .brew(["libpng"])]),
  .systemLibrary(
    name: "LoRACTurboJPEG", path: "Sources/CTurboJPEG", pkgConfig: "libturbojpeg",
    providers: [.apt(["libturbojpeg0-dev"]), .brew(["jpeg-turbo"])]),
  .systemLibrary(
    name: "LoRACWebP", path: "Sources/CWebP", pkgConfig: "libwebp", providers: [.apt(["libwebp-dev"]), .brew(["webp"])]),
  // Open MPI or MPICH, with the trait MPI alone. LORA_MPI names another of pkg-config's packages (mpich, ompi-c).
  .systemLibrary(
    name: "LoRACMPI", path: "Sources/CMPI", pkgConfig: Context.environment["LORA_MPI"] ?? "mpi-c",
    providers: [.apt(["libopenmpi-dev"]), .brew(["open-mpi"])]),
]

/// All floors at once, and the command line.
let whole: [Target] = [
  .target(name: "LoRAKit", dependencies: ["LoRACharts", "LoRAPage"]),
  .testTarget(name: "LoRAKitTests", dependencies: ["LoRAKit", "LoRAPageEngine", "TestSupport"]),
  .testTarget(name: "FuzzTests", dependencies: ["LoRAKit", "TestSupport"]),
  .executableTarget(
    name: "lora", dependencies: ["LoRAKit", .product(name: "ArgumentParser", package: "swift-argument-parser")]),
  .testTarget(name: "CommandTests", dependencies: ["lora", "LoRAKit", "TestSupport"]),
]

/// What several tests share.
let support: [Target] = [
  .target(name: "TestSupport", dependencies: ["LoRATensors"], path: "Tests/TestSupport"),
  .target(name: "MethodCases", dependencies: ["LoRAAdapters"], path: "Tests/MethodCases"),
  .target(name: "CheckpointCases", dependencies: ["LoRAFormats", "TestSupport"], path: "Tests/CheckpointCases"),
]

let package = Package(
  name: "swift-lora",
  platforms: [.macOS(.v14)],
  products: floors.map(\.product) + [
    .library(name: "LoRAKit", targets: ["LoRAKit"]),
    .executable(name: "lora", targets: ["lora"]),
  ],
  traits: [.trait(name: "MPI", description: "Train on several processes and machines, with Open MPI or MPICH.")],
  dependencies: [.package(url: "https://github.com/apple/swift-argument-parser", from: "1.5.0")],
  targets: c + floors.flatMap { [$0.library, $0.tests] } + whole + support,
  swiftLanguageModes: [.v6]
)

// `make docs` alone needs the plugin, so nobody who depends on the package fetches it.
if Context.environment["SWIFT_LORA_DOCS"] != nil {
  package.dependencies.append(.package(url: "https://github.com/swiftlang/swift-docc-plugin", exact: "1.5.0"))
}
