// Convolution over two axes as products of shifted planes.
//
// The input is copied into planes with zeros around them, one for each phase of the stride, so that a tap of the kernel
// finds what it needs for the whole batch in one run: the element at place p of the output's grid is multiplied by
// elements at offset[tap] + p, whatever stride, padding and dilation. No matrix of patches is formed, and each pass is
// one of two loops:
//   output         y[o][p]  = Σ_t w[o][t] · x[offset[t] + p]
//   input gradient          the same, of planes of dy, with a kernel for each phase
//   weight gradient dw[o][t] = Σ_p dy[o][p] · x[offset[t] + p]
// Places of the grid that are no output, between rows and between images, are computed and dropped. Rows share the
// zeros between them, and so do images. Every element is summed in one order, whatever the threads do.
#include <string.h>

#include "CKernels.h"
#include "dispatch.h"
#include "lanes.h"

enum {
  TILE = 4,                  // output channels that are computed together
  BLOCK = 1024,              // places that are: their planes stay in the caches
  TAP_BLOCK = 16,            // taps whose weight gradients are summed together
  MOST_ELEMENTS = 16 << 20,  // of planes at a time; of larger batches some images at a time
  GRAIN = 200000             // multiplications that are a part's least
};

ptrdiff_t ck_convolved_length(ptrdiff_t length, ptrdiff_t kernel, ptrdiff_t stride, ptrdiff_t padding,
                              ptrdiff_t dilation) {
  const ptrdiff_t room = length + 2 * padding - dilation * (kernel - 1) - 1;
  return room < 0 ? 0 : room / stride + 1;
}

/// Whether eight sums of CK_LANES elements stay in registers; else four do.
static bool has_many_registers(void) { return ck_instruction_set_index() == CK_AVX512; }

// MARK: Along one axis

/// Where a kernel's taps lie along an axis: tap i begins at element i · dilation of the padded input, which is element
/// `offset` of the phase with this residue modulo the stride.
struct taps {
  ptrdiff_t kernel, phases, largest_offset;
  ptrdiff_t *phase, *offset;  // by tap
  ptrdiff_t *residue;         // by phase
};

static size_t taps_bytes(ptrdiff_t kernel) { return 3 * (size_t)kernel * sizeof(ptrdiff_t); }

static struct taps make_taps(ptrdiff_t kernel, ptrdiff_t stride, ptrdiff_t dilation) {
  ptrdiff_t *memory = ck_allocate(taps_bytes(kernel));
  struct taps taps = {kernel, 0, (kernel - 1) * dilation / stride, memory, memory + kernel, memory + 2 * kernel};
  for (ptrdiff_t i = 0; i < kernel; i++) {
    const ptrdiff_t residue = i * dilation % stride;
    ptrdiff_t phase = 0;
    while (phase < taps.phases && taps.residue[phase] != residue) phase++;
    if (phase == taps.phases) taps.residue[taps.phases++] = residue;
    taps.phase[i] = phase;
    taps.offset[i] = i * dilation / stride;
  }
  return taps;
}

static void free_taps(struct taps taps) { ck_deallocate(taps.phase, taps_bytes(taps.kernel)); }

static ptrdiff_t rounded_up(ptrdiff_t x, ptrdiff_t step) { return (x + step - 1) / step * step; }
static ptrdiff_t quotient_up(ptrdiff_t x, ptrdiff_t step) { return x <= 0 ? 0 : (x + step - 1) / step; }

// MARK: Planes

/// Copies of channels with zeros around them: of each channel a run for each phase, of each run a plane for each image.
struct planes {
  float *elements;
  size_t bytes;
  ptrdiff_t images, height, width;  // of one plane
  ptrdiff_t run;                    // elements from one run to the next, zeros at its end included
  // Where they come from: the plane's element (y, x) is the source's (y · stride + residue − shift, likewise).
  const float *source;
  ptrdiff_t channels, source_height, source_width, stride, shift_y, shift_x;
  const struct taps *vertical, *horizontal;  // for their phases; NULL: one phase
};

static ptrdiff_t phases_of(const struct planes *planes) {
  return planes->vertical ? planes->vertical->phases * planes->horizontal->phases : 1;
}

/// The range counts images within channels.
CK_RANGE_BODY(fill_planes) {
  const struct planes *s = context;
  const ptrdiff_t columns = s->horizontal ? s->horizontal->phases : 1, phases = phases_of(s);
  for (ptrdiff_t item = begin; item < end; item++) {
    const ptrdiff_t channel = item / s->images, image = item % s->images;
    const float *source = s->source + (image * s->channels + channel) * s->source_height * s->source_width;
    for (ptrdiff_t phase = 0; phase < phases; phase++) {
      const ptrdiff_t down = (s->vertical ? s->vertical->residue[phase / columns] : 0) - s->shift_y;
      const ptrdiff_t across = (s->horizontal ? s->horizontal->residue[phase % columns] : 0) - s->shift_x;
      const ptrdiff_t first = ck_smaller(quotient_up(-across, s->stride), s->width);
      const ptrdiff_t last = ck_smaller(quotient_up(s->source_width - across, s->stride), s->width);
      float *run = s->elements + (channel * phases + phase) * s->run;
      for (ptrdiff_t y = 0; y < s->height; y++) {
        float *row = run + (image * s->height + y) * s->width;
        const ptrdiff_t from = y * s->stride + down;
        if (from < 0 || from >= s->source_height || first >= last) {
          for (ptrdiff_t x = 0; x < s->width; x++) row[x] = 0;
          continue;
        }
        const float *start = source + from * s->source_width + across;
        for (ptrdiff_t x = 0; x < first; x++) row[x] = 0;
        if (s->stride == 1) {
          CK_INDEPENDENT
          for (ptrdiff_t x = first; x < last; x++) row[x] = start[x];
        } else {
          CK_INDEPENDENT
          for (ptrdiff_t x = first; x < last; x++) row[x] = start[x * s->stride];
        }
        for (ptrdiff_t x = last; x < s->width; x++) row[x] = 0;
      }
      if (image == s->images - 1)
        memset(run + s->images * s->height * s->width, 0,
               (size_t)(s->run - s->images * s->height * s->width) * sizeof(float));
    }
  }
}

/// `reach`: the largest offset at which a run is read.
static void make_planes(struct planes *planes, ptrdiff_t reach) {
  const ptrdiff_t size = planes->height * planes->width, runs = planes->channels * phases_of(planes);
  planes->run = rounded_up(planes->images * size + reach + 1, CK_LANES);
  const ptrdiff_t count = runs * planes->run, slack = reach + 4 * CK_LANES;
  planes->bytes = (size_t)(count + slack) * sizeof(float);
  planes->elements = ck_allocate(planes->bytes);
  memset(planes->elements + count, 0, (size_t)slack * sizeof(float));
  ck_for_ranges(planes->channels * planes->images, ck_row_grain(CK_GRAIN, size), fill_planes, planes);
}

static void free_planes(struct planes planes) { ck_deallocate(planes.elements, planes.bytes); }

/// How many images are worked on at a time.
static ptrdiff_t images_at_once(const ck_convolution *c, ptrdiff_t channels, ptrdiff_t places) {
  return ck_smaller(c->batch, ck_larger(1, MOST_ELEMENTS / ck_larger(1, channels * places)));
}

// MARK: Sums over taps

/// What of the grid's axis is output, and where it goes: place first + i to element (first + i) · step + origin.
struct kept {
  ptrdiff_t first, end, step, origin;
};

struct shifted_product {
  const float *planes;
  ptrdiff_t group_step;  // elements between the planes of two groups
  const ptrdiff_t *offsets;
  ptrdiff_t depth;       // taps in all
  const float *weights;  // [groups, tiles, depth, TILE]
  const float *bias;     // or NULL
  bool many_registers;
  ptrdiff_t rows, tiles, places, blocks, height, width;
  struct kept vertical, horizontal;
  float *out;  // of the first image
  ptrdiff_t channels, out_height, out_width;
};

/// out[r][p] of one block, for `rows` channels and CK_LANES · `vectors` places at a time.
CK_INLINE void sum_block(const struct shifted_product *s, const float *planes, const float *weights, ptrdiff_t count,
                         int rows, int vectors, float *out) {
  for (ptrdiff_t p = 0; p < count; p += vectors * CK_LANES) {
    ck_lanes sums[TILE][2];
#pragma unroll
    for (int r = 0; r < rows; r++)
#pragma unroll
      for (int v = 0; v < vectors; v++) sums[r][v] = 0;
    for (ptrdiff_t t = 0; t < s->depth; t++) {
      const float *x = planes + s->offsets[t] + p, *w = weights + t * TILE;
#pragma unroll
      for (int v = 0; v < vectors; v++) {
        const ck_lanes elements = CK_LOAD_LANES(x + v * CK_LANES);
#pragma unroll
        for (int r = 0; r < rows; r++) sums[r][v] += w[r] * elements;
      }
    }
#pragma unroll
    for (int r = 0; r < rows; r++)
#pragma unroll
      for (int v = 0; v < vectors; v++) memcpy(out + r * BLOCK + p + v * CK_LANES, &sums[r][v], sizeof(ck_lanes));
  }
}

/// Writes what of a block is output.
CK_INLINE void keep_block(const struct shifted_product *s, const float *sums, ptrdiff_t begin, ptrdiff_t count,
                          ptrdiff_t first_channel, int rows) {
  const struct kept down = s->vertical, across = s->horizontal;
  const ptrdiff_t size = s->height * s->width;
  for (ptrdiff_t p = begin; p < begin + count;) {
    const ptrdiff_t image = p / size, y = p % size / s->width, x = p % s->width;
    const ptrdiff_t length = ck_smaller(s->width - x, begin + count - p);
    const ptrdiff_t from = ck_larger(x, across.first), to = ck_smaller(x + length, across.end);
    if (y >= down.first && y < down.end) {
      for (int r = 0; r < rows; r++) {
        const float offset = s->bias ? s->bias[first_channel + r] : 0;
        const float *row = sums + r * BLOCK + (p - begin) - x;
        float *out =
            s->out + across.origin +
            ((image * s->channels + first_channel + r) * s->out_height + y * down.step + down.origin) * s->out_width;
        if (across.step == 1) {
          CK_INDEPENDENT
          for (ptrdiff_t i = from; i < to; i++) out[i] = row[i] + offset;
        } else {
          CK_INDEPENDENT
          for (ptrdiff_t i = from; i < to; i++) out[i * across.step] = row[i] + offset;
        }
      }
    }
    p += length;
  }
}

/// The range counts tiles within blocks within groups.
CK_RANGE_BODY(multiply_items) {
  const struct shifted_product *s = context;
  _Alignas(64) float sums[TILE * BLOCK];
  for (ptrdiff_t item = begin; item < end; item++) {
    const ptrdiff_t tile = item % s->tiles, block = item / s->tiles % s->blocks, group = item / s->tiles / s->blocks;
    const ptrdiff_t first = block * BLOCK, count = ck_smaller(BLOCK, s->places - first);
    const float *planes = s->planes + group * s->group_step + first;
    const float *weights = s->weights + (group * s->tiles + tile) * s->depth * TILE;
    const int rows = (int)ck_smaller(TILE, s->rows - tile * TILE);
    // A last tile's missing rows have weights of zero.
    if (rows == 1) {
      sum_block(s, planes, weights, count, 1, 2, sums);
    } else if (s->many_registers) {
      sum_block(s, planes, weights, count, TILE, 2, sums);
    } else {
      sum_block(s, planes, weights, count, TILE, 1, sums);
    }
    keep_block(s, sums, first, count, group * s->rows + tile * TILE, rows);
  }
}

static void multiply_shifted(struct shifted_product product, ptrdiff_t groups) {
  const double work = (double)BLOCK * TILE * (double)(product.depth + 1);
  product.many_registers = has_many_registers();
  ck_for_ranges(groups * product.blocks * product.tiles, ck_larger(1, (ptrdiff_t)(GRAIN / work)), multiply_items,
                &product);
}

/// Weights in the order in which tiles read them: row r's for tap t is source[r · row_step + columns[t]].
static float *packed_weights(const float *source, ptrdiff_t groups, ptrdiff_t group_step, ptrdiff_t rows,
                             ptrdiff_t row_step, const ptrdiff_t *columns, ptrdiff_t depth, size_t *bytes) {
  const ptrdiff_t tiles = (rows + TILE - 1) / TILE;
  *bytes = (size_t)(groups * tiles * depth * TILE + 1) * sizeof(float);
  float *packed = ck_allocate(*bytes), *next = packed;
  for (ptrdiff_t group = 0; group < groups; group++)
    for (ptrdiff_t tile = 0; tile < tiles; tile++)
      for (ptrdiff_t t = 0; t < depth; t++)
        for (ptrdiff_t r = tile * TILE; r < (tile + 1) * TILE; r++)
          *next++ = r < rows ? source[group * group_step + r * row_step + columns[t]] : 0;
  return packed;
}

// MARK: The interface

/// A convolution with what follows from it.
struct geometry {
  ptrdiff_t out_height, out_width;
  ptrdiff_t group_inputs, group_outputs, taps, depth;  // channels of a group; taps of a channel, of an output
  struct taps vertical, horizontal;
};

static struct geometry make_geometry(const ck_convolution *c) {
  struct geometry g = {
      .out_height = ck_convolved_length(c->in_height, c->kernel_height, c->stride, c->padding, c->dilation),
      .out_width = ck_convolved_length(c->in_width, c->kernel_width, c->stride, c->padding, c->dilation),
      .group_inputs = c->in_channels / c->groups,
      .group_outputs = c->out_channels / c->groups,
      .taps = c->kernel_height * c->kernel_width,
      .vertical = make_taps(c->kernel_height, c->stride, c->dilation),
      .horizontal = make_taps(c->kernel_width, c->stride, c->dilation)};
  g.depth = g.group_inputs * g.taps;
  return g;
}

static void free_geometry(struct geometry g) {
  free_taps(g.vertical);
  free_taps(g.horizontal);
}

/// The planes of the input's images from `image` on, and each tap's offset in those of a group.
static struct planes input_planes(const ck_convolution *c, const struct geometry *g, const float *x, ptrdiff_t image,
                                  ptrdiff_t images, ptrdiff_t *offsets) {
  struct planes planes = {.images = images,
                          .height = ck_larger(quotient_up(c->in_height + c->padding, c->stride), g->out_height),
                          .width = ck_larger(quotient_up(c->in_width + c->padding, c->stride), g->out_width),
                          .source = x + image * c->in_channels * c->in_height * c->in_width,
                          .channels = c->in_channels,
                          .source_height = c->in_height,
                          .source_width = c->in_width,
                          .stride = c->stride,
                          .shift_y = c->padding,
                          .shift_x = c->padding,
                          .vertical = &g->vertical,
                          .horizontal = &g->horizontal};
  make_planes(&planes, g->vertical.largest_offset * planes.width + g->horizontal.largest_offset);
  ptrdiff_t *next = offsets;
  for (ptrdiff_t channel = 0; channel < g->group_inputs; channel++)
    for (ptrdiff_t i = 0; i < c->kernel_height; i++)
      for (ptrdiff_t j = 0; j < c->kernel_width; j++) {
        const ptrdiff_t phase = g->vertical.phase[i] * g->horizontal.phases + g->horizontal.phase[j];
        *next++ = (channel * phases_of(&planes) + phase) * planes.run + g->vertical.offset[i] * planes.width +
                  g->horizontal.offset[j];
      }
  return planes;
}

static ptrdiff_t input_elements(const ck_convolution *c, const struct geometry *g) {
  return g->vertical.phases * g->horizontal.phases * ((c->in_height + c->padding) / c->stride + 1) *
         ((c->in_width + c->padding) / c->stride + 1);
}

void ck_convolve(const ck_convolution *c, const float *x, const float *weight, const float *bias, float *y) {
  const struct geometry g = make_geometry(c);
  size_t packed_bytes;
  const size_t table_bytes = 2 * (size_t)(g.depth + 1) * sizeof(ptrdiff_t);
  ptrdiff_t *offsets = ck_allocate(table_bytes), *columns = offsets + g.depth;
  for (ptrdiff_t t = 0; t < g.depth; t++) columns[t] = t;
  float *packed = packed_weights(weight, c->groups, g.group_outputs * g.depth, g.group_outputs, g.depth, columns,
                                 g.depth, &packed_bytes);
  const ptrdiff_t step = images_at_once(c, c->in_channels, input_elements(c, &g));
  for (ptrdiff_t image = 0; image < c->batch; image += step) {
    const struct planes planes = input_planes(c, &g, x, image, ck_smaller(step, c->batch - image), offsets);
    const ptrdiff_t places = planes.images * planes.height * planes.width;
    const struct shifted_product product = {.planes = planes.elements,
                                            .group_step = g.group_inputs * phases_of(&planes) * planes.run,
                                            .offsets = offsets,
                                            .depth = g.depth,
                                            .weights = packed,
                                            .bias = bias,
                                            .rows = g.group_outputs,
                                            .tiles = quotient_up(g.group_outputs, TILE),
                                            .places = places,
                                            .blocks = quotient_up(places, BLOCK),
                                            .height = planes.height,
                                            .width = planes.width,
                                            .vertical = {0, g.out_height, 1, 0},
                                            .horizontal = {0, g.out_width, 1, 0},
                                            .out = y + image * c->out_channels * g.out_height * g.out_width,
                                            .channels = c->out_channels,
                                            .out_height = g.out_height,
                                            .out_width = g.out_width};
    multiply_shifted(product, c->groups);
    free_planes(planes);
  }
  ck_deallocate(packed, packed_bytes);
  ck_deallocate(offsets, table_bytes);
  free_geometry(g);
}

/// Of the input's places along an axis, those of a phase: element e of the input is place (e + padding − residue) /
/// stride, counted from padding / stride.
static struct kept phase_of_input(ptrdiff_t length, ptrdiff_t stride, ptrdiff_t padding, ptrdiff_t residue) {
  const ptrdiff_t origin = padding / stride * stride + residue - padding;
  return (struct kept){quotient_up(-origin, stride), quotient_up(length - origin, stride), stride, origin};
}

void ck_convolve_input_gradient(const ck_convolution *c, const float *weight, const float *dy, float *dx) {
  const struct geometry g = make_geometry(c);
  const struct taps *down = &g.vertical, *across = &g.horizontal;
  const ptrdiff_t begin = c->padding / c->stride;  // the first place of the input
  const ptrdiff_t above = ck_larger(0, down->largest_offset - begin);
  const ptrdiff_t before = ck_larger(0, across->largest_offset - begin);
  const ptrdiff_t height = ck_larger(g.out_height + above, (c->in_height - 1 + c->padding) / c->stride + 1);
  const ptrdiff_t width = ck_larger(g.out_width + before, (c->in_width - 1 + c->padding) / c->stride + 1);
  const ptrdiff_t most = g.group_outputs * g.taps;
  const size_t table_bytes = 2 * (size_t)(most + 1) * sizeof(ptrdiff_t);
  ptrdiff_t *offsets = ck_allocate(table_bytes), *columns = offsets + most;
  if (down->phases * across->phases < c->stride * c->stride)  // some elements take part in no output
    memset(dx, 0, (size_t)(c->batch * c->in_channels * c->in_height * c->in_width) * sizeof(float));

  const ptrdiff_t step = images_at_once(c, c->out_channels, height * width);
  for (ptrdiff_t image = 0; image < c->batch; image += step) {
    struct planes planes = {.images = ck_smaller(step, c->batch - image),
                            .height = height,
                            .width = width,
                            .source = dy + image * c->out_channels * g.out_height * g.out_width,
                            .channels = c->out_channels,
                            .source_height = g.out_height,
                            .source_width = g.out_width,
                            .stride = 1,
                            .shift_y = above,
                            .shift_x = before};
    make_planes(&planes, (begin + above) * width + begin + before);
    const ptrdiff_t places = planes.images * height * width;
    for (ptrdiff_t phase = 0; phase < down->phases * across->phases; phase++) {
      const ptrdiff_t phase_y = phase / across->phases, phase_x = phase % across->phases;
      ptrdiff_t depth = 0;
      for (ptrdiff_t o = 0; o < g.group_outputs; o++)
        for (ptrdiff_t i = 0; i < c->kernel_height; i++)
          for (ptrdiff_t j = 0; j < c->kernel_width; j++) {
            if (down->phase[i] != phase_y || across->phase[j] != phase_x) continue;
            columns[depth] = o * g.depth + i * c->kernel_width + j;
            offsets[depth++] =
                o * planes.run + (begin - down->offset[i] + above) * width + begin - across->offset[j] + before;
          }
      size_t packed_bytes;
      float *packed = packed_weights(weight, c->groups, g.group_outputs * g.depth, g.group_inputs, g.taps, columns,
                                     depth, &packed_bytes);
      const struct shifted_product product = {
          .planes = planes.elements,
          .group_step = g.group_outputs * planes.run,
          .offsets = offsets,
          .depth = depth,
          .weights = packed,
          .rows = g.group_inputs,
          .tiles = quotient_up(g.group_inputs, TILE),
          .places = places,
          .blocks = quotient_up(places, BLOCK),
          .height = height,
          .width = width,
          .vertical = phase_of_input(c->in_height, c->stride, c->padding, down->residue[phase_y]),
          .horizontal = phase_of_input(c->in_width, c->stride, c->padding, across->residue[phase_x]),
          .out = dx + image * c->in_channels * c->in_height * c->in_width,
          .channels = c->in_channels,
          .out_height = c->in_height,
          .out_width = c->in_width};
      multiply_shifted(product, c->groups);
      ck_deallocate(packed, packed_bytes);
    }
    free_planes(planes);
  }
  ck_deallocate(offsets, table_bytes);
  free_geometry(g);
}

// MARK: Sums over places

struct weight_gradient {
  const float *x, *dy;                     // planes on one grid, dy zero where there is no output
  ptrdiff_t x_group_step, dy_run, places;  // places: rounded up to whole vectors
  const ptrdiff_t *offsets;
  ptrdiff_t depth, tap_blocks, rows, tiles;
  bool adds, many_registers;
  float *out;  // [groups, rows, depth]
};

/// Adds dy[r][p] · x[offset[t] + p] of `count` places to the lanes of `rows` × `taps` sums.
CK_INLINE void add_dots(const float *dy, ptrdiff_t dy_run, const float *x, const ptrdiff_t *offsets, ptrdiff_t count,
                        int rows, int taps, ck_lanes sums[][TILE]) {
  ck_lanes kept[2][TILE];
#pragma unroll
  for (int t = 0; t < taps; t++)
#pragma unroll
    for (int r = 0; r < rows; r++) kept[t][r] = sums[t][r];
  const float *x0 = x + offsets[0], *x1 = x + offsets[taps - 1];
  for (ptrdiff_t p = 0; p < count; p += CK_LANES) {
    const ck_lanes first = CK_LOAD_LANES(x0 + p), second = taps > 1 ? CK_LOAD_LANES(x1 + p) : first;
#pragma unroll
    for (int r = 0; r < rows; r++) {
      const ck_lanes slope = CK_LOAD_LANES(dy + r * dy_run + p);
      kept[0][r] += slope * first;
      if (taps > 1) kept[1][r] += slope * second;
    }
  }
#pragma unroll
  for (int t = 0; t < taps; t++)
#pragma unroll
    for (int r = 0; r < rows; r++) sums[t][r] = kept[t][r];
}

#define ADD_DOTS_BY_ROWS(taps)                                                    \
  switch (rows) {                                                                 \
    case 4: add_dots(dy, s->dy_run, x, offsets, count, 4, taps, sums + t); break; \
    case 3: add_dots(dy, s->dy_run, x, offsets, count, 3, taps, sums + t); break; \
    case 2: add_dots(dy, s->dy_run, x, offsets, count, 2, taps, sums + t); break; \
    default: add_dots(dy, s->dy_run, x, offsets, count, 1, taps, sums + t);       \
  }

/// The range counts blocks of taps within tiles within groups.
CK_RANGE_BODY(weight_gradient_items) {
  const struct weight_gradient *s = context;
  for (ptrdiff_t item = begin; item < end; item++) {
    const ptrdiff_t tap_block = item % s->tap_blocks, tile = item / s->tap_blocks % s->tiles;
    const ptrdiff_t group = item / s->tap_blocks / s->tiles;
    const ptrdiff_t first_tap = tap_block * TAP_BLOCK, taps = ck_smaller(TAP_BLOCK, s->depth - first_tap);
    const ptrdiff_t first_row = group * s->rows + tile * TILE;
    const int rows = (int)ck_smaller(TILE, s->rows - tile * TILE);
    ck_lanes sums[TAP_BLOCK][TILE];
    for (ptrdiff_t t = 0; t < taps; t++)
      for (int r = 0; r < TILE; r++) sums[t][r] = 0;
    for (ptrdiff_t p = 0; p < s->places; p += BLOCK) {
      const ptrdiff_t count = ck_smaller(BLOCK, s->places - p);
      const float *dy = s->dy + first_row * s->dy_run + p, *x = s->x + group * s->x_group_step + p;
      for (ptrdiff_t t = 0; t < taps;) {
        const ptrdiff_t *offsets = s->offsets + first_tap + t;
        const bool pair = s->many_registers && t + 1 < taps;
        if (pair) {
          ADD_DOTS_BY_ROWS(2);
        } else {
          ADD_DOTS_BY_ROWS(1);
        }
        t += pair ? 2 : 1;
      }
    }
    for (ptrdiff_t t = 0; t < taps; t++)
      for (int r = 0; r < rows; r++) {
        float *out = s->out + (first_row + r) * s->depth + first_tap + t;
        const float sum = CK_SUM_LANES(sums[t][r]);
        *out = s->adds ? *out + sum : sum;
      }
  }
}

void ck_convolve_weight_gradient(const ck_convolution *c, const float *x, const float *dy, float *dweight) {
  const struct geometry g = make_geometry(c);
  const size_t table_bytes = (size_t)(g.depth + 1) * sizeof(ptrdiff_t);
  ptrdiff_t *offsets = ck_allocate(table_bytes);
  const ptrdiff_t step = images_at_once(c, c->in_channels + c->out_channels, input_elements(c, &g));
  if (c->batch == 0) memset(dweight, 0, (size_t)(c->out_channels * g.depth) * sizeof(float));
  for (ptrdiff_t image = 0; image < c->batch; image += step) {
    const struct planes inputs = input_planes(c, &g, x, image, ck_smaller(step, c->batch - image), offsets);
    struct planes slopes = {.images = inputs.images,
                            .height = inputs.height,
                            .width = inputs.width,
                            .source = dy + image * c->out_channels * g.out_height * g.out_width,
                            .channels = c->out_channels,
                            .source_height = g.out_height,
                            .source_width = g.out_width,
                            .stride = 1};
    make_planes(&slopes, CK_LANES);
    const ptrdiff_t places = rounded_up(inputs.images * inputs.height * inputs.width, CK_LANES);
    const struct weight_gradient gradient = {.x = inputs.elements,
                                             .dy = slopes.elements,
                                             .x_group_step = g.group_inputs * phases_of(&inputs) * inputs.run,
                                             .dy_run = slopes.run,
                                             .places = places,
                                             .offsets = offsets,
                                             .depth = g.depth,
                                             .tap_blocks = quotient_up(g.depth, TAP_BLOCK),
                                             .rows = g.group_outputs,
                                             .tiles = quotient_up(g.group_outputs, TILE),
                                             .adds = image > 0,
                                             .many_registers = has_many_registers(),
                                             .out = dweight};
    const double work = (double)places * TILE * (double)ck_smaller(TAP_BLOCK, g.depth);
    ck_for_ranges(c->groups * gradient.tiles * gradient.tap_blocks, ck_larger(1, (ptrdiff_t)(GRAIN / (work + 1))),
                  weight_gradient_items, &gradient);
    free_planes(slopes);
    free_planes(inputs);
  }
  ck_deallocate(offsets, table_bytes);
  free_geometry(g);
}
