// The beginning of the kernels of gemm.h for one instruction set: what their registers are. gemm_kernels.c includes it
// with
//   NAME(x)           x with the set's suffix
//   LANES             float32 lanes of a register
//   TILE_ROWS, SUMS   rows of a tile of two vectors; registers for sums in a dot tile
//   FOR_TILE_ROWS(X)  X(1) … X(TILE_ROWS); FOR_HALF_TILE_ROWS(X) as far as TILE_ROWS / 2
//   LOW(d, a, b)      from every block of 2d lanes the lower half of a, then of b; HIGH likewise the upper halves
//   LOAD_PART(p, n)   the first n lanes, zeros in the others
// and, where the set has instructions for them,
//   PAIR_SUM(sum, a, b)     sum + the products of the lower and of the upper bfloat16 in each lane of a and b
//   ROUND_PAIRS(low, high)  lanes of two bfloat16 each: those of `low`, then those of `high`, as they follow in memory
// and then the parts gemm_kernels_template.h, gemm_pairs_template.h and gemm_end_template.h.
// No include guard: it is meant to be included again.

typedef float NAME(lanes) __attribute__((ext_vector_type(LANES)));
typedef uint16_t NAME(halves) __attribute__((ext_vector_type(LANES)));
typedef uint32_t NAME(words) __attribute__((ext_vector_type(LANES)));
#define VECTOR NAME(lanes)
#define UNROLLED _Pragma("clang loop unroll(full)")

// bfloat16 is the upper half of a float32.
#define WIDEN(halves)                                                        \
  ({                                                                         \
    NAME(words) wide = __builtin_convertvector((halves), NAME(words)) << 16; \
    VECTOR widened;                                                          \
    memcpy(&widened, &wide, sizeof widened);                                 \
    widened;                                                                 \
  })

/// Each lane rounded to the nearest bfloat16, ties to even; NaN stays NaN.
#define ROUND(x)                                                                          \
  ({                                                                                      \
    VECTOR exact = (x);                                                                   \
    NAME(words) bits;                                                                     \
    memcpy(&bits, &exact, sizeof bits);                                                   \
    const NAME(words) number = (NAME(words))(exact == exact);                             \
    bits = (number & (bits + 0x7fff + (bits >> 16 & 1))) | (~number & (bits | 0x400000)); \
    __builtin_convertvector(bits >> 16, NAME(halves));                                    \
  })

/// Lanes from element `i` on of a matrix of float32 or bfloat16.
#define LOAD(half, pointer, i)                                           \
  ({                                                                     \
    VECTOR loaded;                                                       \
    if (half) {                                                          \
      NAME(halves) stored;                                               \
      memcpy(&stored, (const uint16_t *)(pointer) + (i), sizeof stored); \
      loaded = WIDEN(stored);                                            \
    } else {                                                             \
      memcpy(&loaded, (const float *)(pointer) + (i), sizeof loaded);    \
    }                                                                    \
    loaded;                                                              \
  })

/// The first `count` of them, and zeros.
#define LOAD_FIRST(half, pointer, i, count)                                                   \
  ({                                                                                          \
    VECTOR loaded;                                                                            \
    if (half) {                                                                               \
      NAME(halves) stored = 0;                                                                \
      memcpy(&stored, (const uint16_t *)(pointer) + (i), (size_t)(count) * sizeof(uint16_t)); \
      loaded = WIDEN(stored);                                                                 \
    } else {                                                                                  \
      loaded = LOAD_PART((const float *)(pointer) + (i), (count));                            \
    }                                                                                         \
    loaded;                                                                                   \
  })

#define PREFETCH(half, pointer, i)                                              \
  __builtin_prefetch((half) ? (const void *)((const uint16_t *)(pointer) + (i)) \
                            : (const void *)((const float *)(pointer) + (i)))

/// So many bytes further on, into the second-level cache: for what is read from memory faster than memory answers, so
/// that more is on its way than the first has room for.
#define PREFETCH_FAR(pointer, bytes) __builtin_prefetch((const char *)(pointer) + (bytes), 0, 2)

/// Lane i of the result is the sum of sums[i]'s lanes. The network of a transposition, adding as it goes.
#define FOLD(d) \
  UNROLLED for (int i = 0; i < d; i++) sums[i] = LOW(d, sums[i], sums[i + d]) + HIGH(d, sums[i], sums[i + d])

CK_INLINE void NAME(fold)(VECTOR *sums) {
#if LANES > 8
  FOLD(8);
#endif
#if LANES > 4
  FOLD(4);
#endif
  FOLD(2);
  FOLD(1);
}

#define FOLD_ONE(d) sum = LOW(d, sum, sum) + HIGH(d, sum, sum)

/// The sum of one register's lanes, in the same order.
CK_INLINE float NAME(fold_one)(VECTOR sum) {
#if LANES > 8
  FOLD_ONE(8);
#endif
#if LANES > 4
  FOLD_ONE(4);
#endif
  FOLD_ONE(2);
  FOLD_ONE(1);
  return sum[0];
}

// MARK: Transposition

#define TRANSPOSE(d)                                \
  UNROLLED for (int i = 0; i < LANES; i++) {        \
    if (i & d) continue;                            \
    VECTOR low = LOW(d, block[i], block[i + d]);    \
    block[i + d] = HIGH(d, block[i], block[i + d]); \
    block[i] = low;                                 \
  }                                                 \
  (void)block

CK_INLINE void NAME(transpose)(VECTOR *block) {
#if LANES > 8
  TRANSPOSE(8);
#endif
#if LANES > 4
  TRANSPOSE(4);
#endif
  TRANSPOSE(2);
  TRANSPOSE(1);
}

/// A `ck_pack` from [count, k] that makes lanes of float32 of what `load(row, p)` and, for the first `depth` lanes,
/// `load_first(row, p, depth)` give of a row.
#define PACK_COLUMNS(count, k, packed, step, load, load_first)                                                         \
  for (ptrdiff_t p = 0; p < (k); p += LANES) {                                                                         \
    const ptrdiff_t depth = ck_smaller((k)-p, LANES);                                                                  \
    for (ptrdiff_t i = 0; i < (step); i += LANES) {                                                                    \
      VECTOR block[LANES];                                                                                             \
      if ((count)-i >= LANES && depth == LANES) {                                                                      \
        UNROLLED for (int r = 0; r < LANES; r++) block[r] = load(i + r, p);                                            \
      } else if (depth == LANES) {                                                                                     \
        UNROLLED for (int r = 0; r < LANES; r++) block[r] = i + r < (count) ? load(i + r, p) : (VECTOR)0;              \
      } else {                                                                                                         \
        UNROLLED for (int r = 0; r < LANES; r++) block[r] = i + r < (count) ? load_first(i + r, p, depth) : (VECTOR)0; \
      }                                                                                                                \
      NAME(transpose)(block);                                                                                          \
      float *place = (packed) + p * (step) + i;                                                                        \
      if ((step)-i >= LANES || i == 0) { /* beyond `step` comes the next row, which is written next */                 \
        if (depth == LANES) {                                                                                          \
          UNROLLED for (int r = 0; r < LANES; r++) memcpy(place + r * (step), &block[r], sizeof(VECTOR));              \
        } else {                                                                                                       \
          UNROLLED for (int r = 0; r < LANES; r++) if (r < depth)                                                      \
              memcpy(place + r * (step), &block[r], sizeof(VECTOR));                                                   \
        }                                                                                                              \
      } else {                                                                                                         \
        UNROLLED for (int r = 0; r < LANES; r++) if (r < depth)                                                        \
            memcpy(place + r * (step), &block[r], (size_t)((step)-i) * sizeof(float));                                 \
      }                                                                                                                \
    }                                                                                                                  \
  }

/// c[…] = alpha · the sums of rows × columns dot products + beta · c[…]
#define STORE_DOTS(rows, columns)                                                                \
  UNROLLED for (int first = 0; first < rows * columns; first += LANES) {                         \
    NAME(fold)(sums + first);                                                                    \
    UNROLLED for (int i = 0; i < LANES; i++) {                                                   \
      if (first + i >= rows * columns) break;                                                    \
      float *place = c + (first + i) / columns * row_step + (first + i) % columns * column_step; \
      float sum = alpha * sums[first][i];                                                        \
      *place = beta == 0 ? sum : sum + beta * *place;                                            \
    }                                                                                            \
  }

/// c[0] = alpha · the sum of `sum`'s lanes + beta · c[0], folded as above.
#define STORE_DOT(factor)                               \
  {                                                     \
    const float total = alpha * NAME(fold_one)(sum);    \
    *c = (factor) == 0 ? total : total + (factor) * *c; \
  }

/// As many rows of w as registers hold sums for.
#define DOT_COLUMNS(rows) (8 * (rows) <= SUMS ? 8 : 4 * (rows) <= SUMS ? 4 : 2 * (rows) <= SUMS ? 2 : 1)

#ifndef PAIR_SUM
CK_INLINE VECTOR NAME(as_lanes)(NAME(words) bits) {
  VECTOR lanes;
  memcpy(&lanes, &bits, sizeof lanes);
  return lanes;
}

CK_INLINE VECTOR NAME(pair_sum)(VECTOR sum, NAME(words) a, NAME(words) b) {
  sum = NAME(as_lanes)(a << 16) * NAME(as_lanes)(b << 16) + sum;
  return NAME(as_lanes)(a & 0xffff0000) * NAME(as_lanes)(b & 0xffff0000) + sum;
}
#define PAIR_SUM(sum, a, b) NAME(pair_sum)(sum, a, b)

CK_INLINE NAME(words) NAME(rounded_pairs)(VECTOR low, VECTOR high) {
  const NAME(halves) both[2] = {ROUND(low), ROUND(high)};
  NAME(words) pairs;
  memcpy(&pairs, both, sizeof pairs);
  return pairs;
}
#define ROUND_PAIRS(low, high) NAME(rounded_pairs)(low, high)
#endif
