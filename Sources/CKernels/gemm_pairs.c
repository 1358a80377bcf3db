// Matrix products in bfloat16 with float32 sums: pairs of numbers along k stand where float32 would, so that both ways
// of gemm.h multiply them as if k were half as long.
#include "gemm.h"

#include "dispatch.h"

enum {
  LEAST_DEPTH = 64,
  FEW = 15,                    // rows or columns for which rounding floats is not worth while
  LEAST_DEPTH_OF_FLOATS = 16,  // as of an attention head
  MOST_IN_PLACE = 64,          // rows of C; for so few, a B given as [k, n] is better widened where it lies
  ROUNDING_GRAIN = 32768,
};

bool ck_product_pairs(const ck_product *p) {
  if (!p->b.rounds || p->k % 2 != 0) return false;
  if (!p->b.bfloat16) return p->m > FEW && p->n > FEW && p->k >= LEAST_DEPTH_OF_FLOATS;
  if (p->a.transposed || p->k < LEAST_DEPTH) return false;
  if (p->b.transposed) return p->b.stride % 2 == 0 && (uintptr_t)p->b.elements % sizeof(uint32_t) == 0;
  return p->m > MOST_IN_PLACE;
}

struct rounding {
  const struct ck_pair_kernels *kernels;
  const ck_product *product;
  uint32_t *pairs;
  ptrdiff_t stride;
};

static void round_rows(const void *context, ptrdiff_t begin, ptrdiff_t end) {
  const struct rounding *s = context;
  const ck_factor *a = &s->product->a;
  s->kernels->round(end - begin, 2 * s->product->k, (const float *)a->elements + begin * a->stride, a->stride,
                    s->pairs + begin * s->stride, s->stride);
}

/// Where tiles cost so little that they win as soon as one has all of its rows.
static bool fills_a_tile(const ck_product *p) {
  const ptrdiff_t unit = ck_pair_tiles()->unit;
  return unit > 1 && ck_smaller(p->m, p->n) >= unit;
}

/// As dot products, of a's rows as pairs, which all have, and b's as they are stored.
static void multiply_skinny(const ck_product *halves, ptrdiff_t count, const struct ck_pair_kernels *kernels) {
  const ptrdiff_t k = halves->k, stride = (k + CK_MAXIMUM_LANES - 1) / CK_MAXIMUM_LANES * CK_MAXIMUM_LANES;
  const size_t bytes = (size_t)(halves->m * stride) * sizeof(uint32_t);
  uint32_t *pairs = ck_allocate(bytes);
  const struct rounding rounding = {kernels, halves, pairs, stride};
  ck_for_ranges(halves->m, ck_row_grain(ROUNDING_GRAIN, 2 * k), round_rows, &rounding);
  ck_product rounded[CK_MOST_TOGETHER];
  for (ptrdiff_t i = 0; i < count; i++) {
    rounded[i] = halves[i];
    rounded[i].a = (ck_factor){.elements = pairs, .stride = stride};
    rounded[i].b.stride /= 2;
    rounded[i].b.bfloat16 = false;
  }
  ck_multiply_skinny(rounded, count, kernels);
  ck_deallocate(pairs, bytes);
}

void ck_multiply_pairs(const ck_product *products, ptrdiff_t count) {
  ck_product halves[CK_MOST_TOGETHER];
  bool are_skinny = true;
  for (ptrdiff_t i = 0; i < count; i++) {
    halves[i] = products[i];
    halves[i].k /= 2;
    are_skinny = are_skinny && halves[i].b.bfloat16 && halves[i].b.transposed && ck_product_is_skinny(&halves[i]) &&
                 !fills_a_tile(&halves[i]);
  }
  if (are_skinny) {
    multiply_skinny(halves, count, ck_pair_kernels());
  } else {
    for (ptrdiff_t i = 0; i < count; i++) ck_multiply_blocked(&halves[i], ck_pair_kernels());
  }
}
