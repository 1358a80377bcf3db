import Foundation

/// The programs and libraries of one Swift toolchain, and the flags that every compilation shares.
struct Toolchain {
  /// The folder that holds `bin` and `lib`.
  let root: URL
  /// Modules that the compiler made of C headers and interfaces; kept, for filling it takes seconds.
  let moduleCache: URL

  func program(_ name: String) -> URL { root.appendingPathComponent("bin/\(name)") }

  var libraries: URL { root.appendingPathComponent("lib/swift/linux") }

  /// Registers a library's metadata with the Swift runtime when it is loaded.
  var registration: URL { libraries.appendingPathComponent("\(Self.architecture)/swiftrt.o") }

  var sourceKit: URL { root.appendingPathComponent("lib/libsourcekitdInProc.so") }

  var sharedLibraries: [String] {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: libraries.path)) ?? []
    return names.filter { $0.hasSuffix(".so") }.sorted().map { libraries.appendingPathComponent($0).path }
  }

  /// Whether `import name` needs nothing but the toolchain.
  func provides(module name: String) -> Bool {
    name == "Swift"
      || FileManager.default.fileExists(atPath: libraries.appendingPathComponent("\(name).swiftmodule").path)
  }

  #if arch(x86_64)
    static let architecture = "x86_64"
  #elseif arch(arm64)
    static let architecture = "aarch64"
  #endif
}
