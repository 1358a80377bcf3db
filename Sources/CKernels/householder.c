// The memory-bound halves of Householder QR and of the reduction to bidiagonal form. What is done by products of
// matrices is left to ck_multiply; here each matrix is read once where the textbook reads it twice.
//
// The trick, of Howell, Demmel, Fulton, Hammarling and Marmol ("Cache efficient bidiagonalization using BLAS 2.5
// operators", ACM Transactions on Mathematical Software 34, 2008): a reflector's vector v is a scaled column c with
// its first element changed, v = (c − β e₀)/(c₀ − β), so Aᵀv follows from Aᵀc, and Aᵀc can be summed while c is being
// computed row by row, while each row is still in the nearest cache.
//
// Sums run over chunks of rows that depend on the shape alone and are added in order.
#include <string.h>

#include "CKernels.h"
#include "dispatch.h"
#include "lanes.h"

enum { LANES = CK_LANES };
typedef ck_lanes lanes;
#define load(pointer) CK_LOAD_LANES(pointer)
#define store(pointer, value)                  \
  do {                                         \
    ck_lanes stored = (value);                 \
    memcpy((pointer), &stored, sizeof stored); \
  } while (0)
#define lane_sum(lanes) CK_SUM_LANES(lanes)

// MARK: QR of a panel of at most CK_PANEL columns

enum { PANEL = CK_PANEL, PANEL_ROWS = 512 };  // rows of a chunk

/// One sweep over the rows from the pivot: finishes column − 1, and sums what `column` needs.
struct panel_sweep {
  float *panel;    // [rows, PANEL]
  ptrdiff_t rows;  // from `first` on
  ptrdiff_t first;
  int column;           // the new pivot's column; 0 in the first sweep
  float scale;          // makes a reflector of the column before
  const float *update;  // [PANEL], 0 up to that column
  float *products;      // [chunks, PANEL]: Σ c · row
  double *squares;      // [chunks]: Σ c²
};

CK_KERNEL(sweep_panel_chunk, (void *context, int chunk), (context, chunk)) {
  const struct panel_sweep s = *(const struct panel_sweep *)context;
  ptrdiff_t begin = s.first + (ptrdiff_t)chunk * PANEL_ROWS;
  ptrdiff_t end = ck_smaller(begin + PANEL_ROWS, s.first + s.rows);
  lanes update0 = load(s.update), update1 = load(s.update + LANES);
  lanes sum0 = 0, sum1 = 0;
  double squares = 0;
  for (ptrdiff_t i = begin; i < end; i++) {
    float *row = s.panel + i * PANEL;
    if (s.column > 0) {
      float v = row[s.column - 1] * s.scale;
      store(row, load(row) - v * update0);
      store(row + LANES, load(row + LANES) - v * update1);
      row[s.column - 1] = v;
    }
    if (s.column < PANEL) {
      float c = row[s.column];
      sum0 += c * load(row);
      sum1 += c * load(row + LANES);
      squares += (double)c * c;
    }
  }
  store(s.products + chunk * PANEL, sum0);
  store(s.products + chunk * PANEL + LANES, sum1);
  s.squares[chunk] = squares;
}

/// Where all of a column is smaller than this, it counts as zero. The largest element of the matrix is at least 1e-12.
static const double negligible = 1e-30;

void ck_reflector(float first, double squares, float *beta, float *tau, float *scale) {
  double norm = __builtin_sqrt(squares);
  if (norm < negligible || squares <= (double)first * first) {
    *tau = 0;
    *scale = 0;
    *beta = norm < negligible ? 0 : first;
    return;
  }
  double signed_norm = first > 0 ? -norm : norm;
  *beta = (float)signed_norm;
  *tau = (float)((signed_norm - first) / signed_norm);
  *scale = (float)(1 / (first - signed_norm));
}

void ck_householder_panel(ptrdiff_t rows, int columns, float *panel, float *tau) {
  ptrdiff_t most_chunks = (rows + PANEL_ROWS - 1) / PANEL_ROWS;
  float *products = ck_allocate((size_t)most_chunks * PANEL * sizeof(float));
  double *squares = ck_allocate((size_t)most_chunks * sizeof(double));
  float update[PANEL] = {0};
  struct panel_sweep sweep = {panel, 0, 0, 0, 0, update, products, squares};
  for (int column = 0; column <= columns && column <= rows; column++) {
    sweep.first = column;
    sweep.rows = rows - column;
    sweep.column = column;
    int chunks = (int)((sweep.rows + PANEL_ROWS - 1) / PANEL_ROWS);
    if (column == columns || sweep.rows <= 0) {
      // Only the last column's vector is left to be scaled.
      for (ptrdiff_t i = column; i < rows && column > 0; i++) panel[i * PANEL + column - 1] *= sweep.scale;
      break;
    }
    if (chunks >= 4) {
      ck_parallel(chunks, sweep_panel_chunk, &sweep);
    } else {
      for (int chunk = 0; chunk < chunks; chunk++) sweep_panel_chunk(&sweep, chunk);
    }
    float sums[PANEL] = {0};
    double norm = 0;
    for (int chunk = 0; chunk < chunks; chunk++) {
      for (int k = 0; k < PANEL; k++) sums[k] += products[chunk * PANEL + k];
      norm += squares[chunk];
    }
    float *pivot = panel + (ptrdiff_t)column * PANEL;
    float beta;
    ck_reflector(pivot[column], norm, &beta, &tau[column], &sweep.scale);
    for (int k = 0; k < PANEL; k++) {
      update[k] = k <= column ? 0 : tau[column] * (sums[k] - beta * pivot[k]) * sweep.scale;
      pivot[k] -= update[k];
    }
    pivot[column] = beta;
  }
  ck_deallocate(products, (size_t)most_chunks * PANEL * sizeof(float));
  ck_deallocate(squares, (size_t)most_chunks * sizeof(double));
}

// MARK: Reduction to bidiagonal form

enum { ROWS_AT_ONCE = 4, CHUNKS = CK_BIDIAGONAL_CHUNKS, LEAST_CHUNK_ELEMENTS = 8192 };

static ptrdiff_t chunk_rows(ptrdiff_t rows, ptrdiff_t columns) {
  ptrdiff_t few = ck_larger((rows + CHUNKS - 1) / CHUNKS, LEAST_CHUNK_ELEMENTS / ck_larger(1, columns));
  return (few + ROWS_AT_ONCE - 1) / ROWS_AT_ONCE * ROWS_AT_ONCE;
}

static int chunk_count(ptrdiff_t rows, ptrdiff_t columns) {
  ptrdiff_t each = chunk_rows(rows, columns);
  return (int)((rows + each - 1) / each);
}

struct row_sweep {
  ck_bidiagonal_rows s;
  ptrdiff_t chunk_rows;
};

CK_INLINE void sweep_rows(const ck_bidiagonal_rows *s, ptrdiff_t begin, const int count, float *sums, float *p_sums,
                          double *squares) {
  const float *a = s->a + begin * s->lda;
  float *p = s->p + begin * s->ldp;
  lanes even[ROWS_AT_ONCE] = {0}, odd[ROWS_AT_ONCE] = {0};
  ptrdiff_t j = 0;
  for (; j + 2 * LANES <= s->columns; j += 2 * LANES) {
    lanes u0 = load(s->u + j), u1 = load(s->u + j + LANES);
    for (int r = 0; r < count; r++) {
      even[r] += load(a + r * s->lda + j) * u0;
      odd[r] += load(a + r * s->lda + j + LANES) * u1;
    }
  }
  for (; j < s->columns; j += LANES) {
    lanes u0 = load(s->u + j);
    for (int r = 0; r < count; r++) even[r] += load(a + r * s->lda + j) * u0;
  }
  float c[ROWS_AT_ONCE];
  for (int r = 0; r < count; r++) {
    p[r * s->ldp + s->v_column] = s->c[begin + r] * s->v_scale;
    lanes x_sum = 0, c_sum = 0;
    for (ptrdiff_t k = 0; k < s->active; k += LANES) {
      lanes row = load(p + r * s->ldp + k);
      x_sum += row * load(s->p_times_u + k);
      c_sum += row * load(s->p_times_next + k);
    }
    float x = s->tau * lane_sum(even[r] + odd[r] - x_sum);
    p[r * s->ldp + s->v_column + 1] = x;
    c[r] = a[r * s->lda + s->next_column] - lane_sum(c_sum) - x;
    s->c[begin + r] = c[r];
    *squares += (double)c[r] * c[r];
  }
  for (j = 0; j < s->columns; j += LANES) {
    lanes sum = load(sums + j);
    for (int r = 0; r < count; r++) sum += c[r] * load(a + r * s->lda + j);
    store(sums + j, sum);
  }
  for (ptrdiff_t k = 0; k < s->active; k += LANES) {
    lanes sum = load(p_sums + k);
    for (int r = 0; r < count; r++) sum += c[r] * load(p + r * s->ldp + k);
    store(p_sums + k, sum);
  }
}

CK_KERNEL(sweep_row_chunk, (void *context, int chunk), (context, chunk)) {
  const struct row_sweep *sweep = context;
  const ck_bidiagonal_rows *s = &sweep->s;
  ptrdiff_t begin = chunk * sweep->chunk_rows, end = ck_smaller(begin + sweep->chunk_rows, s->rows);
  float *sums = s->sums + chunk * s->sums_stride, *p_sums = s->p_sums + chunk * s->ldp;
  memset(sums, 0, (size_t)s->columns * sizeof(float));
  memset(p_sums, 0, (size_t)s->ldp * sizeof(float));
  double squares = 0;
  ptrdiff_t i = begin;
  for (; i + ROWS_AT_ONCE <= end; i += ROWS_AT_ONCE) sweep_rows(s, i, ROWS_AT_ONCE, sums, p_sums, &squares);
  for (; i < end; i++) sweep_rows(s, i, 1, sums, p_sums, &squares);
  s->squares[chunk] = squares;
}

int ck_bidiagonal_sweep_rows(const ck_bidiagonal_rows *sweep) {
  struct row_sweep context = {*sweep, chunk_rows(sweep->rows, sweep->columns)};
  int chunks = chunk_count(sweep->rows, sweep->columns);
  ck_parallel(chunks, sweep_row_chunk, &context);
  return chunks;
}

struct column_sweep {
  ck_bidiagonal_columns s;
  ptrdiff_t chunk_columns;
};

CK_KERNEL(sweep_column_chunk, (void *context, int chunk), (context, chunk)) {
  const struct column_sweep *sweep = context;
  const ck_bidiagonal_columns *s = &sweep->s;
  ptrdiff_t begin = chunk * sweep->chunk_columns, end = ck_smaller(begin + sweep->chunk_columns, s->columns);
  // Aᵀc from its parts, and from it Aᵀv.
  for (ptrdiff_t j = begin; j < end; j++) {
    float sum = s->sums[j];
    for (int part = 1; part < s->sums_count; part++) sum += s->sums[part * s->sums_stride + j];
    s->r[j] = (sum - s->beta * s->row[j]) * s->scale;
  }
  float *q_sums = s->q_sums + chunk * s->ldq;
  memset(q_sums, 0, (size_t)s->ldq * sizeof(float));
  double squares = 0;
  for (ptrdiff_t j = begin; j < end; j++) {
    float *q = s->q + j * s->ldq;
    lanes y_sum = 0, r_sum = 0;
    for (ptrdiff_t k = 0; k < s->active; k += LANES) {
      lanes row = load(q + k);
      y_sum += row * load(s->q_times_v + k);
      r_sum += row * load(s->q_times_row + k);
    }
    float y = s->tau * (s->r[j] - lane_sum(y_sum));
    float r = s->row[j] - lane_sum(r_sum) - y;
    q[s->y_column] = y;
    s->r[j] = r;
    squares += (double)r * r;
    for (ptrdiff_t k = 0; k < s->active; k += LANES) store(q_sums + k, load(q_sums + k) + r * load(q + k));
  }
  s->squares[chunk] = squares;
}

int ck_bidiagonal_sweep_columns(const ck_bidiagonal_columns *sweep) {
  ptrdiff_t work = sweep->active * 2 + sweep->sums_count;
  struct column_sweep context = {*sweep, chunk_rows(sweep->columns, work)};
  int chunks = chunk_count(sweep->columns, work);
  ck_parallel(chunks, sweep_column_chunk, &context);
  return chunks;
}
