// The kernels of matrix products for each instruction set, and the choice among them.
#include <string.h>

#include "dispatch.h"
#include "gemm.h"
#include "shuffles.h"

#define ROWS_1_TO_3(X) X(1) X(2) X(3)
#define ROWS_1_TO_6(X) ROWS_1_TO_3(X) X(4) X(5) X(6)
#define ROWS_1_TO_7(X) ROWS_1_TO_6(X) X(7)
#define ROWS_1_TO_12(X) ROWS_1_TO_7(X) X(8) X(9) X(10) X(11) X(12)
#define ROWS_1_TO_14(X) ROWS_1_TO_12(X) X(13) X(14)

/// Where the instruction set cannot load under a mask.
#define LOAD_PART_BY_COPY(pointer, count)                         \
  ({                                                              \
    VECTOR partial = 0;                                           \
    memcpy(&partial, (pointer), (size_t)(count) * sizeof(float)); \
    partial;                                                      \
  })

// MARK: The baseline: SSE2 on x86-64, NEON on arm64 with its 32 registers.

#define LANES 4
#define LOW(d, a, b) SHUFFLE(LOW, 4, d, a, b)
#define HIGH(d, a, b) SHUFFLE(HIGH, 4, d, a, b)
#define LOAD_PART(pointer, count) LOAD_PART_BY_COPY(pointer, count)
#define NAME(x) x##_baseline
#if defined(__aarch64__)
#define TILE_ROWS 12
#define SUMS 24
#define FOR_TILE_ROWS(X) ROWS_1_TO_12(X)
#define FOR_HALF_TILE_ROWS(X) ROWS_1_TO_6(X)
#else
#define TILE_ROWS 6
#define SUMS 12
#define FOR_TILE_ROWS(X) ROWS_1_TO_6(X)
#define FOR_HALF_TILE_ROWS(X) ROWS_1_TO_3(X)
#endif
#include "gemm_lanes_template.h"
#include "gemm_kernels_template.h"
#include "gemm_pairs_template.h"
#include "gemm_end_template.h"

#if defined(__x86_64__)
#include <immintrin.h>

// MARK: AVX2 with FMA: 16 registers of 8 lanes

#pragma clang attribute push(__attribute__((target(CK_AVX2_FEATURES))), apply_to = function)
#define LANES 8
#define LOW(d, a, b) SHUFFLE(LOW, 8, d, a, b)
#define HIGH(d, a, b) SHUFFLE(HIGH, 8, d, a, b)
#define LOAD_PART(pointer, count) \
  ((VECTOR)_mm256_maskload_ps(    \
      (pointer), _mm256_cmpgt_epi32(_mm256_set1_epi32((int)(count)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7))))
#define NAME(x) x##_avx2
#define TILE_ROWS 6
#define SUMS 12
#define FOR_TILE_ROWS(X) ROWS_1_TO_6(X)
#define FOR_HALF_TILE_ROWS(X) ROWS_1_TO_3(X)
#include "gemm_lanes_template.h"
#include "gemm_kernels_template.h"
#include "gemm_pairs_template.h"
#include "gemm_end_template.h"
#pragma clang attribute pop

// MARK: AVX-512: 32 registers of 16 lanes

#pragma clang attribute push(__attribute__((target(CK_AVX512_FEATURES))), apply_to = function)
#define LANES 16
#define LOW(d, a, b) SHUFFLE(LOW, 16, d, a, b)
#define HIGH(d, a, b) SHUFFLE(HIGH, 16, d, a, b)
#define LOAD_PART(pointer, count) ((VECTOR)_mm512_maskz_loadu_ps((__mmask16)((1u << (unsigned)(count)) - 1), (pointer)))
#define NAME(x) x##_avx512
#define TILE_ROWS 14
#define SUMS 28
#define FOR_TILE_ROWS(X) ROWS_1_TO_14(X)
#define FOR_HALF_TILE_ROWS(X) ROWS_1_TO_7(X)
#include "gemm_lanes_template.h"
#include "gemm_kernels_template.h"
#include "gemm_pairs_template.h"
#include "gemm_end_template.h"
#pragma clang attribute pop

// MARK: AVX-512 with bfloat16, for pairs alone

#pragma clang attribute push(__attribute__((target("avx512bf16," CK_AVX512_FEATURES))), apply_to = function)
#define LANES 16
#define LOW(d, a, b) SHUFFLE(LOW, 16, d, a, b)
#define HIGH(d, a, b) SHUFFLE(HIGH, 16, d, a, b)
#define LOAD_PART(pointer, count) ((VECTOR)_mm512_maskz_loadu_ps((__mmask16)((1u << (unsigned)(count)) - 1), (pointer)))
#define PAIR_SUM(sum, a, b) ((VECTOR)_mm512_dpbf16_ps((__m512)(sum), (__m512bh)(a), (__m512bh)(b)))
#define ROUND_PAIRS(low, high) ((NAME(words))_mm512_cvtne2ps_pbh((__m512)(high), (__m512)(low)))
#define NAME(x) x##_avx512bf16
#define TILE_ROWS 14
#define SUMS 28
#define FOR_TILE_ROWS(X) ROWS_1_TO_14(X)
#define FOR_HALF_TILE_ROWS(X) ROWS_1_TO_7(X)
#include "gemm_lanes_template.h"
#include "gemm_pairs_template.h"
#include "gemm_end_template.h"
#pragma clang attribute pop
#endif

// MARK: The choice

const struct ck_gemm_kernels *ck_gemm_kernels(void) {
#if defined(__x86_64__)
  static const struct ck_gemm_kernels *const sets[] = {
      [CK_BASELINE] = &kernels_baseline, [CK_AVX2] = &kernels_avx2, [CK_AVX512] = &kernels_avx512};
  return sets[ck_instruction_set_index()];
#else
  return &kernels_baseline;
#endif
}

const struct ck_pair_kernels *ck_pair_kernels(void) {
#if defined(__x86_64__)
  static const struct ck_pair_kernels *const sets[] = {
      [CK_BASELINE] = &pair_kernels_baseline, [CK_AVX2] = &pair_kernels_avx2, [CK_AVX512] = &pair_kernels_avx512};
  return ck_multiplies_bfloat16() ? &pair_kernels_avx512bf16 : sets[ck_instruction_set_index()];
#else
  return &pair_kernels_baseline;
#endif
}

const struct ck_pair_tiles *ck_pair_tiles(void) {
#if defined(__x86_64__)
  static const struct ck_pair_tiles *const sets[] = {
      [CK_BASELINE] = &pair_tiles_baseline, [CK_AVX2] = &pair_tiles_avx2, [CK_AVX512] = &pair_tiles_avx512};
  const struct ck_pair_tiles *amx = ck_amx_tiles();
  if (amx != NULL) return amx;
  return ck_multiplies_bfloat16() ? &pair_tiles_avx512bf16 : sets[ck_instruction_set_index()];
#else
  return &pair_tiles_baseline;
#endif
}
