import LoRATensors

/// Anything that holds parameters: a layer, a model, a parametrization.
///
/// A module is a class whose stored properties are parameters, other modules, or optionals and arrays of these. They
/// are found by reflection, in the order of declaration, and named by the path of properties: `hidden1.weight`,
/// `layers.0.query.bias`. Nothing needs to be registered.
///
/// ```swift
/// final class TwoLayers: Module {
///   let hidden = Linear(inputs: 784, outputs: 100, using: &generator)
///   let output = Linear(inputs: 100, outputs: 10, using: &generator)
///   func callAsFunction(_ x: Tensor) -> Tensor { output(hidden(x).relu()) }
/// }
/// ```
public protocol Module: AnyObject {
  /// The name of a stored property in paths; identity unless a model follows the names of a file format.
  static func pathComponent(ofProperty property: String) -> String
}

extension Module {
  public static func pathComponent(ofProperty property: String) -> String { property }
}

/// A parameter and the path by which it is known.
public struct NamedParameter {
  public let name: String
  public let parameter: Parameter

  public init(name: String, parameter: Parameter) {
    self.name = name
    self.parameter = parameter
  }
}

extension Module {
  /// Every parameter of the model itself, each once, in the order of declaration. The parameters of parametrizations
  /// are not among them: see `allParameters`.
  public var parameters: [NamedParameter] { walk(descendingIntoParametrizations: false) }

  /// Every parameter, those of parametrizations included, which follow the parameter that they parametrize:
  /// `hidden1.weight`, `hidden1.weight.parametrizations.0.a`.
  public var allParameters: [NamedParameter] { walk(descendingIntoParametrizations: true) }

  /// The parameters that an optimizer changes, those of parametrizations included.
  public var trainableParameters: [NamedParameter] { allParameters.filter { $0.parameter.isTrainable } }

  /// Numbers in all trainable parameters.
  public var trainableCount: Int { trainableParameters.reduce(0) { $0 + $1.parameter.original.count } }

  /// Sets whether the model's own parameters are trained; those of parametrizations stay as they are.
  public func setTrainable(_ isTrainable: Bool) {
    for item in parameters { item.parameter.isTrainable = isTrainable }
  }

  /// The parameter of that path.
  public func parameter(named name: String) -> Parameter? { allParameters.first { $0.name == name }?.parameter }

  /// The modules below this one and itself (path ""), in the order of declaration.
  public var modules: [(path: String, module: any Module)] {
    var result: [(path: String, module: any Module)] = []
    visit(
      path: "", parameter: { _, _ in }, module: { path, module in result.append((path: path, module: module)) })
    return result
  }

  /// The modules below this one, those of parametrizations included, that draw random numbers.
  public var randomizedModules: [(path: String, module: any RandomizedModule)] {
    let inLinks = parameters.flatMap { item in
      item.parameter.parametrizations.enumerated().flatMap { index, link in
        link.modules.map { (path: "\(item.name).parametrizations.\(index).\($0.path)", module: $0.module) }
      }
    }
    return (modules + inLinks).compactMap { item in
      (item.module as? any RandomizedModule).map { (path: item.path, module: $0) }
    }
  }

  private func walk(descendingIntoParametrizations descends: Bool) -> [NamedParameter] {
    var result: [NamedParameter] = []
    var seen: Set<ObjectIdentifier> = []
    func add(_ name: String, _ parameter: Parameter) {
      guard seen.insert(ObjectIdentifier(parameter)).inserted else { return }
      result.append(NamedParameter(name: name, parameter: parameter))
      guard descends else { return }
      for (index, parametrization) in parameter.parametrizations.enumerated() {
        parametrization.visit(path: "\(name).parametrizations.\(index)", parameter: add, module: { _, _ in })
      }
    }
    visit(path: "", parameter: add, module: { _, _ in })
    return result
  }

  fileprivate func visit(
    path: String, parameter: (String, Parameter) -> Void, module: (String, any Module) -> Void
  ) {
    module(path, self)
    let prefix = path.isEmpty ? "" : path + "."
    var mirror: Mirror? = Mirror(reflecting: self)
    while let current = mirror {
      for case (let label?, let value) in current.children {
        LoRANetworks.visit(
          value, path: prefix + Self.pathComponent(ofProperty: label), parameter: parameter, module: module)
      }
      mirror = current.superclassMirror
    }
  }
}

private func visit(
  _ value: Any, path: String, parameter: (String, Parameter) -> Void, module: (String, any Module) -> Void
) {
  switch value {
  case let found as Parameter: parameter(path, found)
  case let found as any Module: found.visit(path: path, parameter: parameter, module: module)
  case let found as [Any]:
    for (index, element) in found.enumerated() {
      guard element is Parameter || element is any Module else { return }
      visit(element, path: "\(path).\(index)", parameter: parameter, module: module)
    }
  default:
    let mirror = Mirror(reflecting: value)
    if mirror.displayStyle == .optional, let wrapped = mirror.children.first?.value {
      visit(wrapped, path: path, parameter: parameter, module: module)
    }
  }
}

/// A module that can be copied with everything that it holds, parametrizations included.
public protocol CopyableModule: Module {
  func copy() -> Self
}
