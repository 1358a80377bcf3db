import CNotebook
import Foundation
import Notebook

/// The cells of one notebook so far, and how the next one joins them.
///
/// Every cell becomes a module of its own that re-exports the one before it, so that the newest definition of a
/// name wins. A cell's module is compiled from its text as `main.swift`, whose variables are globals, linked into
/// a shared library, loaded, and its entry point called.
///
/// What a cell declares is internal or private to its module. A later cell gets access by a private import of each
/// earlier cell; that import is scoped to a marker, so that it opens no second way to the cell's names past the
/// chain, which would make them ambiguous.
final class Session {
  struct Configuration {
    let toolchain: URL
    /// Kept from session to session.
    let cache: URL
    /// Removed by the kernel after the session.
    let scratch: URL
    /// Packages whose modules `import` finds by itself.
    let packages: [URL]
  }

  let toolchain: Toolchain
  let scratch: URL
  /// The build products of this very program: the `Notebook` module and library.
  let products: URL
  var packages: PackageShelf
  /// The modules of the cells whose definitions are in scope, each of which re-exports the one before it.
  private var chain: [(module: String, names: CellNames)] = []
  private var usedNames: Set<String> = []
  /// Imports of cells that are not in the chain.
  private var carriedImports: [String] = []
  private lazy var completion = Completion(session: self)

  init(configuration: Configuration) throws {
    toolchain = Toolchain(
      root: configuration.toolchain, moduleCache: configuration.cache.appendingPathComponent("modules"))
    scratch = configuration.scratch
    products = URL(fileURLWithPath: CommandLine.arguments[0]).resolvingSymlinksInPath().deletingLastPathComponent()
    packages = PackageShelf(
      unloaded: configuration.packages, cache: configuration.cache.appendingPathComponent("packages"))
  }

  func answer(_ request: Request) -> [String: Any] {
    do {
      switch request {
      case .execute(let code, let count):
        try Magics(session: self).execute(code, count: count)
        return ["status": "ok"]
      case .complete(let code, let offset): return completion.complete(code, offset: offset)
      case .inspect(let code, let offset): return completion.inspect(code, offset: offset)
      case .isComplete(let code): return try Completeness(of: code, in: self).reply
      case .prepare:
        try packages.build(with: toolchain)
        return ["status": "ok"]
      case .start: return ["status": "ok"]
      }
    } catch {
      let failure = CellFailure(error)
      // A compiler that the interrupt ended has nothing to tell.
      return notebook_interrupt_requested() && !failure.isInterrupt ? CellFailure.interrupted.reply : failure.reply
    }
  }

  /// What a compilation in this session needs to find modules.
  var moduleFlags: [String] {
    ["-module-cache-path", toolchain.moduleCache.path, "-I", scratch.path]
      + ["-I", products.appendingPathComponent("Modules").path]
      // The C module under Notebook, found by the module map that the build made.
      + ["-Xcc", "-fmodule-map-file=\(products.appendingPathComponent("CNotebook.build/module.modulemap").path)"]
      + packages.moduleFlags
  }

  // MARK: A cell

  /// - Parameter title: how messages name the cell.
  func run(_ code: String, name proposedName: String, title: String) throws {
    guard !code.allSatisfy(\.isWhitespace) else { return }
    let name = unusedName(proposedName)
    let folder = scratch.appendingPathComponent(name)
    try Disk.makeFolder(folder)
    let main = folder.appendingPathComponent("main.swift")
    try Disk.write(code, to: main)

    let parse = try parse(main)
    guard parse.succeeded, let parsed = ParsedCell(source: code, tree: parse.output) else {
      throw Diagnostics(output: parse.output).failure(title: title, source: code, output: parse.output)
    }
    let ownImports = try self.imports(of: parsed)
    let rewritten = try RewrittenCell(parsed)
    try Disk.write(preamble(of: name, imports: ownImports), to: folder.appendingPathComponent("preamble.swift"))
    try compile(parsed, rewritten, code: code, in: folder, as: name, title: title)
    try link(folder, as: name)
    try load(parsed, name, from: folder, title: title, source: code, imports: ownImports)
  }

  /// What the parser says of a file: its tree as JSON, or what is wrong.
  func parse(_ file: URL) throws -> Subprocess {
    try frontend(
      ["-dump-parse", "-dump-ast-format", "json", "-suppress-warnings", "-enable-bare-slash-regex"]
        + ["-diagnostic-style", "llvm", "-no-color-diagnostics", file.path])
  }

  /// Compiles the rewritten cell; where that fails, tells the errors of the cell as it was written.
  private func compile(
    _ cell: ParsedCell, _ rewritten: RewrittenCell, code: String, in folder: URL, as name: String, title: String
  ) throws {
    let main = folder.appendingPathComponent("main.swift")
    let start = "#sourceLocation(file: \"main.swift\", line: 1)\n"
    let access = accessImports(for: CellNames.words(of: cell.source))
    var flags: [String] = []
    try Disk.write(access + start + rewritten.text, to: main)
    var compiled = try compile(folder, as: name, flags)
    let head = accessImports() + start
    if !compiled.succeeded && head != access + start {
      try Disk.write(head + rewritten.text, to: main)
      compiled = try compile(folder, as: name, flags)
    }
    if !compiled.succeeded && compiled.output.contains("must be declared public because it matches a requirement") {
      // A type of another cell counts as public here, so that its new conformances would have to say `public`.
      flags = ["-disable-access-control"]
      compiled = try compile(folder, as: name, flags)
    }
    if compiled.succeeded { return }

    try Disk.write(head + code + "\n", to: main)
    let checked = try frontend(["-typecheck"] + flags + sharedFlags(folder, as: name))
    if !checked.succeeded {
      let diagnostics = Diagnostics(output: checked.output)
      let hint = try hint(for: diagnostics, typechecking: flags + sharedFlags(folder, as: name))
      throw diagnostics.failure(title: title, source: code, output: checked.output, hint: hint)
    }
    // The cell is sound, but its last value can't be shown: it is run without.
    if !rewritten.awaits { compiled = try compile(folder, as: name, flags) }
    if !compiled.succeeded {
      throw Diagnostics(output: compiled.output).failure(title: title, source: code, output: compiled.output)
    }
  }

  /// `import Foundation`, where that alone mends the first error.
  private func hint(for diagnostics: Diagnostics, typechecking flags: [String]) throws -> String? {
    guard let first = diagnostics.entries.first, diagnostics.missesAName else { return nil }
    let checked = try frontend(["-typecheck", "-import-module", "Foundation"] + flags)
    let remaining = Diagnostics(output: checked.output).entries
    guard !remaining.contains(where: { ($0.line, $0.column) == (first.line, first.column) }) else { return nil }
    return "Foundation has this: add `import Foundation` at the top of the cell."
  }

  private func load(
    _ cell: ParsedCell, _ name: String, from folder: URL, title: String, source: String, imports: [String]
  ) throws {
    let library = folder.appendingPathComponent("\(name).so")
    guard let handle = dlopen(library.path, RTLD_NOW | RTLD_GLOBAL), let symbol = dlsym(handle, "\(name)_main") else {
      let reason = String(cString: dlerror())
      throw CellFailure(name: "Load error", message: "\(title) was compiled but could not be loaded: \(reason)")
    }
    notebook_add_code(symbol, true)
    Definitions.shared.complete = !cell.hasVariables
    typealias Arguments = UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>
    let entry = unsafeBitCast(symbol, to: (@convention(c) (Int32, Arguments?) -> Int32).self)
    Stopwatch.shared.reset()
    var outcome = notebook_run(entry)
    Stopwatch.shared.stop()
    fflush(nil)
    if outcome.ending == notebook_finished && notebook_interrupt_requested() {
      outcome.ending = notebook_interrupted  // the interrupt ended a call that waited, such as sleep
    }
    let isKept = Definitions.shared.complete
    if !isKept && outcome.ending != notebook_finished {
      carriedImports += imports
    } else if cell.declaresAnything {
      chain.append((module: name, names: cell.names))
      carriedImports = []
    }
    if outcome.ending != notebook_finished {
      throw Ending(outcome: outcome, title: title, name: name, source: source, isKept: isKept, session: self).failure
    }
  }

  // MARK: Its parts

  private func unusedName(_ proposed: String) -> String {
    var name = proposed
    var count = 2
    while !usedNames.insert(name).inserted {
      name = "\(proposed)_\(count)"
      count += 1
    }
    return name
  }

  private func imports(of cell: ParsedCell) throws -> [String] {
    var result: [String] = []
    for item in cell.items {
      guard case .importDeclaration(let module) = item.kind else { continue }
      try packages.provide(module: module, with: toolchain)
      let text = String(decoding: cell.source[item.start..<item.end], as: UTF8.self)
      guard let match = text.firstMatch(of: /import\s+[^\n;\/]+/) else { continue }
      result.append("@_exported " + match.0)
    }
    return result
  }

  /// The newest module in scope.
  var newestModule: String { chain.last?.module ?? "Notebook" }

  /// Access to what earlier cells declare: those that declare one of the words, or all.
  func accessImports(for words: Set<String>? = nil) -> String {
    chain.filter { link in words.map(link.names.concern) ?? true }
      .map { "@_private(sourceFile: \"main.swift\") import enum \($0.module)._Marker\($0.module)\n" }.joined()
  }

  private func preamble(of name: String, imports: [String]) -> String {
    (["@_exported import \(newestModule)"] + carriedImports + imports + ["public enum _Marker\(name) {}"])
      .joined(separator: "\n") + "\n"
  }

  private func sharedFlags(_ folder: URL, as name: String) -> [String] {
    [folder.appendingPathComponent("main.swift").path, folder.appendingPathComponent("preamble.swift").path]
      + ["-module-name", name, "-swift-version", "5", "-enable-testing", "-enable-private-imports"]
      + ["-enable-bare-slash-regex", "-suppress-warnings", "-diagnostic-style", "llvm", "-no-color-diagnostics"]
      + moduleFlags
  }

  private func compile(_ folder: URL, as name: String, _ flags: [String]) throws -> Subprocess {
    let object = folder.appendingPathComponent("\(name).o")
    // -assert-config Debug keeps the messages of failed preconditions, which -O drops.
    let compiled = try frontend(
      ["-c"] + flags + sharedFlags(folder, as: name) + ["-O", "-gline-tables-only", "-enforce-exclusivity=unchecked"]
        + ["-assert-config", "Debug", "-entry-point-function-name", "\(name)_main"]
        + ["-emit-module-path", scratch.appendingPathComponent("\(name).swiftmodule").path]
        + ["-emit-module-doc-path", scratch.appendingPathComponent("\(name).swiftdoc").path]
        + ["-o", object.path])
    if !compiled.succeeded || access(object.path, R_OK) != 0 { try Disk.demandSpace(for: object) }
    return compiled
  }

  private func frontend(_ arguments: [String]) throws -> Subprocess {
    try Subprocess.run(toolchain.program("swift-frontend"), ["-frontend"] + arguments)
  }

  private func link(_ folder: URL, as name: String) throws {
    let object = folder.appendingPathComponent("\(name).o")
    let library = folder.appendingPathComponent("\(name).so")
    let linked = try Subprocess.run(
      toolchain.program("ld.lld"),
      ["-shared", "-o", library.path, toolchain.registration.path, object.path]
        + ["--wrap=exit", "--wrap=swift_errorInMain", "-rpath", toolchain.libraries.path]
        // Every library of the toolchain is offered; the linker keeps those that the cell needs.
        + ["--as-needed"] + toolchain.sharedLibraries)
    guard linked.succeeded else {
      try Disk.demandSpace(for: library)
      throw Diagnostics(output: linked.output).failure(title: name, source: "", output: linked.output)
    }
    unlink(object.path)
  }
}
