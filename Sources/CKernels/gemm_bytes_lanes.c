// Products of bytes for many rows of the left factor, where the processor adds four products of bytes in one step
// (AVX-512 VNNI): sixteen rows lie side by side in the lanes of a register, so that nothing is added across lanes and
// the steps of sixteen parts are one register too.
//
// The bits are those of gemm_bytes_template.h: a part's sum is an integer in both, the eight places have sums of their
// own over the units, and are added in pairs.
#pragma STDC FP_CONTRACT OFF
#include "dispatch.h"
#include "gemm_bytes.h"

#if defined(__x86_64__)
#include <immintrin.h>

enum {
  LANES = 16,
  ROWS = 4,             // of the matrix at a time
  QUADS = CK_PART / 4,  // of a part
  CACHED = 1 << 18,     // bytes of the left factor that are gone through for all rows of the matrix
};

typedef int32_t words __attribute__((ext_vector_type(LANES)));
typedef float floats __attribute__((ext_vector_type(LANES)));

/// A part of sixteen rows. Bytes have 128 added, since one factor of an instruction has no signs.
struct lane_part {
  uint8_t codes[QUADS][LANES][4];
  float steps[LANES], sums[LANES];
};

struct lanes {
  const struct ck_byte_product *product;
  ptrdiff_t blocks;         // of sixteen rows
  struct lane_part *parts;  // [blocks, 8, units]
};

static void pack_range(const void *context, ptrdiff_t begin, ptrdiff_t end) {
  const struct lanes *s = context;
  const struct ck_byte_product *p = s->product;
  static const int order[CK_PARTS] = {CK_ORDER_OF_PARTS};
  for (ptrdiff_t block = begin; block < end; block++) {
    for (ptrdiff_t unit = 0; unit < p->units; unit++) {
      for (ptrdiff_t part = 0; part < CK_PARTS; part++) {
        struct lane_part *to = s->parts + (block * CK_PARTS + part) * p->units + unit;
        for (ptrdiff_t lane = 0; lane < LANES; lane++) {
          // Where there is no row, any does: it is not stored.
          const ptrdiff_t row = ck_smaller(block * LANES + lane, p->rows - 1), place = row * p->units + unit;
          const uint8_t *from = (const uint8_t *)p->codes + place * CK_UNIT + part * CK_PART;
          for (int quad = 0; quad < QUADS; quad++) {
            uint32_t four;
            memcpy(&four, from + 4 * quad, sizeof four);
            four ^= 0x80808080;
            memcpy(to->codes[quad][lane], &four, sizeof four);
          }
          to->steps[lane] = p->steps[place * CK_PARTS + order[part]];
          to->sums[lane] = (float)p->sums[place * CK_PARTS + order[part]];
        }
      }
    }
  }
}

/// The same part of ROWS rows of the matrix: signed codes; what they are multiplied with; −128 times the sums of codes,
/// of each half.
struct row_part {
  int8_t codes[ROWS][CK_PART];
  float steps[ROWS], starts[ROWS];
  int32_t corrections[ROWS][2], scales[ROWS][2];
};

#pragma clang attribute push(__attribute__((target("avx512vnni," CK_AVX512_FEATURES))), apply_to = function)

/// Takes row `r` of ROWS apart, into [8, units].
CK_INLINE void take_row(int encoding, const struct ck_byte_product *p, const uint8_t *blocks, int r,
                        struct row_part *parts) {
  for (ptrdiff_t u = 0; u < p->units; u++, blocks += ck_unit_bytes(encoding)) {
    const int count = u + 1 < p->units ? CK_PARTS : (int)p->parts;
    struct ck_unit unit;
    ck_take_apart(encoding, blocks, count, &unit);
#define EIGHT_FLOATS(halves) ((ck_parts)_mm256_cvtph_ps((__m128i)(halves)))
    const ck_parts steps = CK_STEPS(encoding, &unit, EIGHT_FLOATS);
    ck_parts starts = 0;
    if (ck_has_starts(encoding)) starts = CK_STARTS(encoding, &unit, EIGHT_FLOATS);
    for (int part = 0; part < count; part++) {
      struct row_part *to = parts + part * p->units + u;
      ck_part codes = part % 2 == 0 ? unit.codes[part / 2].lo : unit.codes[part / 2].hi;
      codes -= (uint8_t)ck_code_offset(encoding);
      memcpy(to->codes[r], &codes, sizeof codes);
      to->steps[r] = steps[part];
      to->starts[r] = starts[part];
      const __m256i sums = _mm256_dpbusd_epi32(_mm256_setzero_si256(), _mm256_set1_epi8(1), (__m256i)codes);
      int32_t fours[8];
      memcpy(fours, &sums, sizeof fours);
      to->corrections[r][0] = -128 * (fours[0] + fours[1] + fours[2] + fours[3]);
      to->corrections[r][1] = -128 * (fours[4] + fours[5] + fours[6] + fours[7]);
      if (ck_has_scales(encoding)) {
        to->scales[r][0] = (int8_t)unit.scales[2 * part];
        to->scales[r][1] = (int8_t)unit.scales[2 * part + 1];
      }
    }
  }
}

/// Adds the products of a part.
CK_INLINE void add_part(int encoding, const struct lane_part *x, const struct row_part *w, floats *terms) {
  words sums[ROWS], second[ROWS];
  CK_UNROLLED for (int r = 0; r < ROWS; r++) {
    sums[r] = w->corrections[r][0];
    if (ck_has_scales(encoding)) {
      second[r] = w->corrections[r][1];
    } else {
      sums[r] += w->corrections[r][1];
    }
  }
  CK_UNROLLED for (int q = 0; q < QUADS; q++) {
    const __m512i codes = _mm512_loadu_si512(x->codes[q]);
    words *to = ck_has_scales(encoding) && q >= QUADS / 2 ? second : sums;
    CK_UNROLLED for (int r = 0; r < ROWS; r++) {
      int32_t four;
      memcpy(&four, w->codes[r] + 4 * q, sizeof four);
      to[r] = (words)_mm512_dpbusd_epi32((__m512i)to[r], codes, _mm512_set1_epi32(four));
    }
  }
  const floats steps = CK_LOAD_AS(floats, x->steps), all = CK_LOAD_AS(floats, x->sums);
  CK_UNROLLED for (int r = 0; r < ROWS; r++) {
    if (ck_has_scales(encoding)) sums[r] = sums[r] * w->scales[r][0] + second[r] * w->scales[r][1];
    terms[r] += __builtin_convertvector(sums[r], floats) * (w->steps[r] * steps);
    if (ck_has_starts(encoding)) terms[r] -= all * (w->starts[r] * steps);
  }
}

/// ROWS rows with sixteen; the sums of eight places are added as they come, those of pairs, of fours and of all.
CK_INLINE void add_block(int encoding, const struct ck_byte_product *p, const struct lane_part *x,
                         const struct row_part *w, floats *sums) {
  floats pair[ROWS], four[ROWS];
  for (int part = 0; part < CK_PARTS; part++, x += p->units, w += p->units) {
    const ptrdiff_t units = p->units - (part >= p->parts);
    floats terms[ROWS];
    CK_UNROLLED for (int r = 0; r < ROWS; r++) terms[r] = 0;
    for (ptrdiff_t u = 0; u < units; u++) add_part(encoding, x + u, w + u, terms);
    CK_UNROLLED for (int r = 0; r < ROWS; r++) {
      const floats two = part % 2 == 0 ? terms[r] : pair[r] + terms[r];
      const floats of_four = part % 4 == 1 ? two : four[r] + two;
      if (part % 2 == 0) pair[r] = two;
      if (part % 4 == 1) four[r] = two;
      if (part == 3) sums[r] = of_four;
      if (part == 7) sums[r] += of_four;
    }
  }
}

CK_INLINE void store(const struct ck_byte_product *p, const floats *sums, ptrdiff_t block, ptrdiff_t stored,
                     ptrdiff_t rows) {
  const ptrdiff_t lanes = ck_smaller(LANES, p->rows - block * LANES);
  float scaled[ROWS][LANES];
  CK_UNROLLED for (int r = 0; r < ROWS; r++) {
    const floats row = p->alpha * sums[r];
    memcpy(scaled[r], &row, sizeof row);
  }
  float *c = p->c + block * LANES * p->ldc;
  if (rows == ROWS && p->beta == 0 && p->matrix->head == 0) {
    for (ptrdiff_t lane = 0; lane < lanes; lane++) {
      CK_UNROLLED for (int r = 0; r < ROWS; r++) c[lane * p->ldc + stored + r] = scaled[r][lane];
    }
    return;
  }
  for (ptrdiff_t r = 0; r < rows; r++) {
    float *column = c + ck_row_of_stored(p->matrix, stored + r);
    for (ptrdiff_t lane = 0; lane < lanes; lane++) {
      float *place = column + lane * p->ldc;
      *place = p->beta == 0 ? scaled[r][lane] : scaled[r][lane] + p->beta * *place;
    }
  }
}

CK_INLINE void run_rows(int encoding, const struct lanes *s, struct row_part *parts, ptrdiff_t first_block,
                        ptrdiff_t last_block, ptrdiff_t begin, ptrdiff_t end) {
  const struct ck_byte_product *p = s->product;
  for (ptrdiff_t stored = begin; stored < end; stored += ROWS) {
    const ptrdiff_t rows = ck_smaller(ROWS, end - stored);
    for (int r = 0; r < ROWS; r++) {
      const ptrdiff_t row = stored + ck_smaller(r, rows - 1);
      take_row(encoding, p, (const uint8_t *)p->matrix->codes + row * p->row_bytes, r, parts);
    }
    for (ptrdiff_t block = first_block; block < last_block; block++) {
      floats sums[ROWS];
      add_block(encoding, p, s->parts + block * CK_PARTS * p->units, parts, sums);
      store(p, sums, block, stored, rows);
    }
  }
}

#define RUN_ROWS_OF(encoding) \
  case encoding: run_rows(encoding, s, parts, first, last, begin, end); break;
static void run_range(const void *context, ptrdiff_t begin, ptrdiff_t end) {
  const struct lanes *s = context;
  const struct ck_byte_product *p = s->product;
  const ptrdiff_t units = CK_PARTS * p->units;
  const size_t bytes = (size_t)units * sizeof(struct row_part);
  struct row_part *parts = ck_allocate(bytes);
  const ptrdiff_t step = ck_larger(1, CACHED / (units * (ptrdiff_t)sizeof(struct lane_part)));
  for (ptrdiff_t first = 0; first < s->blocks; first += step) {
    const ptrdiff_t last = ck_smaller(first + step, s->blocks);
    switch (p->matrix->encoding) { CK_BYTE_ENCODINGS(RUN_ROWS_OF) }
  }
  ck_deallocate(parts, bytes);
}
#pragma clang attribute pop

bool ck_has_byte_lanes(void) { return ck_instruction_set_index() == CK_AVX512 && __builtin_cpu_supports("avx512vnni"); }

void ck_multiply_byte_lanes(const struct ck_byte_product *product) {
  struct lanes s = {.product = product, .blocks = (product->rows + LANES - 1) / LANES};
  const size_t bytes = (size_t)(s.blocks * CK_PARTS * product->units) * sizeof(struct lane_part);
  s.parts = ck_allocate(bytes);
  ck_for_ranges(s.blocks, 1, pack_range, &s);
  ck_for_ranges(product->matrix->rows, 4 * ROWS, run_range, &s);
  ck_deallocate(s.parts, bytes);
}
#else
bool ck_has_byte_lanes(void) { return false; }
void ck_multiply_byte_lanes(const struct ck_byte_product *product) { (void)product; }
#endif
