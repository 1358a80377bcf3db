// Matrix products in bfloat16 with float32 sums: pairs of numbers along k stand where float32 would, so that both ways
// of gemm.h multiply them as if k were half as long.
#include "gemm.h"

#include "dispatch.h"

enum {
  LEAST_DEPTH = 64,
  MOST_IN_PLACE = 64,  // rows of C; for so few, a B given as [k, n] is better widened where it lies
  ROUNDING_GRAIN = 32768,
};

bool ck_product_pairs(const ck_product *p) {
  if (!p->b.rounds || !p->b.bfloat16 || p->a.transposed || p->k < LEAST_DEPTH || p->k % 2 != 0) return false;
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
  s->kernels->round(end - begin, s->product->k, (const float *)a->elements + begin * a->stride, a->stride,
                    s->pairs + begin * s->stride, s->stride);
}

void ck_multiply_pairs(const ck_product *products, ptrdiff_t count) {
  const ck_product *p = products;
  const ptrdiff_t k = p->k / 2, stride = (k + CK_MAXIMUM_LANES - 1) / CK_MAXIMUM_LANES * CK_MAXIMUM_LANES;
  const size_t bytes = (size_t)(p->m * stride) * sizeof(uint32_t);
  uint32_t *pairs = ck_allocate(bytes);
  const struct ck_pair_kernels *kernels = ck_pair_kernels();
  const struct rounding rounding = {kernels, p, pairs, stride};
  ck_for_ranges(p->m, ck_row_grain(ROUNDING_GRAIN, p->k), round_rows, &rounding);

  ck_product halves[CK_MOST_TOGETHER];
  for (ptrdiff_t i = 0; i < count; i++) {
    halves[i] = products[i];
    halves[i].k = k;
    halves[i].a = (ck_factor){.elements = pairs, .stride = stride};
    if (p->b.transposed) {
      halves[i].b.stride /= 2;  // pairs as they are stored
      halves[i].b.bfloat16 = false;
    } else {
      halves[i].b.stride *= 2;  // two rows of which packing makes pairs
    }
  }
  if (p->b.transposed && ck_product_is_skinny(halves)) {
    ck_multiply_skinny(halves, count, kernels);
  } else {
    for (ptrdiff_t i = 0; i < count; i++) ck_multiply_blocked(&halves[i], kernels);
  }
  ck_deallocate(pairs, bytes);
}
