// swift-tools-version: 6.0
import PackageDescription

// Timing runs and studies, apart from the library so that nobody who depends on it builds them.

func program(_ name: String) -> Target {
  .executableTarget(name: name, dependencies: [.product(name: "LoRAKit", package: "swift-lora")])
}

let package = Package(
  name: "Benchmarks",
  platforms: [.macOS(.v14)],
  dependencies: [.package(name: "swift-lora", path: "..")],
  targets: [
    program("digits-bench"),
    program("digit-recipes"),
    program("generation-bench"),
    program("kernel-bench"),
    program("svd-bench"),
  ],
  swiftLanguageModes: [.v6]
)
