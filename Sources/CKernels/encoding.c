// float32 to ggml's blocks.
//
// The blocks of 32 have one way, that of ggml's reference, which is kept bit for bit. For the blocks of 256 the format
// says only what is stored; here each part's step and start are searched for: several roundings are tried, for each the
// least squares fit is taken, and what gives the least error stays.
#pragma STDC FP_CONTRACT OFF
#include <math.h>
#include <string.h>

#include "CKernels.h"
#include "codes.h"
#include "dispatch.h"
#include "narrow.h"
#include "shuffles.h"

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

// Sixteen parts are fitted side by side, one in each lane, so that no sum has to be gathered from the lanes of a
// vector: two blocks of eight parts, or a block of sixteen.
enum { LANES = 16 };
typedef float lanes __attribute__((ext_vector_type(LANES)));

/// The nearest whole numbers of those below 2²² in magnitude.
#define NEAREST(numbers) ((numbers) + 0x1.8p23f - 0x1.8p23f)
#define LESSER(a, b)                    \
  ({                                    \
    const lanes one = (a), other = (b); \
    one < other ? one : other;          \
  })
#define GREATER(a, b)                   \
  ({                                    \
    const lanes one = (a), other = (b); \
    one > other ? one : other;          \
  })
#define MAGNITUDE(x) ((x) < 0 ? -(x) : (x))

/// Of 16 rows, those that lie `d` apart exchange the lanes that lie d apart: all four distances transpose.
#define EXCHANGE(d, rows)                                 \
  CK_UNROLLED for (int i = 0; i < LANES; i++) {           \
    if (i & (d)) continue;                                \
    const lanes one = (rows)[i], other = (rows)[i + (d)]; \
    (rows)[i] = SHUFFLE(LOW, 16, d, one, other);          \
    (rows)[i + (d)] = SHUFFLE(HIGH, 16, d, one, other);   \
  }

/// Puts `parts` parts of `size` numbers into lanes, the others' numbers being 0: y[i] has the i-th number of each. And
/// what the error of each number counts: numbers far from 0, which products feel most, count more.
CK_INLINE void spread_parts(const float *x, int parts, int size, lanes *y, lanes *weights) {
  for (int column = 0; column < size; column += LANES) {
    lanes *square = y + column;
    CK_UNROLLED for (int part = 0; part < LANES; part++) {
      square[part] = part < parts ? CK_LOAD_AS(lanes, x + size * part + column) : 0;
    }
    EXCHANGE(8, square) EXCHANGE(4, square) EXCHANGE(2, square) EXCHANGE(1, square)
  }
  lanes squares = 0;
  for (int i = 0; i < size; i++) squares += y[i] * y[i];
  for (int part = 0; part < LANES; part++) squares[part] = sqrtf(squares[part] / (float)size);
  for (int i = 0; i < size; i++) weights[i] = squares + MAGNITUDE(y[i]);
}

/// The steps and starts ≥ 0 of up to 16 parts of 32 such that step · q − start is near x for q in 0...most.
CK_INLINE void fit_parts(const float *numbers, int parts, int most, float *steps, float *starts) {
  lanes x[32], w[32], above[32], least = 0, greatest = 0, sum_w = 0, sum_x = 0;
  spread_parts(numbers, parts, 32, x, w);
  for (int i = 0; i < 32; i++) {
    least = LESSER(x[i], least), greatest = GREATER(x[i], greatest);
    sum_w += w[i], sum_x += w[i] * x[i];
  }
  for (int i = 0; i < 32; i++) above[i] = x[i] - least;
  const lanes unit = 1 / (greatest - least);
  lanes best = -INFINITY, step = 0, start = -least;
  for (int attempt = -1; attempt <= 20; attempt++) {
    // The first attempt is the plain one; the others stretch the range by up to a step at its ends.
    const lanes inverse = ((float)most + (attempt < 0 ? 0 : -1.0f + 0.1f * (float)attempt)) * unit;
    lanes sum_q = 0, sum_qq = 0, sum_qx = 0;
    for (int i = 0; i < 32; i++) {
      const lanes q = NEAREST(LESSER(above[i] * inverse, (lanes)(float)most)), wq = w[i] * q;
      sum_q += wq, sum_qq += wq * q, sum_qx += wq * x[i];
    }
    const lanes determinant = sum_w * sum_qq - sum_q * sum_q;
    const lanes inverted = 1 / determinant;
    lanes slope = (sum_w * sum_qx - sum_q * sum_x) * inverted;
    lanes offset = (sum_q * sum_qx - sum_qq * sum_x) * inverted;
    slope = offset < 0 ? sum_qx / sum_qq : slope, offset = offset < 0 ? 0 : offset;
    // The fit's error is Σ w x² less this.
    const lanes gain = slope * sum_qx - offset * sum_x;
    const __typeof__(gain > best) is_better = (determinant > 0) & (slope > 0) & (gain > best);
    best = is_better ? gain : best, step = is_better ? slope : step, start = is_better ? offset : start;
  }
  memcpy(steps, &step, sizeof step), memcpy(starts, &start, sizeof start);
}

/// The codes of a part: the nearest whole numbers to (x + start) / step, from `least` to `most`.
CK_INLINE void code_part(const float *x, int size, float start, float step, int least, int most, uint8_t *codes) {
  const float inverse = step == 0 ? 0 : 1 / step;
  for (int i = 0; i < size; i++) {
    float place = (x[i] + start) * inverse;
    place = place < (float)most ? place : (float)most;
    place = place > (float)least ? place : (float)least;
    codes[i] = (uint8_t)((int)NEAREST(place) - least);
  }
}

/// A block of Q4_K or Q5_K, from the steps and starts of its parts.
CK_INLINE void encode_parts(const float *x, const float *steps, const float *starts, uint8_t *y, int bits) {
  const int most = (1 << bits) - 1;
  float largest_step = 0, largest_start = 0;
  for (int part = 0; part < 8; part++) {
    largest_step = steps[part] > largest_step ? steps[part] : largest_step;
    largest_start = starts[part] > largest_start ? starts[part] : largest_start;
  }
  const float d = as_f16(largest_step / 63), least = as_f16(largest_start / 63);
  uint8_t *scales = y + 4, *high = y + 16, *low = y + (bits == 5 ? 48 : 16), codes[256];
  memset(y, 0, bits == 5 ? 48 : 16);
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
    code_part(x + 32 * part, 32, least * (float)offset, d * (float)scale, 0, most, codes + 32 * part);
    if (bits == 5)
      for (int i = 0; i < 32; i++) high[i] |= (uint8_t)(codes[32 * part + i] >> 4 << part);
  }
  for (int pair = 0; pair < 4; pair++) {
    const uint8_t *one = codes + 64 * pair, *other = one + 32;
    for (int i = 0; i < 32; i++) low[32 * pair + i] = (uint8_t)((one[i] & 15) | other[i] << 4);
  }
}

/// The steps of 16 parts of 16 such that step · q is near x for q in −32...31.
CK_INLINE void fit_symmetric(const float *numbers, float *steps) {
  lanes x[16], w[16], largest = 0, best = 0, step = 0;
  spread_parts(numbers, LANES, 16, x, w);
  for (int i = 0; i < 16; i++) largest = MAGNITUDE(x[i]) > MAGNITUDE(largest) ? x[i] : largest;
  const lanes unit = -1 / largest;
  for (int attempt = -3; attempt <= 3; attempt++) {
    const lanes inverse = (32 + 0.3f * (float)attempt) * unit;
    lanes sum_qq = 0, sum_qx = 0;
    for (int i = 0; i < 16; i++) {
      const lanes q = NEAREST(GREATER(LESSER(x[i] * inverse, (lanes)31), (lanes)-32)), wq = w[i] * q;
      sum_qq += wq * q, sum_qx += wq * x[i];
    }
    // The fit's error is Σ w x² less this.
    const lanes slope = sum_qx / sum_qq, gain = slope * sum_qx;
    const __typeof__(gain > best) is_better = (sum_qq > 0) & (gain > best);
    best = is_better ? gain : best, step = is_better ? slope : step;
  }
  memcpy(steps, &step, sizeof step);
}

CK_INLINE void encode_q6_k(const float *x, uint8_t *y) {
  float steps[16];
  fit_symmetric(x, steps);
  const float d = as_f16(signed_largest(steps, 16) / -128);
  put_f16(y + 208, d);
  uint8_t codes[256];
  for (int part = 0; part < 16; part++) {
    const int scale = d == 0 ? 0 : bounded(floorf(steps[part] / d + 0.5f), -128, 127);
    y[192 + part] = (uint8_t)(int8_t)scale;
    code_part(x + 16 * part, 16, 0, d * (float)scale, -32, 31, codes + 16 * part);
  }
  for (int half = 0; half < 2; half++) {
    const uint8_t *q = codes + 128 * half;
    uint8_t *low = y + 64 * half, *high = y + 128 + 32 * half;
    for (int i = 0; i < 64; i++) low[i] = (uint8_t)((q[i] & 15) | q[64 + i] << 4);
    for (int i = 0; i < 32; i++)
      high[i] = (uint8_t)(q[i] >> 4 | q[32 + i] >> 4 << 2 | q[64 + i] >> 4 << 4 | q[96 + i] >> 4 << 6);
  }
}

// MARK: Blocks

CK_KERNEL(encode_range, (int encoding, const float *x, uint8_t *y, ptrdiff_t blocks), (encoding, x, y, blocks)) {
  const ptrdiff_t count = ck_block_count(encoding), bytes = ck_block_bytes(encoding);
  if (encoding == CK_Q4_K || encoding == CK_Q5_K) {
    const int bits = encoding == CK_Q4_K ? 4 : 5;
    float steps[LANES], starts[LANES];
    for (ptrdiff_t block = 0; block < blocks; block++, x += count, y += bytes) {
      if (block % 2 == 0) fit_parts(x, block + 1 < blocks ? 16 : 8, (1 << bits) - 1, steps, starts);
      encode_parts(x, steps + block % 2 * 8, starts + block % 2 * 8, y, bits);
    }
    return;
  }
  for (ptrdiff_t block = 0; block < blocks; block++, x += count, y += bytes) {
    switch (encoding) {
      case CK_Q8_0: encode_q8_0(x, y); break;
      case CK_Q4_0: encode_32(x, y, 4, false); break;
      case CK_Q4_1: encode_32(x, y, 4, true); break;
      case CK_Q5_0: encode_32(x, y, 5, false); break;
      case CK_Q5_1: encode_32(x, y, 5, true); break;
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
