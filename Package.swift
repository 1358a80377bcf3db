// swift-tools-version: 6.0
import PackageDescription

// The floors, ground first: a target imports only from below it. See docs/architecture.md.
//
// Folders have short names. Modules carry a prefix, since SwiftPM wants target names unique over all packages of a
// program: `LoRATensors` lies in Sources/Tensors, its tests in Tests/TensorsTests.

/// A floor of the library: its folder under Sources, and what it stands on.
func floor(
  _ folder: String, on floors: [String], c: [Target.Dependency] = [], resources: [Resource] = [],
  linkerSettings: [LinkerSetting] = []
) -> Target {
  .target(
    name: "LoRA\(folder)", dependencies: floors.map { .target(name: "LoRA\($0)") } + c, path: "Sources/\(folder)",
    resources: resources, linkerSettings: linkerSettings)
}

let floors = [
  floor("Tensors", on: [], c: ["CKernels"]),
  floor(
    "LinearAlgebra", on: ["Tensors"], c: ["COpenBLAS"],
    linkerSettings: [.linkedFramework("Accelerate", .when(platforms: [.macOS]))]),
  floor("Files", on: ["Tensors"], c: ["CKernels"]),
  floor("Networks", on: ["Files"]),
  floor("Adapters", on: ["Networks", "LinearAlgebra"]),
  floor("Formats", on: ["Adapters"]),
  floor("Toolbox", on: ["Formats"]),
  floor("Models", on: ["Formats"]),
  floor("Datasets", on: ["Tensors"], c: ["CKernels", "CZlib"], resources: [.copy("Resources")]),
  floor("Training", on: ["Networks"], c: ["CKernels"]),
  floor("FineTuning", on: ["Models", "Datasets", "Training"]),
  floor("Charts", on: ["Toolbox", "Datasets", "Training"], c: ["CPNG"]),
]

let systemLibraries: [Target] = [
  .systemLibrary(
    name: "COpenBLAS", pkgConfig: "openblas", providers: [.apt(["libopenblas-dev"]), .brew(["openblas"])]),
  .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"]), .brew(["zlib"])]),
  .systemLibrary(name: "CPNG", pkgConfig: "libpng", providers: [.apt(["libpng-dev"]), .brew(["libpng"])]),
]

let programs: [Target] = [
  .target(name: "LoRAKit", dependencies: ["LoRAFineTuning", "LoRACharts"]),
  .executableTarget(
    name: "lora",
    dependencies: ["LoRAKit", .product(name: "ArgumentParser", package: "swift-argument-parser")]),
]

let tests =
  floors.map { floor in
    Target.testTarget(
      name: "\(floor.name.dropFirst("LoRA".count))Tests", dependencies: ["LoRAKit", "TestSupport"])
  } + [
    .target(name: "TestSupport", dependencies: ["LoRAKit"], path: "Tests/TestSupport"),
    .testTarget(name: "FuzzTests", dependencies: ["LoRAKit", "TestSupport"]),
    .testTarget(name: "CommandTests", dependencies: ["lora", "LoRAKit", "TestSupport"]),
  ]

let package = Package(
  name: "swift-lora",
  platforms: [.macOS(.v14)],
  products: [
    .library(name: "LoRAKit", targets: ["LoRAKit"]),
    .executable(name: "lora", targets: ["lora"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.5.0")
  ],
  targets: systemLibraries + [.target(name: "CKernels")] + floors + programs + tests,
  swiftLanguageModes: [.v6]
)
