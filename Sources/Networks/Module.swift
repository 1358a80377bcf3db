import LoRATensors

/// Anything that holds parameters: a layer, a model, a parametrization.
///
/// A module is a class whose stored properties hold parameters and other modules: as they are, or in optionals, arrays,
/// dictionaries, tuples, structs, cases and other classes of these. They are found by reflection, each once, in the order
/// of declaration (dictionaries: of their keys), and named by the path of properties: `hidden1.weight`,
/// `layers.0.query.bias`. Nothing needs to be registered. A notebook shows a module's `summary`.
///
/// ```swift
/// final class TwoLayers: Module {
///   let hidden, output: Linear
///
///   init(using generator: inout some RandomNumberGenerator) {
///     hidden = Linear(inputs: 784, outputs: 100, using: &generator)
///     output = Linear(inputs: 100, outputs: 10, using: &generator)
///   }
///
///   func callAsFunction(_ x: Tensor) -> Tensor { output(hidden(x).relu()) }
/// }
/// ```
///
/// The generator is handed in: in Swift 6 the variables of a main.swift belong to the main actor, and a class that reaches
/// for one ("main actor-isolated var 'generator' can not be used 'inout' from a nonisolated context") does not compile.
public protocol Module: AnyObject, CustomPlaygroundDisplayConvertible {
  /// The name of a stored property in paths; identity unless a model follows the names of a file format. An empty name
  /// adds nothing to a path.
  static func pathComponent(ofProperty property: String) -> String

  /// The same for a class whose instances call their parts differently; by default what the type says.
  func pathComponent(ofProperty property: String) -> String
}

extension Module {
  public static func pathComponent(ofProperty property: String) -> String { property }
  public func pathComponent(ofProperty property: String) -> String { Self.pathComponent(ofProperty: property) }
}

/// A parameter and the path by which it is known.
public struct NamedParameter {
  /// The path of properties that leads to it: `layers.0.query.bias`.
  public let name: String
  /// The parameter itself, shared with the module.
  public let parameter: Parameter

  /// A parameter under a path of one's own: what an optimizer takes where there is no module.
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
    path: String, parameter: @escaping (String, Parameter) -> Void,
    module: @escaping (String, any Module) -> Void
  ) {
    var walk = ModuleWalk(parameter: parameter, module: module)
    walk.visit(self, path: path)
  }
}

/// A walk over what a module holds: parameters and modules in its properties, however these are wrapped.
private struct ModuleWalk {
  let parameter: (String, Parameter) -> Void
  let module: (String, any Module) -> Void
  /// Modules that were met: a child may know its parent.
  private var seen: Set<ObjectIdentifier> = []

  init(parameter: @escaping (String, Parameter) -> Void, module: @escaping (String, any Module) -> Void) {
    (self.parameter, self.module) = (parameter, module)
  }

  mutating func visit(_ found: any Module, path: String) {
    guard seen.insert(ObjectIdentifier(found)).inserted else { return }
    module(path, found)
    var mirror: Mirror? = Mirror(reflecting: found)
    while let current = mirror {
      for case (let label?, let value) in current.children {
        let property = Self.property(label, value, of: found)
        visit(value: value, path: Self.joined(path, found.pathComponent(ofProperty: property)))
      }
      mirror = current.superclassMirror
    }
  }

  private mutating func visit(value: Any, path: String) {
    switch value {
    case let found as Parameter: parameter(path, found)
    case let found as any Module: visit(found, path: path)
    // What holds none, and is common or large.
    case is Tensor, is any Numeric, is String, is Bool, is [Float], is [Int], is [String]: break
    default: visit(contents: value, path: path)
    }
  }

  /// Optionals add nothing to a path; arrays, dictionaries, tuples, structs, cases and other classes what they call an
  /// element.
  private mutating func visit(contents value: Any, path: String) {
    let mirror = Mirror(reflecting: value)
    // Of one number all others are numbers, but not of Any.
    var isMixed: Bool { "\(mirror.subjectType)".hasSuffix("Any>") }
    switch mirror.displayStyle {
    case .optional:
      if let wrapped = mirror.children.first?.value { visit(value: wrapped, path: path) }
    case .collection:
      for (index, element) in mirror.children.enumerated() {
        if Self.isPlain(element.value), !isMixed { return }
        visit(value: element.value, path: Self.joined(path, "\(index)"))
      }
    case .dictionary:
      let pairs = mirror.children.compactMap { child -> (key: String, value: Any)? in
        let pair = Array(Mirror(reflecting: child.value).children)
        return pair.count == 2 ? ("\(pair[0].value)", pair[1].value) : nil
      }
      if let first = pairs.first, Self.isPlain(first.value), !isMixed { return }
      for pair in pairs.sorted(by: { $0.key < $1.key }) { visit(value: pair.value, path: Self.joined(path, pair.key)) }
    case .set:
      for child in mirror.children where child.value is any Module || child.value is Parameter {
        expect(false, "\(path): a Set has no order by which its layers could be named; take an array")
      }
    case .tuple, .struct, .enum:
      visit(elements: mirror, path: path)
    case .class:
      // What the system's classes hold is their own matter.
      guard !["Foundation", "Dispatch", "Swift."].contains(where: String(reflecting: mirror.subjectType).hasPrefix),
        seen.insert(ObjectIdentifier(value as AnyObject)).inserted
      else { return }
      var part: Mirror? = mirror
      while let current = part {
        visit(elements: current, path: path)
        part = current.superclassMirror
      }
    default: break
    }
  }

  private mutating func visit(elements mirror: Mirror, path: String) {
    for (index, child) in mirror.children.enumerated() {
      // A tuple's unnamed elements are called ".0", ".1".
      let label = child.label.map { $0.hasPrefix(".") ? String($0.dropFirst()) : $0 } ?? "\(index)"
      visit(value: child.value, path: Self.joined(path, Self.property(label, child.value, of: mirror.subjectType)))
    }
  }

  /// A stored property as it was declared. A lazy one has another name, and a layer that is not made yet would be missed.
  private static func property(_ label: String, _ value: Any, of owner: Any) -> String {
    let prefix = "$__lazy_storage_$_"
    guard label.hasPrefix(prefix) else { return label }
    let name = String(label.dropFirst(prefix.count))
    if let kind = type(of: value) as? any OptionalType.Type, kind.holdsParameters,
      Mirror(reflecting: value).children.isEmpty
    {
      expect(
        false,
        "\(owner): the lazy property \(name) is a layer that is not made yet and would not be trained; use it once before"
      )
    }
    return name
  }

  private static func joined(_ path: String, _ component: String) -> String {
    path.isEmpty ? component : component.isEmpty ? path : "\(path).\(component)"
  }

  private static func isPlain(_ value: Any) -> Bool { value is any Numeric || value is String || value is Bool }
}

/// An optional, whatever it may hold.
private protocol OptionalType { static var holdsParameters: Bool { get } }
extension Optional: OptionalType {
  static var holdsParameters: Bool { Wrapped.self is any Module.Type || Wrapped.self is Parameter.Type }
}

/// A module that can be copied with everything that it holds, parametrizations included.
public protocol CopyableModule: Module {
  /// A module with copies of all parameters, of their parametrizations and of random generators: no change of one
  /// reaches the other.
  func copy() -> Self
}
