// How each kind of value is written: for people, in a terminal, as JSON.

import Foundation
import LoRAFiles

extension Report {
  /// A value with what it is. How it is written follows from that, in one place for every view.
  public enum Value: Sendable, Equatable, ExpressibleByStringInterpolation {
    /// As it is.
    case text(String)
    /// 2807010 as "2,807,010".
    case count(Int)
    /// About four significant digits: "0.01235", "1.2×10⁻⁷".
    case number(Double)
    /// With so many decimals.
    case decimal(Double, Int)
    /// 0.1234 as "12.34%".
    case share(Double)
    /// 27136 as "27.1 kB".
    case bytes(Int)
    /// "0.03 s", "12:05".
    case seconds(Double)
    /// Sizes of axes: "[64, 32]".
    case shape([Int])
    /// With commas between them.
    case list([Value])
    /// "16 → 3"
    indirect case change(Value, Value)
    /// "–"; null in JSON.
    case unknown

    /// Text.
    public init(stringLiteral text: String) { self = .text(text) }

    /// Text, or that it is unknown.
    public static func text(_ text: String?) -> Value { text.map { .text($0) } ?? .unknown }
    /// A number by the fewest digits that tell it: 0.0018, not 0.00179999…
    public static func number(float number: Float) -> Value { .number(Double("\(number)") ?? Double(number)) }
    /// Texts with commas between them.
    public static func texts(_ texts: [String]) -> Value { .list(texts.map { .text($0) }) }

    /// As people read it.
    public var text: String {
      switch self {
      case .text(let text): text
      case .count(let count): decimalText(Double(count), decimals: 0)
      case .number(let number): shortText(number)
      case .decimal(let number, let decimals): decimalText(number, decimals: decimals)
      case .share(let share): percentText(share)
      case .bytes(let bytes): byteText(bytes)
      case .seconds(let seconds): durationText(seconds)
      case .shape(let shape): "\(shape)"
      case .list(let values): values.map(\.text).joined(separator: ", ")
      case .change(let before, let after): "\(before.text) → \(after.text)"
      case .unknown: "–"
      }
    }

    /// As a terminal shows it, in characters that can be typed: "-1.2e-7".
    var plainText: String {
      guard !isText else { return text }
      let typed: [Character: String] = ["−": "-", "⁻": "-"]
      return text.replacing("×10", with: "e").replacing(/^10(?=[⁻⁰¹²³⁴-⁹])/, with: "1e")
        .map { typed[$0] ?? superscriptDigits.firstIndex(of: $0).map { String($0) } ?? String($0) }.joined()
    }

    /// As programs read it: numbers as they are.
    public var json: JSON {
      switch self {
      case .text(let text): .string(text)
      case .count(let count), .bytes(let count): .integer(count)
      // The standard has no NaN and no infinity.
      case .number(let number), .decimal(let number, _), .share(let number), .seconds(let number):
        number.isFinite ? .number(number) : .null
      case .shape(let shape): .array(shape.map(JSON.integer))
      case .list(let values): .array(values.map(\.json))
      case .change(let before, let after): .array([before.json, after.json])
      case .unknown: .null
      }
    }

    /// In a column of numbers, where the zeros at the end of each stay.
    var inColumn: Value {
      if case .number(let number) = self, let decimals = shortDecimals(number) {
        .decimal(number, decimals)
      } else {
        self
      }
    }

    var isText: Bool {
      switch self {
      case .text: true
      case .list(let values): values.contains(where: \.isText)
      default: false
      }
    }
  }

  /// A value with its name for people, its key for programs, or both.
  public struct Field: Sendable {
    /// `nil`: for programs only.
    public let label: String?
    /// `nil`: for people only.
    public let key: String?
    /// What it is.
    public let value: Value

    /// A value with its name, its key, or both.
    public init(_ label: String? = nil, key: String? = nil, _ value: Value) {
      (self.label, self.key, self.value) = (label, key, value)
    }
  }
}

private let superscriptDigits: [Character] = ["⁰", "¹", "²", "³", "⁴", "⁵", "⁶", "⁷", "⁸", "⁹"]

// MARK: - Numbers as text

/// 0.1234 as "12.34%".
package func percentText(_ share: Double) -> String {
  share.isFinite ? decimalText(100 * share, decimals: share != 0 && abs(share) < 0.001 ? 4 : 2) + "%" : "–"
}

/// 27136 as "27.1 kB".
func byteText(_ bytes: Int) -> String {
  let units = ["bytes", "kB", "MB", "GB", "TB"]
  var (value, unit) = (Double(bytes), 0)
  while value >= 999.5, unit < units.count - 1 { (value, unit) = (value / 1000, unit + 1) }
  return "\(decimalText(value, decimals: unit == 0 ? 0 : value < 10 ? 2 : 1)) \(units[unit])"
}

/// "0.03 s", "42.1 s", "12:05".
func durationText(_ seconds: Double) -> String {
  seconds < 120
    ? decimalText(seconds, decimals: seconds < 10 ? 2 : 1) + " s" : ProgressLine.format(seconds: seconds)
}
