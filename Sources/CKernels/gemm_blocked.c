// Matrix products: blocks that fit the caches, packed where that pays, and a tile of C in registers (after Goto and
// van de Geijn, "Anatomy of High-Performance Matrix Multiplication", 2008).
//
// Blocks along k have one size whatever the threads do, so each element of C sees one order of additions. Threads share
// C as a grid of parts. A is copied first, by all of them, into the order in which tiles read it; then each part copies
// what it needs of B, block by block, or reads it in place, a few rows at a time: for few rows of C, or a small k.
#include <string.h>

#include "dispatch.h"
#include "gemm.h"

enum {
  PACKED_DEPTH = 256,      // of a block along k: a panel of B, 32 · 256 floats, stays in the first-level cache
  DIRECT_DEPTH = 64,       // few enough rows of B that the next panel can be prefetched while this one is used
  BLOCK_ROWS = 336,        // a block of A stays in the second-level cache
  BLOCK_COLUMNS = 256,     // a packed block of B stays there beside it
  DIRECT_ROWS = 64,        // as many rows of C make a packed copy of B worth it
  PACKED_ROWS = 16,        // of B are read at a time, from the first panel to the last
  LEFT_NUMBERS = 1 << 21,  // of A that are copied before the parts begin; of a larger one, some rows after the other
  SMALL_SCRATCH = 12288,   // floats that lie on the stack
  PACKING_GRAIN = 16384,   // pairs
};

/// How a factor is copied into the order in which tiles read it.
struct packing {
  ck_pack pack;
  ptrdiff_t stride;  // between rows of what `pack` takes for numbers
};

struct plan {
  ck_product product;
  const struct ck_gemm_kernels *kernels;
  const struct ck_pair_kernels *pairs;  // NULL for float32
  const struct ck_pair_tiles *tiles;    // likewise
  int numbers;                          // along k of which one is made: two where there are pairs
  ptrdiff_t unit;                       // of which the rows and the depth of tiles are multiples
  struct packing pack_a, pack_b;
  bool packs_b;
  bool row_by_row;  // tiles go along the rows of C, for a C that is mostly written
  ptrdiff_t depth, tile_rows, tiles_down, tiles_across;
  int parts_down, parts_across;
  float *left;  // all of A, packed before the parts begin, by tile and block along k; NULL: read in place
  ptrdiff_t slot;
};

/// With what fills up the last unit.
static ptrdiff_t whole(const struct plan *plan, ptrdiff_t count) {
  return (count + plan->unit - 1) / plan->unit * plan->unit;
}

/// One tile of C, or what of it lies within `columns`.
static void run_tile(const struct plan *plan, int rows, int width, ptrdiff_t columns, ptrdiff_t k, const float *a,
                     ptrdiff_t a_step, const void *b, bool half, ptrdiff_t b_step, ptrdiff_t ahead, float beta,
                     float *c) {
  const ck_product *p = &plan->product;
  const ptrdiff_t filled = whole(plan, rows), full = (ptrdiff_t)plan->kernels->lanes << width;
  ck_tile tile = plan->tiles != NULL ? plan->tiles->tile[width][filled] : plan->kernels->tile[half][width][filled];
  if (columns >= full && rows == filled) {
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

/// `lies_along_k`: its rows do, so that they become columns.
static struct packing packing_of(const struct plan *plan, const ck_factor *x, bool lies_along_k) {
  if (plan->pairs == NULL)
    return (struct packing){(lies_along_k ? plan->kernels->pack_columns : plan->kernels->pack_rows)[x->bfloat16],
                            x->stride};
  if (x == &plan->product.a)
    return lies_along_k ? (struct packing){plan->tiles->pack_columns, x->stride}
                        : (struct packing){plan->tiles->pack_rows, 2 * x->stride};
  if (!lies_along_k)
    return (struct packing){x->bfloat16 ? plan->pairs->pack_rows : plan->pairs->round_rows, 2 * x->stride};
  if (x->bfloat16) return (struct packing){plan->kernels->pack_columns[false], x->stride / 2};  // they are pairs
  return (struct packing){plan->pairs->round_columns, x->stride};
}

/// Where the element of op(x) lies.
static const void *element(const ck_factor *x, ptrdiff_t row, ptrdiff_t column) {
  return ck_element(x->elements, x->bfloat16, x->transposed ? column * x->stride + row : row * x->stride + column);
}

/// Where a tile of A lies, packed, from row `i` and the block along k from `p` on.
static float *left_tile(const struct plan *plan, ptrdiff_t i, ptrdiff_t p) {
  return plan->left + (p / plan->depth * plan->tiles_down + i / plan->tile_rows) * plan->slot;
}

/// Packs the tiles begin ..< end of A, from the first block along k to the last.
static void pack_left(const void *context, ptrdiff_t begin, ptrdiff_t end) {
  const struct plan *plan = context;
  const ck_product *p = &plan->product;
  for (ptrdiff_t tile = begin; tile < end; tile++) {
    const ptrdiff_t i = tile * plan->tile_rows, rows = ck_smaller(plan->tile_rows, p->m - i);
    for (ptrdiff_t pc = 0; pc < p->k; pc += plan->depth)
      plan->pack_a.pack(rows, ck_smaller(plan->depth, p->k - pc), element(&p->a, i, plan->numbers * pc),
                        plan->pack_a.stride, left_tile(plan, i, pc), rows);
  }
}

/// Rows i0 ..< i1 and columns j0 ..< j1 of C.
static void multiply_part(const struct plan *plan, ptrdiff_t i0, ptrdiff_t i1, ptrdiff_t j0, ptrdiff_t j1) {
  const ck_product *p = &plan->product;
  const struct ck_gemm_kernels *kernels = plan->kernels;
  const ptrdiff_t lanes = kernels->lanes, panel = 2 * lanes, tile_rows = plan->tile_rows, depth = plan->depth;
  const ptrdiff_t block_rows = ck_smaller(i1 - i0, BLOCK_ROWS / tile_rows * tile_rows);
  const ptrdiff_t block_columns = plan->packs_b ? ck_smaller(j1 - j0, BLOCK_COLUMNS) : j1 - j0;
  const int width_here = !plan->packs_b && tile_rows <= kernels->rows / 2 ? CK_WIDE : CK_FULL;

  const ptrdiff_t most_packed = plan->packs_b ? block_columns + panel : panel;
  const size_t bytes = (size_t)(most_packed * whole(plan, depth) + CK_MAXIMUM_LANES) * sizeof(float);
  _Alignas(64) float near[SMALL_SCRATCH];
  float *packed_b = bytes <= sizeof near ? near : ck_allocate(bytes);

  if (plan->tiles != NULL && plan->tiles->begin != NULL) plan->tiles->begin();
  for (ptrdiff_t jc = j0; jc < j1; jc += block_columns) {
    const ptrdiff_t j_end = ck_smaller(jc + block_columns, j1);
    for (ptrdiff_t pc = 0; pc < p->k; pc += depth) {
      const ptrdiff_t k = ck_smaller(depth, p->k - pc), filled = whole(plan, k);
      const float beta = pc == 0 ? p->beta : 1;
      // The last panel, where it is not full, is packed in any case: a tile reads whole vectors.
      const ptrdiff_t first_packed = plan->packs_b ? jc : jc + (j_end - jc) / panel * panel;
      for (ptrdiff_t q = 0, taken; q < k; q += taken) {
        taken = p->b.transposed ? k : ck_smaller(PACKED_ROWS, k - q);
        for (ptrdiff_t j = first_packed; j < j_end; j += panel) {
          const ptrdiff_t columns = ck_smaller(panel, j_end - j), step = columns <= lanes ? lanes : panel;
          float *place = packed_b + (j - first_packed) * filled;
          plan->pack_b.pack(columns, taken, element(&p->b, plan->numbers * (pc + q), j), plan->pack_b.stride,
                            place + q * step, step);
          if (q + taken == k) memset(place + k * step, 0, (size_t)((filled - k) * step) * sizeof(float));
        }
      }
      for (ptrdiff_t ic = i0; ic < i1; ic += block_rows) {
        const ptrdiff_t i_end = ck_smaller(ic + block_rows, i1);
        // Tiles, down the columns or along the rows.
        ptrdiff_t i = ic, j = jc;
        while (i < i_end && j < j_end) {
          const ptrdiff_t rows = ck_smaller(tile_rows, i_end - i);
          const bool in_place = j < first_packed;
          const bool wide = in_place && width_here == CK_WIDE && first_packed - j >= 2 * panel;
          const ptrdiff_t columns = wide ? 2 * panel : ck_smaller(panel, j_end - j);
          const int width = wide ? CK_WIDE : columns <= lanes ? CK_NARROW : CK_FULL;
          const float *a = plan->left != NULL ? left_tile(plan, i, pc) : element(&p->a, i, pc);
          const ptrdiff_t a_step = plan->left != NULL ? rows : p->a.stride;
          float *c = p->c + i * p->ldc + j;
          if (in_place) {
            run_tile(plan, (int)rows, width, columns, k, a, a_step, element(&p->b, pc, j), p->b.bfloat16, p->b.stride,
                     columns, beta, c);
          } else {
            ptrdiff_t step = columns <= lanes ? lanes : panel;
            run_tile(plan, (int)rows, width, columns, filled, a, a_step, packed_b + (j - first_packed) * filled, false,
                     step, step * filled, beta, c);
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
  if (plan->tiles != NULL && plan->tiles->end != NULL) plan->tiles->end();
  if (packed_b != near) ck_deallocate(packed_b, bytes);
}

/// A part of the grid; its edges lie between tiles.
static void run_part(void *context, int part) {
  const struct plan *plan = context;
  const ptrdiff_t rows = plan->tile_rows, columns = 2 * plan->kernels->lanes;
  const int down = part / plan->parts_across, across = part % plan->parts_across;
  const ptrdiff_t i0 = plan->tiles_down * down / plan->parts_down * rows;
  const ptrdiff_t i1 = ck_smaller(plan->tiles_down * (down + 1) / plan->parts_down * rows, plan->product.m);
  const ptrdiff_t j0 = plan->tiles_across * across / plan->parts_across * columns;
  const ptrdiff_t j1 = ck_smaller(plan->tiles_across * (across + 1) / plan->parts_across * columns, plan->product.n);
  if (i0 < i1 && j0 < j1) multiply_part(plan, i0, i1, j0, j1);
}

/// How many of `count` the largest of `parts` parts has.
static ptrdiff_t most_of(ptrdiff_t count, int parts) { return (count + parts - 1) / parts; }

/// The grid of `parts` parts whose largest part is the smallest: its tiles, and what it packs, a panel of B being worth
/// half a tile.
static void choose_grid(struct plan *plan, int parts) {
  double best = -1;
  for (int down = 1; down <= parts; down++) {
    if (parts % down != 0) continue;
    const int across = parts / down;
    const double tiles_down = (double)most_of(plan->tiles_down, down);
    const double tiles_across = (double)most_of(plan->tiles_across, across);
    const double cost = tiles_down * tiles_across + (plan->packs_b ? 0.5 * tiles_across : 0);
    if (best < 0 || cost < best) {
      best = cost;
      plan->parts_down = down;
      plan->parts_across = across;
    }
  }
}

/// `count` in the fewest equal parts of at most `most` each, rounded up to `unit`, which divides `most`.
static ptrdiff_t even_part(ptrdiff_t count, ptrdiff_t most, ptrdiff_t unit) {
  const ptrdiff_t parts = (count + most - 1) / most;
  return ck_smaller(count, ((count + parts - 1) / parts + unit - 1) / unit * unit);
}

static void multiply_rows(const ck_product *p, const struct ck_pair_kernels *pairs) {
  const struct ck_pair_tiles *tiles = pairs != NULL ? ck_pair_tiles() : NULL;
  struct plan plan = {.product = *p, .kernels = ck_gemm_kernels(), .pairs = pairs, .tiles = tiles};
  plan.numbers = pairs != NULL ? 2 : 1;
  plan.unit = tiles != NULL ? tiles->unit : 1;
  if (pairs == NULL && p->m == 1 && !p->a.transposed) {  // a row is a column too, and a column is read in place
    plan.product.a.transposed = true;
    plan.product.a.stride = 1;
  }
  const bool direct = pairs == NULL && !p->b.transposed && (p->m <= DIRECT_ROWS || p->k <= DIRECT_DEPTH);
  plan.pack_a = packing_of(&plan, &plan.product.a, !plan.product.a.transposed);
  plan.pack_b = packing_of(&plan, &p->b, p->b.transposed);
  plan.packs_b = !direct;
  plan.row_by_row = p->k <= DIRECT_DEPTH && p->m > DIRECT_ROWS;
  // Evenly: a last tile of one or two rows, or a last block of little depth, would not keep the arithmetic units busy.
  plan.depth = even_part(p->k, direct ? DIRECT_DEPTH : PACKED_DEPTH, CK_MAXIMUM_LANES);
  plan.tile_rows = even_part(p->m, tiles != NULL ? tiles->rows : plan.kernels->rows, plan.unit);
  plan.tiles_down = (p->m + plan.tile_rows - 1) / plan.tile_rows;
  plan.tiles_across = (p->n + 2 * plan.kernels->lanes - 1) / (2 * plan.kernels->lanes);
  double parts = (double)p->m * (double)p->n * (double)p->k / (tiles != NULL ? tiles->grain : CK_PRODUCT_GRAIN);
  int threads = ck_thread_count();
  choose_grid(&plan, parts < 2 ? 1 : parts < threads ? (int)parts : threads);

  plan.slot = whole(&plan, plan.tile_rows) * whole(&plan, plan.depth) + CK_MAXIMUM_LANES;
  const size_t bytes = (size_t)((p->k + plan.depth - 1) / plan.depth * plan.tiles_down * plan.slot) * sizeof(float);
  _Alignas(64) float near[SMALL_SCRATCH];
  if (!(plan.product.a.transposed && direct)) {
    plan.left = bytes <= sizeof near ? near : ck_allocate(bytes);
    ck_for_ranges(plan.tiles_down, ck_row_grain(PACKING_GRAIN, plan.tile_rows * p->k), pack_left, &plan);
  }
  ck_parallel(plan.parts_down * plan.parts_across, run_part, &plan);
  if (plan.left != NULL && plan.left != near) ck_deallocate(plan.left, bytes);
}

void ck_multiply_blocked(const ck_product *p, const struct ck_pair_kernels *pairs) {
  const ptrdiff_t most = ck_larger(LEFT_NUMBERS / p->k, BLOCK_ROWS), slabs = (p->m + most - 1) / most;
  for (ptrdiff_t slab = 0; slab < slabs; slab++) {
    const ptrdiff_t i = p->m * slab / slabs;
    ck_product rows = *p;
    rows.m = p->m * (slab + 1) / slabs - i;
    rows.a.elements = element(&p->a, i, 0);
    rows.c += i * p->ldc;
    multiply_rows(&rows, pairs);
  }
}
