// Encoded numbers to float32, row by row. Inner loops have fixed lengths, so that the compiler makes vector code of
// them; products and sums stay apart, since the reference implementations round after each.
#pragma STDC FP_CONTRACT OFF
#include <string.h>

#include "CKernels.h"
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

// MARK: Plain numbers, wherever they begin

CK_INLINE void decode_plain(int encoding, const uint8_t *x, ptrdiff_t count, float *y) {
  if (encoding == CK_F32) {
    memcpy(y, x, (size_t)count * sizeof(float));
    return;
  }
  for (ptrdiff_t i = 0; i < count; i++) {
    uint16_t half;
    memcpy(&half, x + 2 * i, sizeof half);
    y[i] = encoding == CK_F16 ? f16_to_f32(half) : bf16_to_f32(half);
  }
}

// MARK: ggml's blocks of 32

CK_INLINE void decode_q8_0(const uint8_t *x, float *y) {
  const float d = f16_at(x);
  const int8_t *q = (const int8_t *)(x + 2);
  for (int i = 0; i < 32; i++) y[i] = (float)q[i] * d;
}

CK_INLINE void decode_q4_0(const uint8_t *x, float *y) {
  const float d = f16_at(x);
  for (int i = 0; i < 16; i++) y[i] = d * (float)((int)(x[2 + i] & 15) - 8);
  for (int i = 0; i < 16; i++) y[16 + i] = d * (float)((int)(x[2 + i] >> 4) - 8);
}

CK_INLINE void decode_q4_1(const uint8_t *x, float *y) {
  const float d = f16_at(x), m = f16_at(x + 2);
  for (int i = 0; i < 16; i++) y[i] = d * (float)(x[4 + i] & 15) + m;
  for (int i = 0; i < 16; i++) y[16 + i] = d * (float)(x[4 + i] >> 4) + m;
}

CK_INLINE void decode_q5_0(const uint8_t *x, float *y) {
  const float d = f16_at(x);
  const uint32_t high = word_at(x + 2, 0);
  for (int i = 0; i < 16; i++) y[i] = d * (float)((int)((x[6 + i] & 15) | (high >> i & 1) << 4) - 16);
  for (int i = 0; i < 16; i++) y[16 + i] = d * (float)((int)((x[6 + i] >> 4) | (high >> (16 + i) & 1) << 4) - 16);
}

CK_INLINE void decode_q5_1(const uint8_t *x, float *y) {
  const float d = f16_at(x), m = f16_at(x + 2);
  const uint32_t high = word_at(x + 4, 0);
  for (int i = 0; i < 16; i++) y[i] = d * (float)((x[8 + i] & 15) | (high >> i & 1) << 4) + m;
  for (int i = 0; i < 16; i++) y[16 + i] = d * (float)((x[8 + i] >> 4) | (high >> (16 + i) & 1) << 4) + m;
}

// MARK: ggml's blocks of 256

CK_INLINE void decode_q2_k(const uint8_t *x, float *y) {
  const uint8_t *scales = x, *q = x + 16;
  const float d = f16_at(x + 80), least = f16_at(x + 82);
  for (int part = 0; part < 16; part++) {
    const float scale = d * (float)(scales[part] & 15), offset = least * (float)(scales[part] >> 4);
    const uint8_t *codes = q + part / 8 * 32 + part % 2 * 16;
    const int shift = part % 8 / 2 * 2;
    for (int i = 0; i < 16; i++) y[16 * part + i] = scale * (float)(codes[i] >> shift & 3) - offset;
  }
}

CK_INLINE void decode_q3_k(const uint8_t *x, float *y) {
  const uint8_t *high = x, *q = x + 32, *packed = x + 96;
  const float d = f16_at(x + 108);
  for (int part = 0; part < 16; part++) {
    const int low = packed[part % 8] >> part / 8 * 4 & 15, top = packed[8 + part % 4] >> part / 4 * 2 & 3;
    const float scale = d * (float)((low | top << 4) - 32);
    const uint8_t *codes = q + part / 8 * 32 + part % 2 * 16, *masks = high + part % 2 * 16;
    const int shift = part % 8 / 2 * 2, bit = part / 2;
    for (int i = 0; i < 16; i++)
      y[16 * part + i] = scale * (float)((int)(codes[i] >> shift & 3) - (masks[i] >> bit & 1 ? 0 : 4));
  }
}

/// The scale and the offset of a part of 32, six bits each.
CK_INLINE void parts_of(const uint8_t *s, int part, int *scale, int *offset) {
  if (part < 4) {
    *scale = s[part] & 63;
    *offset = s[part + 4] & 63;
  } else {
    *scale = (s[part + 4] & 15) | (s[part - 4] >> 6) << 4;
    *offset = (s[part + 4] >> 4) | (s[part] >> 6) << 4;
  }
}

CK_INLINE void decode_q4_k(const uint8_t *x, float *y) {
  const float d = f16_at(x), least = f16_at(x + 2);
  for (int part = 0; part < 8; part++) {
    int scale, offset;
    parts_of(x + 4, part, &scale, &offset);
    const float step = d * (float)scale, start = least * (float)offset;
    const uint8_t *codes = x + 16 + part / 2 * 32;
    const int shift = part % 2 * 4;
    for (int i = 0; i < 32; i++) y[32 * part + i] = step * (float)(codes[i] >> shift & 15) - start;
  }
}

CK_INLINE void decode_q5_k(const uint8_t *x, float *y) {
  const float d = f16_at(x), least = f16_at(x + 2);
  const uint8_t *high = x + 16;
  for (int part = 0; part < 8; part++) {
    int scale, offset;
    parts_of(x + 4, part, &scale, &offset);
    const float step = d * (float)scale, start = least * (float)offset;
    const uint8_t *codes = x + 48 + part / 2 * 32;
    const int shift = part % 2 * 4;
    for (int i = 0; i < 32; i++)
      y[32 * part + i] = step * (float)((codes[i] >> shift & 15) | (high[i] >> part & 1) << 4) - start;
  }
}

CK_INLINE void decode_q6_k(const uint8_t *x, float *y) {
  const int8_t *scales = (const int8_t *)(x + 192);
  const float d = f16_at(x + 208);
  for (int part = 0; part < 8; part++) {
    const uint8_t *low = x + part / 4 * 64 + part % 2 * 32, *high = x + 128 + part / 4 * 32;
    const int low_shift = part % 4 / 2 * 4, high_shift = part % 4 * 2;
    for (int half = 0; half < 2; half++) {
      const float step = d * (float)scales[2 * part + half];
      for (int i = 16 * half; i < 16 * half + 16; i++)
        y[32 * part + i] = step * (float)((int)((low[i] >> low_shift & 15) | (high[i] >> high_shift & 3) << 4) - 32);
    }
  }
}

#define BLOCKS(name, count, bytes) \
  for (ptrdiff_t block = 0; block < e->columns / (count); block++) name(x + block * (bytes), y + block * (count))

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
    case CK_Q8_0: BLOCKS(decode_q8_0, 32, 34); break;
    case CK_Q4_0: BLOCKS(decode_q4_0, 32, 18); break;
    case CK_Q4_1: BLOCKS(decode_q4_1, 32, 20); break;
    case CK_Q5_0: BLOCKS(decode_q5_0, 32, 22); break;
    case CK_Q5_1: BLOCKS(decode_q5_1, 32, 24); break;
    case CK_Q2_K: BLOCKS(decode_q2_k, 256, 84); break;
    case CK_Q3_K: BLOCKS(decode_q3_k, 256, 110); break;
    case CK_Q4_K: BLOCKS(decode_q4_k, 256, 144); break;
    case CK_Q5_K: BLOCKS(decode_q5_k, 256, 176); break;
    case CK_Q6_K: BLOCKS(decode_q6_k, 256, 210); break;
    case CK_CODE_BOOK: decode_code_book(e, row, y); break;
    case CK_ROW_BYTES: decode_row_bytes(e, row, y); break;
    case CK_AFFINE: decode_affine(e, row, y); break;
    case CK_GPTQ: decode_gptq(e, row, y); break;
    case CK_AWQ: decode_awq(e, row, y); break;
    default: decode_plain(e->encoding, x, e->columns, y);
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
