// Matrix products.
#include "CKernels.h"
#include "dispatch.h"

const char *ck_instruction_set(void) { return "plain"; }

static void product(bool ta, bool tb, ptrdiff_t m, ptrdiff_t n, ptrdiff_t k, float alpha, const float *a, ptrdiff_t lda,
                    const void *b, bool half, ptrdiff_t ldb, float beta, float *c, ptrdiff_t ldc) {
  for (ptrdiff_t i = 0; i < m; i++) {
    float *row = c + i * ldc;
    for (ptrdiff_t j = 0; j < n; j++) row[j] = beta == 0 ? 0 : beta * row[j];
    for (ptrdiff_t p = 0; p < k; p++) {
      float x = alpha * (ta ? a[p * lda + i] : a[i * lda + p]);
      for (ptrdiff_t j = 0; j < n; j++) {
        ptrdiff_t at = tb ? j * ldb + p : p * ldb + j;
        float y;
        if (half) {
          union { uint32_t u; float f; } wide = {(uint32_t)((const uint16_t *)b)[at] << 16};
          y = wide.f;
        } else {
          y = ((const float *)b)[at];
        }
        row[j] += x * y;
      }
    }
  }
}

void ck_gemm(bool transpose_a, bool transpose_b, ptrdiff_t m, ptrdiff_t n, ptrdiff_t k, float alpha, const float *a,
             ptrdiff_t lda, const float *b, ptrdiff_t ldb, float beta, float *c, ptrdiff_t ldc) {
  product(transpose_a, transpose_b, m, n, k, alpha, a, lda, b, false, ldb, beta, c, ldc);
}

void ck_gemm_bf16(bool transpose_a, bool transpose_b, ptrdiff_t m, ptrdiff_t n, ptrdiff_t k, float alpha,
                  const float *a, ptrdiff_t lda, const uint16_t *b, ptrdiff_t ldb, float beta, float *c,
                  ptrdiff_t ldc) {
  product(transpose_a, transpose_b, m, n, k, alpha, a, lda, b, true, ldb, beta, c, ldc);
}

void ck_gemm_batched(ptrdiff_t count, bool transpose_a, bool transpose_b, ptrdiff_t m, ptrdiff_t n, ptrdiff_t k,
                     float alpha, const float *a, ptrdiff_t lda, ptrdiff_t stride_a, const float *b, ptrdiff_t ldb,
                     ptrdiff_t stride_b, float beta, float *c, ptrdiff_t ldc, ptrdiff_t stride_c) {
  for (ptrdiff_t i = 0; i < count; i++)
    ck_gemm(transpose_a, transpose_b, m, n, k, alpha, a + i * stride_a, lda, b + i * stride_b, ldb, beta,
            c + i * stride_c, ldc);
}
