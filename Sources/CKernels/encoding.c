// float32 to ggml's blocks.
//
// The blocks of 32 have one way, that of ggml's reference, which is kept bit for bit. For the blocks of 256 the format
// says only what is stored; here each part's step and start are searched for: several roundings are tried, for each the
// least squares fit is taken, and what gives the least error stays.
#pragma STDC FP_CONTRACT OFF
#include <math.h>
#include <string.h>

#include "CKernels.h"
#include "dispatch.h"
#include "narrow.h"

CK_INLINE void put_f16(void *bytes, float x) {
  uint16_t half = f32_to_f16(x);
  memcpy(bytes, &half, sizeof half);
}

CK_INLINE float as_f16(float x) { return f16_to_f32(f32_to_f16(x)); }

CK_INLINE int bounded(float x, int least, int most) {
  return x >= (float)most ? most : x > (float)least ? (int)x : least;
}

// MARK: Blocks of 32

CK_INLINE void encode_q8_0(const float *x, uint8_t *y) {
  float largest = 0;
  for (int i = 0; i < 32; i++) largest = fabsf(x[i]) > largest ? fabsf(x[i]) : largest;
  const float d = largest / 127, inverse = d == 0 ? 0 : 1 / d;
  put_f16(y, d);
  for (int i = 0; i < 32; i++) {
    const float scaled = x[i] * inverse, magnitude = fabsf(scaled), whole = floorf(magnitude);
    const float rounded = whole + floorf(2 * (magnitude - whole));
    y[2 + i] = (uint8_t)(int8_t)bounded(scaled < 0 ? -rounded : rounded, -128, 127);
  }
}

/// The number of largest magnitude, with its sign; of several, the first.
CK_INLINE float signed_largest(const float *x, int count) {
  float largest = x[0];
  for (int i = 1; i < count; i++)
    if (fabsf(x[i]) > fabsf(largest)) largest = x[i];
  return largest;
}

/// Codes of 4 or 5 bits around a middle (8 or 16), or from a least number on.
CK_INLINE void encode_32(const float *x, uint8_t *y, int bits, bool from_least) {
  const int most = (1 << bits) - 1, middle = 1 << (bits - 1);
  float d, start = 0;
  if (from_least) {
    float least = x[0], greatest = x[0];
    for (int i = 1; i < 32; i++) {
      least = x[i] < least ? x[i] : least;
      greatest = x[i] > greatest ? x[i] : greatest;
    }
    d = (greatest - least) / (float)most;
    start = least;
  } else {
    d = signed_largest(x, 32) / (float)-middle;
  }
  const float inverse = d == 0 ? 0 : 1 / d;
  put_f16(y, d), y += 2;
  if (from_least) put_f16(y, start), y += 2;
  uint8_t codes[32];
  for (int i = 0; i < 32; i++) {
    const float place = from_least ? (x[i] - start) * inverse + 0.5f : x[i] * inverse + ((float)middle + 0.5f);
    codes[i] = (uint8_t)bounded(place, 0, most);
  }
  if (bits == 5) {
    uint32_t high = 0;
    for (int i = 0; i < 32; i++) high |= (uint32_t)(codes[i] >> 4) << i;
    memcpy(y, &high, sizeof high), y += 4;
  }
  for (int i = 0; i < 16; i++) y[i] = (uint8_t)((codes[i] & 15) | (codes[16 + i] & 15) << 4);
}

// MARK: Blocks of 256

typedef float part_floats __attribute__((ext_vector_type(32)));
typedef int32_t part_words __attribute__((ext_vector_type(32)));
typedef float half_floats __attribute__((ext_vector_type(16)));
typedef int32_t half_words __attribute__((ext_vector_type(16)));

#define LOAD_AS(type, pointer)                 \
  ({                                           \
    type loaded;                               \
    memcpy(&loaded, (pointer), sizeof loaded); \
    loaded;                                    \
  })

/// The sum of sixteen lanes, in pairs.
#define SUM_OF(lanes)                                      \
  ({                                                       \
    const half_floats all = (lanes);                       \
    const __typeof__(all.lo) eight = all.lo + all.hi;      \
    const __typeof__(eight.lo) four = eight.lo + eight.hi; \
    (four[0] + four[2]) + (four[1] + four[3]);             \
  })
#define SUM_OF_PART(lanes)            \
  ({                                  \
    const part_floats part = (lanes); \
    SUM_OF(part.lo + part.hi);        \
  })

/// Whole numbers from `least` to `most`: the greatest that is not above the number, itself above −64.
#define WHOLE(floats, words, numbers, least, most)                             \
  ({                                                                           \
    const words whole = __builtin_convertvector((numbers) + 64, words) - 64;   \
    const words enough = whole < (least) ? (words)(least) : whole;             \
    __builtin_convertvector(enough > (most) ? (words)(most) : enough, floats); \
  })

/// The step and start ≥ 0 of a part of 32 such that step · q − start is near x for q in 0...most. Numbers far from 0,
/// which products feel most, weigh more in the error.
CK_INLINE void fit_part(const float *numbers, int most, float *step, float *start) {
  const part_floats x = LOAD_AS(part_floats, numbers);
  float least = 0, greatest = 0;
  for (int i = 0; i < 32; i++) {
    least = numbers[i] < least ? numbers[i] : least;
    greatest = numbers[i] > greatest ? numbers[i] : greatest;
  }
  *step = 0, *start = -least;
  if (greatest <= least) return;
  const part_floats w = sqrtf(SUM_OF_PART(x * x) / 32) + (x < 0 ? -x : x), above = x - least;
  const float sum_w = SUM_OF_PART(w), sum_x = SUM_OF_PART(w * x);
  float best = INFINITY;
  for (int attempt = -1; attempt <= 20; attempt++) {
    // The first attempt is the plain one; the others stretch the range by up to a step at its ends.
    const float inverse = ((float)most + (attempt < 0 ? 0 : -1.0f + 0.1f * (float)attempt)) / (greatest - least);
    const part_floats q = WHOLE(part_floats, part_words, above * inverse + 0.5f, 0, most), wq = w * q;
    const float sum_q = SUM_OF_PART(wq), sum_qq = SUM_OF_PART(wq * q), sum_qx = SUM_OF_PART(wq * x);
    const float determinant = sum_w * sum_qq - sum_q * sum_q;
    if (!(determinant > 0)) continue;
    float slope = (sum_w * sum_qx - sum_q * sum_x) / determinant;
    float offset = (sum_q * sum_qx - sum_qq * sum_x) / determinant;
    if (offset < 0) offset = 0, slope = sum_qx / sum_qq;
    if (!(slope > 0)) continue;
    const part_floats difference = slope * q - offset - x;
    const float error = SUM_OF_PART(w * difference * difference);
    if (error < best) best = error, *step = slope, *start = offset;
  }
}

/// Q4_K and Q5_K.
CK_INLINE void encode_parts(const float *x, uint8_t *y, int bits) {
  const int most = (1 << bits) - 1;
  float steps[8], starts[8], largest_step = 0, largest_start = 0;
  for (int part = 0; part < 8; part++) {
    fit_part(x + 32 * part, most, &steps[part], &starts[part]);
    largest_step = steps[part] > largest_step ? steps[part] : largest_step;
    largest_start = starts[part] > largest_start ? starts[part] : largest_start;
  }
  const float d = as_f16(largest_step / 63), least = as_f16(largest_start / 63);
  uint8_t *scales = y + 4, *high = y + 16, *low = y + (bits == 5 ? 48 : 16);
  memset(y, 0, bits == 5 ? 176 : 144);
  put_f16(y, d), put_f16(y + 2, least);
  for (int part = 0; part < 8; part++) {
    const int scale = d > 0 ? bounded(steps[part] / d + 0.5f, 0, 63) : 0;
    const int offset = least > 0 ? bounded(starts[part] / least + 0.5f, 0, 63) : 0;
    if (part < 4) {
      scales[part] |= (uint8_t)scale, scales[part + 4] |= (uint8_t)offset;
    } else {
      scales[part + 4] |= (uint8_t)((scale & 15) | (offset & 15) << 4);
      scales[part - 4] |= (uint8_t)(scale >> 4 << 6), scales[part] |= (uint8_t)(offset >> 4 << 6);
    }
    const float step = d * (float)scale, start = least * (float)offset;
    if (step == 0) continue;
    int codes[32];
    for (int i = 0; i < 32; i++) codes[i] = bounded((x[32 * part + i] + start) / step + 0.5f, 0, most);
    for (int i = 0; i < 32; i++) {
      low[part / 2 * 32 + i] |= (uint8_t)((codes[i] & 15) << part % 2 * 4);
      if (bits == 5) high[i] |= (uint8_t)(codes[i] >> 4 << part);
    }
  }
}

/// The step of a part of 16 such that step · q is near x for q in −32...31.
CK_INLINE float fit_symmetric(const float *numbers) {
  const float largest = signed_largest(numbers, 16);
  if (largest == 0) return 0;
  const half_floats x = LOAD_AS(half_floats, numbers);
  const half_floats w = sqrtf(SUM_OF(x * x) / 16) + (x < 0 ? -x : x);
  float best = 0, step = 0;
  for (int attempt = -9; attempt <= 9; attempt++) {
    const float inverse = -(32 + 0.1f * (float)attempt) / largest;
    const half_floats q = WHOLE(half_floats, half_words, x * inverse + 0.5f, -32, 31);
    const float sum_qx = SUM_OF(w * q * x), sum_qq = SUM_OF(w * q * q);
    // The fit's error is Σ w x² less this.
    if (sum_qq > 0 && sum_qx * sum_qx > best * sum_qq) best = sum_qx * sum_qx / sum_qq, step = sum_qx / sum_qq;
  }
  return step;
}

CK_INLINE void encode_q6_k(const float *x, uint8_t *y) {
  float steps[16];
  for (int part = 0; part < 16; part++) steps[part] = fit_symmetric(x + 16 * part);
  const float d = as_f16(signed_largest(steps, 16) / -128);
  memset(y, 0, 210);
  put_f16(y + 208, d);
  if (d == 0) return;
  for (int part = 0; part < 16; part++) {
    const int scale = bounded(floorf(steps[part] / d + 0.5f), -128, 127);
    y[192 + part] = (uint8_t)(int8_t)scale;
    const float step = d * (float)scale;
    uint8_t *low = y + part / 8 * 64 + part / 2 % 2 * 32 + part % 2 * 16,
            *high = y + 128 + part / 8 * 32 + part % 2 * 16;
    for (int i = 0; i < 16; i++) {
      const float place = step == 0 ? 0 : floorf(x[16 * part + i] / step + 0.5f);
      const int code = bounded(place, -32, 31) + 32;
      low[i] |= (uint8_t)((code & 15) << part / 4 % 2 * 4);
      high[i] |= (uint8_t)(code >> 4 << part / 2 % 4 * 2);
    }
  }
}

// MARK: Blocks

CK_KERNEL(encode_range, (int encoding, const float *x, uint8_t *y, ptrdiff_t blocks), (encoding, x, y, blocks)) {
  const ptrdiff_t count = ck_block_count(encoding), bytes = ck_block_bytes(encoding);
  for (ptrdiff_t block = 0; block < blocks; block++, x += count, y += bytes) {
    switch (encoding) {
      case CK_Q8_0: encode_q8_0(x, y); break;
      case CK_Q4_0: encode_32(x, y, 4, false); break;
      case CK_Q4_1: encode_32(x, y, 4, true); break;
      case CK_Q5_0: encode_32(x, y, 5, false); break;
      case CK_Q5_1: encode_32(x, y, 5, true); break;
      case CK_Q4_K: encode_parts(x, y, 4); break;
      case CK_Q5_K: encode_parts(x, y, 5); break;
      case CK_Q6_K: encode_q6_k(x, y); break;
      default: break;
    }
  }
}

void ck_encode_blocks(int encoding, const float *x, void *blocks, ptrdiff_t count) {
  encode_range(encoding, x, blocks, count / ck_block_count(encoding));
}

// MARK: Code books

CK_KERNEL(encode_code_book,
          (const float *x, ptrdiff_t count, ptrdiff_t group, const float *bounds, uint8_t *codes, float *scales),
          (x, count, group, bounds, codes, scales)) {
  for (ptrdiff_t begin = 0; begin < count; begin += group, scales++) {
    const ptrdiff_t end = ck_smaller(begin + group, count);
    float largest = 0;
    for (ptrdiff_t i = begin; i < end; i++) largest = fabsf(x[i]) > largest ? fabsf(x[i]) : largest;
    *scales = largest;
    const float divisor = largest > 1e-38f ? largest : 1e-38f, inverse = 1 / divisor;
    for (ptrdiff_t i = begin; i < end; i++) {
      // As the reference has it: a last, short group is divided.
      const float place = end - begin == group ? x[i] * inverse : x[i] / divisor;
      int code = 0;
      for (int bound = 0; bound < 15; bound++) code += place > bounds[bound];
      codes[i / 2] = (uint8_t)(i % 2 == 0 ? code << 4 : codes[i / 2] | code);
    }
  }
}

void ck_encode_code_book(const float *x, ptrdiff_t count, ptrdiff_t group, const float *table, uint8_t *codes,
                         float *scales) {
  float bounds[15];
  for (int i = 0; i < 15; i++) bounds[i] = (table[i] + table[i + 1]) / 2;
  encode_code_book(x, count, group, bounds, codes, scales);
}
