// swift-tools-version: 6.0
import PackageDescription

// Timing runs and studies, apart from the library so that nobody who depends on it builds them.

let package = Package(
  name: "Benchmarks",
  platforms: [.macOS(.v14)],
  dependencies: [.package(name: "swift-lora", path: "..")],
  targets: [
    .executableTarget(name: "digit-recipes", dependencies: [.product(name: "LoRAKit", package: "swift-lora")]),
    .executableTarget(name: "kernel-bench", dependencies: [.product(name: "LoRAKit", package: "swift-lora")]),
  ],
  swiftLanguageModes: [.v6]
)
