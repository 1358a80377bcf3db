// swift-tools-version: 6.0
import PackageDescription

// The process that compiles, loads and runs the cells of one notebook. See ../README.md.

let package = Package(
  name: "swift-notebook-worker",
  products: [.executable(name: "swift-notebook-worker", targets: ["Worker"])],
  targets: [
    // What cells see: display, clearOutput, Media; and what the worker's rewriting of a cell calls.
    .target(name: "Notebook", dependencies: ["CNotebook"]),
    // Surviving traps and interrupts: signals and jumps, which Swift cannot express.
    .target(name: "CNotebook"),
    // The few calls of the toolchain's libsourcekitdInProc that completion needs.
    .target(name: "CSourceKit"),
    .executableTarget(name: "Worker", dependencies: ["Notebook", "CNotebook", "CSourceKit"]),
  ],
  swiftLanguageModes: [.v6]
)
