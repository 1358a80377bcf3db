// What an adapter is held against: the named weights of a checkpoint on disk or of a model in memory.

import Foundation
import LoRAAdapters
import LoRAFiles
import LoRANetworks

/// A model's weights by name, and what they may be called.
public struct WeightCatalog: Sendable {
  /// What is known of a weight without reading it.
  public struct Entry: Sendable {
    /// As stored.
    public let shape: [Int]
    /// nil in memory, where everything can be read.
    public let format: NumberFormat?
    /// Whether the weight is stored as [inputs, outputs]; nil where only an adapter can tell.
    public let isTransposed: Bool?
  }

  /// For messages.
  public let title: String
  /// The two embeddings that are one tensor; nil where none are.
  public let tied: TiedEmbeddings?
  /// What the model class calls what files call otherwise.
  public let architecture: NameTable
  /// Whether a configuration says what the model is.
  public let hasConfiguration: Bool
  /// How many heads of queries and keys a configuration says that there are.
  let heads: AttentionHeads?
  private let entries: [ExactString: Entry]
  /// Stored names by what else they are called.
  private let spellings: [ExactString: String]
  private let images: ImageModelNames?

  /// - Parameters:
  ///   - checkpoint: the files.
  ///   - configuration: config.json of a checkpoint that has none of its own.
  public init(_ checkpoint: Checkpoint, configuration: JSON? = nil) {
    let tensors = checkpoint.tensors
    self.init(
      title: checkpoint.url.path, infos: tensors.map(\.info), configuration: configuration ?? checkpoint.configuration,
      component: checkpoint.directory.flatMap { PipelineComponent(folder: $0.lastPathComponent) },
      entries: Dictionary(
        tensors.map { (ExactString($0.name), Entry(shape: $0.shape, format: $0.format, isTransposed: nil)) },
        uniquingKeysWith: { first, _ in first }),
      areEqual: { one, other in
        guard let one = checkpoint[one], let other = checkpoint[other] else { return false }
        return one.shape == other.shape && one.format == other.format && one.hasSameBytes(as: other)
      })
  }

  /// - Parameters:
  ///   - model: the model in memory.
  ///   - configuration: the model's config.json, where it came from a folder.
  public init(_ model: some Module, configuration: JSON? = nil) {
    let parameters = model.parameters
    let linear = Set(model.adaptableWeights.filter { $0.kind != .embedding }.map { ObjectIdentifier($0.parameter) })
    self.init(
      title: "the model", infos: parameters.map { TensorInfo(name: $0.name, format: .f32, shape: $0.parameter.shape) },
      configuration: configuration,
      entries: Dictionary(
        parameters.map { item in
          let isTransposed =
            item.parameter.layout == .inputsByOutputs || !linear.contains(ObjectIdentifier(item.parameter))
          return (ExactString(item.name), Entry(shape: item.parameter.shape, format: nil, isTransposed: isTransposed))
        }, uniquingKeysWith: { first, _ in first }), areEqual: { _, _ in false })
  }

  private init(
    title: String, infos: [TensorInfo], configuration: JSON?, component: PipelineComponent? = nil,
    entries: [ExactString: Entry],
    areEqual: (String, String) -> Bool
  ) {
    self.title = title
    self.entries = entries
    let names = infos.map(\.name)
    let architecture = NameTable(configuration: configuration, names: names)
    self.architecture = architecture
    hasConfiguration = configuration?["model_type"] != nil
    heads = AttentionHeads(configuration)
    tied = TiedEmbeddings(names: names, configuration: configuration, areEqual: areEqual)
    images = ImageModelNames(tensors: infos, component: component)
    var spellings: [ExactString: String] = [:]
    var ambiguous: Set<ExactString> = []
    func add(_ spelling: String, _ name: String) {
      let spelling = ExactString(spelling)
      guard entries[spelling] == nil else { return }
      if let other = spellings.updateValue(name, forKey: spelling), other != name { ambiguous.insert(spelling) }
    }
    for name in names {
      for spelling in architecture.spellings(of: name) {
        add(spelling, name)
        if let path = Self.modulePath(spelling) { add(Self.flat(path) + Self.leaf(spelling), name) }
      }
    }
    for spelling in ambiguous { spellings[spelling] = nil }
    self.spellings = spellings
  }

  /// What is stored, in no order.
  public var names: some Collection<String> { entries.keys.lazy.map(\.text) }

  /// Of a tied output layer that is not stored, what is said of the input embedding.
  public subscript(stored: String) -> Entry? {
    entries[ExactString(stored)] ?? (stored == tied?.output ? entries[ExactString(tied!.input)] : nil)
  }

  /// What the model class that transformers builds calls a stored tensor.
  public func parameter(of stored: String) -> String { architecture.parameter(of: stored) }

  /// The paths of all modules with a matrix, as the model class has them.
  public var matrixPaths: [String] {
    entries.filter { $0.value.shape.count >= 2 }.keys.compactMap { Self.modulePath(parameter(of: $0.text)) }
      .sorted(by: isOrdered)
  }

  /// The paths of all modules with parameters, as the model class that peft wraps has them.
  package var parameterPaths: [String] { entries.keys.map { parameter(of: $0.text) }.compactMap(Self.modulePath) }

  /// The same as a set.
  ///
  /// - Parameter task: peft's; its class has the base's body under an attribute of its own.
  func pathsForPEFT(task: String?) -> Set<ExactString> {
    let table = task.flatMap(architecture.headClassName).map {
      NameTable(modelType: architecture.modelType, className: $0, names: names)
    }
    return (names + [tied?.output].compactMap(\.self)).reduce(into: []) { paths, name in
      paths.formUnion(
        [parameter(of: name), table?.parameter(of: name)].compactMap {
          $0.flatMap(Self.modulePath).map(ExactString.init)
        })
    }
  }

  /// The paths of modules to which no adapter goes: those with vectors alone, and those around others.
  var unadaptablePaths: [String] {
    let matrices = Set<ExactString>(names: matrixPaths)
    var found: Set<ExactString> = []
    for path in parameterPaths {
      for end in path.indices.filter({ path[$0] == "." }) + [path.endIndex] {
        let module = String(path[..<end])
        // torch's attention keeps three of its matrices itself, and one in a module within.
        let isAttention = entries[module + ".in_proj_weight"] != nil
        if !matrices.contains(module), !isAttention { found.insert(module) }
      }
    }
    return found.map(\.text)
  }

  /// The linear layers that "all-linear" means: all but the output layer.
  package var linearPaths: Set<ExactString> {
    Set<ExactString>(
      names: entries.filter { $0.value.shape.count == 2 }.keys.compactMap { Self.modulePath(parameter(of: $0.text)) }
        .filter { !architecture.isEmbedding($0) && !architecture.isOutputLayer($0) })
  }

  /// Where a module's weight, or its bias, lies: under its own name, another spelling of it, or as a part of others.
  ///
  /// - Parameter leaf: ".weight" or ".bias".
  package func places(of path: String, leaf: String = ".weight") -> [WeightPlace] {
    if let name = stored(path + leaf) { return [WeightPlace(tensor: name)] }
    if path + leaf == tied?.output { return [WeightPlace(tensor: path + leaf)] }
    let name = LoRAModuleName(path)
    if let images {
      let places =
        leaf == ".weight"
        ? images.places(of: name.module, in: name.component) : images.biasPlaces(of: name.module, in: name.component)
      if !places.isEmpty || lacks(name.component) { return places }
    }
    return stored(name.module + leaf).map { [WeightPlace(tensor: $0)] } ?? []
  }

  /// The stored name of a tensor.
  package func stored(_ name: String) -> String? {
    entries[ExactString(name)] != nil ? name : spellings[ExactString(name)]
  }

  /// Whether a module is of a part of a pipeline that this checkpoint does not hold.
  func lacksComponent(of path: String) -> Bool { images != nil && lacks(LoRAModuleName(path).component) }

  private func lacks(_ component: PipelineComponent?) -> Bool {
    guard let images, let component else { return false }
    return !images.components.contains(component)
  }

  private static func modulePath(_ name: String) -> String? {
    [".weight", ".bias"].first(where: name.hasSuffix).map { String(name.dropLast($0.count)) }
  }
  private static func leaf(_ name: String) -> String { name.hasSuffix(".bias") ? ".bias" : ".weight" }
  private static func flat(_ path: String) -> String { path.replacing(".", with: "_") }
}
