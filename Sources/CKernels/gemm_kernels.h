// The inner loops of matrix products, in one table for each instruction set.
//
// Two kinds of loop do all the work. A *tile* keeps rows × (vectors · lanes) sums of C in registers and adds outer
// products of a column of A and a row of B. A *dot tile* keeps few × some sums, each spread over the lanes of a
// register, and adds along k: for B given as [n, k] it needs no transposed copy of B.
#ifndef CK_GEMM_KERNELS_H
#define CK_GEMM_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CK_MAXIMUM_TILE_ROWS = 14, CK_MAXIMUM_LANES = 16 };

/// Widths of a tile: 1, 2 or 4 vectors.
enum { CK_NARROW, CK_FULL, CK_WIDE, CK_WIDTHS };

/// c[r, j] = alpha · Σ_p a[p · a_step + r] · b[p · b_step + j] + beta · c[r, j]; with beta == 0, c is not read.
/// `ahead`: how many elements after what it reads of b the tile prefetches.
typedef void (*ck_tile)(ptrdiff_t k, const float *a, ptrdiff_t a_step, const void *b, ptrdiff_t b_step, ptrdiff_t ahead,
                        float alpha, float beta, float *c, ptrdiff_t ldc);

/// c[r · row_step + s · column_step] = alpha · Σ_p x[r · ldx + p] · w[s · ldw + p] + beta · c[…].
typedef void (*ck_dot_tile)(ptrdiff_t k, const float *x, ptrdiff_t ldx, const void *w, ptrdiff_t ldw, ptrdiff_t ahead,
                            float alpha, float beta, float *c, ptrdiff_t row_step, ptrdiff_t column_step);

/// Copies a [k, count] or a [count, k] matrix to packed[p · step + i], widened to float32, with zeros for i from `count`
/// to the next multiple of the lanes (as far as `step`). May write up to CK_MAXIMUM_LANES elements past the end.
typedef void (*ck_pack)(ptrdiff_t count, ptrdiff_t k, const void *x, ptrdiff_t ldx, float *packed, ptrdiff_t step);

/// out[j · ldo + i] = x[i · ldx + j] for a [rows, columns] matrix x.
typedef void (*ck_transpose)(ptrdiff_t rows, ptrdiff_t columns, const float *x, ptrdiff_t ldx, float *out,
                             ptrdiff_t ldo);

/// Where an array is indexed by `bool`, true is for a B of bfloat16.
struct ck_gemm_kernels {
  const char *name;
  int lanes, rows;  // of a register; the most a tile has
  ck_tile tile[2][CK_WIDTHS][CK_MAXIMUM_TILE_ROWS + 1];
  ck_dot_tile dot[2][CK_MAXIMUM_TILE_ROWS + 1];         // by rows of x
  ck_dot_tile dot_single[2][CK_MAXIMUM_TILE_ROWS + 1];  // the same for one row of w
  int dot_columns[CK_MAXIMUM_TILE_ROWS + 1];            // rows of w that `dot` takes
  ck_pack pack_rows[2], pack_columns[2];                // from [k, count], from [count, k]
  ck_transpose transpose;
};

const struct ck_gemm_kernels *ck_gemm_kernels(void);

#endif
