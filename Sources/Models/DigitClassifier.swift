import LoRANetworks
import LoRATensors

/// A multilayer perceptron that reads 28 × 28 digits: 784 → hidden → hidden → 10 with ReLU. With the default sizes it
/// has 2,807,010 parameters. It knows nothing of LoRA.
public final class DigitClassifier: CopyableModule {
  /// 784 → 1000, unless other sizes were given.
  public let hidden1: Linear
  /// 1000 → 2000.
  public let hidden2: Linear
  /// 2000 → 10.
  public let output: Linear

  /// A classifier of given layers, each with as many inputs as the one before has outputs.
  public init(hidden1: Linear, hidden2: Linear, output: Linear) {
    self.hidden1 = hidden1
    self.hidden2 = hidden2
    self.output = output
  }

  /// A classifier that starts as PyTorch's linear layers do.
  public convenience init(
    inputs: Int = 784, hidden: (Int, Int) = (1000, 2000), classes: Int = 10,
    using generator: inout some RandomNumberGenerator
  ) {
    self.init(
      hidden1: Linear(inputs: inputs, outputs: hidden.0, using: &generator),
      hidden2: Linear(inputs: hidden.0, outputs: hidden.1, using: &generator),
      output: Linear(inputs: hidden.1, outputs: classes, using: &generator))
  }

  /// Images [batch, 784] → logits [batch, 10].
  public func callAsFunction(_ images: Tensor) -> Tensor { output(hidden2(hidden1(images).relu()).relu()) }

  public func copy() -> DigitClassifier {
    DigitClassifier(hidden1: hidden1.copy(), hidden2: hidden2.copy(), output: output.copy())
  }
}
