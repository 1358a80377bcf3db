// Tiles of pairs by the matrix unit of x86-64 (Intel's AMX), which multiplies 16 × 16 pairs with 16 × 16 others in 16
// cycles: sixteen times what vectors do there. Its sums are of float32; every operation rounds to nearest, and numbers
// below the normal ones count as zero.
//
// A tile of A has 16 or 32 rows, in blocks of 16 rows and 16 pairs along k, a kilobyte each and in the order in which
// they are read. A panel of B is as other tiles read it. Both are filled up with zeros.
#include "gemm.h"

#include "dispatch.h"

#if defined(__x86_64__) && defined(__linux__)
#include <cpuid.h>
#include <immintrin.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
  UNIT = 16,  // rows of a register, and lanes of each
  BLOCK = UNIT * UNIT,
  ROW_BYTES = 4 * UNIT,
};

#pragma clang attribute push(__attribute__((target("amx-tile,amx-bf16,avx512bf16," CK_AVX512_FEATURES))), \
                             apply_to = function)

static void begin(void) {
  struct {
    uint8_t palette, start, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
  } shape = {.palette = 1};
  for (int i = 0; i < 8; i++) shape.row_bytes[i] = ROW_BYTES, shape.rows[i] = UNIT;
  _tile_loadconfig(&shape);
}

/// What is in use would have to be saved whenever the thread is interrupted.
static void end(void) { _tile_release(); }

/// c = alpha · sums + beta · c, for what a register held.
static void add(const float *sums, float alpha, float beta, float *c, ptrdiff_t ldc) {
  for (int r = 0; r < UNIT; r++, sums += UNIT, c += ldc) {
    __m512 result = _mm512_mul_ps(_mm512_set1_ps(alpha), _mm512_load_ps(sums));
    if (beta != 0) result = _mm512_fmadd_ps(_mm512_set1_ps(beta), _mm512_loadu_ps(c), result);
    _mm512_storeu_ps(c, result);
  }
}

#define STORE(register, place)                 \
  do {                                         \
    if (alpha == 1 && beta == 0) {             \
      _tile_stored(register, place, 4 * ldc);  \
    } else {                                   \
      _Alignas(64) float sums[BLOCK];          \
      _tile_stored(register, sums, ROW_BYTES); \
      add(sums, alpha, beta, place, ldc);      \
    }                                          \
  } while (0)

// Registers 0 to 3 hold sums, 4 and 5 rows of A, 6 and 7 columns of B.
CK_INLINE void multiply(bool two_down, bool two_across, ptrdiff_t k, const float *a, const float *b, ptrdiff_t b_step,
                        float alpha, float beta, float *c, ptrdiff_t ldc) {
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  // Else the end would wait for memory about as long as the products take.
  for (int r = 0; r < (two_down ? 2 * UNIT : UNIT); r++) {
    __builtin_prefetch(c + r * ldc, 1);
    if (two_across) __builtin_prefetch(c + r * ldc + UNIT, 1);
  }
  for (ptrdiff_t p = 0; p < k; p += UNIT, b += UNIT * b_step) {
    _tile_loadd(4, a, ROW_BYTES);
    _tile_loadd(6, b, 4 * b_step);
    _tile_dpbf16ps(0, 4, 6);
    a += BLOCK;
    if (two_across) {
      _tile_loadd(7, b + UNIT, 4 * b_step);
      _tile_dpbf16ps(1, 4, 7);
    }
    if (two_down) {
      _tile_loadd(5, a, ROW_BYTES);
      _tile_dpbf16ps(2, 5, 6);
      a += BLOCK;
    }
    if (two_down && two_across) _tile_dpbf16ps(3, 5, 7);
  }
  STORE(0, c);
  if (two_across) STORE(1, c + UNIT);
  if (two_down) STORE(2, c + UNIT * ldc);
  if (two_down && two_across) STORE(3, c + UNIT * ldc + UNIT);
}

#define DEFINE_TILE(name, two_down, two_across)                                                                     \
  static void name(ptrdiff_t k, const float *a, ptrdiff_t a_step, const void *b, ptrdiff_t b_step, ptrdiff_t ahead, \
                   float alpha, float beta, float *c, ptrdiff_t ldc) {                                              \
    (void)a_step, (void)ahead;                                                                                      \
    multiply(two_down, two_across, k, a, b, b_step, alpha, beta, c, ldc);                                           \
  }
DEFINE_TILE(tile_16_16, false, false)
DEFINE_TILE(tile_16_32, false, true)
DEFINE_TILE(tile_32_16, true, false)
DEFINE_TILE(tile_32_32, true, true)

// MARK: Packing A

static __mmask16 first(ptrdiff_t count) {
  return (__mmask16)(count >= UNIT ? 0xffff : count <= 0 ? 0 : (1u << count) - 1);
}

/// A `ck_pack` from float32 [count, 2k].
static void pack_columns(ptrdiff_t count, ptrdiff_t k, const void *x, ptrdiff_t ldx, float *packed, ptrdiff_t step) {
  (void)step;
  for (ptrdiff_t p = 0; p < k; p += UNIT) {
    const ptrdiff_t floats = 2 * (k - p);
    const __mmask16 low = first(floats), high = first(floats - UNIT);
    for (ptrdiff_t i = 0; i < (count + UNIT - 1) / UNIT * UNIT; i++, packed += UNIT) {
      const float *row = (const float *)x + i * ldx + 2 * p;
      __m512i pairs = _mm512_setzero_si512();
      if (i < count)
        pairs = (__m512i)_mm512_cvtne2ps_pbh(_mm512_maskz_loadu_ps(high, row + UNIT), _mm512_maskz_loadu_ps(low, row));
      _mm512_store_si512((void *)packed, pairs);
    }
  }
}

/// A `ck_pack` from float32 [2k, count], two rows of which are ldx elements apart: pair after pair, then turned.
static void pack_rows(ptrdiff_t count, ptrdiff_t k, const void *x, ptrdiff_t ldx, float *packed, ptrdiff_t step) {
  (void)step;
  _Alignas(64) float lying[BLOCK + CK_MAXIMUM_LANES];
  for (ptrdiff_t p = 0; p < k; p += UNIT) {
    const ptrdiff_t depth = ck_smaller(k - p, UNIT);
    for (ptrdiff_t i = 0; i < count; i += UNIT, packed += BLOCK) {
      ck_pair_kernels()->round_rows(ck_smaller(count - i, UNIT), depth, (const float *)x + p * ldx + i, ldx, lying,
                                    UNIT);
      memset(lying + depth * UNIT, 0, (size_t)((UNIT - depth) * UNIT) * sizeof *lying);
      ck_gemm_kernels()->transpose(UNIT, UNIT, lying, UNIT, packed, UNIT);
    }
  }
}

#pragma clang attribute pop

static const struct ck_pair_tiles tiles = {
    .rows = 2 * UNIT,
    .grain = 4 * CK_PRODUCT_GRAIN,
    .unit = UNIT,
    .tile = {[CK_NARROW] = {[UNIT] = tile_16_16, [2 * UNIT] = tile_32_16},
             [CK_FULL] = {[UNIT] = tile_16_32, [2 * UNIT] = tile_32_32}},
    .pack_rows = pack_rows,
    .pack_columns = pack_columns,
    .begin = begin,
    .end = end,
};

/// Whether there is such a unit, and Linux lends it to this process.
static bool is_lent(void) {
  enum { ASK = 0x1023, TILES = 18 };  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILE_DATA
  unsigned a, b, c, d;
  return ck_multiplies_bfloat16() && __get_cpuid_count(7, 0, &a, &b, &c, &d) && d & 1u << 22 && d & 1u << 24 &&
         syscall(SYS_arch_prctl, ASK, TILES) == 0;
}

const struct ck_pair_tiles *ck_amx_tiles(void) {
  static _Atomic int lent = -1;
  int is = atomic_load_explicit(&lent, memory_order_relaxed);
  if (is < 0) {
    is = is_lent();
    atomic_store_explicit(&lent, is, memory_order_relaxed);
  }
  return is ? &tiles : NULL;
}
#else
const struct ck_pair_tiles *ck_amx_tiles(void) { return NULL; }
#endif
