import LoRACharts
import Testing

struct AxisTests {
  @Test(
    "Ticks are 1, 2 or 5 times a power of ten, by hand",
    arguments: [
      // (1.3 − 0.1)/4 = 0.3 → steps of 0.5, from 0 to 1.5.
      ([0.1, 1.3], true, 5, ["0.0", "0.5", "1.0", "1.5"]),
      // Without rounding the ticks stay inside the values: 99/7 = 14.1 → 20.
      ([1, 100], false, 8, ["20", "40", "60", "80", "100"]),
      // 20000/4 = 5000.
      ([0, 20_000], true, 5, ["0", "5,000", "10,000", "15,000", "20,000"]),
      // (0.02 − −0.01)/3 = 0.01; the minus sign is a true one, and zero has none.
      ([-0.01, 0.02], true, 4, ["−0.01", "0.00", "0.01", "0.02"]),
      // One value gets room around it: 4 ± 2.
      ([4], true, 5, ["2", "3", "4", "5", "6"]),
      ([], true, 3, ["0.0", "0.5", "1.0"]),
      // 6e7/2 = 3e7 → 5e7, rounded outwards to 1e8.
      ([0, 6e7], true, 3, ["0", "5×10⁷", "10⁸"]),
      // 3e-7/3 = 1e-7.
      ([0, 3e-7], true, 4, ["0", "10⁻⁷", "2×10⁻⁷", "3×10⁻⁷"]),
    ] as [([Double], Bool, Int, [String])])
  func linear(values: [Double], isRounded: Bool, count: Int, labels: [String]) {
    #expect(Axis(values, isRounded: isRounded, count: count).labels == labels)
  }

  @Test(
    "Logarithmic ticks are as fine as there is room",
    arguments: [
      ([1, 100], 7, ["1", "2", "5", "10", "20", "50", "100"]),
      ([0.01, 100], 8, ["0.01", "0.03", "0.1", "0.3", "1", "3", "10", "30", "100"]),
      ([1e-6, 1], 5, ["10⁻⁶", "10⁻⁵", "10⁻⁴", "10⁻³", "10⁻²", "10⁻¹", "10⁰"]),
      ([1e-12, 1], 4, ["10⁻¹²", "10⁻⁹", "10⁻⁶", "10⁻³", "10⁰"]),
      // Within one decade the ticks are linear ones; one value gets a factor of 2 around it.
      ([11, 14], 4, ["11", "12", "13", "14"]),
      ([0, -1, .nan, 5], 6, ["4", "6", "8", "10"]),
    ] as [([Double], Int, [String])])
  func logarithmic(values: [Double], count: Int, labels: [String]) {
    #expect(Axis(values, scale: .logarithmic, isRounded: false, count: count).labels == labels)
  }

  @Test("Positions run from 0 to 1, by ratio on a logarithmic axis")
  func positions() throws {
    let linear = Axis([0, 10], isRounded: true, count: 3)
    #expect(linear.position(2.5) == 0.25)
    #expect(linear.position(.nan) == nil)
    let logarithmic = Axis([1, 10_000], scale: .logarithmic, isRounded: false, count: 5)
    #expect(abs(try #require(logarithmic.position(100)) - 0.5) < 1e-12)
    #expect(logarithmic.position(0) == nil)
  }

  @Test(
    "Numbers are short and readable",
    arguments: [
      (0, "0"), (128, "128"), (1234.5, "1,234"), (0.012346, "0.01235"), (-2.5, "−2.5"), (1.2e-7, "1.2×10⁻⁷"),
      (-1e-9, "−10⁻⁹"), (12_345_678, "12,345,678"), (.nan, "NaN"), (-.infinity, "−∞"), (0.99999, "1"),
    ] as [(Double, String)])
  func numbers(value: Double, text: String) {
    #expect(shortText(value) == text)
  }
}
