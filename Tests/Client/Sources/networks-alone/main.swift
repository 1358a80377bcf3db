// Tensors, a layer and a step of training; run.sh looks at which libraries this needs.
import LoRANetworks
import LoRATensors
import LoRATraining

let p = Parameter(Tensor([3, -4]))
let trainer = Trainer(SGD([NamedParameter(name: "p", parameter: p)], learningRate: 0.5))
// The gradient of p² is 2p, so a rate of ½ leads to 0 at once.
let report = try trainer.step { p.value.squared().sum() }
print(report.loss, p.original.scalars)
