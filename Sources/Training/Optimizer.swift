import LoRACKernels
import LoRANetworks
import LoRATensors

/// Changes trainable parameters by their gradients.
///
/// ```swift
/// let optimizer = Adam(model.trainableParameters, learningRate: 1e-3)
/// let (loss, gradients) = model.valueAndGradients { … }
/// optimizer.update(gradients)
/// ```
public protocol Optimizer: AnyObject {
  /// What is changed, in a fixed order. Never empty: an optimizer with nothing to train is refused at once.
  var parameters: [NamedParameter] { get }
  /// How far the next step goes; a ``Schedule`` sets it before each.
  var learningRate: Float { get set }
  /// Updates done so far.
  var step: Int { get }
  /// One step. Every gradient is first multiplied by `gradientScale` (clipping). A parameter without a gradient stays.
  ///
  /// - Returns: false where a gradient holds an infinite element or one that is not a number, so that the parameters do
  ///   too: nobody looks for that beforehand, since a step reads every element anyway.
  @discardableResult
  func update(_ gradients: Gradients, gradientScale: Float) -> Bool
  /// What must be kept to go on bit for bit, by name; nil before the first step.
  var state: [String: Tensor] { get }
  /// Takes up a kept state. Throws where names or shapes differ.
  func restore(state: [String: Tensor], step: Int) throws
}

extension Optimizer {
  /// One step by the gradients as they are.
  @discardableResult
  public func update(_ gradients: Gradients) -> Bool { update(gradients, gradientScale: 1) }
}

/// Why a kept optimizer state does not fit.
public struct OptimizerStateError: DescribedError {
  public let problem: String
  public var subject: String { "" }
  public var advice: Advice { "Take a state of the same model and the same optimizer" }
}

/// One tensor per parameter that an optimizer keeps beside it (a moment, a velocity), zero at first.
struct Moments {
  private let label: String
  private var tensors: [Tensor?]

  init(_ label: String, count: Int) {
    self.label = label
    self.tensors = Array(repeating: nil, count: count)
  }

  mutating func update(_ index: Int, like parameter: Parameter, _ body: (UnsafeMutablePointer<Float>) -> Void) {
    var tensor = tensors[index] ?? .zeros(parameter.shape)
    tensors[index] = nil
    tensor.updateInPlace(body)
    tensors[index] = tensor
  }

  func add(to state: inout [String: Tensor], for parameters: [NamedParameter]) {
    for (item, tensor) in zip(parameters, tensors) { state["\(item.name).\(label)"] = tensor }
  }

  mutating func restore(from state: [String: Tensor], for parameters: [NamedParameter]) throws {
    for (index, item) in parameters.enumerated() {
      let found = state["\(item.name).\(label)"]
      guard found == nil || found!.shape == item.parameter.shape else {
        throw OptimizerStateError(
          problem: "the kept \(label) of \(item.name) has shape \(found!.shape), expected \(item.parameter.shape)")
      }
      tensors[index] = found
    }
  }
}

/// Adam (Kingma and Ba, 2015) and AdamW (Loshchilov and Hutter, 2019), by PyTorch's update rule.
public final class Adam: Optimizer {
  public let parameters: [NamedParameter]
  /// α, before a parameter's multiplier.
  public var learningRate: Float
  /// β₁ and β₂: how much of the old moments a step keeps.
  public let betas: (Float, Float)
  /// Added to the root of the second moment.
  public let epsilon: Float
  /// How weights are drawn to zero in every step.
  public let weightDecay: WeightDecay
  public private(set) var step = 0
  private let settings: [(rateMultiplier: Float, weightDecay: Float)]
  private var first: Moments
  private var second: Moments

  /// How weights are drawn to zero.
  public enum WeightDecay: Sendable, Equatable {
    /// They are not.
    case none
    /// Added to the gradient: Adam with L2 regularisation.
    case coupled(Float)
    /// Apart from the gradient: AdamW.
    case decoupled(Float)

    fileprivate var amount: Float {
      switch self {
      case .none: 0
      case .coupled(let decay), .decoupled(let decay): decay
      }
    }
    fileprivate var isDecoupled: Bool { if case .decoupled = self { true } else { false } }
  }

  /// - Parameters:
  ///   - parameters: what is trained, at least one.
  ///   - learningRate: how far a step goes.
  ///   - betas: β₁ and β₂: how much of the old moments a step keeps.
  ///   - epsilon: added to the root of the second moment.
  ///   - weightDecay: how weights are drawn to zero.
  ///   - groups: what is trained at other rates (LoRA+: Hayou et al., 2024) or with other decays.
  public init(
    _ parameters: [NamedParameter], learningRate: Float, betas: (Float, Float) = (0.9, 0.999), epsilon: Float = 1e-8,
    weightDecay: WeightDecay = .none, groups: [ParameterGroup] = []
  ) {
    expect(!parameters.isEmpty, "Adam: there is no parameter to train")
    expect(
      weightDecay != .none || groups.allSatisfy { $0.weightDecay == nil },
      "Adam: a group has a weight decay of its own; say of which kind, with weightDecay: .coupled(0) or .decoupled(0)")
    self.parameters = parameters
    self.learningRate = learningRate
    self.betas = betas
    self.epsilon = epsilon
    self.weightDecay = weightDecay
    self.settings = ParameterGroup.settings(of: parameters, in: groups, weightDecay: weightDecay.amount)
    self.first = Moments("first_moment", count: parameters.count)
    self.second = Moments("second_moment", count: parameters.count)
  }

  @discardableResult
  public func update(_ gradients: Gradients, gradientScale: Float) -> Bool {
    step += 1
    var isFinite = true
    for (index, item) in parameters.enumerated() {
      guard let gradient = gradients[item.parameter] else { continue }
      let (rateMultiplier, decay) = settings[index]
      first.update(index, like: item.parameter) { m in
        second.update(index, like: item.parameter) { v in
          item.parameter.update { weight, count in
            let isSound = ck_adam_step(
              weight, gradient.pointer, m, v, count, learningRate * rateMultiplier, betas.0, betas.1, epsilon, decay,
              weightDecay.isDecoupled, Int64(step), gradientScale)
            isFinite = isFinite && isSound
          }
        }
      }
    }
    return isFinite
  }

  public var state: [String: Tensor] {
    var state: [String: Tensor] = [:]
    first.add(to: &state, for: parameters)
    second.add(to: &state, for: parameters)
    return state
  }

  public func restore(state: [String: Tensor], step: Int) throws {
    try first.restore(from: state, for: parameters)
    try second.restore(from: state, for: parameters)
    self.step = step
  }
}

/// Stochastic gradient descent with momentum, by PyTorch's update rule.
public final class SGD: Optimizer {
  public let parameters: [NamedParameter]
  /// By which gradient or velocity are multiplied.
  public var learningRate: Float
  /// How much of the old velocity a step keeps; 0: none is kept at all.
  public let momentum: Float
  /// Whether the gradient looks ahead along the velocity (Sutskever et al., 2013).
  public let isNesterov: Bool
  /// What share of a weight is added to its gradient.
  public let weightDecay: Float
  public private(set) var step = 0
  private let settings: [(rateMultiplier: Float, weightDecay: Float)]
  private var velocity: Moments

  /// - `parameters`: what is trained, at least one.
  /// - `learningRate`: how far a step goes.
  /// - `momentum`: how much of the old velocity a step keeps.
  /// - `isNesterov`: whether to look ahead, which needs a momentum.
  /// - `weightDecay`: what share of a weight is added to its gradient (L2 regularisation).
  public init(
    _ parameters: [NamedParameter], learningRate: Float, momentum: Float = 0, isNesterov: Bool = false,
    weightDecay: Float = 0, groups: [ParameterGroup] = []
  ) {
    expect(!parameters.isEmpty, "SGD: there is no parameter to train")
    expect(!isNesterov || momentum > 0, "SGD: Nesterov's rule needs a momentum")
    self.parameters = parameters
    self.learningRate = learningRate
    self.momentum = momentum
    self.isNesterov = isNesterov
    self.weightDecay = weightDecay
    self.settings = ParameterGroup.settings(of: parameters, in: groups, weightDecay: weightDecay)
    self.velocity = Moments("velocity", count: parameters.count)
  }

  @discardableResult
  public func update(_ gradients: Gradients, gradientScale: Float) -> Bool {
    step += 1
    var isFinite = true
    for (index, item) in parameters.enumerated() {
      guard let gradient = gradients[item.parameter] else { continue }
      let (rateMultiplier, decay) = settings[index]
      func change(_ velocity: UnsafeMutablePointer<Float>?) {
        item.parameter.update { weight, count in
          let isSound = ck_sgd_step(
            weight, gradient.pointer, velocity, count, learningRate * rateMultiplier, momentum, isNesterov, decay,
            step == 1, gradientScale)
          isFinite = isFinite && isSound
        }
      }
      if momentum == 0 { change(nil) } else { velocity.update(index, like: item.parameter, change) }
    }
    return isFinite
  }

  public var state: [String: Tensor] {
    var state: [String: Tensor] = [:]
    velocity.add(to: &state, for: parameters)
    return state
  }

  public func restore(state: [String: Tensor], step: Int) throws {
    try velocity.restore(from: state, for: parameters)
    self.step = step
  }
}
