// A matrix product as a value, and the two ways to compute it.
#ifndef CK_GEMM_H
#define CK_GEMM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// C = alpha · op(A) op(B) + beta · C, as ck_gemm says it.
struct ck_product {
  bool transpose_a, transpose_b;
  ptrdiff_t m, n, k;
  float alpha;
  const float *a;
  ptrdiff_t lda;
  bool half;  // B is bfloat16
  const void *b;
  ptrdiff_t ldb;
  float beta;
  float *c;
  ptrdiff_t ldc;
};

/// Multiplications that are a part's least: some microseconds, since waking a thread may take as long.
#define CK_PRODUCT_GRAIN 500000.0

/// The element at `index` of a matrix that may be bfloat16.
static inline const void *ck_element(const void *matrix, bool half, ptrdiff_t index) {
  return half ? (const void *)((const uint16_t *)matrix + index) : (const void *)((const float *)matrix + index);
}

/// Whether dot products along k, without a packed copy of the large matrix, are the better way.
bool ck_product_is_skinny(const struct ck_product *product);
void ck_multiply_skinny(const struct ck_product *product);

#endif
