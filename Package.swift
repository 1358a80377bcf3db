// swift-tools-version: 6.0
import PackageDescription

// The floors, ground first: a target imports only from below it. See docs/architecture.md.

let testedFloors = [
  "Tensors", "LinearAlgebra", "Networks", "Adapters", "Checkpoints", "Models", "Datasets", "Training", "Charts",
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
  targets: [
    // System libraries and C.
    .systemLibrary(
      name: "COpenBLAS", pkgConfig: "openblas",
      providers: [.apt(["libopenblas-dev"]), .brew(["openblas"])]),
    .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"]), .brew(["zlib"])]),
    .systemLibrary(name: "CPNG", pkgConfig: "libpng", providers: [.apt(["libpng-dev"]), .brew(["libpng"])]),
    .target(name: "CKernels"),

    // The library.
    .target(name: "Tensors", dependencies: ["CKernels"]),
    .target(
      name: "LinearAlgebra", dependencies: ["Tensors", "COpenBLAS"],
      linkerSettings: [.linkedFramework("Accelerate", .when(platforms: [.macOS]))]),
    .target(name: "Networks", dependencies: ["Tensors"]),
    .target(name: "Adapters", dependencies: ["Networks", "LinearAlgebra"]),
    .target(name: "Checkpoints", dependencies: ["Adapters"]),
    .target(name: "Models", dependencies: ["Checkpoints"]),
    .target(name: "Datasets", dependencies: ["Tensors", "CKernels", "CZlib"], resources: [.copy("Resources")]),
    .target(name: "Training", dependencies: ["Networks", "Checkpoints", "CKernels"]),
    .target(name: "Charts", dependencies: ["LinearAlgebra", "Checkpoints", "Datasets", "Training", "CPNG"]),
    .target(name: "LoRAKit", dependencies: ["Models", "Datasets", "Training", "Charts"]),

    // The command line.
    .executableTarget(
      name: "lora",
      dependencies: ["LoRAKit", .product(name: "ArgumentParser", package: "swift-argument-parser")]),
    .testTarget(name: "CommandTests", dependencies: ["lora", "LoRAKit", "TestSupport"]),
  ]
    + testedFloors.map { floor in
      .testTarget(name: "\(floor)Tests", dependencies: ["LoRAKit", "TestSupport"])
    } + [.target(name: "TestSupport", path: "Tests/TestSupport")],
  swiftLanguageModes: [.v6]
)
