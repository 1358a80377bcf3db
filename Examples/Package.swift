// swift-tools-version: 6.0
import PackageDescription

// Four programs of a guest, each in one file. A copy of this folder builds anywhere: SWIFT_LORA names the checkout.

let checkout = Context.environment["SWIFT_LORA"] ?? ".."

func program(_ name: String, needs products: String...) -> Target {
  .executableTarget(name: name, dependencies: products.map { .product(name: $0, package: "swift-lora") })
}

let package = Package(
  name: "Examples",
  platforms: [.macOS(.v14)],
  dependencies: [.package(name: "swift-lora", path: checkout)],
  targets: [
    program("OwnModel", needs: "LoRATraining"),
    program("OwnParametrization", needs: "LoRATraining"),
    program("OwnOperator", needs: "LoRALinearAlgebra"),
    program("AdapterServer", needs: "LoRAKit"),
  ],
  swiftLanguageModes: [.v6]
)
