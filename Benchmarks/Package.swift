// swift-tools-version: 6.0
import PackageDescription

// Timing runs and studies, apart from the library so that nobody who depends on it builds them.

func program(_ name: String, c: [Target.Dependency] = []) -> Target {
  .executableTarget(
    name: name, dependencies: ["Measuring", .product(name: "LoRAKit", package: "swift-lora")] + c)
}

let package = Package(
  name: "Benchmarks",
  platforms: [.macOS(.v14)],
  dependencies: [.package(name: "swift-lora", path: "..")],
  targets: [
    .target(name: "Measuring"),
    // The library itself needs OpenBLAS's LAPACK alone, and on Apple platforms not even that.
    .systemLibrary(
      name: "CBLAS", pkgConfig: "openblas", providers: [.apt(["libopenblas-dev"]), .brew(["openblas"])]),
    program("digits-bench"),
    program("digit-recipes"),
    program("generation-bench"),
    program("kernel-bench", c: ["CBLAS"]),
    program("network-bench"),
    program("svd-bench"),
    program("text-bench"),
  ],
  swiftLanguageModes: [.v6]
)
