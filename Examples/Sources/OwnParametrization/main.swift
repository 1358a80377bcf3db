// A parametrization of one's own: what is learned cannot become negative, and the model does not know why.
//
// Sixty samples are mixtures of three substances. Their spectra are to be found, and how much of each is where. Any
// factors with the right product fit; only those without negative numbers mean something.

import Foundation
import LoRANetworks
import LoRATensors
import LoRATraining

/// A layer sees x² of the x that is stored, so that no step can make it negative.
final class NonNegative: InvertibleParametrization {
  func value(of x: Tensor) -> Tensor { x.squared() }
  func rightInverse(of value: Tensor) -> Tensor { value.relu().squareRoot() }
}

/// amounts [samples, substances] times spectra [substances, wavelengths].
final class Mixture: Module {
  let amounts, spectra: Parameter

  init(samples: Int, substances: Int, wavelengths: Int, using generator: inout some RandomNumberGenerator) {
    amounts = Parameter(.uniform([samples, substances], from: 0.2, to: 1, using: &generator))
    spectra = Parameter(.uniform([substances, wavelengths], from: 0.2, to: 1, using: &generator))
  }

  func callAsFunction() -> Tensor { amounts.value.matmul(spectra.value) }
}

func fit(_ model: Mixture, to samples: Tensor) throws -> Float {
  let trainer = Trainer(Adam(model.trainableParameters, learningRate: 0.02))
  for _ in 0..<2000 { try trainer.step { (model() - samples).squared().mean() } }
  return trainer.losses.last!.squareRoot()
}

/// One character a wavelength, as high as the spectrum is there.
func drawn(_ spectrum: [Float]) -> String {
  let (bars, highest) = (Array(" ▁▂▃▄▅▆▇█"), spectrum.max()!)
  return String(spectrum.map { bars[Int(max(0, $0 / highest * 8).rounded())] })
}

func cosine(_ a: [Float], _ b: [Float]) -> Float {
  func dot(_ a: [Float], _ b: [Float]) -> Float { zip(a, b).map(*).reduce(0, +) }
  return dot(a, b) / (dot(a, a) * dot(b, b)).squareRoot()
}

// Each substance has two peaks. Every third sample is nearly pure.
let peaks: [[Float]] = [[8, 30], [18, 42], [25, 52]]
let truth = peaks.map { peaks in
  (0..<60).map { wavelength in peaks.map { exp(-pow(Float(wavelength) - $0, 2) / 18) }.reduce(0, +) }
}
var generator = SeededGenerator(seed: 4)
let recipes = (0..<60).map { sample in
  (0..<3).map { $0 == sample % 3 ? Float(1) : sample % 9 < 3 ? 0.02 : Float.random(in: 0...1, using: &generator) }
}
let noise = Tensor.normal([60, 60], deviation: 0.01, using: &generator)
let samples =
  Tensor(shape: [60, 3], scalars: recipes.flatMap(\.self))
  .matmul(Tensor(shape: [3, 60], scalars: truth.flatMap(\.self))) + noise

for isParametrized in [false, true] {
  let model = Mixture(samples: 60, substances: 3, wavelengths: 60, using: &generator)
  if isParametrized {
    for weight in [model.amounts, model.spectra] {
      let start = weight.value
      try weight.parametrize(by: NonNegative())
      try weight.assign(start)
    }
  }
  let error = try fit(model, to: samples)
  let found = (0..<3).map { model.spectra.value.rows(at: [$0]).scalars }
  let negative = (model.amounts.value.scalars + found.flatMap(\.self)).count { $0 < 0 }
  print(
    isParametrized ? "\nNever negative:" : "Free:", "error", String(format: "%.4f,", error), negative,
    "negative numbers")

  let likeness = truth.map { spectrum in found.map { cosine($0, spectrum) }.max()! }
  for (spectrum, likeness) in zip(truth, likeness) {
    let best = found.max { cosine($0, spectrum) < cosine($1, spectrum) }!
    print("  true  \(drawn(spectrum))\n  found \(drawn(best))  cosine \(String(format: "%.3f", likeness))")
  }
  guard isParametrized else { continue }
  model.spectra.fold()
  guard negative == 0, likeness.min()! > 0.98, !model.spectra.isParametrized else {
    fatalError("the three spectra should be found, without a negative number")
  }
}
