// How training and its results look in a notebook.
import LoRATraining

extension Trainer: CustomPlaygroundDisplayConvertible {
  /// The loss of every step so far.
  public var playgroundDescription: Any {
    LineChart(
      title: "Loss", series: [.init("", losses)], xLabel: "step", yLabel: "loss", yScale: .logarithmic,
      smoothing: max(1, losses.count / 40), width: 560, height: 280
    ).playgroundDescription
  }
}

extension ClassificationResult: CustomPlaygroundDisplayConvertible {
  public var playgroundDescription: Any {
    ConfusionMatrix(
      title: "\(percentText(accuracy)) right, \(errors.reduce(0, +)) errors",
      classes: (0..<classCount).map(String.init),
      counts: confusion
    ).playgroundDescription
  }
}
