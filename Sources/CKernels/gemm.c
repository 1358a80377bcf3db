// Matrix products: which way suits the shape, and batches of them.
#include "gemm.h"

#include "dispatch.h"

/// C = beta · C
static void scale(const ck_product *p) {
  for (ptrdiff_t i = 0; i < p->m; i++)
    for (ptrdiff_t j = 0; j < p->n; j++) p->c[i * p->ldc + j] = p->beta == 0 ? 0 : p->beta * p->c[i * p->ldc + j];
}

/// A transposed A and a C of few columns, the gradient of a LoRA factor: computed as the transpose of C, whose rows are
/// long.
static bool is_narrow(const ck_product *p) {
  return p->a.transposed && !p->b.bfloat16 && 2 * p->n <= ck_gemm_kernels()->lanes && p->m > ck_gemm_kernels()->lanes;
}

static void multiply_narrow(const ck_product *p) {
  const size_t bytes = (size_t)(p->n * p->m) * sizeof(float);
  float *turned = ck_allocate(bytes);
  ck_product other = {
      .m = p->n, .n = p->m, .k = p->k, .alpha = p->alpha, .a = p->b, .b = p->a, .c = turned, .ldc = p->m};
  other.a.transposed = !p->b.transposed;
  other.b.transposed = false;
  ck_multiply_blocked(&other, NULL);
  for (ptrdiff_t i = 0; i < p->m; i++) {
    float *c = p->c + i * p->ldc;
    for (ptrdiff_t j = 0; j < p->n; j++) c[j] = turned[j * p->m + i] + (p->beta == 0 ? 0 : p->beta * c[j]);
  }
  ck_deallocate(turned, bytes);
}

void ck_multiply(const ck_product *p) {
  if (p->m <= 0 || p->n <= 0) return;
  if (p->k <= 0 || p->alpha == 0) {
    scale(p);
  } else if (ck_product_is_of_bytes(p)) {
    ck_multiply_bytes(p, 1);
  } else if (p->b.encoded != NULL) {
    ck_multiply_encoded(p);
  } else if (is_narrow(p)) {
    multiply_narrow(p);
  } else if (ck_product_pairs(p)) {
    ck_multiply_pairs(p, 1);
  } else if (ck_product_is_skinny(p)) {
    ck_multiply_skinny(p, 1, NULL);
  } else {
    ck_multiply_blocked(p, NULL);
  }
}

static bool is_few_rows(const ck_product *p) {
  return p->b.encoded == NULL && p->b.transposed && p->m <= p->n && ck_product_is_skinny(p);
}

void ck_multiply_together(const ck_product *products, ptrdiff_t count) {
  bool bytes = true, pairs = true, skinny = true, other = count > CK_MOST_TOGETHER;
  for (ptrdiff_t i = 0; i < count; i++) {
    const ck_product *p = &products[i];
    const bool rounds = ck_product_pairs(p);
    other = other || p->m <= 0 || p->n <= 0 || p->k <= 0 || p->alpha == 0;
    bytes = bytes && ck_product_is_of_bytes(p);
    pairs = pairs && rounds && is_few_rows(p);
    skinny = skinny && !rounds && is_few_rows(p);
  }
  if (!other && bytes) {
    ck_multiply_bytes(products, count);
  } else if (!other && pairs) {
    ck_multiply_pairs(products, count);
  } else if (!other && skinny) {
    ck_multiply_skinny(products, count, NULL);
  } else {
    for (ptrdiff_t i = 0; i < count; i++) ck_multiply(&products[i]);
  }
}

struct batch {
  ck_product first;
  ptrdiff_t step_a, step_b, step_c;
};

static void multiply_range(const void *context, ptrdiff_t begin, ptrdiff_t end) {
  const struct batch *batch = context;
  for (ptrdiff_t i = begin; i < end; i++) {
    ck_product product = batch->first;
    product.a.elements = (const float *)product.a.elements + i * batch->step_a;
    product.b.elements = (const float *)product.b.elements + i * batch->step_b;
    product.c += i * batch->step_c;
    ck_multiply(&product);
  }
}

void ck_multiply_batch(const ck_product *first, ptrdiff_t count, ptrdiff_t step_a, ptrdiff_t step_b, ptrdiff_t step_c) {
  struct batch batch = {*first, step_a, step_b, step_c};
  const ptrdiff_t m = first->m;
  if (count > 1 && step_b == 0 && !first->a.transposed && step_a == m * first->a.stride && step_c == m * first->ldc) {
    batch.first.m *= count;  // one B, and rows that follow each other: one product
    count = 1;
  }
  // Large products share their own work among threads, small ones are shared out.
  const double work = (double)m * (double)first->n * (double)first->k;
  if (count >= ck_thread_count() || work < CK_PRODUCT_GRAIN) {
    ptrdiff_t grain = work > CK_PRODUCT_GRAIN ? 1 : (ptrdiff_t)(CK_PRODUCT_GRAIN / (work + 1));
    ck_for_ranges(count, ck_larger(grain, 1), multiply_range, &batch);
  } else {
    multiply_range(&batch, 0, count);
  }
}
