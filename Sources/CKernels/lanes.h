// Reductions of one row, over sixteen lanes.
//
// A reduction in order cannot be vectorised, so each keeps sixteen accumulators, element i going to accumulator
// i mod 16, and folds them at the end: the order depends on the row's length alone.
#ifndef CK_LANES_H
#define CK_LANES_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "dispatch.h"

enum { CK_LANES = 16 };
typedef float ck_lanes __attribute__((ext_vector_type(16)));

#define CK_LOAD_LANES(pointer)                    \
  ({                                              \
    ck_lanes loaded;                              \
    memcpy(&loaded, (pointer), sizeof(ck_lanes)); \
    loaded;                                       \
  })

/// Folds sixteen lanes in a fixed tree.
#define CK_SUM_LANES(lanes)                            \
  ({                                                   \
    ck_lanes folded = (lanes);                         \
    folded.s01234567 += folded.s89abcdef;              \
    folded.s0123 += folded.s4567;                      \
    (folded.s0 + folded.s2) + (folded.s1 + folded.s3); \
  })

/// Σ term over i in 0 ..< count. `vector_term` uses `i` to read sixteen elements, `term` one.
#define CK_SUM_OVER(count, vector_term, term)                              \
  ({                                                                       \
    ck_lanes sums0 = 0, sums1 = 0;                                         \
    ptrdiff_t i = 0;                                                       \
    for (; i + 2 * CK_LANES <= (count); i += CK_LANES) {                   \
      sums0 += (vector_term);                                              \
      i += CK_LANES;                                                       \
      sums1 += (vector_term);                                              \
    }                                                                      \
    for (; i + CK_LANES <= (count); i += CK_LANES) sums0 += (vector_term); \
    sums0 += sums1;                                                        \
    float rest = 0;                                                        \
    for (; i < (count); i++) rest += (term);                               \
    CK_SUM_LANES(sums0) + rest;                                            \
  })

CK_INLINE float ck_row_sum(const float *x, ptrdiff_t count) { return CK_SUM_OVER(count, CK_LOAD_LANES(x + i), x[i]); }

CK_INLINE float ck_row_dot(const float *x, const float *y, ptrdiff_t count) {
  return CK_SUM_OVER(count, CK_LOAD_LANES(x + i) * CK_LOAD_LANES(y + i), x[i] * y[i]);
}

/// Σ (x − center)²
CK_INLINE float ck_row_squares(const float *x, float center, ptrdiff_t count) {
  return CK_SUM_OVER(count, (CK_LOAD_LANES(x + i) - center) * (CK_LOAD_LANES(x + i) - center),
                     (x[i] - center) * (x[i] - center));
}

/// The greater of two; NaN wins.
CK_INLINE float ck_greater(float a, float b) { return a >= b || a != a ? a : b; }

/// The largest element; NaN wins, −∞ if there are none.
CK_INLINE float ck_row_max(const float *x, ptrdiff_t count) {
  float largest = -INFINITY;
  ptrdiff_t i = 0;
  if (count >= CK_LANES) {
    ck_lanes lanes = CK_LOAD_LANES(x);
    for (i = CK_LANES; i + CK_LANES <= count; i += CK_LANES) {
      ck_lanes next = CK_LOAD_LANES(x + i);
      lanes = ((lanes >= next) | (lanes != lanes)) ? lanes : next;
    }
    for (int lane = 0; lane < CK_LANES; lane++) largest = ck_greater(largest, lanes[lane]);
  }
  for (; i < count; i++) largest = ck_greater(largest, x[i]);
  return largest;
}

#endif
