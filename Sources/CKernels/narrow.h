// Single numbers between float32 and the formats of 16 bits. Narrowing rounds to nearest, ties to even; NaN stays NaN;
// subnormal numbers are kept. All of it is free of branches, so that a loop over it becomes vector code.
#ifndef CK_NARROW_H
#define CK_NARROW_H

#include "dispatch.h"
#include "functions.h"

// MARK: bfloat16: the upper half of a float32

CK_INLINE float bf16_to_f32(uint16_t x) { return float_of_bits((uint32_t)x << 16); }

CK_INLINE uint16_t f32_to_bf16(float x) {
  uint32_t bits = bits_of_float(x);
  uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  uint32_t quiet_nan = (bits >> 16) | 0x40;
  return (uint16_t)((bits & 0x7fffffff) > 0x7f800000 ? quiet_nan : rounded);
}

// MARK: float16: 1 sign, 5 exponent, 10 fraction bits

/// Shifts exponent and fraction into float32's places and corrects the exponent's offset by a product with 2¹¹², which
/// makes subnormal numbers normal.
CK_INLINE float f16_to_f32(uint16_t x) {
  uint32_t magnitude = (uint32_t)(x & 0x7fff) << 13, sign = (uint32_t)(x & 0x8000) << 16;
  uint32_t finite = bits_of_float(float_of_bits(magnitude) * 0x1p112f);
  uint32_t special = magnitude | 0x7f800000;
  special |= (magnitude & 0x007fffff) != 0 ? 0x00400000 : 0;  // a quiet NaN
  return float_of_bits((magnitude >= 0x0f800000 ? special : finite) | sign);
}

CK_INLINE uint16_t f32_to_f16(float x) {
  uint32_t bits = bits_of_float(x);
  uint32_t sign = (bits >> 16) & 0x8000, magnitude = bits & 0x7fffffff;
  // Normal: rebias the exponent and round by integer addition; a carry out of 65504 gives infinity.
  uint32_t normal = (magnitude - 0x38000000 + 0x0fff + ((magnitude >> 13) & 1)) >> 13;
  normal = normal > 0x7c00 ? 0x7c00 : normal;
  // Subnormal: adding ½ lets the float unit round to a multiple of 2⁻²⁴.
  uint32_t subnormal = bits_of_float(float_of_bits(magnitude) + 0.5f) - 0x3f000000;
  uint32_t nan = 0x7e00 | ((magnitude >> 13) & 0x03ff);
  uint32_t result = magnitude < 0x38800000 ? subnormal : normal;
  result = magnitude >= 0x47800000 ? 0x7c00 : result;
  result = magnitude > 0x7f800000 ? nan : result;
  return (uint16_t)(result | sign);
}

#endif
