// Moving elements without changing them: permuted axes, gathered and scattered rows.
#include <string.h>

#include "CKernels.h"
#include "dispatch.h"

enum { MAXIMUM_RANK = 8 };

// MARK: Permutation

struct permutation {
  int rank;  // at least 1, of the merged shape
  ptrdiff_t shape[MAXIMUM_RANK], strides[MAXIMUM_RANK];
  const float *x;
  float *out;
};

static void permute_range(const void *context, ptrdiff_t begin, ptrdiff_t end) {
  const struct permutation *s = context;
  int last = s->rank - 1;
  ptrdiff_t index[MAXIMUM_RANK], remaining = begin, offset = 0;
  for (int axis = last; axis >= 0; axis--) {
    index[axis] = remaining % s->shape[axis];
    remaining /= s->shape[axis];
    offset += index[axis] * s->strides[axis];
  }
  ptrdiff_t step = s->strides[last];
  while (begin < end) {
    ptrdiff_t count = ck_smaller(s->shape[last] - index[last], end - begin);
    const float *x = s->x + offset;
    float *out = s->out + begin;
    if (step == 1) {
      memcpy(out, x, (size_t)count * sizeof(float));
    } else {
      CK_INDEPENDENT
      for (ptrdiff_t i = 0; i < count; i++) out[i] = x[i * step];
    }
    begin += count;
    offset -= index[last] * step;
    index[last] = 0;
    for (int axis = last - 1; axis >= 0; axis--) {
      offset += s->strides[axis];
      if (++index[axis] < s->shape[axis]) break;
      offset -= s->shape[axis] * s->strides[axis];
      index[axis] = 0;
    }
  }
}

void ck_permute(int rank, const ptrdiff_t *shape, const float *x, const ptrdiff_t *strides, float *out) {
  struct permutation s = {.rank = 0, .x = x, .out = out};
  ptrdiff_t count = 1;
  for (int axis = 0; axis < rank; axis++) {
    count *= shape[axis];
    if (shape[axis] == 1) continue;
    int outer = s.rank - 1;
    if (outer >= 0 && s.strides[outer] == strides[axis] * shape[axis]) {
      s.shape[outer] *= shape[axis];
    } else {
      outer = s.rank++;
      s.shape[outer] = shape[axis];
    }
    s.strides[outer] = strides[axis];
  }
  if (count == 0) return;
  if (s.rank == 0) {
    s.rank = 1;
    s.shape[0] = s.strides[0] = 1;
  }
  ck_for_ranges(count, CK_GRAIN, permute_range, &s);
}

// MARK: Rows of a table

struct gather {
  const float *table;
  const int32_t *index;
  float *out;
  ptrdiff_t columns;
};

static void gather_range(const void *context, ptrdiff_t begin, ptrdiff_t end) {
  struct gather s = *(const struct gather *)context;
  for (ptrdiff_t i = begin; i < end; i++)
    memcpy(s.out + i * s.columns, s.table + s.index[i] * s.columns, (size_t)s.columns * sizeof(float));
}

void ck_gather_rows(const float *table, const int32_t *index, float *out, ptrdiff_t count, ptrdiff_t columns) {
  struct gather context = {table, index, out, columns};
  ck_for_ranges(count, ck_row_grain(CK_GRAIN, columns), gather_range, &context);
}

struct scatter {
  const float *x;
  const int32_t *index;
  float *table;
  ptrdiff_t count, columns;
};

/// Two rows may go to one place, so threads share the columns, not the rows.
static CK_CLONES void scatter_columns(const void *context, ptrdiff_t begin, ptrdiff_t end) {
  struct scatter s = *(const struct scatter *)context;
  for (ptrdiff_t i = 0; i < s.count; i++) {
    const float *x = s.x + i * s.columns;
    float *row = s.table + s.index[i] * s.columns;
    CK_INDEPENDENT
    for (ptrdiff_t j = begin; j < end; j++) row[j] += x[j];
  }
}

void ck_scatter_add_rows(const float *x, const int32_t *index, float *table, ptrdiff_t count, ptrdiff_t columns) {
  struct scatter context = {x, index, table, count, columns};
  ck_for_ranges(columns, ck_larger(64, ck_row_grain(CK_GRAIN, count)), scatter_columns, &context);
}
