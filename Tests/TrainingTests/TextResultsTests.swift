// Measures of answers, against what scikit-learn and SciPy say.
import LoRATraining
import Testing

@Suite("Measures of answers")
struct TextResultsTests {
  @Test("macro F1 is the mean over the classes that occur")
  func macroF1() {
    // f1_score([0, 0, 1, 2, 2, 2], [0, 1, 1, 2, 0, 2], average=None) = [1/2, 2/3, 4/5]; the class 3 does not occur.
    let result = ClassificationResult(labels: [0, 0, 1, 2, 2, 2], predictions: [0, 1, 1, 2, 0, 2], classCount: 4)
    let f1 = result.f1
    let expected: [Double] = [0.5, 2.0 / 3, 0.8]
    for (found, expected) in zip(f1, expected) { #expect(abs((found ?? -1) - expected) < 1e-12) }
    #expect(f1[3] == nil)
    let mean: Double = expected.reduce(0, +) / 3
    #expect(abs(result.macroF1 - mean) < 1e-12)
  }

  @Test("correlations are SciPy's, with ties")
  func correlations() {
    let result = RegressionResult(truth: [1, 2, 2, 4, 5], answers: [1.5, 1, 3, 3, 6])
    // truth − 2.8: [−1.8, −.8, −.8, 1.2, 2.2]; answers − 2.9: [−1.4, −1.9, .1, .1, 3.1]
    // Σxy = 2.52 + 1.52 − 0.08 + 0.12 + 6.82 = 10.9; Σxx = 10.8; Σyy = 1.96 + 3.61 + .01 + .01 + 9.61 = 15.2
    let pearson: Double = 10.9 / (10.8 * 15.2).squareRoot()
    #expect(abs(result.pearson - pearson) < 1e-12)
    // Ranks 1, 2.5, 2.5, 4, 5 and 2, 1, 3.5, 3.5, 5; about 3: Σxy = 2 + 1 − 0.25 + 0.5 + 4 = 7.25; Σxx = Σyy = 9.5
    let spearman: Double = 7.25 / 9.5
    #expect(abs(result.spearman - spearman) < 1e-12)
    // (0.25 + 1 + 1 + 1 + 1) / 5
    #expect(abs(result.meanSquaredError - 0.85) < 1e-12)
    #expect(!RegressionResult(truth: [1, 2], answers: [3, 3]).pearson.isFinite)
  }

  @Test("micro F1 counts all labels together, macro F1 each label the same")
  func sets() {
    var result = LabelSetResult(labelCount: 3)
    result.append(truth: [0, 1], answer: [0])
    result.append(truth: [], answer: [2])
    result.append(truth: [1], answer: [1])
    // right 1, 1, 0; wrong 0, 0, 1; missed 0, 1, 0
    let (micro, macro, exact): (Double, Double, Double) = (4.0 / 6, 5.0 / 9, 1.0 / 3)
    #expect(abs(result.microF1 - micro) < 1e-12)
    #expect(abs(result.macroF1 - macro) < 1e-12)
    #expect(abs(result.exactShare - exact) < 1e-12)
    #expect(result.errors.count == 2)
  }
}
