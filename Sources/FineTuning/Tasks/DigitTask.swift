import LoRADatasets
import LoRAModels
import LoRANetworks
import LoRATensors
import LoRATraining

/// Reading digits: the mean cross entropy of their labels.
public struct DigitTask: LearningTask {
  /// What learns.
  public let classifier: DigitClassifier
  /// What it learns from.
  public let images: LabelledImages

  /// A classifier, and the images that it learns from.
  public init(_ classifier: DigitClassifier, images: LabelledImages) {
    (self.classifier, self.images) = (classifier, images)
  }

  public var model: any Module { classifier }
  public var count: Int { images.count }

  public func loss(of examples: [Int]) -> Tensor {
    let batch = images.batch(examples)
    return classifier(batch.inputs).crossEntropy(batch.labels)
  }
}
