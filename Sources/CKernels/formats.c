// Conversions between number formats. Narrowing rounds to nearest, ties to even; NaN stays NaN; subnormal numbers are
// kept. All of it is integer and float arithmetic without branches, which the compiler vectorises on any CPU.
#include <string.h>

#include "CKernels.h"
#include "dispatch.h"
#include "functions.h"
#include "narrow.h"

// MARK: Loops

struct conversion {
  const void *x;
  void *y;
};

#define DEFINE_CONVERSION(name, from, to, convert)                     \
  CK_RANGE_BODY(name##_range) {                                        \
    const from *x = ((const struct conversion *)context)->x;           \
    to *y = ((const struct conversion *)context)->y;                   \
    CK_INDEPENDENT                                                     \
    for (ptrdiff_t i = begin; i < end; i++) y[i] = convert(x[i]);      \
  }                                                                    \
  void ck_##name(const from *x, to *y, size_t count) {                 \
    struct conversion context = {x, y};                                \
    ck_for_ranges((ptrdiff_t)count, CK_GRAIN, name##_range, &context); \
  }

DEFINE_CONVERSION(bf16_to_f32, uint16_t, float, bf16_to_f32)
DEFINE_CONVERSION(f32_to_bf16, float, uint16_t, f32_to_bf16)
DEFINE_CONVERSION(f16_to_f32, uint16_t, float, f16_to_f32)
DEFINE_CONVERSION(f32_to_f16, float, uint16_t, f32_to_f16)
DEFINE_CONVERSION(f64_to_f32, double, float, (float))
DEFINE_CONVERSION(f32_to_f64, float, double, (double))

// MARK: Images

struct normalization {
  const uint8_t *x;
  float *y;
  float mean, deviation;
};

CK_RANGE_BODY(normalize_range) {
  struct normalization s = *(const struct normalization *)context;
  CK_INDEPENDENT
  for (ptrdiff_t i = begin; i < end; i++) s.y[i] = ((float)s.x[i] / 255.0f - s.mean) / s.deviation;
}

void ck_normalize_bytes(const uint8_t *x, float mean, float deviation, float *y, size_t count) {
  struct normalization context = {x, y, mean, deviation};
  ck_for_ranges((ptrdiff_t)count, CK_GRAIN, normalize_range, &context);
}
