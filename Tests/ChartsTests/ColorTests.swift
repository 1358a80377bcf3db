import Foundation
import LoRACharts
import Testing

/// Linear light, red, green, blue.
private typealias Light = SIMD3<Double>

private func light(hexadecimal: Substring) -> Light {
  let value = Int(hexadecimal, radix: 16)!
  func channel(_ shift: Int) -> Double {
    let x = Double(value >> shift & 255) / 255
    return x <= 0.04045 ? x / 12.92 : pow((x + 0.055) / 1.055, 2.4)
  }
  return Light(channel(16), channel(8), channel(0))
}

private func luminance(_ color: Light) -> Double { (color * Light(0.2126, 0.7152, 0.0722)).sum() }

/// WCAG 2.1, contrast ratio.
private func contrast(_ a: Light, _ b: Light) -> Double {
  let (low, high) = (min(luminance(a), luminance(b)), max(luminance(a), luminance(b)))
  return (high + 0.05) / (low + 0.05)
}

private func times(_ matrix: [Light], _ color: Light) -> Light {
  Light((matrix[0] * color).sum(), (matrix[1] * color).sum(), (matrix[2] * color).sum())
}

/// CIE L*a*b*, D65.
private func lab(_ color: Light) -> Light {
  let xyz = times(
    [
      Light(0.4124564, 0.3575761, 0.1804375), Light(0.2126729, 0.7151522, 0.0721750),
      Light(0.0193339, 0.1191920, 0.9503041),
    ], color.clamped(lowerBound: Light(repeating: 0), upperBound: Light(repeating: 1)))
  func f(_ t: Double) -> Double { t > 0.008856 ? cbrt(t) : 7.787 * t + 16 / 116 }
  let (x, y, z) = (f(xyz.x / 0.95047), f(xyz.y), f(xyz.z / 1.08883))
  return Light(116 * y - 16, 500 * (x - y), 200 * (y - z))
}

/// Machado, Oliveira and Fernandes, "A physiologically-based model for simulation of color vision deficiency", 2009,
/// at full severity.
private let visions: [(name: String, matrix: [Light])] = [
  ("normal", [Light(1, 0, 0), Light(0, 1, 0), Light(0, 0, 1)]),
  (
    "protanopia",
    [
      Light(0.152286, 1.052583, -0.204868), Light(0.114503, 0.786281, 0.099216), Light(-0.003882, -0.048116, 1.051998),
    ]
  ),
  (
    "deuteranopia",
    [
      Light(0.367322, 0.860646, -0.227968), Light(0.280085, 0.672501, 0.047413), Light(-0.011820, 0.042940, 0.968881),
    ]
  ),
  (
    "tritanopia",
    [
      Light(1.255528, -0.076749, -0.178779), Light(-0.078411, 0.930809, 0.147602), Light(0.004733, 0.691367, 0.303900),
    ]
  ),
]

struct ColorTests {
  @Test(
    "Series stand out from the surface and from each other, for colour-blind readers too", arguments: ["light", "dark"])
  func series(mode: String) throws {
    let svg = LineChart(title: "", series: []).svg
    let sheets = svg.components(separatedBy: "prefers-color-scheme:dark")
    let sheet = try #require(mode == "light" ? sheets.first : sheets.last)
    func color(_ name: String) throws -> Light {
      let digits = try #require(
        sheet.firstRange(of: "--\(name):#").map { sheet[$0.upperBound...].prefix { $0.isHexDigit } })
      return light(hexadecimal: digits.count == 3 ? Substring(digits.flatMap { [$0, $0] }) : digits)
    }
    let surface = try color("surface")
    let series = try (0..<8).map { try color("s\($0)") }
    for name in ["ink", "muted", "good", "bad"] { #expect(try contrast(color(name), surface) >= 4.5, "\(name)") }
    for (index, one) in series.enumerated() {
      #expect(contrast(one, surface) >= 3, "series \(index)")
      for other in series[(index + 1)...] {
        for vision in visions {
          let difference = lab(times(vision.matrix, one)) - lab(times(vision.matrix, other))
          #expect((difference * difference).sum().squareRoot() >= 19, "series \(index), \(vision.name)")
        }
      }
    }
  }
}
