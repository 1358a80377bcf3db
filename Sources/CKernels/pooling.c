// Pooling over two axes: the largest element or the mean of each window of a plane.
#include <math.h>
#include <string.h>

#include "CKernels.h"
#include "dispatch.h"
#include "lanes.h"

struct pooling {
  ck_pooling shape;
  ptrdiff_t out_height, out_width;
  float *x, *y;  // or their gradients; each pass writes one of them
  int32_t *places;
};

static void run(const ck_pooling *p, ck_range_body body, const float *x, const float *y, const int32_t *places) {
  const struct pooling context = {*p,
                                  ck_convolved_length(p->height, p->window_height, p->stride, p->padding, 1),
                                  ck_convolved_length(p->width, p->window_width, p->stride, p->padding, 1),
                                  (float *)x,
                                  (float *)y,
                                  (int32_t *)places};
  ck_for_ranges(p->planes, ck_row_grain(CK_GRAIN, p->height * p->width), body, &context);
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

/// Each of `count` outputs that a candidate beats takes it and its place: the first of equals; NaN wins. By parts of a
/// register: rows of outputs are short, and one by one they would cost more than all else.
CK_INLINE void take_larger(const float *x, ptrdiff_t stride, int32_t at, ptrdiff_t count, float *y, int32_t *place) {
  for (; count > 0; count -= CK_LANES, x += CK_LANES * stride, at += (int32_t)(CK_LANES * stride)) {
    CK_INDEPENDENT
    for (int lane = 0; lane < CK_LANES; lane++)
      if (lane < count) {
        const float candidate = x[lane * stride], best = y[lane];
        const bool wins = (candidate > best) | (place[lane] < 0) | ((candidate != candidate) & (best == best));
        y[lane] = wins ? candidate : best;
        place[lane] = wins ? at + (int32_t)(lane * stride) : place[lane];
      }
    y += CK_LANES;
    place += CK_LANES;
  }
}

enum pass { LARGEST, MEAN, SPREAD };

/// What every pass does at each element of each window of one plane. `inputs` and `outputs` are the plane's x and y, or
/// dx and dy.
CK_INLINE void walk_plane(const struct pooling *s, enum pass pass, float *inputs, float *outputs, int32_t *places) {
  const ck_pooling *p = &s->shape;
  const float share = 1.0f / (float)(p->window_height * p->window_width);
  for (ptrdiff_t oy = 0; oy < s->out_height;
       oy++, outputs += s->out_width, places += pass == LARGEST ? s->out_width : 0) {
    for (ptrdiff_t ox = 0; ox < s->out_width; ox++) {
      if (pass == LARGEST) places[ox] = -1;
      if (pass != SPREAD) outputs[ox] = pass == LARGEST ? -INFINITY : 0;
    }
    for (ptrdiff_t i = 0; i < p->window_height; i++) {
      const ptrdiff_t iy = oy * p->stride + i - p->padding;
      if (iy < 0 || iy >= p->height) continue;
      for (ptrdiff_t j = 0; j < p->window_width; j++) {
        const struct span span = span_of(j, p->width, s->out_width, p);
        const ptrdiff_t at = iy * p->width + j - p->padding + span.first * p->stride, count = span.end - span.first;
        float *x = inputs + at, *y = outputs + span.first;
        switch (pass) {
          case LARGEST:
            // Strides that compilers have good loads for.
            if (p->stride == 1) {
              take_larger(x, 1, (int32_t)at, count, y, places + span.first);
            } else if (p->stride == 2) {
              take_larger(x, 2, (int32_t)at, count, y, places + span.first);
            } else {
              take_larger(x, p->stride, (int32_t)at, count, y, places + span.first);
            }
            break;
          case MEAN:
            CK_INDEPENDENT
            for (ptrdiff_t ox = 0; ox < count; ox++) y[ox] += x[ox * p->stride];
            break;
          case SPREAD:
            CK_INDEPENDENT
            for (ptrdiff_t ox = 0; ox < count; ox++) x[ox * p->stride] += y[ox] * share;
            break;
        }
      }
    }
    if (pass == MEAN)
      for (ptrdiff_t ox = 0; ox < s->out_width; ox++) outputs[ox] *= share;
  }
}

// The ranges count planes.

CK_RANGE_BODY(largest_of_planes) {
  const struct pooling *s = context;
  const ptrdiff_t inputs = s->shape.height * s->shape.width, outputs = s->out_height * s->out_width;
  for (ptrdiff_t plane = begin; plane < end; plane++)
    walk_plane(s, LARGEST, s->x + plane * inputs, s->y + plane * outputs, s->places + plane * outputs);
}

void ck_max_pool(const ck_pooling *p, const float *x, float *y, int32_t *place) {
  run(p, largest_of_planes, x, y, place);
}

CK_RANGE_BODY(spread_to_largest) {
  const struct pooling *s = context;
  const ptrdiff_t inputs = s->shape.height * s->shape.width, outputs = s->out_height * s->out_width;
  for (ptrdiff_t plane = begin; plane < end; plane++) {
    float *dx = s->x + plane * inputs;
    memset(dx, 0, (size_t)inputs * sizeof(float));
    for (ptrdiff_t i = plane * outputs; i < (plane + 1) * outputs; i++) dx[s->places[i]] += s->y[i];
  }
}

void ck_max_pool_gradient(const ck_pooling *p, const int32_t *place, const float *dy, float *dx) {
  run(p, spread_to_largest, dx, dy, place);
}

CK_RANGE_BODY(means_of_planes) {
  const struct pooling *s = context;
  const ptrdiff_t inputs = s->shape.height * s->shape.width, outputs = s->out_height * s->out_width;
  for (ptrdiff_t plane = begin; plane < end; plane++)
    walk_plane(s, MEAN, s->x + plane * inputs, s->y + plane * outputs, NULL);
}

void ck_average_pool(const ck_pooling *p, const float *x, float *y) { run(p, means_of_planes, x, y, NULL); }

CK_RANGE_BODY(spread_means) {
  const struct pooling *s = context;
  const ptrdiff_t inputs = s->shape.height * s->shape.width, outputs = s->out_height * s->out_width;
  for (ptrdiff_t plane = begin; plane < end; plane++) {
    memset(s->x + plane * inputs, 0, (size_t)inputs * sizeof(float));
    walk_plane(s, SPREAD, s->x + plane * inputs, s->y + plane * outputs, NULL);
  }
}

void ck_average_pool_gradient(const ck_pooling *p, const float *dy, float *dx) { run(p, spread_means, dx, dy, NULL); }
