// Products in bfloat16 with float32 sums, written once for registers of any length (gemm_lanes_template.h).
//
// A lane is a *pair*: two bfloat16 that follow each other along k. So everything is laid out as for float32, with half
// of k. Where a processor has an instruction for it, a pair takes the time of one float32.
// No include guard: it is meant to be included again.

CK_INLINE NAME(words) NAME(load_pairs)(const uint32_t *x) {
  NAME(words) pairs;
  memcpy(&pairs, x, sizeof pairs);
  return pairs;
}

/// The first `count`, and zeros.
CK_INLINE NAME(words) NAME(load_first_pairs)(const uint32_t *x, ptrdiff_t count) {
  NAME(words) pairs = 0;
  memcpy(&pairs, x, (size_t)count * sizeof *x);
  return pairs;
}

// MARK: Tiles

CK_INLINE void NAME(pair_tile)(int rows, int vectors, ptrdiff_t k, const uint32_t *a, const uint32_t *b,
                               ptrdiff_t b_step, float alpha, float beta, float *c, ptrdiff_t ldc) {
  VECTOR sums[TILE_ROWS][2];
  UNROLLED for (int r = 0; r < rows; r++) { UNROLLED for (int v = 0; v < vectors; v++) sums[r][v] = 0; }
  for (ptrdiff_t p = 0; p < k; p++, b += b_step, a += rows) {
    NAME(words) row[2];
    UNROLLED for (int v = 0; v < vectors; v++) row[v] = NAME(load_pairs)(b + v * LANES);
    UNROLLED for (int r = 0; r < rows; r++) {
      NAME(words) factor = a[r];
      UNROLLED for (int v = 0; v < vectors; v++) sums[r][v] = PAIR_SUM(sums[r][v], factor, row[v]);
    }
  }
  UNROLLED for (int r = 0; r < rows; r++) {
    UNROLLED for (int v = 0; v < vectors; v++) {
      float *place = c + r * ldc + v * LANES;
      VECTOR result = alpha * sums[r][v];
      if (beta != 0) result += beta * LOAD(false, place, 0);
      memcpy(place, &result, sizeof result);
    }
  }
}

#define DEFINE_PAIR_TILE(rows, width, vectors)                                                                       \
  static void NAME(pair_tile_##rows##_##width)(ptrdiff_t k, const float *a, ptrdiff_t a_step, const void *b,         \
                                               ptrdiff_t b_step, ptrdiff_t ahead, float alpha, float beta, float *c, \
                                               ptrdiff_t ldc) {                                                      \
    (void)a_step, (void)ahead;                                                                                       \
    NAME(pair_tile)(rows, vectors, k, (const uint32_t *)a, b, b_step, alpha, beta, c, ldc);                          \
  }
#define DEFINE_PAIR_TILES(rows)        \
  DEFINE_PAIR_TILE(rows, CK_NARROW, 1) \
  DEFINE_PAIR_TILE(rows, CK_FULL, 2)
FOR_TILE_ROWS(DEFINE_PAIR_TILES)

// MARK: Dot tiles

CK_INLINE void NAME(pair_dot)(int rows, int columns, ptrdiff_t k, const uint32_t *x, ptrdiff_t ldx, const uint32_t *w,
                              ptrdiff_t ldw, ptrdiff_t ahead, float alpha, float beta, float *c, ptrdiff_t row_step,
                              ptrdiff_t column_step) {
  VECTOR sums[(SUMS + LANES - 1) / LANES * LANES];
  UNROLLED for (int i = 0; i < (SUMS + LANES - 1) / LANES * LANES; i++) sums[i] = 0;
  NAME(words) column[8];
  ptrdiff_t p = 0;
  for (; p + LANES <= k; p += LANES) {
    UNROLLED for (int s = 0; s < columns; s++) {
      column[s] = NAME(load_pairs)(w + s * ldw + p);
      PREFETCH(false, w, s * ldw + p + ahead);
    }
    UNROLLED for (int r = 0; r < rows; r++) {
      NAME(words) row = NAME(load_pairs)(x + r * ldx + p);
      UNROLLED for (int s = 0; s < columns; s++) sums[r * columns + s] =
          PAIR_SUM(sums[r * columns + s], row, column[s]);
    }
  }
  if (p < k) {
    UNROLLED for (int s = 0; s < columns; s++) column[s] = NAME(load_first_pairs)(w + s * ldw + p, k - p);
    UNROLLED for (int r = 0; r < rows; r++) {
      NAME(words) row = NAME(load_first_pairs)(x + r * ldx + p, k - p);
      UNROLLED for (int s = 0; s < columns; s++) sums[r * columns + s] =
          PAIR_SUM(sums[r * columns + s], row, column[s]);
    }
  }
  STORE_DOTS(rows, columns);
}

#define DEFINE_PAIR_DOT(rows, columns, name)                                                                          \
  static void NAME(name##_##rows)(ptrdiff_t k, const float *x, ptrdiff_t ldx, const void *w, ptrdiff_t ldw,           \
                                  ptrdiff_t ahead, float alpha, float beta, float *c, ptrdiff_t row_step,             \
                                  ptrdiff_t column_step) {                                                            \
    NAME(pair_dot)(rows, columns, k, (const uint32_t *)x, ldx, w, ldw, ahead, alpha, beta, c, row_step, column_step); \
  }
#define DEFINE_PAIR_DOTS(rows)                       \
  DEFINE_PAIR_DOT(rows, DOT_COLUMNS(rows), pair_dot) \
  DEFINE_PAIR_DOT(rows, 1, pair_dot_single)
FOR_TILE_ROWS(DEFINE_PAIR_DOTS)

// MARK: A single row

static void NAME(pair_row)(ptrdiff_t rows, ptrdiff_t k, ptrdiff_t depth, const float *x, const void *w, ptrdiff_t ldw,
                           float alpha, float beta, float *c, ptrdiff_t step) {
  const uint32_t *pairs = (const uint32_t *)x, *row = w;
  for (ptrdiff_t r = 0; r < rows; r++, c += step, row += ldw) {
    for (ptrdiff_t begin = 0; begin < k; begin += depth) {
      const ptrdiff_t end = ck_smaller(begin + depth, k);
      VECTOR sum = 0;
      ptrdiff_t p = begin;
      for (; p + LANES <= end; p += LANES) {
        PREFETCH_FAR(row + p, CK_ROW_AHEAD);
        sum = PAIR_SUM(sum, NAME(load_pairs)(pairs + p), NAME(load_pairs)(row + p));
      }
      if (p < end)
        sum = PAIR_SUM(sum, NAME(load_first_pairs)(pairs + p, end - p), NAME(load_first_pairs)(row + p, end - p));
      STORE_DOT(begin == 0 ? beta : 1);
    }
  }
}

// MARK: Making pairs

/// The pairs of 2 · LANES numbers, and of the first `count`, followed by zeros.
CK_INLINE NAME(words) NAME(rounded)(const float *x) {
  const VECTOR low = LOAD(false, x, 0), high = LOAD(false, x, LANES);
  return ROUND_PAIRS(low, high);
}

CK_INLINE NAME(words) NAME(first_rounded)(const float *x, ptrdiff_t count) {
  VECTOR low = LOAD_FIRST(false, x, 0, ck_smaller(count, LANES)), high = 0;
  if (count > LANES) high = LOAD_FIRST(false, x, LANES, count - LANES);
  return ROUND_PAIRS(low, high);
}

static void NAME(round_pairs)(ptrdiff_t rows, ptrdiff_t k, const float *x, ptrdiff_t ldx, uint32_t *pairs,
                              ptrdiff_t ldp) {
  for (ptrdiff_t r = 0; r < rows; r++, x += ldx, pairs += ldp) {
    ptrdiff_t p = 0;
    for (; 2 * (p + LANES) <= k; p += LANES) {
      const NAME(words) rounded = NAME(rounded)(x + 2 * p);
      memcpy(pairs + p, &rounded, sizeof rounded);
    }
    const ptrdiff_t rest = k - 2 * p;
    if (rest == 0) continue;
    const NAME(words) rounded = NAME(first_rounded)(x + 2 * p, rest);
    memcpy(pairs + p, &rounded, (size_t)(rest + 1) / 2 * sizeof *pairs);
  }
}

/// A `ck_pack` from float32 [count, 2k].
static void NAME(round_columns)(ptrdiff_t count, ptrdiff_t k, const void *x, ptrdiff_t ldx, float *packed,
                                ptrdiff_t step) {
  const ptrdiff_t next = step * ldx * 4;  // the panel after this one
#define ROUND_ROW(row, p)                                          \
  ({                                                               \
    const float *numbers = (const float *)x + (row)*ldx + 2 * (p); \
    PREFETCH_FAR(numbers, next);                                   \
    PREFETCH_FAR(numbers + LANES, next);                           \
    (VECTOR) NAME(rounded)(numbers);                               \
  })
#define ROUND_FIRST_OF_ROW(row, p, depth) \
  ((VECTOR)NAME(first_rounded)((const float *)x + (row)*ldx + 2 * (p), 2 * (depth)))
  PACK_COLUMNS(count, k, packed, step, ROUND_ROW, ROUND_FIRST_OF_ROW)
#undef ROUND_ROW
#undef ROUND_FIRST_OF_ROW
}

/// A `ck_pack` from float32 [2k, count], two rows of which are ldx elements apart.
static void NAME(round_rows)(ptrdiff_t count, ptrdiff_t k, const void *x, ptrdiff_t ldx, float *packed,
                             ptrdiff_t step) {
  const float *even = x, *odd = even + ldx / 2;
  for (ptrdiff_t p = 0; p < k; p++, even += ldx, odd += ldx) {
    for (ptrdiff_t i = 0; i < step; i += LANES) {
      const ptrdiff_t part = ck_smaller(count - i, LANES);
      VECTOR first = 0, second = 0;
      if (part == LANES) {
        first = LOAD(false, even, i), second = LOAD(false, odd, i);
      } else if (part > 0) {
        first = LOAD_FIRST(false, even, i, part), second = LOAD_FIRST(false, odd, i, part);
      }
      const NAME(words) rounded = ROUND_PAIRS(first, second);
      NAME(halves) halves[2];
      memcpy(halves, &rounded, sizeof rounded);
      const NAME(words) row =
          __builtin_convertvector(halves[0], NAME(words)) | __builtin_convertvector(halves[1], NAME(words)) << 16;
      memcpy(packed + p * step + i, &row, sizeof row);  // what lies beyond `step` the next row overwrites
    }
  }
}

/// A `ck_pack` from a [2k, count] matrix of bfloat16, two rows of which are ldx elements apart.
static void NAME(pack_pair_rows)(ptrdiff_t count, ptrdiff_t k, const void *x, ptrdiff_t ldx, float *packed,
                                 ptrdiff_t step) {
  const uint16_t *even = x, *odd = even + ldx / 2;
  for (ptrdiff_t p = 0; p < k; p++, even += ldx, odd += ldx) {
    for (ptrdiff_t i = 0; i < step; i += LANES) {
      const ptrdiff_t part = ck_smaller(count - i, LANES);
      NAME(halves) first = 0, second = 0;
      if (part == LANES) {
        memcpy(&first, even + i, sizeof first);
        memcpy(&second, odd + i, sizeof second);
      } else if (part > 0) {
        memcpy(&first, even + i, (size_t)part * sizeof(uint16_t));
        memcpy(&second, odd + i, (size_t)part * sizeof(uint16_t));
      }
      const NAME(words) row = __builtin_convertvector(first, NAME(words)) | __builtin_convertvector(second, NAME(words))
                                                                                << 16;
      memcpy(packed + p * step + i, &row, sizeof row);  // what lies beyond `step` the next row overwrites
    }
  }
}

#define PAIR_NARROW(rows) [rows] = NAME(pair_tile_##rows##_CK_NARROW),
#define PAIR_FULL(rows) [rows] = NAME(pair_tile_##rows##_CK_FULL),
#define PAIR_DOT(rows) [rows] = NAME(pair_dot_##rows),
#define PAIR_DOT_SINGLE(rows) [rows] = NAME(pair_dot_single_##rows),

static const struct ck_pair_tiles NAME(pair_tiles) = {
    .rows = TILE_ROWS,
    .grain = CK_PRODUCT_GRAIN,
    .unit = 1,
    .tile = {{FOR_TILE_ROWS(PAIR_NARROW)}, {FOR_TILE_ROWS(PAIR_FULL)}},
    .pack_rows = NAME(round_rows),
    .pack_columns = NAME(round_columns),
};

static const struct ck_pair_kernels NAME(pair_kernels) = {
    .dot = {FOR_TILE_ROWS(PAIR_DOT)},
    .dot_single = {FOR_TILE_ROWS(PAIR_DOT_SINGLE)},
    .row = NAME(pair_row),
    .pack_rows = NAME(pack_pair_rows),
    .round_rows = NAME(round_rows),
    .round_columns = NAME(round_columns),
    .round = NAME(round_pairs),
};
