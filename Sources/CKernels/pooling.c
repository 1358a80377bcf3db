// Pooling over two axes: the largest element or the mean of each window of a plane.
#include <math.h>
#include <string.h>

#include "CKernels.h"
#include "dispatch.h"
#include "lanes.h"

#ifndef CK_RANGE_BODY
#define CK_RANGE_BODY(name) static CK_CLONES void name(const void *context, ptrdiff_t begin, ptrdiff_t end)
#endif

struct pooling {
  ck_pooling shape;
  ptrdiff_t out_height, out_width;
  const float *x;
  const int32_t *index;
  float *y;
  int32_t *place;
};

static struct pooling make_pooling(const ck_pooling *p) {
  return (struct pooling){.shape = *p,
                          .out_height = ck_convolved_length(p->height, p->window_height, p->stride, p->padding, 1),
                          .out_width = ck_convolved_length(p->width, p->window_width, p->stride, p->padding, 1)};
}

/// The outputs along a row whose element `tap` of the window lies in the input.
struct span {
  ptrdiff_t first, end;
};

CK_INLINE struct span span_of(ptrdiff_t tap, ptrdiff_t length, ptrdiff_t outputs, const ck_pooling *p) {
  const ptrdiff_t shift = tap - p->padding;
  const ptrdiff_t first = shift >= 0 ? 0 : (-shift + p->stride - 1) / p->stride;
  const ptrdiff_t end = length <= shift ? 0 : (length - shift + p->stride - 1) / p->stride;
  return (struct span){ck_smaller(first, outputs), ck_smaller(end, outputs)};
}

/// The range counts planes.
CK_RANGE_BODY(largest_of_planes) {
  const struct pooling *s = context;
  const ck_pooling *p = &s->shape;
  for (ptrdiff_t plane = begin; plane < end; plane++) {
    const float *x = s->x + plane * p->height * p->width;
    for (ptrdiff_t oy = 0; oy < s->out_height; oy++) {
      float *y = s->y + (plane * s->out_height + oy) * s->out_width;
      int32_t *place = s->place + (plane * s->out_height + oy) * s->out_width;
      for (ptrdiff_t ox = 0; ox < s->out_width; ox++) y[ox] = -INFINITY, place[ox] = -1;
      for (ptrdiff_t i = 0; i < p->window_height; i++) {
        const ptrdiff_t iy = oy * p->stride + i - p->padding;
        if (iy < 0 || iy >= p->height) continue;
        for (ptrdiff_t j = 0; j < p->window_width; j++) {
          const struct span span = span_of(j, p->width, s->out_width, p);
          const ptrdiff_t first = iy * p->width + j - p->padding;
          CK_INDEPENDENT
          for (ptrdiff_t ox = span.first; ox < span.end; ox++) {
            const float candidate = x[first + ox * p->stride];
            // The first of equals; NaN wins.
            const bool wins = place[ox] < 0 || candidate > y[ox] || (candidate != candidate && y[ox] == y[ox]);
            y[ox] = wins ? candidate : y[ox];
            place[ox] = wins ? (int32_t)(first + ox * p->stride) : place[ox];
          }
        }
      }
    }
  }
}

void ck_max_pool(const ck_pooling *p, const float *x, float *y, int32_t *place) {
  struct pooling context = make_pooling(p);
  context.x = x;
  context.y = y;
  context.place = place;
  ck_for_ranges(p->planes, ck_row_grain(CK_GRAIN, p->height * p->width), largest_of_planes, &context);
}

/// The range counts planes. x: dy; y: dx.
CK_RANGE_BODY(spread_to_largest) {
  const struct pooling *s = context;
  const ptrdiff_t outputs = s->out_height * s->out_width, inputs = s->shape.height * s->shape.width;
  for (ptrdiff_t plane = begin; plane < end; plane++) {
    float *dx = s->y + plane * inputs;
    memset(dx, 0, (size_t)inputs * sizeof(float));
    for (ptrdiff_t i = plane * outputs; i < (plane + 1) * outputs; i++) dx[s->index[i]] += s->x[i];
  }
}

void ck_max_pool_gradient(const ck_pooling *p, const int32_t *place, const float *dy, float *dx) {
  struct pooling context = make_pooling(p);
  context.x = dy;
  context.index = place;
  context.y = dx;
  ck_for_ranges(p->planes, ck_row_grain(CK_GRAIN, p->height * p->width), spread_to_largest, &context);
}

/// The range counts planes. Padding counts as zeros.
CK_RANGE_BODY(means_of_planes) {
  const struct pooling *s = context;
  const ck_pooling *p = &s->shape;
  const float share = 1.0f / (float)(p->window_height * p->window_width);
  for (ptrdiff_t plane = begin; plane < end; plane++) {
    const float *x = s->x + plane * p->height * p->width;
    for (ptrdiff_t oy = 0; oy < s->out_height; oy++) {
      float *y = s->y + (plane * s->out_height + oy) * s->out_width;
      for (ptrdiff_t ox = 0; ox < s->out_width; ox++) y[ox] = 0;
      for (ptrdiff_t i = 0; i < p->window_height; i++) {
        const ptrdiff_t iy = oy * p->stride + i - p->padding;
        if (iy < 0 || iy >= p->height) continue;
        for (ptrdiff_t j = 0; j < p->window_width; j++) {
          const struct span span = span_of(j, p->width, s->out_width, p);
          const ptrdiff_t first = iy * p->width + j - p->padding;
          CK_INDEPENDENT
          for (ptrdiff_t ox = span.first; ox < span.end; ox++) y[ox] += x[first + ox * p->stride];
        }
      }
      for (ptrdiff_t ox = 0; ox < s->out_width; ox++) y[ox] *= share;
    }
  }
}

void ck_average_pool(const ck_pooling *p, const float *x, float *y) {
  struct pooling context = make_pooling(p);
  context.x = x;
  context.y = y;
  ck_for_ranges(p->planes, ck_row_grain(CK_GRAIN, p->height * p->width), means_of_planes, &context);
}

/// The range counts planes. x: dy; y: dx.
CK_RANGE_BODY(spread_means) {
  const struct pooling *s = context;
  const ck_pooling *p = &s->shape;
  const float share = 1.0f / (float)(p->window_height * p->window_width);
  for (ptrdiff_t plane = begin; plane < end; plane++) {
    float *dx = s->y + plane * p->height * p->width;
    memset(dx, 0, (size_t)(p->height * p->width) * sizeof(float));
    for (ptrdiff_t oy = 0; oy < s->out_height; oy++) {
      const float *dy = s->x + (plane * s->out_height + oy) * s->out_width;
      for (ptrdiff_t i = 0; i < p->window_height; i++) {
        const ptrdiff_t iy = oy * p->stride + i - p->padding;
        if (iy < 0 || iy >= p->height) continue;
        for (ptrdiff_t j = 0; j < p->window_width; j++) {
          const struct span span = span_of(j, p->width, s->out_width, p);
          const ptrdiff_t first = iy * p->width + j - p->padding;
          CK_INDEPENDENT
          for (ptrdiff_t ox = span.first; ox < span.end; ox++) dx[first + ox * p->stride] += dy[ox] * share;
        }
      }
    }
  }
}

void ck_average_pool_gradient(const ck_pooling *p, const float *dy, float *dx) {
  struct pooling context = make_pooling(p);
  context.x = dy;
  context.y = dx;
  ck_for_ranges(p->planes, ck_row_grain(CK_GRAIN, p->height * p->width), spread_means, &context);
}
