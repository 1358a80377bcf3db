import LoRATensors

/// A tensor that a layer stores, and the chain of parametrizations through which the layer sees it.
///
/// Invariants:
/// - `value` is `original` passed through the enabled links in order; with none enabled it is `original`, bit for bit.
/// - Every link keeps the shape; this is checked when it is attached.
/// - While a link is attached, only an optimizer (where `isTrainable`) or an assignment writes `original`.
public final class Parameter {
  /// What is stored. Assigning here bypasses the parametrizations.
  public internal(set) var original: Tensor
  /// Whether an optimizer changes `original`. Where false, no gradient is computed for it.
  public var isTrainable: Bool
  /// The links, first applied first.
  public private(set) var parametrizations: [any Parametrization] = []
  /// How a matrix maps inputs to outputs.
  public let layout: Layout
  /// `original` as a leaf while a gradient is being computed, else nil.
  var leaf: Tensor?

  /// Which axis of a matrix counts what.
  public enum Layout: Sendable {
    /// [outputs, inputs]: y = x Wᵀ, as linear layers store it.
    case outputsByInputs
    /// [inputs, outputs]: y = x W, as embeddings and GPT-2's `Conv1D` store it.
    case inputsByOutputs
  }

  /// - Parameters:
  ///   - original: what is stored at first, of any shape.
  ///   - isTrainable: whether an optimizer changes it.
  ///   - layout: for matrices, which axis counts inputs and which outputs.
  public init(_ original: Tensor, isTrainable: Bool = true, layout: Layout = .outputsByInputs) {
    self.original = original
    self.isTrainable = isTrainable
    self.layout = layout
  }

  /// The shape of what is stored, which every parametrization keeps.
  public var shape: [Int] { original.shape }
  /// The inputs of a matrix; of a convolution's weight [outputs, inputs, height, width], the numbers that an output is
  /// made of.
  public var inputs: Int { layout == .outputsByInputs ? shape.dropFirst().reduce(1, *) : shape[0] }
  /// The outputs of a matrix.
  public var outputs: Int { shape[layout == .outputsByInputs ? 0 : 1] }
  /// Whether a parametrization is attached, switched on or not.
  public var isParametrized: Bool { !parametrizations.isEmpty }

  /// What the layer sees.
  public var value: Tensor {
    isParametrized ? ValueCache.current?.value(of: self) ?? computedValue(through: takingPart) : stored
  }

  /// What is stored, tracked while a gradient is being computed: the value without the parametrizations.
  package var stored: Tensor { leaf ?? original }

  /// What is stored, passed through links.
  func computedValue(through links: some Sequence<any Parametrization>) -> Tensor {
    links.reduce(stored) { $1.value(of: $0) }
  }

  /// The links that the value passes through.
  var takingPart: [any Parametrization] {
    guard let choice = LinkChoice.of(self) else { return parametrizations.filter(\.isEnabled) }
    guard let links = choice.links(of: parametrizations) else {
      fatalError(
        "value: the rows of this pass use different adapters of a parameter of shape \(shape), so it has no one value; "
          + "withAdapters(rows:) is for layers that call `linear` or `rows`")
    }
    return links
  }

  /// The linear map input · valueᵀ + bias (input · value where the layout is `inputsByOutputs`): by the output where
  /// every enabled link offers it, else by the formed value. Both give the same answer.
  public func linear(_ input: Tensor, bias: Parameter? = nil) -> Tensor {
    expect(
      shape.count == 2 && input.shape.last == inputs, "linear: input \(input.shape) and weight \(shape) do not fit")
    if let choice = LinkChoice.byRow(of: self) { return linear(input, bias: bias, choice) }
    if parametrizations.isEmpty { return map(input, by: stored, bias: bias?.value) }
    let links = takingPart
    if links.isEmpty { return map(input, by: stored, bias: bias?.value) }
    guard !Parameter.isCaching, links.allSatisfy({ $0 is any LinearParametrization }) else {
      return map(input, by: value, bias: bias?.value)
    }
    let rows = input.reshaped([input.count / inputs, inputs])
    var output = adapted(map(rows, by: stored, bias: nil), rows, links)
    if let bias { output = (consume output).addingToRows(bias.value) }
    return output.reshaped(input.shape.dropLast() + [outputs])
  }

  /// The output of the linear map without bias through `links`, from that of what is stored: [rows, outputs] both.
  func adapted(_ output: consuming Tensor, _ input: Tensor, _ links: [any Parametrization]) -> Tensor {
    let linear = links.compactMap { $0 as? any LinearParametrization }
    guard linear.count == links.count else { return map(input, by: computedValue(through: links), bias: nil) }
    for (place, link) in linear.enumerated() {
      output = link.adjust(
        output: consume output, input: input, weight: { self.computedValue(through: links.prefix(place)) })
    }
    return output
  }

  /// The rows of the value at `indices` (an embedding): by the rows where every enabled link offers it, else by the
  /// formed value.
  public func rows(at indices: [Int]) -> Tensor {
    if let choice = LinkChoice.byRow(of: self) { return rows(at: indices, choice) }
    let links = takingPart
    return links.isEmpty || !Parameter.isCaching ? rows(at: indices, through: links) : value.rows(at: indices)
  }

  func rows(at indices: [Int], through links: [any Parametrization]) -> Tensor {
    let byRow = links.compactMap { $0 as? any RowParametrization }
    guard byRow.count == links.count else { return computedValue(through: links).rows(at: indices) }
    return byRow.reduce(stored.rows(at: indices)) { $1.adjust(rows: $0, at: indices) }
  }

  /// input · weightᵀ + bias, by the layout.
  func map(_ input: Tensor, by weight: Tensor, bias: Tensor?) -> Tensor {
    if layout == .outputsByInputs { return input.linear(weight, bias: bias) }
    let output = input.matmul(weight)
    return bias.map { output + $0 } ?? output
  }
}

// MARK: - Attaching and taking off

extension Parameter {
  /// Adds a link at the end of the chain.
  ///
  /// Throws where the link changes the shape. A right inverse, where there is one, is not used: what is stored stays
  /// as it is, and the link's value is seen from now on.
  public func parametrize(by parametrization: any Parametrization) throws {
    let before = computedValue(through: takingPart)
    let after = parametrization.value(of: before.detached).shape
    guard before.shape == after else {
      throw ParametrizationError.shapeChanges(parametrization: name(of: parametrization), from: before.shape, to: after)
    }
    attach(parametrization)
  }

  /// Adds a link whose value is known to keep the shape, without computing it.
  package func attach(_ parametrization: any Parametrization) {
    parametrizations.append(parametrization)
  }

  /// Assigns what the layer shall see: passes `value` backwards through the right inverses of the enabled links.
  public func assign(_ value: Tensor) throws {
    guard value.shape == shape else { throw ParametrizationError.assignedShape(found: value.shape, expected: shape) }
    var wanted = value.detached
    for link in parametrizations.reversed() where link.isEnabled {
      guard let invertible = link as? any InvertibleParametrization else {
        throw ParametrizationError.notInvertible(parametrization: name(of: link))
      }
      wanted = try invertible.rightInverse(of: wanted)
      guard wanted.shape == shape else {
        throw ParametrizationError.shapeChanges(parametrization: name(of: link), from: shape, to: wanted.shape)
      }
    }
    original = wanted
  }

  /// Replaces what is stored, whatever the chain.
  public func assignOriginal(_ tensor: Tensor) throws {
    guard tensor.shape == shape else {
      throw ParametrizationError.assignedShape(found: tensor.shape, expected: shape)
    }
    original = tensor.detached
  }

  /// Takes one link off, found by identity; what is stored stays as it is.
  public func remove(_ parametrization: any Parametrization) throws {
    guard let index = parametrizations.firstIndex(where: { $0 === parametrization }) else {
      throw ParametrizationError.notAttached(parametrization: name(of: parametrization))
    }
    parametrizations.remove(at: index)
  }

  /// Takes every link off: the layer sees what is stored.
  public func removeParametrizations() {
    parametrizations = []
  }

  /// Stores what the layer sees now and takes every link off: the layer goes on seeing the same.
  public func fold() {
    original = computedValue(through: takingPart).detached
    parametrizations = []
  }

  /// Stores what the first link gives, whether it is enabled or not, and takes it off.
  public func foldFirst() {
    guard let first = parametrizations.first else { return }
    original = first.value(of: stored).detached
    parametrizations.removeFirst()
  }

  private func name(of parametrization: any Parametrization) -> String { String(describing: type(of: parametrization)) }

  /// A parameter of its own with the same contents; the links are copied too.
  ///
  /// - Precondition: every link is a `CopyableModule`.
  public func copy() -> Parameter {
    let twin = Parameter(original, isTrainable: isTrainable, layout: layout)
    twin.parametrizations = parametrizations.map { link in
      guard let copyable = link as? any CopyableModule & Parametrization else {
        fatalError("copy: \(name(of: link)) is attached and is no CopyableModule")
      }
      return copyable.copy()
    }
    return twin
  }
}

// MARK: - Caching

extension Parameter {
  /// Within `body`, each parametrized parameter computes its value once, at first use. For models that use a weight
  /// several times in one pass. A parameter must not be changed within. A task that is started within computes its own.
  public static func caching<Result>(_ body: () throws -> Result) rethrows -> Result {
    let cache = ValueCache()
    defer { cache.isOpen = false }
    return try ValueCache.$kept.withValue(cache, operation: body)
  }

  /// Whether values are kept here and now.
  static var isCaching: Bool { ValueCache.current != nil }

  /// The same with nothing computed yet, where values are kept.
  static func withoutCachedValues<Result>(_ body: () throws -> Result) rethrows -> Result {
    guard isCaching else { return try body() }
    return try caching(body)
  }
}

/// The values computed within one `caching` scope.
private final class ValueCache: @unchecked Sendable {
  // A task that is started within the scope inherits this value, may run beside it and outlive it; only the task that
  // opened the scope uses it.
  @TaskLocal static var kept: ValueCache?
  static var current: ValueCache? {
    guard let kept, kept.owner == withUnsafeCurrentTask(body: { $0?.hashValue }), kept.isOpen else { return nil }
    return kept
  }

  private let owner = withUnsafeCurrentTask { $0?.hashValue }
  var isOpen = true
  private var values: [ObjectIdentifier: (parameter: Parameter, value: Tensor)] = [:]

  func value(of parameter: Parameter) -> Tensor {
    if let known = values[ObjectIdentifier(parameter)] { return known.value }
    let value = parameter.computedValue(through: parameter.takingPart)
    values[ObjectIdentifier(parameter)] = (parameter, value)
    return value
  }
}

// MARK: - Optimizers

extension Parameter {
  /// Lets an optimizer change what is stored, in place where nobody else holds it.
  package func update(_ body: (_ elements: UnsafeMutablePointer<Float>, _ count: Int) -> Void) {
    expect(leaf == nil, "update: a parameter can't change while its gradient is being computed")
    let count = original.count
    original.updateInPlace { body($0, count) }
  }
}
