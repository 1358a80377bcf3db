// How each arm of the digit experiment is trained.

import LoRAAdapters
import LoRATraining

extension DigitExperiment {
  /// A way to teach the digit.
  public enum Arm: String, CaseIterable, Codable, Sendable {
    /// LoRA on that digit only: the naive recipe of "LoRA from scratch".
    case lora
    /// Every parameter, on that digit only.
    case full
    /// LoRA, the digit mixed with the others.
    case loraReplay = "lora-replay"
    /// Every parameter, with the same replay.
    case fullReplay = "full-replay"

    /// Whether it trains an adapter, and not every parameter.
    public var usesLoRA: Bool { self == .lora || self == .loraReplay }
  }

  /// How an arm trains.
  public struct Recipe: Codable, Equatable, Sendable {
    /// r of every layer's adapter.
    public var rank: Int
    /// α: B A is multiplied by α/r.
    public var alpha: Float
    /// How A starts.
    public var initialization: LoRA.Initialization
    /// Adam's rate at its highest.
    public var learningRate: Float
    /// How the rate goes on after the warm-up.
    public var schedule: Schedule.Shape
    /// Steps in which the rate rises from zero.
    public var warmUpSteps: Int
    /// The share of the digit in each batch; the rest is replay.
    public var focusShare: Float

    /// By default the naive recipe.
    public init(
      rank: Int = 1, alpha: Float = 1, initialization: LoRA.Initialization = .standardNormal,
      learningRate: Float = 1e-3, schedule: Schedule.Shape = .constant, warmUpSteps: Int = 0, focusShare: Float = 1
    ) {
      self.rank = rank
      self.alpha = alpha
      self.initialization = initialization
      self.learningRate = learningRate
      self.schedule = schedule
      self.warmUpSteps = warmUpSteps
      self.focusShare = focusShare
    }

    /// The naive recipe: rank 1, α 1, Adam at 1e-3, the digit alone.
    public static let naive = Recipe()
    /// The measured recipe, of the naive one's size: docs/digits.md tells what was tried.
    public static let replay = Recipe(
      initialization: .kaimingUniform, learningRate: 1e-2, schedule: .linear, focusShare: 0.3)
    /// The same mixture for full-parameter training, at the rate that suits it best.
    public static let fullReplay = Recipe(learningRate: 3e-4, schedule: .linear, focusShare: 0.3)

    /// What an arm does where nothing else is said.
    public static func standard(for arm: Arm) -> Recipe {
      switch arm {
      case .lora, .full: .naive
      case .loraReplay: .replay
      case .fullReplay: .fullReplay
      }
    }
  }
}
