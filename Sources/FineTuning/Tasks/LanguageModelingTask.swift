import LoRAModels
import LoRANetworks
import LoRATensors
import LoRATraining

/// Going on with texts: the mean cross entropy of the next tokens, in which every predicted token counts once.
public struct LanguageModelingTask: LearningTask {
  /// What learns.
  public let decoder: any LanguageModel
  /// What it learns from.
  public let windows: TokenWindows
  /// What it is measured by; nil where it is not.
  public let evaluation: TokenWindows?

  /// A decoder, the windows that it learns from, and those by which it is measured.
  public init(_ decoder: any LanguageModel, windows: TokenWindows, evaluation: TokenWindows? = nil) {
    (self.decoder, self.windows, self.evaluation) = (decoder, windows, evaluation)
  }

  public var model: any Module { decoder }
  public var count: Int { windows.count }
  public var isEvaluated: Bool { evaluation != nil }
  public func weight(of example: Int) throws -> Float { Float(try windows.predictions(of: example)) }

  public func loss(of examples: [Int]) throws -> Tensor {
    let (tokens, targets) = try windows.batch(examples)
    return decoder.loss(tokens, targets: targets)
  }

  /// The mean loss; the lower it is, the higher the score.
  public func evaluate() throws -> (score: Double, loss: Double) {
    guard let loss = try evaluation?.score(by: decoder).loss else { return (.nan, .nan) }
    return (-loss, loss)
  }
}
