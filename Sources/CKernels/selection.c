// Choosing elements: by a condition, and by an index along an axis.
#include <string.h>

#include "CKernels.h"
#include "dispatch.h"

struct selection {
  const float *condition, *a, *b;
  float *out;
};

CK_RANGE_BODY(select_range) {
  struct selection s = *(const struct selection *)context;
  CK_INDEPENDENT
  for (ptrdiff_t i = begin; i < end; i++) s.out[i] = s.condition[i] != 0 ? s.a[i] : s.b[i];
}

void ck_select(const float *condition, const float *a, const float *b, float *out, size_t count) {
  struct selection context = {condition, a, b, out};
  ck_for_ranges((ptrdiff_t)count, CK_GRAIN, select_range, &context);
}

struct axis_gather {
  const float *x;
  const int32_t *index;
  float *out;
  ptrdiff_t taken, axis, inner;
};

/// The range counts the outer axes.
static void gather_outer(const void *context, ptrdiff_t begin, ptrdiff_t end) {
  struct axis_gather s = *(const struct axis_gather *)context;
  for (ptrdiff_t outer = begin; outer < end; outer++) {
    const float *x = s.x + outer * s.axis * s.inner;
    for (ptrdiff_t k = outer * s.taken; k < (outer + 1) * s.taken; k++)
      for (ptrdiff_t j = 0; j < s.inner; j++) s.out[k * s.inner + j] = x[s.index[k * s.inner + j] * s.inner + j];
  }
}

void ck_gather_axis(const float *x, const int32_t *index, float *out, ptrdiff_t outer, ptrdiff_t taken, ptrdiff_t axis,
                    ptrdiff_t inner) {
  struct axis_gather context = {x, index, out, taken, axis, inner};
  ck_for_ranges(outer, ck_row_grain(CK_GRAIN, taken * inner), gather_outer, &context);
}

/// The range counts the outer axes. x: dy; out: dx.
static void scatter_outer(const void *context, ptrdiff_t begin, ptrdiff_t end) {
  struct axis_gather s = *(const struct axis_gather *)context;
  for (ptrdiff_t outer = begin; outer < end; outer++) {
    float *out = s.out + outer * s.axis * s.inner;
    memset(out, 0, (size_t)(s.axis * s.inner) * sizeof(float));
    for (ptrdiff_t k = outer * s.taken; k < (outer + 1) * s.taken; k++)
      for (ptrdiff_t j = 0; j < s.inner; j++) out[s.index[k * s.inner + j] * s.inner + j] += s.x[k * s.inner + j];
  }
}

void ck_gather_axis_gradient(const float *dy, const int32_t *index, float *dx, ptrdiff_t outer, ptrdiff_t taken,
                             ptrdiff_t axis, ptrdiff_t inner) {
  struct axis_gather context = {dy, index, dx, taken, axis, inner};
  ck_for_ranges(outer, ck_row_grain(CK_GRAIN, axis * inner), scatter_outer, &context);
}
