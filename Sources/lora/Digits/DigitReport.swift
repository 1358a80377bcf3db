import Foundation
import LoRAKit

struct DigitReport {
  let dataset: String
  let experiment: DigitExperiment
  let result: DigitExperiment.Result
  var html: String { "" }
}
