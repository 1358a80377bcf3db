// swift-tools-version: 6.0
import PackageDescription

// A guest whose targets have the names of our folders. See run.sh.

let checkout = Context.environment["SWIFT_LORA"] ?? "../.."

func library(_ name: String) -> Target.Dependency { .product(name: name, package: "swift-lora") }

let folders = ["Models", "Training", "Charts", "Tensors", "CKernels", "CPNG", "TestSupport"]

let shown = ["readme", "article", "notebook"]

let package = Package(
  name: "client",
  platforms: [.macOS(.v14)],
  dependencies: [.package(name: "swift-lora", path: checkout)],
  targets: folders.map { .target(name: $0, path: "Sources/Names/\($0)") } + [
    .executableTarget(name: "networks-alone", dependencies: [library("LoRATraining")]),
    .executableTarget(
      name: "everything", dependencies: folders.map { .target(name: $0) } + [library("LoRAKit")]),
  ]
    + shown.map { .executableTarget(name: $0, dependencies: [library("LoRAKit")], path: "Sources/Shown/\($0)") },
  swiftLanguageModes: [.v6]
)
