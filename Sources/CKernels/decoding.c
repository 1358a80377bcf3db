// Encoded numbers to float32, row by row. Inner loops have fixed lengths, so that the compiler makes vector code of
// them; products and sums stay apart, since the reference implementations round after each.
#pragma STDC FP_CONTRACT OFF
#include <string.h>

#include "CKernels.h"
#include "codes.h"
#include "dispatch.h"
#include "narrow.h"

CK_INLINE float f16_at(const void *bytes) {
  uint16_t half;
  memcpy(&half, bytes, sizeof half);
  return f16_to_f32(half);
}

CK_INLINE uint32_t word_at(const void *words, ptrdiff_t index) {
  uint32_t word;
  memcpy(&word, (const uint8_t *)words + 4 * index, sizeof word);
  return word;
}

CK_INLINE float float_at(const void *numbers, int encoding, ptrdiff_t index) {
  if (encoding == CK_F32) return float_of_bits(word_at(numbers, index));
  uint16_t half;
  memcpy(&half, (const uint8_t *)numbers + 2 * index, sizeof half);
  return encoding == CK_F16 ? f16_to_f32(half) : bf16_to_f32(half);
}

// MARK: Halves, wherever they begin

CK_INLINE void decode_halves(int encoding, const uint8_t *x, ptrdiff_t count, float *y) {
  ptrdiff_t i = 0;
  for (; i + 8 <= count; i += 8) {
    const ck_eight_halves halves = CK_LOAD_AS(ck_eight_halves, x + 2 * i);
    if (encoding == CK_F16) {
      const ck_parts floats = CK_EIGHT_FLOATS(halves);
      memcpy(y + i, &floats, sizeof floats);
    } else {
      const ck_eight_words words = __builtin_convertvector(halves, ck_eight_words) << 16;
      memcpy(y + i, &words, sizeof words);
    }
  }
  for (; i < count; i++) y[i] = float_at(x, encoding, i);
}

// MARK: ggml's blocks

CK_INLINE void decode_unit(int encoding, const uint8_t *x, int parts, float *y) {
  typedef float floats __attribute__((ext_vector_type(CK_PART)));
  typedef int8_t signed_part __attribute__((ext_vector_type(CK_PART)));
  struct ck_unit unit;
  ck_take_apart(encoding, x, parts, &unit);
  const ck_parts steps = CK_STEPS(encoding, &unit, CK_EIGHT_FLOATS);
  ck_parts starts = 0;
  if (ck_has_starts(encoding)) starts = CK_STARTS(encoding, &unit, CK_EIGHT_FLOATS);
  CK_UNROLLED for (int part = 0; part < CK_PARTS; part++) {
    if (part >= parts) continue;
    const ck_part codes = part % 2 == 0 ? unit.codes[part / 2].lo : unit.codes[part / 2].hi;
    floats numbers = ck_has_signs(encoding) ? __builtin_convertvector((signed_part)codes, floats)
                                            : __builtin_convertvector(codes, floats);
    numbers -= (float)ck_code_offset(encoding);
    if (ck_has_scales(encoding)) {
      numbers.lo *= steps[0] * (float)(int8_t)unit.scales[2 * part];
      numbers.hi *= steps[0] * (float)(int8_t)unit.scales[2 * part + 1];
    } else {
      numbers *= steps[part];
    }
    if (ck_has_starts(encoding)) numbers -= starts[part];
    memcpy(y + CK_PART * part, &numbers, sizeof numbers);
  }
}

/// `count` numbers, a multiple of the block's.
CK_INLINE void decode_units(int encoding, const uint8_t *x, ptrdiff_t count, float *y) {
  for (; count >= CK_UNIT; count -= CK_UNIT, x += ck_unit_bytes(encoding), y += CK_UNIT)
    decode_unit(encoding, x, CK_PARTS, y);
  if (count > 0) decode_unit(encoding, x, (int)(count / CK_PART), y);
}

CK_INLINE void decode_q2_k(const uint8_t *x, float *restrict y) {
  const uint8_t *scales = x, *q = x + 16;
  const float d = f16_at(x + 80), least = f16_at(x + 82);
  for (int part = 0; part < 16; part++) {
    const float scale = d * (float)(scales[part] & 15), offset = least * (float)(scales[part] >> 4);
    const uint8_t *codes = q + part / 8 * 32 + part % 2 * 16;
    const int shift = part % 8 / 2 * 2;
    for (int i = 0; i < 16; i++) y[16 * part + i] = scale * (float)(codes[i] >> shift & 3) - offset;
  }
}

// MARK: Code books

CK_INLINE float code_book_scale(const ck_encoded *e, ptrdiff_t group) {
  if (e->scale_codes == NULL) return float_at(e->scales, CK_F32, group);
  return e->scale_table[e->scale_codes[group]] * e->outer_scales[group / e->outer_group] + e->outer_offset;
}

CK_INLINE void decode_code_book(const ck_encoded *e, ptrdiff_t row, float *y) {
  const uint8_t *codes = e->codes;
  const ptrdiff_t begin = row * e->columns, end = begin + e->columns;
  for (ptrdiff_t i = begin, next; i < end; i = next) {
    next = ck_smaller((i / e->group + 1) * e->group, end);
    const float scale = code_book_scale(e, i / e->group);
    float *out = y + (i - begin);
    ptrdiff_t j = i;
    if (j % 2 != 0) out[0] = e->table[codes[j / 2] & 15] * scale, j++;
    for (; j + 1 < next; j += 2) {
      out[j - i] = e->table[codes[j / 2] >> 4] * scale;
      out[j - i + 1] = e->table[codes[j / 2] & 15] * scale;
    }
    if (j < next) out[j - i] = e->table[codes[j / 2] >> 4] * scale;
  }
}

// MARK: Codes with scales of their own

CK_INLINE void decode_row_bytes(const ck_encoded *e, ptrdiff_t row, float *y) {
  const int8_t *codes = (const int8_t *)e->codes + row * e->columns;
  const float scale = float_at(e->scales, CK_F32, row);
  for (ptrdiff_t i = 0; i < e->columns; i++) y[i] = (float)codes[i] * scale * (1.0f / 127.0f);
}

CK_INLINE void decode_affine(const ck_encoded *e, ptrdiff_t row, float *y) {
  const ptrdiff_t groups = e->columns / e->group;
  const uint8_t *codes = (const uint8_t *)e->codes + row * e->columns * e->bits / 8;
  for (ptrdiff_t group = 0; group < groups; group++) {
    const float scale = float_at(e->scales, e->scale_encoding, row * groups + group);
    const float offset = float_at(e->offsets, e->scale_encoding, row * groups + group);
    float *out = y + group * e->group;
    if (e->bits == 8) {
      const uint8_t *q = codes + group * e->group;
      for (ptrdiff_t i = 0; i < e->group; i++) out[i] = scale * (float)q[i] + offset;
    } else {
      const uint8_t *q = codes + group * e->group / 2;
      for (ptrdiff_t i = 0; i < e->group / 2; i++) {
        out[2 * i] = scale * (float)(q[i] & 15) + offset;
        out[2 * i + 1] = scale * (float)(q[i] >> 4) + offset;
      }
    }
  }
}

CK_INLINE void decode_gptq(const ck_encoded *e, ptrdiff_t row, float *y) {
  const ptrdiff_t per_word = 32 / e->bits, mask = ((ptrdiff_t)1 << e->bits) - 1;
  const int zero_place = (int)(row % per_word) * e->bits;
  float scale = 0;
  ptrdiff_t zero = 0, known = -1;
  for (ptrdiff_t i = 0; i < e->columns; i++) {
    const ptrdiff_t group = e->groups != NULL ? e->groups[i] : i / e->group;
    if (group != known) {
      known = group;
      scale = float_at(e->scales, e->scale_encoding, group * e->rows + row);
      // What is added wraps around in the stored bits, as the reference has it.
      zero = ((ptrdiff_t)(word_at(e->offsets, group * (e->rows / per_word) + row / per_word) >> zero_place) +
              e->zero_shift) &
             mask;
    }
    const ptrdiff_t code =
        (ptrdiff_t)(word_at(e->codes, i / per_word * e->rows + row) >> (i % per_word * e->bits)) & mask;
    y[i] = scale * (float)(code - zero);
  }
}

CK_INLINE void decode_awq(const ck_encoded *e, ptrdiff_t row, float *y) {
  // The row of a word at place 0, 1, 2, … is 0, 2, 4, 6, 1, 3, 5, 7.
  const int place = (int)(row % 8), bit = 4 * (place % 2 == 0 ? place / 2 : place / 2 + 4);
  const ptrdiff_t words = e->rows / 8;
  float scale = 0;
  int zero = 0;
  for (ptrdiff_t i = 0; i < e->columns; i++) {
    if (i % e->group == 0) {
      scale = float_at(e->scales, e->scale_encoding, i / e->group * e->rows + row);
      zero = (int)(word_at(e->offsets, i / e->group * words + row / 8) >> bit & 15);
    }
    y[i] = (float)((int)(word_at(e->codes, i * words + row / 8) >> bit & 15) - zero) * scale;
  }
}

// MARK: Rows

CK_INLINE void decode_row(const ck_encoded *e, ptrdiff_t row, float *y) {
  if (e->head > 0) {
    const ptrdiff_t place = row % e->head, half = e->head / 2;
    row = row - place + 2 * (place % half) + place / half;
  }
  const ptrdiff_t block = ck_block_count(e->encoding);
  const uint8_t *x = e->codes;
  if (block > 0) x += row * (e->columns / block) * ck_block_bytes(e->encoding);
  switch (e->encoding) {
    case CK_Q8_0: decode_units(CK_Q8_0, x, e->columns, y); break;
    case CK_Q4_0: decode_units(CK_Q4_0, x, e->columns, y); break;
    case CK_Q4_1: decode_units(CK_Q4_1, x, e->columns, y); break;
    case CK_Q5_0: decode_units(CK_Q5_0, x, e->columns, y); break;
    case CK_Q5_1: decode_units(CK_Q5_1, x, e->columns, y); break;
    case CK_Q2_K:
      for (ptrdiff_t i = 0; i < e->columns / CK_UNIT; i++) decode_q2_k(x + 84 * i, y + CK_UNIT * i);
      break;
    case CK_Q3_K: decode_units(CK_Q3_K, x, e->columns, y); break;
    case CK_Q4_K: decode_units(CK_Q4_K, x, e->columns, y); break;
    case CK_Q5_K: decode_units(CK_Q5_K, x, e->columns, y); break;
    case CK_Q6_K: decode_units(CK_Q6_K, x, e->columns, y); break;
    case CK_CODE_BOOK: decode_code_book(e, row, y); break;
    case CK_ROW_BYTES: decode_row_bytes(e, row, y); break;
    case CK_AFFINE: decode_affine(e, row, y); break;
    case CK_GPTQ: decode_gptq(e, row, y); break;
    case CK_AWQ: decode_awq(e, row, y); break;
    case CK_F16: decode_halves(CK_F16, x, e->columns, y); break;
    case CK_BF16: decode_halves(CK_BF16, x, e->columns, y); break;
    default: memcpy(y, x, (size_t)e->columns * sizeof(float));
  }
}

CK_KERNEL(decode_range, (const ck_encoded *e, ptrdiff_t begin, ptrdiff_t end, float *out, ptrdiff_t stride),
          (e, begin, end, out, stride)) {
  for (ptrdiff_t row = begin; row < end; row++) decode_row(e, row, out + (row - begin) * stride);
}

void ck_decode_rows(const ck_encoded *matrix, ptrdiff_t begin, ptrdiff_t end, float *out, ptrdiff_t stride) {
  decode_range(matrix, begin, end, out, stride);
}

void ck_decode_rows_at(const ck_encoded *matrix, const int32_t *rows, ptrdiff_t count, float *out) {
  for (ptrdiff_t i = 0; i < count; i++)
    decode_range(matrix, rows[i], rows[i] + 1, out + i * matrix->columns, matrix->columns);
}

ptrdiff_t ck_block_count(int encoding) {
  switch (encoding) {
    case CK_F32:
    case CK_F16:
    case CK_BF16: return 1;
    case CK_Q8_0:
    case CK_Q4_0:
    case CK_Q4_1:
    case CK_Q5_0:
    case CK_Q5_1: return 32;
    case CK_Q2_K:
    case CK_Q3_K:
    case CK_Q4_K:
    case CK_Q5_K:
    case CK_Q6_K: return 256;
    default: return 0;
  }
}

ptrdiff_t ck_block_bytes(int encoding) {
  switch (encoding) {
    case CK_F32: return 4;
    case CK_F16:
    case CK_BF16: return 2;
    case CK_Q8_0: return 34;
    case CK_Q4_0: return 18;
    case CK_Q4_1: return 20;
    case CK_Q5_0: return 22;
    case CK_Q5_1: return 24;
    case CK_Q2_K: return 84;
    case CK_Q3_K: return 110;
    case CK_Q4_K: return 144;
    case CK_Q5_K: return 176;
    case CK_Q6_K: return 210;
    default: return 0;
  }
}
