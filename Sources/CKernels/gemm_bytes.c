// Products with a right factor in ggml's blocks as products of bytes: gemm_bytes.h says how.
#pragma STDC FP_CONTRACT OFF
#include "gemm_bytes.h"

#include <math.h>

#include "dispatch.h"
#include "gemm.h"
#include "shuffles.h"

enum {
  ROUNDING_GRAIN = 16384,
  FEW = 6,  // rows of the left factor
};

/// The step of the network that adds lanes as it transposes (shuffles.h).
#define FOLDED(d, a, b) SHUFFLE(LOW, 16, d, a, b) + SHUFFLE(HIGH, 16, d, a, b)

// MARK: The baseline

#if defined(__x86_64__)
#include <immintrin.h>

typedef __m128i sixteen;

/// Of 16 bytes each, in four lanes; `upper` is what widens the codes.
#define HALF_DOT(codes, upper, x)                                                                            \
  _mm_add_epi32(_mm_madd_epi16(_mm_unpacklo_epi8(codes, upper), _mm_srai_epi16(_mm_unpacklo_epi8(x, x), 8)), \
                _mm_madd_epi16(_mm_unpackhi_epi8(codes, upper), _mm_srai_epi16(_mm_unpackhi_epi8(x, x), 8)))
#define DOT_OF_SIGNED(codes, x) HALF_DOT(codes, _mm_cmpgt_epi8(_mm_setzero_si128(), codes), x)
#elif defined(__aarch64__)
#include <arm_neon.h>

typedef int8x16_t sixteen;

#if defined(__ARM_FEATURE_DOTPROD)
#define DOT_OF_SIGNED(codes, x) vdotq_s32(vdupq_n_s32(0), codes, x)
#else
#define DOT_OF_SIGNED(codes, x) \
  vpadalq_s16(vpaddlq_s16(vmull_s8(vget_low_s8(codes), vget_low_s8(x))), vmull_high_s8(codes, x))
#endif
#endif

#if defined(DOT_OF_SIGNED)
CK_INLINE void dot_baseline(const ck_two_parts *codes, const ck_two_parts *x, ck_two_sums *dots) {
  typedef __typeof__(DOT_OF_SIGNED((sixteen){0}, (sixteen){0})) lanes;
  sixteen a[4], b[4];
  memcpy(a, codes, sizeof a);
  memcpy(b, x, sizeof b);
  lanes sums[4];
  CK_UNROLLED for (int i = 0; i < 4; i++) sums[i] = DOT_OF_SIGNED(a[i], b[i]);
  memcpy(dots, sums, sizeof sums);
}
#else
CK_INLINE void dot_baseline(const ck_two_parts *codes, const ck_two_parts *x, ck_two_sums *dots) {
  *dots = 0;
  for (int i = 0; i < 2 * CK_PART; i++) (*dots)[i / 4] += (int32_t)(int8_t)(*codes)[i] * (int32_t)(int8_t)(*x)[i];
}
#endif
#define DOT(codes, x)                               \
  ({                                                \
    const ck_two_parts left = (codes), right = (x); \
    ck_two_sums dots;                               \
    dot_baseline(&left, &right, &dots);             \
    dots;                                           \
  })
#define SIGNED_DOT(codes, x) DOT(codes, x)
#define SIGNED_OFFSET 0
#define EIGHT_FLOATS(halves) CK_EIGHT_FLOATS(halves)
#define NAME(x) x##_baseline
#include "gemm_bytes_template.h"
#undef EIGHT_FLOATS
#undef NAME
#undef DOT
#undef SIGNED_DOT

#if defined(__x86_64__)

// MARK: AVX2

#pragma clang attribute push(__attribute__((target(CK_AVX2_FEATURES))), apply_to = function)
#define PAIRS_DOT(codes, x) _mm256_madd_epi16(_mm256_maddubs_epi16(codes, x), _mm256_set1_epi16(1))
#define SIGNED_PAIRS_DOT(codes, x) PAIRS_DOT(_mm256_abs_epi8(codes), _mm256_sign_epi8(x, codes))
#define TWICE(dot, codes, x)                                                     \
  ({                                                                             \
    const ck_two_parts left = (codes), right = (x);                              \
    CK_JOIN(ck_two_sums, (ck_part_sums)dot((__m256i)left.lo, (__m256i)right.lo), \
            (ck_part_sums)dot((__m256i)left.hi, (__m256i)right.hi));             \
  })
#define EIGHT_FLOATS(halves) ((ck_parts)_mm256_cvtph_ps((__m128i)(halves)))
#define DOT(codes, x) TWICE(PAIRS_DOT, codes, x)
#define SIGNED_DOT(codes, x) TWICE(SIGNED_PAIRS_DOT, codes, x)
#define NAME(x) x##_avx2
#include "gemm_bytes_template.h"
#undef NAME
#undef DOT
#undef SIGNED_DOT
#undef SIGNED_OFFSET
#pragma clang attribute pop

// MARK: AVX-512 with VNNI

#pragma clang attribute push(__attribute__((target("avx512vnni," CK_AVX512_FEATURES))), apply_to = function)
#define DOT(codes, x) ((ck_two_sums)_mm512_dpbusd_epi32(_mm512_setzero_si512(), (__m512i)(codes), (__m512i)(x)))
#define SIGNED_DOT(codes, x) DOT((codes) ^ 0x80, x)
#define SIGNED_OFFSET 128
#define NAME(x) x##_vnni
#include "gemm_bytes_template.h"
#undef NAME
#undef DOT
#undef SIGNED_DOT
#pragma clang attribute pop
#endif

static ck_byte_range kernel(void) {
#if defined(__x86_64__)
  const int set = ck_instruction_set_index();
  if (set == CK_AVX512 && __builtin_cpu_supports("avx512vnni")) return few_vnni;
  if (set >= CK_AVX2) return few_avx2;
#endif
  return few_baseline;
}

// MARK: The left factor

struct rounding {
  const float *x;
  ptrdiff_t stride, k, units;
  int8_t *codes;
  float *steps;
  int32_t *sums;
};

/// 32 numbers: the largest magnitude becomes 127, others are rounded to nearest, ties to even.
CK_INLINE void round_part(const float *x, int8_t *codes, float *step, int32_t *sum) {
  typedef float floats __attribute__((ext_vector_type(CK_PART)));
  typedef int32_t words __attribute__((ext_vector_type(CK_PART)));
  typedef int8_t bytes __attribute__((ext_vector_type(CK_PART)));
  const floats numbers = CK_LOAD_AS(floats, x);
  const words magnitudes = CK_LOAD_AS(words, x) & 0x7fffffff;
  const int32_t most = __builtin_reduce_max(magnitudes);  // NaN is above infinity
  const float largest = CK_LOAD_AS(float, &most);
  *sum = 0;
  if (largest > 0x1p-120f && isfinite(largest)) {
    const float to_integer = 12582912.0f;  // 1.5 · 2²³: adding it rounds
    const words whole = __builtin_convertvector(numbers * (127 / largest) + to_integer - to_integer, words);
    const bytes narrow = __builtin_convertvector(whole, bytes);
    memcpy(codes, &narrow, sizeof narrow);
    *sum = __builtin_reduce_add(whole);
  } else {
    memset(codes, 0, CK_PART);
  }
  *step = isfinite(largest) ? largest / 127 : NAN;  // which makes all results that
}

CK_RANGE_BODY(round_rows) {
  static const int order[CK_PARTS] = {CK_ORDER_OF_PARTS};
  const struct rounding *s = context;
  const ptrdiff_t parts = s->units * CK_PARTS;
  for (ptrdiff_t row = begin; row < end; row++) {
    int8_t *codes = s->codes + row * parts * CK_PART;
    for (ptrdiff_t part = 0; part < parts; part++, codes += CK_PART) {
      const ptrdiff_t place = row * parts + part / CK_PARTS * CK_PARTS + order[part % CK_PARTS];
      if (part * CK_PART < s->k) {
        round_part(s->x + row * s->stride + part * CK_PART, codes, &s->steps[place], &s->sums[place]);
      } else {
        memset(codes, 0, CK_PART);
        s->steps[place] = 0, s->sums[place] = 0;
      }
    }
  }
}

// MARK: The product

bool ck_multiplies_bytes(int encoding) {
#define IS_ONE(one) case one:
  switch (encoding) {
    CK_BYTE_ENCODINGS(IS_ONE) return true;
    default: return false;
  }
}

bool ck_product_is_of_bytes(const ck_product *p) {
  return p->b.bytes && p->b.encoded != NULL && p->b.transposed && !p->a.transposed &&
         ck_multiplies_bytes(p->b.encoded->encoding);
}

static void run_kernel(const void *context, ptrdiff_t begin, ptrdiff_t end) { kernel()(context, begin, end); }

void ck_multiply_bytes(const ck_product *products, ptrdiff_t count) {
  const ck_product *p = products;
  const ptrdiff_t units = (p->k + CK_UNIT - 1) / CK_UNIT, parts = p->m * units * CK_PARTS;
  const size_t bytes = (size_t)parts * (CK_PART + sizeof(float) + sizeof(int32_t));
  int8_t *codes = ck_allocate(bytes);
  float *steps = (float *)(codes + parts * CK_PART);
  int32_t *sums = (int32_t *)(steps + parts);
  const struct rounding rounding = {p->a.elements, p->a.stride, p->k, units, codes, steps, sums};
  ck_for_ranges(p->m, ck_row_grain(ROUNDING_GRAIN, p->k), round_rows, &rounding);

  const bool in_lanes = p->m > FEW && ck_has_byte_lanes();
  struct ck_byte_product each[CK_MOST_TOGETHER];
  struct ck_loop loops[CK_MOST_TOGETHER];
  for (ptrdiff_t i = 0; i < count; i++, p++) {
    const ck_encoded *matrix = p->b.encoded;
    each[i] = (struct ck_byte_product){
        .rows = p->m,
        .units = units,
        .parts = p->k % CK_UNIT == 0 ? CK_PARTS : p->k % CK_UNIT / CK_PART,
        .codes = codes,
        .steps = steps,
        .sums = sums,
        .matrix = matrix,
        .row_bytes = p->k / ck_block_count(matrix->encoding) * ck_block_bytes(matrix->encoding),
        .alpha = p->alpha,
        .beta = p->beta,
        .c = p->c,
        .ldc = p->ldc,
    };
    loops[i] = (struct ck_loop){run_kernel, &each[i], matrix->rows};
    if (in_lanes) ck_multiply_byte_lanes(&each[i]);
  }
  // What a row of the matrix costs, in multiplications of float32.
  const double row = (double)products->k * (double)(products->m + 4) / 4;
  if (!in_lanes) ck_for_loops(loops, count, (ptrdiff_t)(CK_PRODUCT_GRAIN / row) + 1);
  ck_deallocate(codes, bytes);
}
