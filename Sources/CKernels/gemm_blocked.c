// Matrix products: blocks that fit the caches, packed where that pays, and a tile of C in registers (after Goto and
// van de Geijn, "Anatomy of High-Performance Matrix Multiplication", 2008).
//
// Blocks along k have one size whatever the threads do, so each element of C sees one order of additions. Threads share
// C as a grid of parts, each packing for itself: no thread waits for another. Two layouts:
//   packed   both operands are copied block by block into the order in which tiles read them;
//   direct   B is read in place, a few rows of it at a time: for few rows of C, or a small k.
#include "gemm.h"

#include "dispatch.h"

enum {
  PACKED_DEPTH = 256,     // of a block along k: a panel of B, 32 · 256 floats, stays in the first-level cache
  DIRECT_DEPTH = 64,      // few enough rows of B that the next panel can be prefetched while this one is used
  BLOCK_ROWS = 336,       // a block of A stays in the second-level cache
  BLOCK_COLUMNS = 2048,   // a block of B stays in the third-level cache
  DIRECT_ROWS = 64,       // as many rows of C make a packed copy of B worth it
  PACKED_ROWS = 16,       // of B are read at a time, from the first panel to the last
  SMALL_SCRATCH = 12288,  // floats that lie on the stack
};

struct plan {
  ck_product product;
  const struct ck_gemm_kernels *kernels;
  const struct ck_pair_kernels *pairs;  // NULL for float32
  bool packs_a, packs_b;
  bool row_by_row;  // tiles go along the rows of C, for a C that is mostly written
  ptrdiff_t depth;
  int parts_down, parts_across;
};

/// One tile of C, or what of it lies within `columns`.
static void run_tile(const struct plan *plan, int rows, int width, ptrdiff_t columns, ptrdiff_t k, const float *a,
                     ptrdiff_t a_step, const void *b, bool half, ptrdiff_t b_step, ptrdiff_t ahead, float beta,
                     float *c) {
  const ck_product *p = &plan->product;
  ck_tile tile = plan->pairs != NULL ? plan->pairs->tile[width][rows] : plan->kernels->tile[half][width][rows];
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

/// Where the element of op(x) lies.
static const void *element(const ck_factor *x, ptrdiff_t row, ptrdiff_t column) {
  return ck_element(x->elements, x->bfloat16, x->transposed ? column * x->stride + row : row * x->stride + column);
}

/// Rows i0 ..< i1 and columns j0 ..< j1 of C.
static void multiply_part(const struct plan *plan, ptrdiff_t i0, ptrdiff_t i1, ptrdiff_t j0, ptrdiff_t j1) {
  const ck_product *p = &plan->product;
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
        taken = p->b.transposed ? k : ck_smaller(PACKED_ROWS, k - q);
        ck_pack pack = p->b.transposed       ? kernels->pack_columns[p->b.bfloat16]
                       : plan->pairs != NULL ? plan->pairs->pack_rows
                                             : kernels->pack_rows[p->b.bfloat16];
        for (ptrdiff_t j = first_packed; j < j_end; j += panel) {
          const ptrdiff_t columns = ck_smaller(panel, j_end - j), step = columns <= lanes ? lanes : panel;
          pack(columns, taken, element(&p->b, pc + q, j), p->b.stride, packed_b + (j - first_packed) * k + q * step,
               step);
        }
      }
      for (ptrdiff_t ic = i0; ic < i1; ic += block_rows) {
        const ptrdiff_t i_end = ck_smaller(ic + block_rows, i1);
        if (plan->packs_a) {
          ck_pack pack = p->a.transposed ? kernels->pack_rows[false] : kernels->pack_columns[false];
          for (ptrdiff_t i = ic; i < i_end; i += tile_rows) {
            const ptrdiff_t rows = ck_smaller(tile_rows, i_end - i);
            pack(rows, k, element(&p->a, i, pc), p->a.stride, packed_a + (i - ic) * k, rows);
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
          const float *a = plan->packs_a ? packed_a + (i - ic) * k : element(&p->a, i, pc);
          const ptrdiff_t a_step = plan->packs_a ? rows : p->a.stride;
          float *c = p->c + i * p->ldc + j;
          if (in_place) {
            run_tile(plan, (int)rows, width, columns, k, a, a_step, element(&p->b, pc, j), p->b.bfloat16, p->b.stride,
                     columns, beta, c);
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

void ck_multiply_blocked(const ck_product *p, const struct ck_pair_kernels *pairs) {
  struct plan plan = {.product = *p, .kernels = ck_gemm_kernels(), .pairs = pairs};
  if (pairs == NULL && p->m == 1 && !p->a.transposed) {  // a row is a column too, and a column is read in place
    plan.product.a.transposed = true;
    plan.product.a.stride = 1;
  }
  const bool direct = pairs == NULL && !p->b.transposed && (p->m <= DIRECT_ROWS || p->k <= DIRECT_DEPTH);
  plan.packs_b = !direct;
  plan.packs_a = !(plan.product.a.transposed && direct);
  plan.depth = direct ? DIRECT_DEPTH : PACKED_DEPTH;
  plan.row_by_row = p->k <= DIRECT_DEPTH && p->m > DIRECT_ROWS;
  double parts = (double)p->m * (double)p->n * (double)p->k / CK_PRODUCT_GRAIN;
  int threads = ck_thread_count();
  choose_grid(&plan, parts < 2 ? 1 : parts < threads ? (int)parts : threads);
  ck_parallel(plan.parts_down * plan.parts_across, run_part, &plan);
}
