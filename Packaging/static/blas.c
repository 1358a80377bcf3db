// What LAPACK and our code expect of OpenBLAS, where it isn't linked: its kernels for every processor there has been
// are 25 MB; LAPACK's own routines on the reference BLAS, with our products, half a megabyte.
#include <stdbool.h>
#include <stddef.h>

#include "CKernels.h"

/// The reference BLAS has one thread.
void openblas_set_num_threads(int count) { (void)count; }

/// C = alpha · op(A) op(B) + beta · C, column by column: to our kernels, row by row, Cᵀ = alpha · op(B)ᵀ op(A)ᵀ + beta
/// · Cᵀ.
void sgemm_(const char *op_a, const char *op_b, const int *m, const int *n, const int *k, const float *alpha,
            const float *a, const int *lda, const float *b, const int *ldb, const float *beta, float *c,
            const int *ldc) {
  if (*m == 0 || *n == 0) return;
  ck_product product = {.m = *n, .n = *m, .k = *k, .alpha = *alpha, .beta = *beta, .c = c, .ldc = *ldc};
  product.a = (ck_factor){.elements = b, .stride = *ldb, .transposed = *op_b != 'N' && *op_b != 'n'};
  product.b = (ck_factor){.elements = a, .stride = *lda, .transposed = *op_a != 'N' && *op_a != 'n'};
  ck_multiply(&product);
}
