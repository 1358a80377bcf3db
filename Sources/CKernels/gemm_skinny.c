// Products as dot products along k: x [few, k] times the transpose of w [many, k].
//
// With B given as [n, k], as a linear layer stores its weights, packing would cost more than a product with a few rows
// is worth. So w streams through once, some rows at a time, each register of it used for every row of x, which stays
// in the first-level cache. For a single row of x, those of w are read one after the other: memory is the limit then,
// and is read fastest in its order.
#include "gemm.h"

#include "dispatch.h"

enum {
  MOST_FEW = 36,     // above, packing is cheaper
  LEAST_DEPTH = 48,  // below, folding the lanes costs too much
  DEPTH = 1024,      // of a block along k: ten rows of x fit the first-level cache
  WORTH_A_COPY = 64,
  READING = 16  // multiplications that take as long as reading a float32 from memory
};

struct dots {
  const struct ck_gemm_kernels *kernels;
  const struct ck_pair_kernels *pairs;  // NULL for float32
  ptrdiff_t few, many, k;
  const float *x;
  ptrdiff_t ldx;
  bool half;  // w is bfloat16
  const void *w;
  ptrdiff_t ldw;
  float alpha, beta;
  float *c;
  ptrdiff_t few_step, many_step;  // between the elements of C
};

static ptrdiff_t block_depth(ptrdiff_t k) {
  const ptrdiff_t blocks = (k + DEPTH - 1) / DEPTH;
  return ((k + blocks - 1) / blocks + CK_MAXIMUM_LANES - 1) / CK_MAXIMUM_LANES * CK_MAXIMUM_LANES;
}

/// The rows begin ..< end of w.
static void run_dots(const void *context, ptrdiff_t begin, ptrdiff_t end) {
  const struct dots *s = context;
  const struct ck_gemm_kernels *kernels = s->kernels;
  const ptrdiff_t most = s->few <= kernels->rows ? kernels->rows : kernels->rows / 2;
  const ptrdiff_t chunks = (s->few + most - 1) / most;
  const ptrdiff_t depth = block_depth(s->k);
  const ck_dot_tile *dots = s->pairs != NULL ? s->pairs->dot : kernels->dot[s->half];
  const ck_dot_tile *single = s->pairs != NULL ? s->pairs->dot_single : kernels->dot_single[s->half];
  if (s->few == 1) {
    const ck_row row = s->pairs != NULL ? s->pairs->row : kernels->row[s->half];
    row(end - begin, s->k, depth, s->x, ck_element(s->w, s->half, begin * s->ldw), s->ldw, s->alpha, s->beta,
        s->c + begin * s->many_step, s->many_step);
    return;
  }
  // Chunks differ by one row at most, so all of them take as many rows of w.
  const int columns = kernels->dot_columns[(s->few + chunks - 1) / chunks];
  for (ptrdiff_t p = 0; p < s->k; p += depth) {
    const ptrdiff_t k = ck_smaller(depth, s->k - p);
    const float beta = p == 0 ? s->beta : 1;
    for (ptrdiff_t j = begin, taken; j < end; j += taken) {
      const bool whole = end - j >= columns;
      taken = whole ? columns : 1;
      const void *w = ck_element(s->w, s->half, j * s->ldw + p);
      for (ptrdiff_t chunk = 0; chunk < chunks; chunk++) {
        const ptrdiff_t i = s->few * chunk / chunks, rows = s->few * (chunk + 1) / chunks - i;
        (whole ? dots : single)[rows](k, s->x + i * s->ldx + p, s->ldx, w, s->ldw, taken * s->ldw, s->alpha, beta,
                                      s->c + i * s->few_step + j * s->many_step, s->few_step, s->many_step);
      }
    }
  }
}

bool ck_product_is_skinny(const ck_product *p) {
  if (p->a.transposed || p->k < LEAST_DEPTH) return false;
  if (p->b.transposed) return ck_smaller(p->m, p->n) <= MOST_FEW;
  return p->n <= ck_gemm_kernels()->lanes;  // B is so narrow that its transpose costs little
}

/// Copies the few rows to begin on cache lines, widened, and transposed where B is given as [k, n].
static void pack_few(struct dots *s, const void *rows, bool half, bool transposed, ptrdiff_t ld, float *copy) {
  s->ldx = (s->k + CK_MAXIMUM_LANES - 1) / CK_MAXIMUM_LANES * CK_MAXIMUM_LANES;
  if (transposed) {
    s->kernels->pack_columns[half](s->k, s->few, rows, ld, copy, s->ldx);
  } else {
    s->kernels->pack_rows[half](s->k, s->few, rows, ld, copy, s->ldx);
  }
  s->x = copy;
}

/// What there is to do for a product; what was copied for it lies at `copy`.
static struct dots prepare(const ck_product *p, const struct ck_pair_kernels *pairs, float **copy, size_t *bytes) {
  struct dots s = {
      .kernels = ck_gemm_kernels(), .pairs = pairs, .k = p->k, .alpha = p->alpha, .beta = p->beta, .c = p->c};
  const bool rows_are_few = p->b.transposed && p->m <= p->n;
  if (rows_are_few) {
    s.few = p->m, s.x = p->a.elements, s.ldx = p->a.stride, s.few_step = p->ldc;
    s.many = p->n, s.w = p->b.elements, s.ldw = p->b.stride, s.half = p->b.bfloat16, s.many_step = 1;
  } else {
    s.few = p->n, s.x = p->b.elements, s.ldx = p->b.stride, s.few_step = 1;
    s.many = p->m, s.w = p->a.elements, s.ldw = p->a.stride, s.many_step = p->ldc;
  }
  // Rows of x that begin amid a cache line cost two loads for one; many uses are worth a copy.
  const bool must_copy = !rows_are_few && (p->b.bfloat16 || !p->b.transposed);
  const bool copies = must_copy || (s.many >= WORTH_A_COPY && ((uintptr_t)s.x % 64 != 0 || s.ldx % 16 != 0));
  *bytes = (size_t)(s.few * (s.k + CK_MAXIMUM_LANES) + CK_MAXIMUM_LANES) * sizeof(float);
  *copy = copies ? ck_allocate(*bytes) : NULL;
  if (copies) pack_few(&s, s.x, !rows_are_few && p->b.bfloat16, !p->b.transposed, s.ldx, *copy);
  return s;
}

void ck_multiply_skinny(const ck_product *products, ptrdiff_t count, const struct ck_pair_kernels *pairs) {
  struct dots each[CK_MOST_TOGETHER];
  struct ck_loop loops[CK_MOST_TOGETHER];
  float *copies[CK_MOST_TOGETHER];
  size_t bytes[CK_MOST_TOGETHER];
  for (ptrdiff_t i = 0; i < count; i++) {
    each[i] = prepare(&products[i], pairs, &copies[i], &bytes[i]);
    loops[i] = (struct ck_loop){run_dots, &each[i], each[i].many};
  }
  // What a row of w costs, in multiplications; with few rows of x, reading it from memory is most of that.
  const double row = (double)each->k * (double)(each->few + (each->half ? READING / 2 : READING));
  ck_for_loops(loops, count, (ptrdiff_t)(CK_PRODUCT_GRAIN / row) + 1);
  for (ptrdiff_t i = 0; i < count; i++)
    if (copies[i] != NULL) ck_deallocate(copies[i], bytes[i]);
}

// MARK: A single row, and rows that lie in another order

static void run_stored_rows(const void *context, ptrdiff_t begin, ptrdiff_t end) {
  const ck_product *p = context;
  const ck_encoded *matrix = p->b.encoded;
  const bool half = matrix->encoding == CK_BF16;
  const ck_row row = ck_gemm_kernels()->row[half];
  for (ptrdiff_t stored = begin; stored < end; stored++)
    row(1, p->k, block_depth(p->k), p->a.elements, ck_element(matrix->codes, half, stored * p->k), p->k, p->alpha,
        p->beta, p->c + ck_row_of_stored(matrix, stored), 1);
}

void ck_multiply_stored_row(const ck_product *p) {
  const double row = (double)p->k * (p->b.encoded->encoding == CK_BF16 ? READING / 2 : READING);
  ck_for_ranges(p->n, (ptrdiff_t)(CK_PRODUCT_GRAIN / row) + 1, run_stored_rows, p);
}
