// eˣ and ln x, for a web page that has no mathematical library: the polynomials of the library's kernels (Cephes').

/// eˣ = 2ⁿ eʳ with n the integer nearest x / ln 2, for −87 < x < 88; below, 0.
package func exponential(_ x: Float) -> Float {
  if x < -87 { return 0 }
  let n = (x * 1.442_695_04).rounded(.toNearestOrEven)
  let r = x - n * 0.693_359_375 + n * 2.121_944_4e-4
  var p: Float = 1.987_569_15e-4
  p = p * r + 1.398_199_950_7e-3
  p = p * r + 8.333_451_907_3e-3
  p = p * r + 4.166_579_589_4e-2
  p = p * r + 1.666_666_545_9e-1
  p = p * r + 5.000_000_120_1e-1
  p = p * (r * r) + r + 1
  return p * Float(bitPattern: UInt32(Int32(n) + 127) << 23)
}

/// ln(2ⁿ m) = n ln 2 + 2 artanh((m − 1)/(m + 1)) with m in [√½, √2), for a normal number above 0.
package func logarithm(_ x: Float) -> Float {
  var exponent = Int32(x.bitPattern >> 23) - 127
  var m = Float(bitPattern: x.bitPattern & 0x007f_ffff | 0x3f80_0000)
  if m > 1.414_213_56 {
    m *= 0.5
    exponent += 1
  }
  let s = (m - 1) / (m + 1)
  let z = s * s
  let series = s * (2 + z * (0.666_666_667 + z * (0.4 + z * (0.285_714_286 + z * 0.222_222_222))))
  return Float(exponent) * 0.693_147_181 + series
}
