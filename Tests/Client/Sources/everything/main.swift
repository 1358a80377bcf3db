// The whole library beside modules with the names of its folders.
import CKernels
import CPNG
import Charts
import LoRAKit
import Models
import Tensors
import TestSupport
import Training

let names = [
  ModelsOfGuest.name, TrainingOfGuest.name, ChartsOfGuest.name, TensorsOfGuest.name, CKernelsOfGuest.name,
  CPNGOfGuest.name, TestSupportOfGuest.name,
]
print(names.joined(separator: " "), try Tensor.identity(3).svd().singularValues)
