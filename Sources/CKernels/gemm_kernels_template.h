// Products in float32, written once for registers of any length (gemm_lanes_template.h).
// No include guard: it is meant to be included again.

// MARK: Tiles

CK_INLINE void NAME(tile)(int rows, int vectors, bool half, ptrdiff_t k, const float *a, ptrdiff_t a_step,
                          const void *b, ptrdiff_t b_step, ptrdiff_t ahead, float alpha, float beta, float *c,
                          ptrdiff_t ldc) {
  VECTOR sums[TILE_ROWS][4];
  UNROLLED for (int r = 0; r < rows; r++) { UNROLLED for (int v = 0; v < vectors; v++) sums[r][v] = 0; }
  for (ptrdiff_t p = 0, at = 0; p < k; p++, at += b_step, a += a_step) {
    VECTOR row[4];
    UNROLLED for (int v = 0; v < vectors; v++) {
      row[v] = LOAD(half, b, at + v * LANES);
      PREFETCH(half, b, at + ahead + v * LANES);
    }
    UNROLLED for (int r = 0; r < rows; r++) {
      VECTOR factor = a[r];
      UNROLLED for (int v = 0; v < vectors; v++) sums[r][v] = factor * row[v] + sums[r][v];
    }
  }
  UNROLLED for (int r = 0; r < rows; r++) {
    UNROLLED for (int v = 0; v < vectors; v++) {
      float *place = c + r * ldc + v * LANES;
      VECTOR result;
      if (beta == 0) {
        result = alpha * sums[r][v];
      } else {
        memcpy(&result, place, sizeof result);
        result = alpha * sums[r][v] + beta * result;
      }
      memcpy(place, &result, sizeof result);
    }
  }
}

#define DEFINE_TILE(rows, width, vectors, half)                                                                  \
  static void NAME(tile_##rows##_##width##_##half)(ptrdiff_t k, const float *a, ptrdiff_t a_step, const void *b, \
                                                   ptrdiff_t b_step, ptrdiff_t ahead, float alpha, float beta,   \
                                                   float *c, ptrdiff_t ldc) {                                    \
    NAME(tile)(rows, vectors, half, k, a, a_step, b, b_step, ahead, alpha, beta, c, ldc);                        \
  }
#define DEFINE_TILES(rows)           \
  DEFINE_TILE(rows, CK_NARROW, 1, 0) \
  DEFINE_TILE(rows, CK_NARROW, 1, 1) \
  DEFINE_TILE(rows, CK_FULL, 2, 0)   \
  DEFINE_TILE(rows, CK_FULL, 2, 1)
#define DEFINE_WIDE_TILES(rows)    \
  DEFINE_TILE(rows, CK_WIDE, 4, 0) \
  DEFINE_TILE(rows, CK_WIDE, 4, 1)
FOR_TILE_ROWS(DEFINE_TILES)
FOR_HALF_TILE_ROWS(DEFINE_WIDE_TILES)

// MARK: Dot tiles

CK_INLINE void NAME(dot)(int rows, int columns, bool half, ptrdiff_t k, const float *x, ptrdiff_t ldx, const void *w,
                         ptrdiff_t ldw, ptrdiff_t ahead, float alpha, float beta, float *c, ptrdiff_t row_step,
                         ptrdiff_t column_step) {
  VECTOR sums[(SUMS + LANES - 1) / LANES * LANES];
  UNROLLED for (int i = 0; i < (SUMS + LANES - 1) / LANES * LANES; i++) sums[i] = 0;
  ptrdiff_t p = 0;
  for (; p + LANES <= k; p += LANES) {
    VECTOR column[8];
    UNROLLED for (int s = 0; s < columns; s++) {
      column[s] = LOAD(half, w, s * ldw + p);
      PREFETCH(half, w, s * ldw + p + ahead);
    }
    UNROLLED for (int r = 0; r < rows; r++) {
      VECTOR row = LOAD(false, x, r * ldx + p);
      UNROLLED for (int s = 0; s < columns; s++) sums[r * columns + s] = row * column[s] + sums[r * columns + s];
    }
  }
  if (p < k) {
    VECTOR column[8];
    UNROLLED for (int s = 0; s < columns; s++) column[s] = LOAD_FIRST(half, w, s * ldw + p, k - p);
    UNROLLED for (int r = 0; r < rows; r++) {
      VECTOR row = LOAD_FIRST(false, x, r * ldx + p, k - p);
      UNROLLED for (int s = 0; s < columns; s++) sums[r * columns + s] = row * column[s] + sums[r * columns + s];
    }
  }
  STORE_DOTS(rows, columns);
}

#define DEFINE_DOT(rows, columns, name, half)                                                                        \
  static void NAME(name##_##rows##_##half)(ptrdiff_t k, const float *x, ptrdiff_t ldx, const void *w, ptrdiff_t ldw, \
                                           ptrdiff_t ahead, float alpha, float beta, float *c, ptrdiff_t row_step,   \
                                           ptrdiff_t column_step) {                                                  \
    NAME(dot)(rows, columns, half, k, x, ldx, w, ldw, ahead, alpha, beta, c, row_step, column_step);                 \
  }
#define DEFINE_DOTS(rows)                     \
  DEFINE_DOT(rows, DOT_COLUMNS(rows), dot, 0) \
  DEFINE_DOT(rows, DOT_COLUMNS(rows), dot, 1) \
  DEFINE_DOT(rows, 1, dot_single, 0)          \
  DEFINE_DOT(rows, 1, dot_single, 1)
FOR_TILE_ROWS(DEFINE_DOTS)

// MARK: A single row

CK_INLINE void NAME(row)(bool half, ptrdiff_t rows, ptrdiff_t k, ptrdiff_t depth, const float *x, const void *w,
                         ptrdiff_t ldw, float alpha, float beta, float *c, ptrdiff_t step) {
  for (ptrdiff_t r = 0; r < rows; r++, c += step) {
    for (ptrdiff_t begin = 0; begin < k; begin += depth) {
      const ptrdiff_t end = ck_smaller(begin + depth, k);
      VECTOR sum = 0;
      ptrdiff_t p = begin;
      for (; p + LANES <= end; p += LANES) {
        PREFETCH_FAR(ck_element(w, half, r * ldw + p), CK_ROW_AHEAD);
        sum = LOAD(false, x, p) * LOAD(half, w, r * ldw + p) + sum;
      }
      if (p < end) sum = LOAD_FIRST(false, x, p, end - p) * LOAD_FIRST(half, w, r * ldw + p, end - p) + sum;
      STORE_DOT(begin == 0 ? beta : 1);
    }
  }
}

#define DEFINE_ROW(half)                                                                                    \
  static void NAME(row_##half)(ptrdiff_t rows, ptrdiff_t k, ptrdiff_t depth, const float *x, const void *w, \
                               ptrdiff_t ldw, float alpha, float beta, float *c, ptrdiff_t step) {          \
    NAME(row)(half, rows, k, depth, x, w, ldw, alpha, beta, c, step);                                       \
  }
DEFINE_ROW(0)
DEFINE_ROW(1)

// MARK: Packing

CK_INLINE void NAME(pack_rows)(bool half, ptrdiff_t count, ptrdiff_t k, const void *x, ptrdiff_t ldx, float *packed,
                               ptrdiff_t step) {
  for (ptrdiff_t p = 0; p < k; p++) {
    for (ptrdiff_t i = 0; i < step; i += LANES) {
      ptrdiff_t part = ck_smaller(count - i, LANES);
      VECTOR row = part == LANES ? LOAD(half, x, p * ldx + i)
                   : part > 0    ? LOAD_FIRST(half, x, p * ldx + i, part)
                                 : (VECTOR)0;
      memcpy(packed + p * step + i, &row, sizeof row);  // what lies beyond `step` the next row overwrites
    }
  }
}

CK_INLINE void NAME(pack_columns)(bool half, ptrdiff_t count, ptrdiff_t k, const void *x, ptrdiff_t ldx, float *packed,
                                  ptrdiff_t step) {
  const ptrdiff_t next = step * ldx * (half ? 2 : 4);  // the panel after this one
#define LOAD_ROW(row, p)                                      \
  ({                                                          \
    PREFETCH_FAR(ck_element(x, half, (row)*ldx + (p)), next); \
    LOAD(half, x, (row)*ldx + (p));                           \
  })
#define LOAD_FIRST_OF_ROW(row, p, depth) LOAD_FIRST(half, x, (row)*ldx + (p), depth)
  PACK_COLUMNS(count, k, packed, step, LOAD_ROW, LOAD_FIRST_OF_ROW)
#undef LOAD_ROW
#undef LOAD_FIRST_OF_ROW
}

static void NAME(transpose_matrix)(ptrdiff_t rows, ptrdiff_t columns, const float *x, ptrdiff_t ldx, float *out,
                                   ptrdiff_t ldo) {
  for (ptrdiff_t j = 0; j < columns; j += LANES) {
    for (ptrdiff_t i = 0; i < rows; i += LANES) {
      const float *from = x + i * ldx + j;
      float *to = out + j * ldo + i;
      if (rows - i >= LANES && columns - j >= LANES) {
        VECTOR block[LANES];
        UNROLLED for (int r = 0; r < LANES; r++) block[r] = LOAD(false, from, r * ldx);
        NAME(transpose)(block);
        UNROLLED for (int r = 0; r < LANES; r++) memcpy(to + r * ldo, &block[r], sizeof(VECTOR));
      } else {
        for (ptrdiff_t c = 0; c < ck_smaller(columns - j, LANES); c++)
          for (ptrdiff_t r = 0; r < ck_smaller(rows - i, LANES); r++) to[c * ldo + r] = from[r * ldx + c];
      }
    }
  }
}

#define DEFINE_PACK(name, half)                                                                              \
  static void NAME(name##_##half)(ptrdiff_t count, ptrdiff_t k, const void *x, ptrdiff_t ldx, float *packed, \
                                  ptrdiff_t step) {                                                          \
    NAME(name)(half, count, k, x, ldx, packed, step);                                                        \
  }
DEFINE_PACK(pack_rows, 0)
DEFINE_PACK(pack_rows, 1)
DEFINE_PACK(pack_columns, 0)
DEFINE_PACK(pack_columns, 1)

// MARK: The table

#define TILE_0(rows) [rows] = NAME(tile_##rows##_CK_NARROW_0),
#define TILE_1(rows) [rows] = NAME(tile_##rows##_CK_NARROW_1),
#define FULL_0(rows) [rows] = NAME(tile_##rows##_CK_FULL_0),
#define FULL_1(rows) [rows] = NAME(tile_##rows##_CK_FULL_1),
#define WIDE_0(rows) [rows] = NAME(tile_##rows##_CK_WIDE_0),
#define WIDE_1(rows) [rows] = NAME(tile_##rows##_CK_WIDE_1),
#define DOT_0(rows) [rows] = NAME(dot_##rows##_0),
#define DOT_1(rows) [rows] = NAME(dot_##rows##_1),
#define DOT_SINGLE_0(rows) [rows] = NAME(dot_single_##rows##_0),
#define DOT_SINGLE_1(rows) [rows] = NAME(dot_single_##rows##_1),
#define DOT_COLUMNS_OF(rows) [rows] = DOT_COLUMNS(rows),

static const struct ck_gemm_kernels NAME(kernels) = {
    .lanes = LANES,
    .rows = TILE_ROWS,
    .tile = {{{FOR_TILE_ROWS(TILE_0)}, {FOR_TILE_ROWS(FULL_0)}, {FOR_HALF_TILE_ROWS(WIDE_0)}},
             {{FOR_TILE_ROWS(TILE_1)}, {FOR_TILE_ROWS(FULL_1)}, {FOR_HALF_TILE_ROWS(WIDE_1)}}},
    .dot = {{FOR_TILE_ROWS(DOT_0)}, {FOR_TILE_ROWS(DOT_1)}},
    .dot_single = {{FOR_TILE_ROWS(DOT_SINGLE_0)}, {FOR_TILE_ROWS(DOT_SINGLE_1)}},
    .dot_columns = {FOR_TILE_ROWS(DOT_COLUMNS_OF)},
    .row = {NAME(row_0), NAME(row_1)},
    .pack_rows = {NAME(pack_rows_0), NAME(pack_rows_1)},
    .pack_columns = {NAME(pack_columns_0), NAME(pack_columns_1)},
    .transpose = NAME(transpose_matrix),
};
