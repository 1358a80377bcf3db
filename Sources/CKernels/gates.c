// Activations, alone and times a gate, with what their gradients need kept in bfloat16: each by blocks that stay in the
// first-level cache, so that memory is gone through once.
#include "CKernels.h"
#include "dispatch.h"

enum { BLOCK = 1024 };

struct gate {
  ck_unary_op op;
  const void *x, *other;
  bool half;  // x and other are bfloat16
  const float *dy;
  float *y, *dx, *dother;
  uint16_t *kept_x, *kept_other;
};

CK_KERNEL(multiply, (const float *a, const float *b, float *out, ptrdiff_t count), (a, b, out, count)) {
  CK_INDEPENDENT
  for (ptrdiff_t i = 0; i < count; i++) out[i] = a[i] * b[i];
}

static void apply(const void *context, ptrdiff_t begin, ptrdiff_t end) {
  const struct gate *g = context;
  for (ptrdiff_t i = begin; i < end; i += BLOCK) {
    const ptrdiff_t count = ck_smaller(BLOCK, end - i);
    const float *x = (const float *)g->x + i, *other = g->other == NULL ? NULL : (const float *)g->other + i;
    ck_unary(g->op, x, g->y + i, (size_t)count);
    if (other != NULL) multiply(g->y + i, other, g->y + i, count);
    if (g->kept_x != NULL) ck_f32_to_bf16(x, g->kept_x + i, (size_t)count);
    if (g->kept_other != NULL) ck_f32_to_bf16(other, g->kept_other + i, (size_t)count);
  }
}

/// The block from element i on, as float32, perhaps in `room`.
static const float *block(const struct gate *g, const void *elements, ptrdiff_t i, ptrdiff_t count, float *room) {
  if (!g->half) return (const float *)elements + i;
  ck_bf16_to_f32((const uint16_t *)elements + i, room, (size_t)count);
  return room;
}

static void differentiate(const void *context, ptrdiff_t begin, ptrdiff_t end) {
  const struct gate *g = context;
  float x_room[BLOCK], other_room[BLOCK], value[BLOCK];
  for (ptrdiff_t i = begin; i < end; i += BLOCK) {
    const ptrdiff_t count = ck_smaller(BLOCK, end - i);
    const float *x = block(g, g->x, i, count, x_room), *dy = g->dy + i;
    if (g->dother != NULL) {
      ck_unary(g->op, x, value, (size_t)count);
      multiply(value, dy, g->dother + i, count);
    }
    if (g->dx == NULL) continue;
    if (g->other != NULL) {
      multiply(block(g, g->other, i, count, other_room), dy, value, count);
      dy = value;
    }
    ck_unary_gradient(g->op, x, dy, g->dx + i, (size_t)count);
  }
}

void ck_gate(ck_unary_op op, const float *x, const float *other, float *y, uint16_t *kept_x, uint16_t *kept_other,
             size_t count) {
  const struct gate g = {.op = op, .x = x, .other = other, .y = y, .kept_x = kept_x, .kept_other = kept_other};
  ck_for_ranges((ptrdiff_t)count, CK_GRAIN, apply, &g);
}

void ck_gate_gradient(ck_unary_op op, bool half, const void *x, const void *other, const float *dy, float *dx,
                      float *dother, size_t count) {
  const struct gate g = {.op = op, .x = x, .other = other, .half = half, .dy = dy, .dx = dx, .dother = dother};
  ck_for_ranges((ptrdiff_t)count, CK_GRAIN, differentiate, &g);
}
