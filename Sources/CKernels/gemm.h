// Matrix products, on the inside: gemm.c chooses between two ways, gemm_blocked.c and gemm_skinny.c, which know nothing
// of each other; both run the inner loops of gemm_kernels.c. gemm_pairs.c has them multiply in bfloat16.
//
// Two kinds of loop do all the work. A *tile* keeps rows × (vectors · lanes) sums of C in registers and adds outer
// products of a column of A and a row of B. A *dot tile* keeps few × some sums, each spread over the lanes of a
// register, and adds along k: for B given as [n, k] it needs no transposed copy of B.
#ifndef CK_GEMM_H
#define CK_GEMM_H

#include "CKernels.h"

enum { CK_MAXIMUM_TILE_ROWS = 32, CK_MAXIMUM_LANES = 16 };

/// Widths of a tile: 1, 2 or 4 vectors.
enum { CK_NARROW, CK_FULL, CK_WIDE, CK_WIDTHS };

/// c[r, j] = alpha · Σ_p a[p · a_step + r] · b[p · b_step + j] + beta · c[r, j]; with beta == 0, c is not read.
/// `ahead`: how many elements after what it reads of b the tile prefetches.
typedef void (*ck_tile)(ptrdiff_t k, const float *a, ptrdiff_t a_step, const void *b, ptrdiff_t b_step, ptrdiff_t ahead,
                        float alpha, float beta, float *c, ptrdiff_t ldc);

/// c[r · row_step + s · column_step] = alpha · Σ_p x[r · ldx + p] · w[s · ldw + p] + beta · c[…].
typedef void (*ck_dot_tile)(ptrdiff_t k, const float *x, ptrdiff_t ldx, const void *w, ptrdiff_t ldw, ptrdiff_t ahead,
                            float alpha, float beta, float *c, ptrdiff_t row_step, ptrdiff_t column_step);

/// How far ahead of what they read kernels for a single row have the processor read, in bytes: its own guesses end with
/// a page.
enum { CK_ROW_AHEAD = 4096 };

/// The same for a single x and the rows 0 ..< rows of w, one after the other, in blocks of `depth` along k: each result
/// has the bits that a dot tile gives it. c[r · step] = ….
typedef void (*ck_row)(ptrdiff_t rows, ptrdiff_t k, ptrdiff_t depth, const float *x, const void *w, ptrdiff_t ldw,
                       float alpha, float beta, float *c, ptrdiff_t step);

/// Copies a [k, count] or a [count, k] matrix to packed[p · step + i], widened to float32, with zeros for i from
/// `count` to the next multiple of the lanes (as far as `step`). May write up to CK_MAXIMUM_LANES elements past the
/// end.
typedef void (*ck_pack)(ptrdiff_t count, ptrdiff_t k, const void *x, ptrdiff_t ldx, float *packed, ptrdiff_t step);

/// out[j · ldo + i] = x[i · ldx + j] for a [rows, columns] matrix x.
typedef void (*ck_transpose)(ptrdiff_t rows, ptrdiff_t columns, const float *x, ptrdiff_t ldx, float *out,
                             ptrdiff_t ldo);

/// Where an array is indexed by `bool`, true is for a B of bfloat16.
struct ck_gemm_kernels {
  int lanes, rows;  // of a register; the most a tile has
  ck_tile tile[2][CK_WIDTHS][CK_MAXIMUM_TILE_ROWS + 1];
  ck_dot_tile dot[2][CK_MAXIMUM_TILE_ROWS + 1];         // by rows of x
  ck_dot_tile dot_single[2][CK_MAXIMUM_TILE_ROWS + 1];  // the same for one row of w
  int dot_columns[CK_MAXIMUM_TILE_ROWS + 1];            // rows of w that `dot` takes
  ck_row row[2];
  ck_pack pack_rows[2], pack_columns[2];  // from [k, count], from [count, k]
  ck_transpose transpose;
};

/// Those of the CPU's instruction set.
const struct ck_gemm_kernels *ck_gemm_kernels(void);

/// The same for *pairs* of bfloat16 along k in place of float32, with sums in float32: `k`, steps and strides count
/// pairs. Registers and dot tiles are those of ck_gemm_kernels.
struct ck_pair_kernels {
  ck_dot_tile dot[CK_MAXIMUM_TILE_ROWS + 1], dot_single[CK_MAXIMUM_TILE_ROWS + 1];
  ck_row row;
  ck_pack pack_rows;                  // from bfloat16 [2k, count]; ldx is what two rows take
  ck_pack round_rows, round_columns;  // from float32 [2k, count], likewise, and [count, 2k]; rounded as `round` does
  /// The rows of x [rows, k], rounded to nearest with ties to even, as pairs.
  void (*round)(ptrdiff_t rows, ptrdiff_t k, const float *x, ptrdiff_t ldx, uint32_t *pairs, ptrdiff_t ldp);
};
const struct ck_pair_kernels *ck_pair_kernels(void);

/// Tiles of pairs, which not every processor's vectors do.
struct ck_pair_tiles {
  int rows;                                         // the most a tile has
  double grain;                                     // multiplications of pairs that are a part's least
  int unit;                                         // of which its rows, and its k, are multiples: zeros fill them up
  ck_tile tile[CK_WIDE][CK_MAXIMUM_TILE_ROWS + 1];  // a is packed
  ck_pack pack_rows, pack_columns;                  // of a, from float32, rounded; `step` is `count`
  void (*begin)(void), (*end)(void);                // before and after tiles, on their thread; or NULL
};
const struct ck_pair_tiles *ck_pair_tiles(void);
/// Those of gemm_amx.c, or NULL.
const struct ck_pair_tiles *ck_amx_tiles(void);

/// Multiplications that are a part's least: some microseconds, since waking a thread may take as long.
#define CK_PRODUCT_GRAIN 500000.0

/// The element at `index` of a matrix that may be bfloat16.
static inline const void *ck_element(const void *matrix, bool half, ptrdiff_t index) {
  return half ? (const void *)((const uint16_t *)matrix + index) : (const void *)((const float *)matrix + index);
}

/// The row of the product that a stored row is: the halves of heads may be stored in turns.
static inline ptrdiff_t ck_row_of_stored(const ck_encoded *matrix, ptrdiff_t stored) {
  if (matrix->head == 0) return stored;
  const ptrdiff_t place = stored % matrix->head;
  return stored - place + place % 2 * (matrix->head / 2) + place / 2;
}

/// Several products at once have the same left factor; those that are skinny, few rows.
enum { CK_MOST_TOGETHER = 4 };

/// The two ways, for m, n, k > 0. The first fits all products. With kernels for `pairs`, else NULL, k counts pairs: the
/// first way makes them of both factors as they are, the second wants them made, in place of float32.
void ck_multiply_blocked(const ck_product *product, const struct ck_pair_kernels *pairs);
/// Whether dot products along k, without a packed copy of the large matrix, are the better way.
bool ck_product_is_skinny(const ck_product *product);
void ck_multiply_skinny(const ck_product *products, ptrdiff_t count, const struct ck_pair_kernels *pairs);

/// Whether b `rounds`, and the product has a shape for it; else what is bfloat16 is widened. How it is multiplied then.
bool ck_product_pairs(const ck_product *product);
void ck_multiply_pairs(const ck_product *products, ptrdiff_t count);
/// For a single row and an encoded matrix of whole numbers, whose rows may be stored in another order.
void ck_multiply_stored_row(const ck_product *product);
/// For a right factor that is encoded: decoded tile by tile, each of which is multiplied by one of the two ways.
void ck_multiply_encoded(const ck_product *product);
/// Whether it is multiplied as a product of bytes. How it is then.
bool ck_product_is_of_bytes(const ck_product *product);
void ck_multiply_bytes(const ck_product *products, ptrdiff_t count);

#endif
