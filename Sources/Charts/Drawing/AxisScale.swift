// From values to pixels, and where the ticks are.
import Foundation

/// How values lie along an axis.
public enum AxisScale: Sendable {
  /// Equal steps are equal differences.
  case linear
  /// Values that are not positive are left out.
  case logarithmic
}

/// An axis: the values it spans and its ticks.
package struct Axis {
  package let scale: AxisScale
  package let domain: ClosedRange<Double>
  package let ticks: [Double]
  package let labels: [String]

  /// Spans the finite `values`; a domain that would be empty is widened.
  /// - Parameters:
  ///   - isRounded: whether the axis ends at ticks rather than at the values' ends.
  ///   - count: about how many ticks are wanted.
  package init(_ values: some Sequence<Double>, scale: AxisScale = .linear, isRounded: Bool, count: Int) {
    self.scale = scale
    let usable = values.filter { Axis.hasPlace($0, on: scale) }
    var low = usable.min() ?? (scale == .linear ? 0 : 1)
    var high = usable.max() ?? (scale == .linear ? 1 : 10)
    switch scale {
    case .linear:
      if low == high {
        let margin = low == 0 ? 1 : abs(low) / 2
        (low, high) = (low - margin, high + margin)
      }
      let step = Axis.niceStep((high - low) / Double(max(1, count - 1)))
      if isRounded { (low, high) = ((low / step).rounded(.down) * step, (high / step).rounded(.up) * step) }
      let first = (low / step - 1e-9).rounded(.up)
      let last = (high / step + 1e-9).rounded(.down)
      ticks = first <= last ? (0...Int(last - first)).map { (first + Double($0)) * step } : []
      labels = Axis.linearLabels(ticks, step: step)
    case .logarithmic:
      if low == high { (low, high) = (low / 2, high * 2) }
      if isRounded {
        let margin = pow(high / low, 0.04)
        (low, high) = (low / margin, high * margin)
      }
      ticks = Axis.logarithmicTicks(low, high, count: count)
      labels = Axis.logarithmicLabels(ticks)
    }
    domain = low...high
  }

  /// Where `value` lies, 0 at the lower end of the axis and 1 at the upper; `nil` when it has no place.
  package func position(_ value: Double) -> Double? {
    guard Axis.hasPlace(value, on: scale) else { return nil }
    switch scale {
    case .linear: return (value - domain.lowerBound) / (domain.upperBound - domain.lowerBound)
    case .logarithmic:
      return log(value / domain.lowerBound) / log(domain.upperBound / domain.lowerBound)
    }
  }

  /// Values near the ends of what a `Double` holds have no place either: arithmetic with them would overflow.
  private static func hasPlace(_ value: Double, on scale: AxisScale) -> Bool {
    isOrdinary(value) && (scale == .linear || value >= 1e-200)
  }

  static func isOrdinary(_ value: Double) -> Bool { abs(value) <= 1e200 }

  /// The smallest of 1, 2, 5 times a power of ten that is not below `rough`.
  /// Source: Heckbert, "Nice numbers for graph labels", Graphics Gems, 1990.
  static func niceStep(_ rough: Double) -> Double {
    let power = pow(10, log10(rough).rounded(.down))
    let factor = rough / power
    return (factor <= 1 + 1e-9 ? 1 : factor <= 2 + 1e-9 ? 2 : factor <= 5 + 1e-9 ? 5 : 10) * power
  }

  private static func linearLabels(_ ticks: [Double], step: Double) -> [String] {
    let largest = ticks.map(abs).max() ?? 0
    if largest >= 1e7 || (step < 1e-5 && largest < 1e-3) {
      return ticks.map { scientificText($0, decimals: 2) }
    }
    let decimals = max(0, Int((-log10(step) - 1e-9).rounded(.up)))
    return ticks.map { decimalText($0, decimals: decimals) }
  }

  /// Powers of ten times 1, 2 and 5, or 1 and 3, or 1 alone, or only every so many powers: the finest that is not much
  /// finer than `count`. Within one power the ticks are those of a linear axis.
  private static func logarithmicTicks(_ low: Double, _ high: Double, count: Int) -> [Double] {
    guard high / low >= 10 else { return Axis([low, high], isRounded: false, count: count).ticks }
    let exponents = Int(log10(low).rounded(.down))...Int(log10(high).rounded(.up))
    let range = (low * (1 - 1e-9))...(high * (1 + 1e-9))
    let sparsest = max(1, exponents.count / max(1, count))
    let patterns: [(factors: [Double], every: Int)] = [([1, 2, 5], 1), ([1, 3], 1), ([1], 1), ([1], sparsest)]
    let candidates = patterns.map { factors, every in
      exponents.filter { $0 % every == 0 }
        .flatMap { exponent in factors.map { $0 * pow(10, Double(exponent)) } }
        .filter(range.contains)
    }
    return candidates.first { $0.count <= count + 2 } ?? candidates[3]
  }

  private static func logarithmicLabels(_ ticks: [Double]) -> [String] {
    let fitsPlainly = ticks.allSatisfy { (1e-3...1e5).contains($0) }
    return ticks.map { fitsPlainly ? shortText($0) : scientificText($0, decimals: 2) }
  }
}
