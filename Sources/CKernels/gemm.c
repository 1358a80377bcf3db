// Matrix products: blocks that fit the caches, packed where that pays, and a tile of C in registers (after Goto and
// van de Geijn, "Anatomy of High-Performance Matrix Multiplication", 2008).
//
// Blocks along k have one size whatever the threads do, so each element of C sees one order of additions. Threads share
// C as a grid of parts, each packing for itself: no thread waits for another. Three layouts:
//   packed   both operands are copied block by block into the order in which tiles read them;
//   direct   B is read in place, a few rows of it at a time: for few rows of C, or a small k;
//   skinny   gemm_skinny.c: dot products, for B given transposed and few rows or columns of C.
#include "gemm.h"

#include "CKernels.h"
#include "dispatch.h"
#include "gemm_kernels.h"

enum {
  PACKED_DEPTH = 256,   // of a block along k: a panel of B, 32 · 256 floats, stays in the first-level cache
  DIRECT_DEPTH = 64,    // few enough rows of B that the next panel can be prefetched while this one is used
  BLOCK_ROWS = 336,     // a block of A stays in the second-level cache
  BLOCK_COLUMNS = 2048, // a block of B stays in the third-level cache
  DIRECT_ROWS = 64,     // as many rows of C make a packed copy of B worth it
  PACKED_ROWS = 16,     // of B are read at a time, from the first panel to the last
  SMALL_SCRATCH = 4096, // floats that lie on the stack
};

struct plan {
  struct ck_product product;
  const struct ck_gemm_kernels *kernels;
  bool packs_a, packs_b;
  bool row_by_row;  // tiles go along the rows of C, for a C that is mostly written
  ptrdiff_t depth;
  int parts_down, parts_across;
};

/// One tile of C, or what of it lies within `columns`.
static void run_tile(const struct plan *plan, int rows, int width, ptrdiff_t columns, ptrdiff_t k, const float *a,
                     ptrdiff_t a_step, const void *b, bool half, ptrdiff_t b_step, ptrdiff_t ahead, float beta,
                     float *c) {
  const struct ck_product *p = &plan->product;
  ck_tile tile = plan->kernels->tile[half][width][rows];
  ptrdiff_t full = (ptrdiff_t)plan->kernels->lanes << width;
  if (columns >= full) {
    tile(k, a, a_step, b, b_step, ahead, p->alpha, beta, c, p->ldc);
    return;
  }
  float edge[CK_MAXIMUM_TILE_ROWS * 2 * CK_MAXIMUM_LANES];
  for (int r = 0; r < rows; r++)
    for (ptrdiff_t j = 0; j < columns; j++) edge[r * full + j] = beta == 0 ? 0 : c[r * p->ldc + j];
  tile(k, a, a_step, b, b_step, ahead, p->alpha, beta, edge, full);
  for (int r = 0; r < rows; r++)
    for (ptrdiff_t j = 0; j < columns; j++) c[r * p->ldc + j] = edge[r * full + j];
}

static const void *element_of_b(const struct ck_product *p, ptrdiff_t row, ptrdiff_t column) {
  return ck_element(p->b, p->half, p->transpose_b ? column * p->ldb + row : row * p->ldb + column);
}

static const float *element_of_a(const struct ck_product *p, ptrdiff_t row, ptrdiff_t column) {
  return p->a + (p->transpose_a ? column * p->lda + row : row * p->lda + column);
}

/// Rows i0 ..< i1 and columns j0 ..< j1 of C.
static void multiply_part(const struct plan *plan, ptrdiff_t i0, ptrdiff_t i1, ptrdiff_t j0, ptrdiff_t j1) {
  const struct ck_product *p = &plan->product;
  const struct ck_gemm_kernels *kernels = plan->kernels;
  const ptrdiff_t lanes = kernels->lanes, panel = 2 * lanes;
  // Rows are cut evenly: a last tile of one or two rows would not keep the arithmetic units busy.
  const ptrdiff_t tiles_down = (i1 - i0 + kernels->rows - 1) / kernels->rows;
  const ptrdiff_t tile_rows = (i1 - i0 + tiles_down - 1) / tiles_down;
  const ptrdiff_t block_rows = ck_smaller(i1 - i0, BLOCK_ROWS / tile_rows * tile_rows);
  const ptrdiff_t block_columns = plan->packs_b ? ck_smaller(j1 - j0, BLOCK_COLUMNS) : j1 - j0;
  const ptrdiff_t depth = ck_smaller(p->k, plan->depth);
  const int width_here = !plan->packs_b && tile_rows <= kernels->rows / 2 ? CK_WIDE : CK_FULL;

  const size_t size_a = plan->packs_a ? (size_t)((block_rows + 2 * CK_MAXIMUM_LANES) * depth) : 0;
  const size_t size_b = (size_t)((plan->packs_b ? (block_columns + panel) : panel) * depth + CK_MAXIMUM_LANES);
  const size_t bytes = (size_a + size_b) * sizeof(float);
  _Alignas(64) float near[SMALL_SCRATCH];
  float *packed_b = bytes <= sizeof near ? near : ck_allocate(bytes), *packed_a = packed_b + size_b;

  for (ptrdiff_t jc = j0; jc < j1; jc += block_columns) {
    const ptrdiff_t j_end = ck_smaller(jc + block_columns, j1);
    for (ptrdiff_t pc = 0; pc < p->k; pc += depth) {
      const ptrdiff_t k = ck_smaller(depth, p->k - pc);
      const float beta = pc == 0 ? p->beta : 1;
      // The last panel, where it is not full, is packed in any case: a tile reads whole vectors.
      const ptrdiff_t first_packed = plan->packs_b ? jc : jc + (j_end - jc) / panel * panel;
      for (ptrdiff_t q = 0, taken; q < k; q += taken) {
        taken = p->transpose_b ? k : ck_smaller(PACKED_ROWS, k - q);
        ck_pack pack = p->transpose_b ? kernels->pack_columns[p->half] : kernels->pack_rows[p->half];
        for (ptrdiff_t j = first_packed; j < j_end; j += panel) {
          const ptrdiff_t columns = ck_smaller(panel, j_end - j), step = columns <= lanes ? lanes : panel;
          pack(columns, taken, element_of_b(p, pc + q, j), p->ldb, packed_b + (j - first_packed) * k + q * step, step);
        }
      }
      for (ptrdiff_t ic = i0; ic < i1; ic += block_rows) {
        const ptrdiff_t i_end = ck_smaller(ic + block_rows, i1);
        if (plan->packs_a) {
          ck_pack pack = p->transpose_a ? kernels->pack_rows[false] : kernels->pack_columns[false];
          for (ptrdiff_t i = ic; i < i_end; i += tile_rows) {
            const ptrdiff_t rows = ck_smaller(tile_rows, i_end - i);
            pack(rows, k, element_of_a(p, i, pc), p->lda, packed_a + (i - ic) * k, rows);
          }
        }
        // Tiles, down the columns or along the rows.
        ptrdiff_t i = ic, j = jc;
        while (i < i_end && j < j_end) {
          const ptrdiff_t rows = ck_smaller(tile_rows, i_end - i);
          const bool in_place = j < first_packed;
          const bool wide = in_place && width_here == CK_WIDE && first_packed - j >= 2 * panel;
          const ptrdiff_t columns = wide ? 2 * panel : ck_smaller(panel, j_end - j);
          const int width = wide ? CK_WIDE : columns <= lanes ? CK_NARROW : CK_FULL;
          const float *a = plan->packs_a ? packed_a + (i - ic) * k : element_of_a(p, i, pc);
          const ptrdiff_t a_step = plan->packs_a ? rows : p->lda;
          float *c = p->c + i * p->ldc + j;
          if (in_place) {
            run_tile(plan, (int)rows, width, columns, k, a, a_step, element_of_b(p, pc, j), p->half, p->ldb, columns,
                     beta, c);
          } else {
            ptrdiff_t step = columns <= lanes ? lanes : panel;
            run_tile(plan, (int)rows, width, columns, k, a, a_step, packed_b + (j - first_packed) * k, false, step,
                     step * k, beta, c);
          }
          if (plan->row_by_row) {
            j += columns;
            if (j >= j_end) j = jc, i += rows;
          } else {
            i += rows;
            if (i >= i_end) i = ic, j += columns;
          }
        }
      }
    }
  }
  if (packed_b != near) ck_deallocate(packed_b, bytes);
}

/// A part of the grid; its edges lie between tiles.
static void run_part(void *context, int part) {
  const struct plan *plan = context;
  const ptrdiff_t rows = plan->kernels->rows, columns = 2 * plan->kernels->lanes;
  const ptrdiff_t tiles_down = (plan->product.m + rows - 1) / rows;
  const ptrdiff_t tiles_across = (plan->product.n + columns - 1) / columns;
  const int down = part / plan->parts_across, across = part % plan->parts_across;
  const ptrdiff_t i0 = tiles_down * down / plan->parts_down * rows;
  const ptrdiff_t i1 = ck_smaller(tiles_down * (down + 1) / plan->parts_down * rows, plan->product.m);
  const ptrdiff_t j0 = tiles_across * across / plan->parts_across * columns;
  const ptrdiff_t j1 = ck_smaller(tiles_across * (across + 1) / plan->parts_across * columns, plan->product.n);
  if (i0 < i1 && j0 < j1) multiply_part(plan, i0, i1, j0, j1);
}

/// The grid of `parts` parts whose parts are nearest to squares: what a part packs is its half perimeter.
static void choose_grid(struct plan *plan, int parts) {
  double best = -1;
  for (int down = 1; down <= parts; down++) {
    if (parts % down != 0) continue;
    int across = parts / down;
    double perimeter = (double)plan->product.m / down + (double)plan->product.n / across;
    if (best < 0 || perimeter < best) {
      best = perimeter;
      plan->parts_down = down;
      plan->parts_across = across;
    }
  }
}

static void multiply_blocked(const struct ck_product *p) {
  struct plan plan = {.product = *p, .kernels = ck_gemm_kernels()};
  const bool direct = !p->transpose_b && (p->m <= DIRECT_ROWS || p->k <= DIRECT_DEPTH);
  plan.packs_b = !direct;
  plan.packs_a = !(p->transpose_a && direct);
  plan.depth = direct ? DIRECT_DEPTH : PACKED_DEPTH;
  plan.row_by_row = p->k <= DIRECT_DEPTH && p->m > DIRECT_ROWS;
  double parts = (double)p->m * (double)p->n * (double)p->k / CK_PRODUCT_GRAIN;
  int threads = ck_thread_count();
  choose_grid(&plan, parts < 2 ? 1 : parts < threads ? (int)parts : threads);
  ck_parallel(plan.parts_down * plan.parts_across, run_part, &plan);
}

/// C = beta · C
static void scale(const struct ck_product *p) {
  for (ptrdiff_t i = 0; i < p->m; i++)
    for (ptrdiff_t j = 0; j < p->n; j++) p->c[i * p->ldc + j] = p->beta == 0 ? 0 : p->beta * p->c[i * p->ldc + j];
}

/// A transposed A and a C of few columns, the gradient of a LoRA factor: computed as the transpose of C, whose rows are
/// long.
static bool is_narrow(const struct ck_product *p) {
  return p->transpose_a && !p->half && 2 * p->n <= ck_gemm_kernels()->lanes && p->m > ck_gemm_kernels()->lanes;
}

static void multiply_narrow(const struct ck_product *p) {
  const size_t bytes = (size_t)(p->n * p->m) * sizeof(float);
  float *turned = ck_allocate(bytes);
  const struct ck_product other = {
      .transpose_a = !p->transpose_b, .m = p->n, .n = p->m, .k = p->k, .alpha = p->alpha, .a = p->b, .lda = p->ldb,
      .b = p->a, .ldb = p->lda, .c = turned, .ldc = p->m};
  multiply_blocked(&other);
  for (ptrdiff_t i = 0; i < p->m; i++) {
    float *c = p->c + i * p->ldc;
    for (ptrdiff_t j = 0; j < p->n; j++) c[j] = turned[j * p->m + i] + (p->beta == 0 ? 0 : p->beta * c[j]);
  }
  ck_deallocate(turned, bytes);
}

static void multiply(const struct ck_product *p) {
  if (p->m <= 0 || p->n <= 0) return;
  if (p->k <= 0 || p->alpha == 0) {
    scale(p);
  } else if (is_narrow(p)) {
    multiply_narrow(p);
  } else if (ck_product_is_skinny(p)) {
    ck_multiply_skinny(p);
  } else {
    multiply_blocked(p);
  }
}

// MARK: The interface

void ck_gemm(bool transpose_a, bool transpose_b, ptrdiff_t m, ptrdiff_t n, ptrdiff_t k, float alpha, const float *a,
             ptrdiff_t lda, const float *b, ptrdiff_t ldb, float beta, float *c, ptrdiff_t ldc) {
  struct ck_product product = {transpose_a, transpose_b, m, n, k, alpha, a, lda, false, b, ldb, beta, c, ldc};
  multiply(&product);
}

void ck_gemm_bf16(bool transpose_a, bool transpose_b, ptrdiff_t m, ptrdiff_t n, ptrdiff_t k, float alpha,
                  const float *a, ptrdiff_t lda, const uint16_t *b, ptrdiff_t ldb, float beta, float *c,
                  ptrdiff_t ldc) {
  struct ck_product product = {transpose_a, transpose_b, m, n, k, alpha, a, lda, true, b, ldb, beta, c, ldc};
  multiply(&product);
}

struct batch {
  struct ck_product product;  // the first
  ptrdiff_t stride_a, stride_b, stride_c;
};

static void multiply_range(const void *context, ptrdiff_t begin, ptrdiff_t end) {
  const struct batch *batch = context;
  for (ptrdiff_t i = begin; i < end; i++) {
    struct ck_product product = batch->product;
    product.a += i * batch->stride_a;
    product.b = (const float *)product.b + i * batch->stride_b;
    product.c += i * batch->stride_c;
    multiply(&product);
  }
}

void ck_gemm_batched(ptrdiff_t count, bool transpose_a, bool transpose_b, ptrdiff_t m, ptrdiff_t n, ptrdiff_t k,
                     float alpha, const float *a, ptrdiff_t lda, ptrdiff_t stride_a, const float *b, ptrdiff_t ldb,
                     ptrdiff_t stride_b, float beta, float *c, ptrdiff_t ldc, ptrdiff_t stride_c) {
  struct batch batch = {{transpose_a, transpose_b, m, n, k, alpha, a, lda, false, b, ldb, beta, c, ldc},
                        stride_a, stride_b, stride_c};
  if (count > 1 && stride_b == 0 && !transpose_a && stride_a == m * lda && stride_c == m * ldc) {
    batch.product.m *= count;  // one B, and rows that follow each other: one product
    count = 1;
  }
  // Large products share their own work among threads, small ones are shared out.
  const double work = (double)m * (double)n * (double)k;
  if (count >= ck_thread_count() || work < CK_PRODUCT_GRAIN) {
    ptrdiff_t grain = work > CK_PRODUCT_GRAIN ? 1 : (ptrdiff_t)(CK_PRODUCT_GRAIN / (work + 1));
    ck_for_ranges(count, ck_larger(grain, 1), multiply_range, &batch);
  } else {
    multiply_range(&batch, 0, count);
  }
}
