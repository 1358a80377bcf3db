// The modules of one network of an image model: stored tensors cut into diffusers' modules, spellings made of them.

import LoRAFiles

/// All names of the modules of one component of a checkpoint.
struct ComponentNames: Sendable {
  let family: ImageModelFamily.Name
  let isTextEncoder: Bool
  /// The width of a text encoder's embedding; 0 for others.
  let width: Int
  private var stored: [StoredModule] = []
  /// Diffusers' modules by path.
  private var modules: [ExactString: Module] = [:]
  /// Dotted names in every layout.
  private var dotted: [ExactString: [Part]] = [:]
  /// Names with underscores for dots; `nil` where one stands for two modules.
  private var flat: [ExactString: [Part]?] = [:]

  /// The tensors of one module, as they are stored.
  private struct StoredModule {
    var weight: String?
    var bias: String?
    /// Of the weight: outputs, and inputs where it is a matrix.
    var rows = 0
    var columns = 0
    var isTransposed = false
  }

  /// Rows of a stored module, and the rows of another that they are.
  private struct Span {
    var stored: Int
    var storedRows: Range<Int>
    var rows: Range<Int>
  }

  private struct Module {
    var spans: [Span]
    var rows: Int
    var columns: Int
  }

  /// Rows of one of diffusers' modules, and the rows of a spelled module that they are.
  private struct Part: Equatable {
    var path: String
    var pathRows: Range<Int>
    var rows: Range<Int>
  }

  /// - Parameters:
  ///   - prefix: what all tensors' names begin with.
  ///   - isTextEncoder: whether to look for text encoders only or for the others only; `nil`: for both.
  /// - Returns: `nil` where no family's modules are among the tensors.
  init?(_ tensors: some Sequence<TensorInfo>, prefix: String, isTextEncoder: Bool? = nil) {
    var byPath: [ExactString: StoredModule] = [:]
    for tensor in tensors {
      let (path, isBias) = Self.module(ofTensor: String(tensor.name.dropFirst(prefix.count)))
      guard let path, !tensor.shape.isEmpty else { continue }
      if isBias {
        byPath[path, default: StoredModule()].bias = tensor.name
        continue
      }
      let isMatrix = tensor.shape.count == 2
      // OpenCLIP multiplies by this parameter from the right.
      let isTransposed = isMatrix && path == "text_projection" && tensor.name.hasSuffix("text_projection")
      byPath[path, default: StoredModule()].weight = tensor.name
      byPath[path]?.rows = tensor.shape[isTransposed ? 1 : 0]
      byPath[path]?.columns = isMatrix ? tensor.shape[isTransposed ? 0 : 1] : 0
      byPath[path]?.isTransposed = isTransposed
    }
    // In order, so that equal inputs give equal tables.
    let paths = byPath.keys.map(\.text).sorted(by: isOrdered)
    let split = paths.map(Self.split)
    guard
      let family = ImageModelFamily.all.first(where: {
        (isTextEncoder == nil || $0.isTextEncoder == isTextEncoder) && $0.recognises(split)
      })
    else { return nil }
    self.family = family.name
    self.isTextEncoder = family.isTextEncoder
    let embedding = byPath.first { family.isTextEncoder && $0.key.text.hasSuffix("token_embedding") }?.value
    width = embedding?.columns ?? 0
    stored = paths.map { byPath[$0]! }
    let renamings = RenamingTable(family.renamings(split))
    let weights = stored.indices.filter { stored[$0].weight != nil }
    // Diffusers' own names first, should a file hold a module under both.
    for index in weights where renamings.byOriginal(split[index]).isEmpty { cut(index, split[index], renamings) }
    for index in weights where !renamings.byOriginal(split[index]).isEmpty { cut(index, split[index], renamings) }
    spell(renamings)
  }

  /// Cuts a stored module into diffusers' modules, where none of them is stored already.
  private mutating func cut(_ index: Int, _ path: [Substring], _ renamings: RenamingTable) {
    let (rows, columns) = (stored[index].rows, stored[index].columns)
    for match in renamings.byOriginal(path) {
      guard let sizes = match.renaming.partSizes(rows: rows, columns: columns) else { continue }
      let paths = match.renaming.parts.map { $0.filled(with: match.gaps) }
      guard !paths.contains(where: { modules[$0] != nil }) else { continue }
      for (path, size) in zip(paths, sizes) { modules[path] = Module(spans: [], rows: size, columns: columns) }
      for segment in match.renaming.segments(partSizes: sizes, columns: columns) {
        modules[paths[segment.part]]?.spans.append(
          Span(stored: index, storedRows: segment.rows, rows: segment.partRows))
      }
      return
    }
    let whole = Span(stored: index, storedRows: 0..<rows, rows: 0..<rows)
    modules[path.joined(separator: ".")] = Module(spans: [whole], rows: rows, columns: columns)
  }

  private static func split(_ path: String) -> [Substring] {
    path.split(separator: ".", omittingEmptySubsequences: false)
  }

  /// Makes every spelling of diffusers' modules.
  private mutating func spell(_ renamings: RenamingTable) {
    struct Whole: Hashable {
      var renaming: Int
      var path: ExactString
    }
    var paths: [Whole: [Int: String]] = [:]
    for path in modules.keys.map(\.text) {
      dotted[path] = [Part(path: path, pathRows: 0..<modules[path]!.rows, rows: 0..<modules[path]!.rows)]
      for match in renamings.byPart(Self.split(path)) {
        let whole = Whole(renaming: match.index, path: ExactString(match.renaming.original.filled(with: match.gaps)))
        paths[whole, default: [:]][match.part] = path
      }
    }
    for (whole, parts) in paths.sorted(by: { $0.key.renaming < $1.key.renaming }) {
      let renaming = renamings[whole.renaming]
      // A diffusers module's own name goes first, and of two rules the earlier.
      guard dotted[whole.path] == nil, parts.count == renaming.parts.count else { continue }
      let sizes = renaming.parts.indices.map { modules[parts[$0]!]!.rows }
      let columns = modules[parts[0]!]!.columns
      dotted[whole.path] = renaming.segments(partSizes: sizes, columns: columns).map {
        Part(path: parts[$0.part]!, pathRows: $0.partRows, rows: $0.rows)
      }
    }
    for (path, parts) in dotted {
      let name = ExactString(path.text.replacingOccurrences(of: ".", with: "_"))
      if let other = flat.updateValue(parts, forKey: name), other != parts {
        flat.updateValue(nil, forKey: name)
      }
    }
  }

  /// Diffusers' paths, in no order.
  var paths: some Sequence<String> { modules.keys.lazy.map(\.text) }

  func has(_ module: String) -> Bool { parts(of: module) != nil }

  private func parts(of module: String) -> [Part]? { dotted[module] ?? flat[module] ?? nil }

  func places(of module: String, isBias: Bool) -> [WeightPlace] {
    guard let parts = parts(of: module) else { return [] }
    let spans = Self.joined(
      parts.flatMap { part in
        modules[part.path]!.spans.compactMap { span -> Span? in
          let rows = span.rows.clamped(to: part.pathRows)
          guard !rows.isEmpty || span.rows.isEmpty else { return nil }
          let start = span.storedRows.lowerBound + rows.lowerBound - span.rows.lowerBound
          let target = part.rows.lowerBound + rows.lowerBound - part.pathRows.lowerBound
          return Span(
            stored: span.stored, storedRows: start..<start + rows.count, rows: target..<target + rows.count)
        }
      })
    var places: [WeightPlace] = []
    for span in spans {
      let stored = stored[span.stored]
      guard let tensor = isBias ? stored.bias : stored.weight else { return [] }
      places.append(
        WeightPlace(
          tensor: tensor, tensorRows: span.storedRows == 0..<stored.rows ? nil : span.storedRows,
          moduleRows: spans.count == 1 ? nil : span.rows, isTransposed: stored.isTransposed && !isBias))
    }
    return places
  }

  func diffusersModules(of module: String) -> [(path: String, pathRows: Range<Int>?, moduleRows: Range<Int>?)] {
    let parts = parts(of: module) ?? []
    return parts.map { part in
      (
        part.path, part.pathRows == 0..<modules[part.path]!.rows ? nil : part.pathRows,
        parts.count == 1 ? nil : part.rows
      )
    }
  }

  /// In the order of the module's rows; neighbours in both are one.
  private static func joined(_ spans: [Span]) -> [Span] {
    spans.sorted { $0.rows.lowerBound < $1.rows.lowerBound }.reduce(into: []) { joined, span in
      if let last = joined.last, last.stored == span.stored, last.rows.upperBound == span.rows.lowerBound,
        last.storedRows.upperBound == span.storedRows.lowerBound
      {
        joined[joined.count - 1].rows = last.rows.lowerBound..<span.rows.upperBound
        joined[joined.count - 1].storedRows = last.storedRows.lowerBound..<span.storedRows.upperBound
      } else {
        joined.append(span)
      }
    }
  }

  /// The module that a tensor is the weight or the bias of; `nil` for buffers and tables.
  private static func module(ofTensor name: String) -> (path: String?, isBias: Bool) {
    // OpenCLIP's bare parameters.
    if name == "positional_embedding" || name == "text_projection" { return (name, false) }
    for (suffix, isBias) in [
      (".weight", false), (".bias", true), ("attn.in_proj_weight", false), ("attn.in_proj_bias", true),
      (".scale", false),
    ] where name.hasSuffix(suffix) {
      // Only norms have a scale for a weight.
      if suffix == ".scale" && !name.contains("norm") { return (nil, false) }
      let kind = suffix.last == "t" ? "weight" : isBias ? "bias" : "scale"
      return (String(name.dropLast(kind.count + 1)), isBias)
    }
    return (nil, false)
  }
}

/// Rules that are found by either side.
private struct RenamingTable {
  struct Match {
    var index: Int
    var renaming: ModuleRenaming
    var part: Int
    var gaps: [String]
  }

  private let renamings: [ModuleRenaming]
  /// Rules by the first part of their path, which no pattern leaves open.
  private var originals: [ExactString: [Int]] = [:]
  private var parts: [ExactString: [(Int, part: Int)]] = [:]

  init(_ renamings: [ModuleRenaming]) {
    self.renamings = renamings
    for (index, renaming) in renamings.enumerated() {
      originals[renaming.original.parts[0], default: []].append(index)
      for (part, pattern) in renaming.parts.enumerated() {
        parts[pattern.parts[0], default: []].append((index, part))
      }
    }
  }

  subscript(index: Int) -> ModuleRenaming { renamings[index] }

  func byOriginal(_ path: [Substring]) -> [Match] {
    (originals[String(path[0])] ?? []).compactMap { index in
      renamings[index].original.gaps(of: path).map {
        Match(index: index, renaming: renamings[index], part: 0, gaps: $0)
      }
    }
  }

  func byPart(_ path: [Substring]) -> [Match] {
    (parts[String(path[0])] ?? []).compactMap { index, part in
      renamings[index].parts[part].gaps(of: path).map {
        Match(index: index, renaming: renamings[index], part: part, gaps: $0)
      }
    }
  }
}
