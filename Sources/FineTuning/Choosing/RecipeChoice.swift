import LoRATraining

/// How a run's settings came about: what was advised, what was asked for instead, which rates were tried, and how narrow
/// the adapter became.
public struct RecipeChoice: Sendable, Equatable {
  /// By the sizes of data and model.
  public let advice: FineTuningAdvice
  /// What somebody has chosen instead.
  public let given: Set<FineTuningAdvice.Setting>
  /// The trials, where there were some.
  public var rates: RateSearch.Outcome?
  /// The steps of the search, where there was one.
  public var search: RateSearch?
  /// The ranks, where they were tried.
  public var narrowing: Narrowing?

  /// Advice, and what was chosen by hand.
  public init(_ advice: FineTuningAdvice, given: Set<FineTuningAdvice.Setting> = []) {
    (self.advice, self.given) = (advice, given)
  }

  /// Why a setting is what it is.
  public func reason(for setting: FineTuningAdvice.Setting) -> String {
    if given.contains(setting) { return "as asked for" }
    let reason = advice.reasons[setting] ?? ""
    guard setting == .learningRate else { return reason }
    guard let rates, let search else { return reason + "; the run is too short for trials" }
    let tried =
      "\(reason); of \(rates.trials.count) trials of \(search.steps) steps, judged by \(search.heldOut) examples kept back, "
    if rates.keepsDistance { return tried + "a rate twice the best one hardly learns, so that it is half the best one" }
    return rates.learningRate == search.first
      ? tried + "none is better, as twice the rate must clearly be"
      : tried + (rates.learningRate > search.first ? "a higher one is clearly better" : "a lower one is better")
  }
}
