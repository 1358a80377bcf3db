// swift-tools-version: 6.0
import PackageDescription

// A package as a notebook might import it: a Swift library over a C target.

let package = Package(
  name: "Greetings",
  products: [.library(name: "Greetings", targets: ["Greetings"])],
  targets: [
    .target(name: "CGreetings"),
    .target(name: "Greetings", dependencies: ["CGreetings"]),
  ])
