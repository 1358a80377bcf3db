// Numbers as a reader wants them.
import Foundation

/// 1234.5 with one decimal as "1,234.5"; a true minus sign; never "−0".
func decimalText(_ value: Double, decimals: Int) -> String {
  guard value.isFinite else { return value.isNaN ? "NaN" : value < 0 ? "−∞" : "∞" }
  var digits = String(format: "%.\(decimals)f", abs(value))
  let isZero = !digits.contains { $0 != "0" && $0 != "." }
  var end = digits.firstIndex(of: ".") ?? digits.endIndex
  while let next = digits.index(end, offsetBy: -3, limitedBy: digits.startIndex), next > digits.startIndex {
    digits.insert(",", at: next)
    end = next
  }
  return (value < 0 && !isZero ? "−" : "") + digits
}

/// About four significant digits: "0.01235", "128", "1,234", "1.2×10⁻⁷".
package func shortText(_ value: Double) -> String {
  shortDecimals(value).map { trimmedText(value, decimals: $0) } ?? scientificText(value, decimals: 2)
}

/// How many decimals make about four digits; nil for what takes a power of ten.
func shortDecimals(_ value: Double) -> Int? {
  guard value.isFinite, value != 0 else { return 0 }
  let exponent = Int(log10(abs(value)).rounded(.down))
  guard (-5...8).contains(exponent) else { return nil }
  return value == value.rounded() ? 0 : max(0, 3 - exponent)
}

/// Without zeros at the end of its decimals.
private func trimmedText(_ value: Double, decimals: Int) -> String {
  let text = decimalText(value, decimals: decimals)
  return decimals > 0 ? String(text.reversed().drop { $0 == "0" }.drop { $0 == "." }.reversed()) : text
}

/// 0.00012 as "1.2×10⁻⁴"; a power of ten without its factor.
func scientificText(_ value: Double, decimals: Int) -> String {
  guard value.isFinite, value != 0 else { return decimalText(value, decimals: 0) }
  var exponent = Int(log10(abs(value)).rounded(.down))
  var factor = value / pow(10, Double(exponent))
  if abs(factor) >= 9.995 { (factor, exponent) = (factor / 10, exponent + 1) }
  let text = trimmedText(factor, decimals: decimals)
  let power = "10" + String(String(exponent).map { superscripts[$0] ?? $0 })
  return text == "1" ? power : text == "−1" ? "−" + power : "\(text)×\(power)"
}

private let superscripts: [Character: Character] = [
  "-": "⁻", "0": "⁰", "1": "¹", "2": "²", "3": "³", "4": "⁴", "5": "⁵", "6": "⁶", "7": "⁷", "8": "⁸", "9": "⁹",
]

/// About how wide a text is in a sans-serif font of `size` pixels; rather too wide than too narrow.
func textWidth(_ text: String, size: Double = 13) -> Double {
  let ems = text.unicodeScalars.reduce(0.0) { sum, scalar in
    switch scalar {
    case "i", "j", "l", ".", ",", ":", ";", "'", "|", "!", "I": sum + 0.32
    case "f", "r", "t", "(", ")", "[", "]", " ", "-": sum + 0.4
    case "m", "w", "M", "W", "%", "@": sum + 0.92
    case "A"..."Z", "−", "×", "≤", "≥": sum + 0.78
    case "⁰"..."⁹", "¹", "²", "³", "⁻": sum + 0.42
    case _ where scalar.value > 0x2E80: sum + 1.05
    default: sum + 0.63
    }
  }
  return ems * size
}
