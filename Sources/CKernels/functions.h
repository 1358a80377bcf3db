// Elementary functions in float32, free of branches so that a loop over them becomes vector code.
//
// Each reduces its argument to a small interval and takes a polynomial there, with one to two units in the last place
// of error; infinities, zeros, NaN and subnormal numbers behave as in the C library.
#ifndef CK_FUNCTIONS_H
#define CK_FUNCTIONS_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "dispatch.h"

CK_INLINE float float_of_bits(uint32_t bits) {
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

CK_INLINE uint32_t bits_of_float(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}

CK_INLINE float with_sign_of(float magnitude, float sign) {
  return float_of_bits((bits_of_float(magnitude) & 0x7fffffff) | (bits_of_float(sign) & 0x80000000));
}

CK_INLINE float square_root(float x) { return __builtin_elementwise_sqrt(x); }

/// eˣ = 2ⁿ eʳ with n the integer nearest x / ln 2 and |r| ≤ ln 2 / 2 (Cephes' polynomial).
CK_INLINE float exponential(float x) {
  const float to_integer = 12582912.0f;  // 1.5 · 2²³: adding it rounds to an integer, kept in the low bits
  float bounded = x > 89.0f ? 89.0f : x;
  bounded = bounded < -105.0f ? -105.0f : bounded;
  float shifted = bounded * 1.44269504088896341f + to_integer;
  float n = shifted - to_integer;
  float r = bounded - n * 0.693359375f;
  r = r + n * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r;
  p = p + 1.0f;
  // 2ⁿ in two factors, since n reaches from −151 to 128.
  int32_t exponent = (int32_t)bits_of_float(shifted) - (int32_t)0x4b400000;
  int32_t half = exponent >> 1;
  float scale1 = float_of_bits((uint32_t)(half + 127) << 23);
  float scale2 = float_of_bits((uint32_t)(exponent - half + 127) << 23);
  return p * scale1 * scale2;
}

/// ln(2ⁿ m) = n ln 2 + ln m with m in [√½, √2) (Cephes' polynomial).
CK_INLINE float logarithm(float x) {
  float normal = x < 1.17549435e-38f ? x * 8388608.0f : x;
  float offset = x < 1.17549435e-38f ? 23.0f : 0.0f;
  uint32_t bits = bits_of_float(normal) - 0x3f3504f3;  // so that the exponent's field counts from √½
  float n = (float)((int32_t)bits >> 23) - offset;
  float m = float_of_bits((bits & 0x007fffff) + 0x3f3504f3) - 1.0f;
  float square = m * m;
  float p = 7.0376836292e-2f;
  p = p * m - 1.1514610310e-1f;
  p = p * m + 1.1676998740e-1f;
  p = p * m - 1.2420140846e-1f;
  p = p * m + 1.4249322787e-1f;
  p = p * m - 1.6668057665e-1f;
  p = p * m + 2.0000714765e-1f;
  p = p * m - 2.4999993993e-1f;
  p = p * m + 3.3333331174e-1f;
  p = p * m * square;
  p = p - n * 2.12194440e-4f;
  p = p - 0.5f * square;
  float result = m + p + n * 0.693359375f;
  result = x == 0.0f ? -INFINITY : result;
  result = x < 0.0f ? NAN : result;
  result = x == INFINITY ? INFINITY : result;
  return x != x ? x : result;
}

/// An odd polynomial near 0, elsewhere 1 − 2 / (e²ˣ + 1).
CK_INLINE float hyperbolic_tangent(float x) {
  float magnitude = fabsf(x), square = x * x;
  float p = -5.70498872745e-3f;
  p = p * square + 2.06390887954e-2f;
  p = p * square - 5.37397155531e-2f;
  p = p * square + 1.33314422036e-1f;
  p = p * square - 3.33332819422e-1f;
  float near = p * square * x + x;
  float far = 1.0f - 2.0f / (exponential(2.0f * magnitude) + 1.0f);
  return magnitude < 0.625f ? near : with_sign_of(far, x);
}

/// An odd polynomial near 0, elsewhere 1 − exp(−q(|x|)).
CK_INLINE float error_function(float x) {
  float magnitude = fabsf(x), square = x * x;
  float p = -5.96761703e-4f;
  p = p * square + 4.99119423e-3f;
  p = p * square - 2.67681349e-2f;
  p = p * square + 1.12819925e-1f;
  p = p * square - 3.76125336e-1f;
  p = p * square + 1.28379166e-1f;
  float near = p * x + x;
  float t = magnitude > 4.0f ? 4.0f : magnitude;
  float q = -1.72853470e-5f;
  q = q * t + 3.83197126e-4f;
  q = q * t - 3.88396438e-3f;
  q = q * t + 2.42546219e-2f;
  q = q * t - 1.06777877e-1f;
  q = q * t - 6.34846687e-1f;
  q = q * t - 1.28717512e-1f;
  q = q * t - t;
  float far = with_sign_of(1.0f - exponential(q), x);
  return magnitude < 0.927734375f ? near : far;
}

/// 1 / (1 + e⁻ˣ), with an exponential that cannot overflow.
CK_INLINE float logistic(float x) {
  float e = exponential(-fabsf(x));
  return (x < 0.0f ? e : 1.0f) / (1.0f + e);
}

/// y = exp(x − shift), by whole registers and one part of a register: rows are often short, and a remainder done one by
/// one would cost more than the row. y may be x.
CK_INLINE void exponentials(const float *x, float shift, float *y, ptrdiff_t count) {
  enum { WHOLE = 16 };
  for (; count >= WHOLE; count -= WHOLE, x += WHOLE, y += WHOLE) {
    CK_INDEPENDENT
    for (int lane = 0; lane < WHOLE; lane++) y[lane] = exponential(x[lane] - shift);
  }
  CK_INDEPENDENT
  for (int lane = 0; lane < WHOLE; lane++)
    if (lane < count) y[lane] = exponential(x[lane] - shift);
}

#endif
