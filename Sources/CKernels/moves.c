// Moving elements without changing them: permuted axes, gathered and scattered rows.
#include <string.h>

#include "CKernels.h"
#include "dispatch.h"
#include "gemm_kernels.h"

enum { MAXIMUM_RANK = 8 };

// MARK: Permutation

struct permutation {
  int rank;  // at least 1, of the merged shape
  ptrdiff_t shape[MAXIMUM_RANK], strides[MAXIMUM_RANK];
  const float *x;
  float *out;
};

/// The rows begin ..< end of the output, a row being its last axis.
static CK_CLONES void permute_rows(const void *context, ptrdiff_t begin, ptrdiff_t end) {
  const struct permutation *s = context;
  const int last = s->rank - 1;
  const ptrdiff_t columns = s->shape[last], step = s->strides[last];
  for (ptrdiff_t row = begin; row < end; row++) {
    const float *x = s->x;
    for (ptrdiff_t axis = last - 1, rest = row; axis >= 0; rest /= s->shape[axis--])
      x += rest % s->shape[axis] * s->strides[axis];
    float *out = s->out + row * columns;
    if (step == 1) {
      memcpy(out, x, (size_t)columns * sizeof(float));
    } else {
      CK_INDEPENDENT
      for (ptrdiff_t i = 0; i < columns; i++) out[i] = x[i * step];
    }
  }
}

/// Where another axis than the last has stride 1, that one and the last are a matrix that is transposed, for each index
/// of the others. `shape` and `strides` list the others, then that axis, then the last.
struct transposition {
  struct permutation axes;
  ptrdiff_t out_strides[MAXIMUM_RANK];
};

/// The range counts all axes but the last.
static void transpose_rows(const void *context, ptrdiff_t begin, ptrdiff_t end) {
  const struct transposition *s = context;
  const int last = s->axes.rank - 1, along = last - 1;
  const ptrdiff_t length = s->axes.shape[along];
  const ck_transpose transpose = ck_gemm_kernels()->transpose;
  while (begin < end) {
    const ptrdiff_t first = begin % length, taken = ck_smaller(length - first, end - begin);
    const float *x = s->axes.x + first;
    float *out = s->axes.out + first * s->out_strides[along];
    for (ptrdiff_t axis = along - 1, rest = begin / length; axis >= 0; rest /= s->axes.shape[axis--]) {
      x += rest % s->axes.shape[axis] * s->axes.strides[axis];
      out += rest % s->axes.shape[axis] * s->out_strides[axis];
    }
    transpose(s->axes.shape[last], taken, x, s->axes.strides[last], out, s->out_strides[along]);
    begin += taken;
  }
}

static void permute_by_transposition(const struct permutation *p, int unit_axis, ptrdiff_t count) {
  struct transposition t = {.axes = *p};
  ptrdiff_t stride = 1;
  for (int axis = p->rank - 1; axis >= 0; axis--) {
    t.out_strides[axis] = stride;
    stride *= p->shape[axis];
  }
  for (int axis = unit_axis; axis + 2 < p->rank; axis++) {  // moves the unit axis to the last place but one
    ptrdiff_t *lists[] = {t.axes.shape, t.axes.strides, t.out_strides};
    for (int list = 0; list < 3; list++) {
      ptrdiff_t moved = lists[list][axis];
      lists[list][axis] = lists[list][axis + 1];
      lists[list][axis + 1] = moved;
    }
  }
  const ptrdiff_t columns = p->shape[p->rank - 1];
  ck_for_ranges(count / columns, ck_larger(16, ck_row_grain(CK_GRAIN, columns)), transpose_rows, &t);
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
  const int last = s.rank - 1;
  if (s.strides[last] != 1) {
    for (int axis = 0; axis < last; axis++) {
      if (s.strides[axis] == 1) return permute_by_transposition(&s, axis, count);
    }
  }
  ck_for_ranges(count / s.shape[last], ck_row_grain(CK_GRAIN, s.shape[last]), permute_rows, &s);
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
