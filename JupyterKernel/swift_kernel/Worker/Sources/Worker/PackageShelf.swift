import CNotebook
import Foundation
import Notebook

/// The SwiftPM packages of a session: those already loaded, and those that an `import` may still ask for.
///
/// A package's libraries are built, through a small generated package that depends on it, into one dynamic
/// library in the cache; and built again when a file of the package is newer.
struct PackageShelf {
  /// Packages that the kernel was installed with and no cell has needed yet.
  private(set) var unloaded: [URL]
  private(set) var moduleFlags: [String] = []
  private var libraries: Set<String> = []
  /// The products of the packages that are loaded; empty for all.
  private var loaded: [(origin: PackageOrigin, products: [String])] = []
  private var clangModules: Set<String> = []
  private let cache: URL

  init(unloaded: [URL], cache: URL) {
    self.unloaded = unloaded
    self.cache = cache
  }

  func contains(library: URL) -> Bool { libraries.contains(library.resolvingSymlinksInPath().path) }

  /// Builds what `provide` would load.
  func build(with toolchain: Toolchain) throws {
    for package in unloaded {
      _ = try PackageBuild(.folder(package), products: [], cache: cache, toolchain: toolchain).bringUpToDate()
    }
  }

  /// Loads the packages that the kernel was installed with if the toolchain alone has no such module.
  mutating func provide(module: String, with toolchain: Toolchain) throws {
    guard !unloaded.isEmpty, !toolchain.provides(module: module), module != "Notebook" else { return }
    while let package = unloaded.first {
      try load(.folder(package), products: [], with: toolchain)
      unloaded.removeFirst()
    }
  }

  /// - Parameter products: names of library products; empty for all of the package's.
  mutating func load(_ origin: PackageOrigin, products: [String], with toolchain: Toolchain) throws {
    let build = PackageBuild(origin, products: products, cache: cache, toolchain: toolchain)
    if let earlier = loaded.first(where: { $0.origin.location == origin.location }) {
      let others = earlier.origin == origin ? Set(try build.productNames()).subtracting(earlier.products) : []
      guard earlier.origin == origin, earlier.products.isEmpty || others.isEmpty else {
        let lack = others.isEmpty ? "" : " without \(others.sorted().joined(separator: " and "))"
        throw CellFailure(
          name: "Package error",
          message: "\(earlier.origin.description) is loaded\(lack). "
            + "Restart the kernel and name all the products you need in one %package line.")
      }
      if earlier.products == products, try build.bringUpToDate() {
        print("\(origin.name) was built anew; restart the kernel to use it.")
      }
      return
    }
    _ = try build.bringUpToDate()
    let library = build.library.resolvingSymlinksInPath()
    guard let handle = dlopen(library.path, RTLD_NOW | RTLD_GLOBAL) else {
      let reason = String(cString: dlerror())
      throw CellFailure(
        name: "Package error", message: "\(origin.description) was built but could not be loaded: \(reason)")
    }
    if let symbol = dlsym(handle, build.marker) { notebook_add_code(symbol, false) }
    libraries.insert(library.path)
    loaded.append((origin, products))
    moduleFlags += try build.moduleFlags { clangModules.insert($0).inserted }
  }
}

/// One package's libraries as one dynamic library.
struct PackageBuild {
  let origin: PackageOrigin
  let products: [String]
  let folder: URL
  let toolchain: Toolchain
  private let name: String

  init(_ origin: PackageOrigin, products: [String], cache: URL, toolchain: Toolchain) {
    self.origin = origin
    self.products = products
    self.toolchain = toolchain
    name =
      "NotebookPackage_"
      + Self.hash(([origin.description, toolchain.root.path] + products).joined(separator: "\n"))
    folder = cache.appendingPathComponent(name)
  }

  var library: URL { release.appendingPathComponent("lib\(name).so") }
  /// A C symbol in the library.
  var marker: String { "\(name)_marker" }

  private var release: URL { folder.appendingPathComponent(".build/release") }
  private var stamp: URL { folder.appendingPathComponent("built") }

  /// - Returns: whether it had to be built.
  func bringUpToDate() throws -> Bool {
    let files = FileManager.default
    if let built = try? files.attributesOfItem(atPath: stamp.path)[.modificationDate] as? Date,
      files.fileExists(atPath: library.path), built > newestChange()
    {
      return false
    }
    try? files.removeItem(at: stamp)
    let started = Date()
    status("Building \(origin.name) for this notebook; the first time takes a minute or more …")
    try writeWrapper()
    let build = try Subprocess.run(
      toolchain.program("swift"), ["build", "-c", "release", "--package-path", folder.path]
    ) { line in
      if line.hasPrefix("[") { status(String(line)) }
    }
    EventChannel.shared.send(message: "clear_output", content: ["wait": false])
    guard build.succeeded else {
      let diagnostics = Diagnostics(output: build.output)
      let errors = diagnostics.entries.filter { $0.severity == "error" }
        .map { "\($0.file):\($0.line):\($0.column): \($0.message)" }
      let told = (errors + diagnostics.remarks).prefix(10).map { "  \($0)" }
      throw CellFailure(
        name: "Package error", message: "\(origin.description) does not build",
        traceback: [
          "\(Style.red("Package error")): \(origin.description) does not build."
            + (origin.folder == nil ? "" : " In that folder, `swift build -c release` tells more.")
        ] + (told.isEmpty ? build.output.split(separator: "\n").suffix(10).map(String.init) : told))
    }
    _ = files.createFile(atPath: stamp.path, contents: nil)
    // A file that changed during the build makes the next one build again.
    try? files.setAttributes([.modificationDate: started], ofItemAtPath: stamp.path)
    return true
  }

  /// What a compilation needs to import the package's modules: as SwiftPM itself says it.
  ///
  /// - Parameter isFirst: whether a C module of this name is not yet known; a second map of it would be an error.
  func moduleFlags(isFirst: (String) -> Bool) throws -> [String] {
    let description = release.appendingPathComponent("description.json")
    guard let data = try? Data(contentsOf: description),
      let root = try? JSONSerialization.jsonObject(with: data) as? [String: Any],
      let commands = root["swiftCommands"] as? [String: [String: Any]],
      let command = commands.values.first(where: { $0["moduleName"] as? String == name }),
      let arguments = command["otherArguments"] as? [String], let modules = command["importPath"] as? String
    else {
      throw CellFailure(
        name: "Package error",
        message: "\(description.path) does not say how \(origin.description) was built. "
          + "Remove \(folder.path) and restart the kernel.")
    }
    var flags = ["-I", modules]
    var index = 0
    while index < arguments.count {
      let argument = arguments[index]
      if argument == "-Xcc", index + 1 < arguments.count {
        let value = arguments[index + 1]
        if value == "-I", index + 3 < arguments.count {
          flags += Array(arguments[index...(index + 3)])
          index += 3
        } else {
          let map = value.hasPrefix("-fmodule-map-file=") ? String(value.dropFirst("-fmodule-map-file=".count)) : nil
          if let map, let text = try? String(contentsOfFile: map, encoding: .utf8),
            let module = text.firstMatch(of: /module\s+(\w+)/), isFirst(String(module.1))
          {
            flags += [argument, value]
          } else if value.hasPrefix("-I") || value.hasPrefix("-D") {
            flags += [argument, value]
          }
          index += 1
        }
      } else if argument.hasPrefix("-I") && argument.count > 2 {
        flags.append(argument)
      }
      index += 1
    }
    return flags
  }

  // MARK: The generated package

  private func writeWrapper() throws {
    let sources = folder.appendingPathComponent("Sources/\(name)")
    for folder in [folder.deletingLastPathComponent(), folder, sources.deletingLastPathComponent(), sources] {
      try Disk.makeFolder(folder)
    }
    try Disk.write(
      "@_cdecl(\"\(marker)\") public func marker() {}\n", to: sources.appendingPathComponent("Marker.swift"))
    // The versions that the package itself was resolved to.
    if let resolved = origin.folder?.appendingPathComponent("Package.resolved"),
      let pins = try? Data(contentsOf: resolved)
    {
      try? pins.write(to: folder.appendingPathComponent("Package.resolved"))
    }
    if origin.folder == nil {
      try writeManifest(products: [])
      let fetch = try Subprocess.run(
        toolchain.program("swift"), ["package", "resolve", "--package-path", folder.path])
      guard fetch.succeeded else {
        throw CellFailure(
          name: "Package error",
          message: "\(origin.description) could not be fetched:\n\(fetch.output.suffix(1000))")
      }
    }
    let products = try productNames()
    guard !products.isEmpty else {
      throw CellFailure(name: "Package error", message: "\(origin.description) has no library product to import")
    }
    try writeManifest(products: products)
  }

  private func writeManifest(products: [String]) throws {
    let dependencies = products.map { ".product(name: \(quoted($0)), package: \(quoted(origin.name)))" }
    try Disk.write(
      """
      // swift-tools-version: 6.0
      import PackageDescription

      let package = Package(
        name: "\(name)",
        products: [.library(name: "\(name)", type: .dynamic, targets: ["\(name)"])],
        dependencies: [\(origin.dependency)],
        targets: [.target(name: "\(name)", dependencies: [\(dependencies.joined(separator: ", "))])])
      """, to: folder.appendingPathComponent("Package.swift"))
  }

  /// The products asked for, or all the libraries that the package offers.
  func productNames() throws -> [String] {
    guard products.isEmpty else { return products }
    let sources = origin.folder ?? folder.appendingPathComponent(".build/checkouts/\(origin.name)")
    let description = try Subprocess.run(
      toolchain.program("swift"), ["package", "--package-path", sources.path, "dump-package"])
    guard let brace = description.output.firstIndex(of: "{"),
      let root = try? JSONSerialization.jsonObject(with: Data(description.output[brace...].utf8)) as? [String: Any],
      let products = root["products"] as? [[String: Any]]
    else {
      throw CellFailure(
        name: "Package error",
        message: "the manifest of \(origin.description) can't be read: \(description.output.suffix(500))")
    }
    return products.filter { ($0["type"] as? [String: Any])?["library"] != nil }.compactMap { $0["name"] as? String }
  }

  private func newestChange() -> Date {
    guard let package = origin.folder else { return .distantPast }
    let keys: Set<URLResourceKey> = [.contentModificationDateKey, .isRegularFileKey]
    var newest = Date.distantPast
    func look(at file: URL) {
      if let values = try? file.resourceValues(forKeys: keys), values.isRegularFile == true,
        let changed = values.contentModificationDate
      {
        newest = max(newest, changed)
      }
    }
    look(at: package.appendingPathComponent("Package.swift"))
    let sources = FileManager.default.enumerator(
      at: package.appendingPathComponent("Sources"), includingPropertiesForKeys: Array(keys),
      options: [.skipsHiddenFiles])
    while let file = sources?.nextObject() as? URL { look(at: file) }
    return newest
  }

  /// One line that the next one replaces.
  private func status(_ text: String) {
    let width = 100
    print("\r" + text.prefix(width) + String(repeating: " ", count: max(0, width - text.count)), terminator: "")
    fflush(nil)
  }

  private func quoted(_ text: String) -> String { String(reflecting: text) }

  /// FNV-1a, in hexadecimal: the same from run to run, as `Hasher` is not.
  private static func hash(_ text: String) -> String {
    let hash = text.utf8.reduce(0xCBF2_9CE4_8422_2325 as UInt64) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
    return String(hash, radix: 16)
  }
}
