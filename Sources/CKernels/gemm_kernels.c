// The kernels of matrix products for each instruction set, and the choice among them.
#include <string.h>

#include "dispatch.h"
#include "gemm.h"

#define ROWS_1_TO_3(X) X(1) X(2) X(3)
#define ROWS_1_TO_6(X) ROWS_1_TO_3(X) X(4) X(5) X(6)
#define ROWS_1_TO_7(X) ROWS_1_TO_6(X) X(7)
#define ROWS_1_TO_12(X) ROWS_1_TO_7(X) X(8) X(9) X(10) X(11) X(12)
#define ROWS_1_TO_14(X) ROWS_1_TO_12(X) X(13) X(14)

// The network that transposes, and that folds the lanes of dot products: gemm_kernels_template.h says what LOW and HIGH
// are. One line for each distance.
#define SHUFFLE(half, lanes, d, a, b) __builtin_shufflevector(a, b, half##_##lanes##_##d)
#define LOW_16_8 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23
#define HIGH_16_8 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31
#define LOW_16_4 0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27
#define HIGH_16_4 4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31
#define LOW_16_2 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29
#define HIGH_16_2 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31
#define LOW_16_1 0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30
#define HIGH_16_1 1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31
#define LOW_8_4 0, 1, 2, 3, 8, 9, 10, 11
#define HIGH_8_4 4, 5, 6, 7, 12, 13, 14, 15
#define LOW_8_2 0, 1, 8, 9, 4, 5, 12, 13
#define HIGH_8_2 2, 3, 10, 11, 6, 7, 14, 15
#define LOW_8_1 0, 8, 2, 10, 4, 12, 6, 14
#define HIGH_8_1 1, 9, 3, 11, 5, 13, 7, 15
#define LOW_4_2 0, 1, 4, 5
#define HIGH_4_2 2, 3, 6, 7
#define LOW_4_1 0, 4, 2, 6
#define HIGH_4_1 1, 5, 3, 7

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
