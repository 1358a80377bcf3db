// Reductions: over an axis, over a row, over everything.
//
// Sums run over fixed chunks, each summed in lanes, and the chunks are added in order, so the number of threads does
// not show in the result.
#include "CKernels.h"
#include "dispatch.h"
#include "lanes.h"

enum {
  CHUNK = 8192,      // elements of a contiguous axis that are summed as one
  BLOCK_ROWS = 128,  // rows that are added before they join the total
  BLOCK_COLUMNS = 512
};

// MARK: Contiguous chunks

struct chunks {
  const float *x;
  double *partial;
  ptrdiff_t count;  // elements in all
  uint32_t least;   // bits of a number without its sign, where numbers are counted
};

CK_INLINE double chunk_squares(const float *x, ptrdiff_t count) {
  typedef double doubles __attribute__((ext_vector_type(8)));
  typedef float floats __attribute__((ext_vector_type(8)));
  doubles sum0 = 0, sum1 = 0;
  ptrdiff_t i = 0;
  for (; i + 16 <= count; i += 16) {
    floats low, high;
    memcpy(&low, x + i, sizeof low);
    memcpy(&high, x + i + 8, sizeof high);
    doubles a = __builtin_convertvector(low, doubles), b = __builtin_convertvector(high, doubles);
    sum0 += a * a;
    sum1 += b * b;
  }
  sum0 += sum1;
  double sum = 0;
  for (int lane = 0; lane < 8; lane++) sum += sum0[lane];
  for (; i < count; i++) sum += (double)x[i] * x[i];
  return sum;
}

/// Each range is of chunks, not of elements.
CK_RANGE_BODY(squares_of_chunks) {
  struct chunks s = *(const struct chunks *)context;
  for (ptrdiff_t chunk = begin; chunk < end; chunk++)
    s.partial[chunk] = chunk_squares(s.x + chunk * CHUNK, ck_smaller(CHUNK, s.count - chunk * CHUNK));
}

CK_RANGE_BODY(sums_of_chunks) {
  struct chunks s = *(const struct chunks *)context;
  for (ptrdiff_t chunk = begin; chunk < end; chunk++)
    s.partial[chunk] = ck_row_sum(s.x + chunk * CHUNK, ck_smaller(CHUNK, s.count - chunk * CHUNK));
}

CK_RANGE_BODY(maxima_of_chunks) {
  struct chunks s = *(const struct chunks *)context;
  for (ptrdiff_t chunk = begin; chunk < end; chunk++)
    s.partial[chunk] = ck_row_max(s.x + chunk * CHUNK, ck_smaller(CHUNK, s.count - chunk * CHUNK));
}

/// Reduces each chunk, on threads where there are many, then the chunks in order.
static double reduce_chunks(ck_range_body body, bool maximum, struct chunks context) {
  if (context.count == 0) return maximum ? -INFINITY : 0;
  ptrdiff_t chunks = (context.count + CHUNK - 1) / CHUNK;
  double few[16];
  double *partial = chunks <= 16 ? few : ck_allocate((size_t)chunks * sizeof(double));
  context.partial = partial;
  ck_for_ranges(chunks, 4, body, &context);
  double result = partial[0];
  for (ptrdiff_t i = 1; i < chunks; i++)
    result = maximum ? ck_greater((float)result, (float)partial[i]) : result + partial[i];
  if (partial != few) ck_deallocate(partial, (size_t)chunks * sizeof(double));
  return result;
}

double ck_sum_of_squares(const float *x, size_t count) {
  return reduce_chunks(squares_of_chunks, false, (struct chunks){.x = x, .count = (ptrdiff_t)count});
}

// MARK: An axis

struct reduction {
  const float *x;
  float *y;
  ptrdiff_t axis, inner;
  ck_reduction op;
};

/// Rows of [outer, axis] that are worth sharing, one after the other.
static void reduce_rows(const void *context, ptrdiff_t begin, ptrdiff_t end) {
  const struct reduction *s = context;
  ck_range_body body = s->op == CK_SUM ? sums_of_chunks : maxima_of_chunks;
  for (ptrdiff_t row = begin; row < end; row++)
    s->y[row] =
        (float)reduce_chunks(body, s->op == CK_MAX, (struct chunks){.x = s->x + row * s->axis, .count = s->axis});
}

/// Short rows need no chunks.
CK_RANGE_BODY(reduce_short_rows) {
  struct reduction s = *(const struct reduction *)context;
  for (ptrdiff_t row = begin; row < end; row++) {
    const float *x = s.x + row * s.axis;
    s.y[row] = s.op == CK_SUM ? ck_row_sum(x, s.axis) : ck_row_max(x, s.axis);
  }
}

/// Columns of [outer, axis, inner]: the range counts outer · inner.
CK_RANGE_BODY(reduce_columns) {
  struct reduction s = *(const struct reduction *)context;
  float total[BLOCK_COLUMNS], block[BLOCK_COLUMNS];
  while (begin < end) {
    ptrdiff_t outer = begin / s.inner, first = begin % s.inner;
    ptrdiff_t columns = ck_smaller(ck_smaller(s.inner - first, end - begin), BLOCK_COLUMNS);
    const float *x = s.x + outer * s.axis * s.inner + first;
    for (ptrdiff_t j = 0; j < columns; j++) total[j] = s.op == CK_SUM ? 0 : -INFINITY;
    for (ptrdiff_t top = 0; top < s.axis; top += BLOCK_ROWS) {
      ptrdiff_t bottom = ck_smaller(top + BLOCK_ROWS, s.axis);
      if (s.op == CK_SUM) {
        for (ptrdiff_t j = 0; j < columns; j++) block[j] = 0;
        for (ptrdiff_t i = top; i < bottom; i++)
          for (ptrdiff_t j = 0; j < columns; j++) block[j] += x[i * s.inner + j];
        for (ptrdiff_t j = 0; j < columns; j++) total[j] += block[j];
      } else {
        for (ptrdiff_t i = top; i < bottom; i++)
          for (ptrdiff_t j = 0; j < columns; j++) total[j] = ck_greater(total[j], x[i * s.inner + j]);
      }
    }
    memcpy(s.y + begin, total, (size_t)columns * sizeof(float));
    begin += columns;
  }
}

void ck_reduce(ck_reduction op, const float *x, float *y, ptrdiff_t outer, ptrdiff_t axis, ptrdiff_t inner) {
  struct reduction context = {x, y, axis, inner, op};
  if (inner != 1) {
    ck_for_ranges(outer * inner, ck_larger(64, CK_GRAIN / ck_larger(1, axis)), reduce_columns, &context);
  } else if (axis <= CHUNK) {
    ck_for_ranges(outer, ck_row_grain(CK_GRAIN, axis), reduce_short_rows, &context);
  } else {
    reduce_rows(&context, 0, outer);  // threads share each row
  }
}

// MARK: Rows and everything

struct argmax {
  const float *x;
  int32_t *index;
  ptrdiff_t columns;
};

CK_RANGE_BODY(argmax_range) {
  struct argmax s = *(const struct argmax *)context;
  for (ptrdiff_t row = begin; row < end; row++) {
    const float *x = s.x + row * s.columns;
    ptrdiff_t j = 0;
    if (s.columns < CK_LANES) {
      for (ptrdiff_t i = 1; i < s.columns; i++)
        if (x[i] > x[j] || (x[i] != x[i] && x[j] == x[j])) j = i;
    } else {
      // The largest, then the first place where it stands: whole registers are passed by.
      const float largest = ck_row_max(x, s.columns);
      for (; j + CK_LANES <= s.columns; j += CK_LANES) {
        int found = 0;
        for (int lane = 0; lane < CK_LANES; lane++) found |= x[j + lane] == largest || x[j + lane] != x[j + lane];
        if (found) break;
      }
      while (j + 1 < s.columns && x[j] != largest && x[j] == x[j]) j++;
    }
    s.index[row] = (int32_t)j;
  }
}

void ck_argmax_rows(const float *x, int32_t *index, ptrdiff_t rows, ptrdiff_t columns) {
  struct argmax context = {x, index, columns};
  ck_for_ranges(rows, ck_row_grain(CK_GRAIN, columns), argmax_range, &context);
}

/// Without the sign, bits have the order of the numbers, with infinity and NaN at the end.
CK_INLINE uint32_t bits_of_size(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits & 0x7fffffff;
}

CK_RANGE_BODY(count_in_chunks) {
  struct chunks s = *(const struct chunks *)context;
  for (ptrdiff_t chunk = begin; chunk < end; chunk++) {
    const float *x = s.x + chunk * CHUNK;
    uint32_t found = 0;
    ptrdiff_t count = ck_smaller(CHUNK, s.count - chunk * CHUNK);
    for (ptrdiff_t i = 0; i < count; i++) found += bits_of_size(x[i]) >= s.least;
    s.partial[chunk] = found;
  }
}

size_t ck_count_from(const float *x, float size, size_t count) {
  const struct chunks chunks = {.x = x, .count = (ptrdiff_t)count, .least = bits_of_size(size)};
  return (size_t)reduce_chunks(count_in_chunks, false, chunks);
}

bool ck_all_finite(const float *x, size_t count) { return ck_count_from(x, INFINITY, count) == 0; }
