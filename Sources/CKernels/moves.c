// Moving elements without changing them: permuted axes, gathered and scattered rows.
#include <string.h>

#include "CKernels.h"
#include "axes.h"
#include "dispatch.h"
#include "gemm.h"

// MARK: Permutation

struct permutation {
  struct ck_axes axes;  // of the output, with the strides of x
  const float *x;
  float *out;
};

/// The rows begin ..< end of the output, a row being its last axis.
CK_RANGE_BODY(permute_rows) {
  const struct permutation *s = context;
  const ptrdiff_t *shape = s->axes.shape, *strides = s->axes.strides[0];
  const int last = s->axes.rank - 1;
  const ptrdiff_t columns = shape[last], step = strides[last];
  for (ptrdiff_t row = begin; row < end; row++) {
    const float *x = s->x;
    for (ptrdiff_t axis = last - 1, rest = row; axis >= 0; rest /= shape[axis--])
      x += rest % shape[axis] * strides[axis];
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
/// of the others. The axes are then listed so: the others, that axis, the last; with the strides of x and of out.
/// The range counts all axes but the last.
static void transpose_rows(const void *context, ptrdiff_t begin, ptrdiff_t end) {
  const struct permutation *s = context;
  const ptrdiff_t *shape = s->axes.shape, *strides = s->axes.strides[0], *out_strides = s->axes.strides[1];
  const int last = s->axes.rank - 1, along = last - 1;
  const ck_transpose transpose = ck_gemm_kernels()->transpose;
  while (begin < end) {
    const ptrdiff_t first = begin % shape[along], taken = ck_smaller(shape[along] - first, end - begin);
    const float *x = s->x + first;
    float *out = s->out + first * out_strides[along];
    for (ptrdiff_t axis = along - 1, rest = begin / shape[along]; axis >= 0; rest /= shape[axis--]) {
      x += rest % shape[axis] * strides[axis];
      out += rest % shape[axis] * out_strides[axis];
    }
    transpose(shape[last], taken, x, strides[last], out, out_strides[along]);
    begin += taken;
  }
}

static void permute_by_transposition(struct permutation *s, int unit_axis) {
  struct ck_axes *axes = &s->axes;
  const ptrdiff_t columns = axes->shape[axes->rank - 1];
  ptrdiff_t stride = 1;
  for (int axis = axes->rank - 1; axis >= 0; axis--) {
    axes->strides[1][axis] = stride;
    stride *= axes->shape[axis];
  }
  for (int axis = unit_axis; axis + 2 < axes->rank; axis++) {  // moves the unit axis to the last place but one
    ptrdiff_t *lists[] = {axes->shape, axes->strides[0], axes->strides[1]};
    for (int list = 0; list < 3; list++) {
      ptrdiff_t moved = lists[list][axis];
      lists[list][axis] = lists[list][axis + 1];
      lists[list][axis + 1] = moved;
    }
  }
  ck_for_ranges(axes->count / columns, ck_larger(16, ck_row_grain(CK_GRAIN, columns)), transpose_rows, s);
}

void ck_permute(int rank, const ptrdiff_t *shape, const float *x, const ptrdiff_t *strides, float *out) {
  struct permutation s = {ck_merged_axes(rank, shape, 1, &strides), x, out};
  if (s.axes.count == 0) return;
  const int last = s.axes.rank - 1;
  const ptrdiff_t columns = s.axes.shape[last];
  for (int axis = 0; axis < last && s.axes.strides[0][last] != 1; axis++) {
    if (s.axes.strides[0][axis] == 1) return permute_by_transposition(&s, axis);
  }
  ck_for_ranges(s.axes.count / columns, ck_row_grain(CK_GRAIN, columns), permute_rows, &s);
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
CK_RANGE_BODY(scatter_columns) {
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
