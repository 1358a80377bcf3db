// swift-tools-version: 6.0
import PackageDescription

let package = Package(
  name: "Benchmarks",
  platforms: [.macOS(.v14)],
  dependencies: [.package(name: "swift-lora", path: "..")],
  targets: [
    .executableTarget(
      name: "svd-bench", dependencies: [.product(name: "LoRAKit", package: "swift-lora")], path: "svd")
  ],
  swiftLanguageModes: [.v6]
)
