import LoRAFiles
import LoRANetworks
import LoRATensors

/// What a LoRA adapter is made of, before it has a model.
public struct LoRAConfiguration: Sendable, Equatable {
  /// What becomes of a plain LoRA.
  public enum Form: Sendable, Equatable {
    /// It stays one.
    case plain
    /// Direction and magnitude apart (Liu et al., 2024).
    case dora
    /// One that takes over a part of the weight.
    case starting(PrincipalStart)
  }

  /// r: the rows of A and the columns of B, 1 to the smaller side of every weight that it goes to.
  public var rank: Int
  /// α: with the rank it makes the scale of B A.
  public var alpha: Float
  /// Whether that is α/r or α/√r.
  public var scaling: Scaling
  /// How A starts; B starts at 0, so that the adapter has no effect at first.
  public var initialization: LoRA.Initialization
  /// Probability with which an element of the adapter's input is dropped in training.
  public var dropout: Float
  /// What kind of adapter it becomes.
  public var form: Form
  /// By which the adapter is switched, saved and removed; no two of one model have the same.
  public var name: String

  /// A LoRA of a rank and an α; the rest as in peft by default.
  public init(
    rank: Int, alpha: Float, scaling: Scaling = .standard, initialization: LoRA.Initialization = .kaimingUniform,
    dropout: Float = 0, form: Form = .plain, name: String = "default"
  ) {
    self.rank = rank
    self.alpha = alpha
    self.scaling = scaling
    self.initialization = initialization
    self.dropout = dropout
    self.form = form
    self.name = name
  }

  /// The adapter of a weight, not attached yet.
  ///
  /// - Throws: `LinearAlgebraError` where it is to start from a weight that has no decomposition.
  public func adapter(
    for weight: Parameter, using generator: inout some RandomNumberGenerator
  ) throws -> any StorableAdapter {
    let lora = LoRA(
      rank: rank, alpha: alpha, for: weight, scaling: scaling, initialization: initialization,
      dropout: dropout > 0 ? Dropout(dropout, seed: generator.next()) : nil, name: name, using: &generator)
    switch form {
    case .plain: return lora
    case .dora: return DoRA(lora, for: weight)
    case .starting(let start): return try lora.starting(from: start, of: weight)
    }
  }
}

/// One weight of a model and the adapter on it.
public struct AttachedAdapter {
  /// The path of the module that holds the weight.
  public let path: String
  /// The weight, in the model.
  public let weight: Parameter
  /// What is attached to it.
  public let adapter: any Adapter
}

extension Module {
  /// Puts an adapter on every weight that `targets` selects and freezes the model's own parameters, so that only the
  /// adapter is trained. Returns what matched.
  ///
  /// Throws, before anything is attached, where a target matches nothing, the rank does not fit, the name is taken, or a
  /// weight has no decomposition to start from.
  @discardableResult
  public func attach(
    _ configuration: LoRAConfiguration, to targets: Targets = .allLinear, excluding excluded: Targets? = nil,
    using generator: inout some RandomNumberGenerator
  ) throws -> [AttachedAdapter] {
    let weights = try weights(matching: targets, excluding: excluded)
    if attachedAdapters.contains(where: { $0.adapter.name == configuration.name }) {
      throw AttachmentError.nameTaken(configuration.name)
    }
    for weight in weights {
      let largest = AttachmentError.largestRank(weight.parameter.shape)
      if configuration.rank >= 1, configuration.rank <= largest { continue }
      throw AttachmentError.rank(configuration.rank, path: weight.path, shape: weight.parameter.shape)
    }
    let attached = try weights.map { weight in
      AttachedAdapter(
        path: weight.path, weight: weight.parameter,
        adapter: try configuration.adapter(for: weight.parameter, using: &generator))
    }
    setTrainable(false)
    for item in attached { item.weight.attach(item.adapter) }
    return attached
  }

  /// Every adapter on this model, in the order of the parameters and of their chains. A `Replacement` has the
  /// parameter's path, every other adapter that of the module.
  public var attachedAdapters: [AttachedAdapter] {
    parameters.flatMap { item in
      item.parameter.parametrizations.compactMap { link in
        guard let adapter = link as? any Adapter else { return nil }
        let isWhole = adapter is Replacement || !item.name.hasSuffix(".weight")
        let path = isWhole ? item.name : String(item.name.dropLast(".weight".count))
        return AttachedAdapter(path: path, weight: item.parameter, adapter: adapter)
      }
    }
  }

  /// The names of the adapters on this model, in the order in which they were met.
  public var adapterNames: [String] {
    attachedAdapters.reduce(into: []) { if !$0.contains($1.adapter.name) { $0.append($1.adapter.name) } }
  }

  /// Switches exactly the named adapters on and every other one off, for all tasks that use this model; an empty list
  /// gives the base model. (`withAdapters` is for one task.)
  ///
  /// Throws `AttachmentError.noMatch` where no adapter has one of the names.
  public func enableAdapters(_ names: [String]) throws {
    for item in try adapters(knowing: names) { item.adapter.isEnabled = names.contains(item.adapter.name) }
  }

  /// Takes the adapters of that name off; the weights stay what they were before.
  public func removeAdapter(named name: String = "default") throws {
    for item in try adapters(named: name) { try item.weight.remove(item.adapter) }
  }

  /// Adds the adapters of that name to the weights for good and takes them off.
  ///
  /// Throws `AttachmentError.notFirst` where another parametrization stands before one of them in its chain.
  public func foldAdapter(named name: String = "default") throws {
    let items = try adapters(named: name)
    for item in items where item.weight.parametrizations.first !== item.adapter {
      throw AttachmentError.notFirst(name: name, path: item.path)
    }
    for item in items { item.weight.foldFirst() }
  }

  /// All adapters, among which each of `names` must be.
  func adapters(knowing names: some Sequence<String>) throws -> [AttachedAdapter] {
    let attached = attachedAdapters
    let known = Set(attached.map(\.adapter.name))
    let unknown = names.filter { !known.contains($0) }
    guard unknown.isEmpty else { throw AttachmentError.noMatch(targets: unknown, candidates: adapterNames) }
    return attached
  }

  private func adapters(named name: String) throws -> [AttachedAdapter] {
    let items = attachedAdapters.filter { $0.adapter.name == name }
    guard !items.isEmpty else { throw AttachmentError.noMatch(targets: [name], candidates: adapterNames) }
    return items
  }
}
