// ggml's blocks taken apart, 256 numbers at a time, into codes of a byte each and the steps between them: what products
// of bytes (gemm_bytes.c) and floats (decoding.c) are made of.
//
// A *unit* is eight *parts* of 32 numbers: a block of 256, or up to eight blocks of 32. A number is
// step · (code − offset) − start of its part, where a format has an offset or starts; in a format with scales, half a
// part has a step of its own, the part's times an integer.
//
// Vectors go through pointers and macros, since they can't be handed to a function that knows of no such registers.
#ifndef CK_CODES_H
#define CK_CODES_H

#include <stdint.h>
#include <string.h>

#include "CKernels.h"
#include "dispatch.h"

enum { CK_PART = 32, CK_PARTS = 8, CK_UNIT = CK_PART * CK_PARTS };

typedef uint8_t ck_half_part __attribute__((ext_vector_type(16)));
typedef uint8_t ck_part __attribute__((ext_vector_type(32)));
typedef uint8_t ck_two_parts __attribute__((ext_vector_type(64)));
typedef float ck_parts __attribute__((ext_vector_type(8)));
typedef uint16_t ck_eight_halves __attribute__((ext_vector_type(8)));

struct ck_unit {
  ck_two_parts codes[CK_PARTS / 2];
  ck_eight_halves steps, starts;  // float16, of each part; where the block has one of each, that alone
  uint8_t scales[2 * CK_PARTS];   // integers that they are multiplied by: of half parts; or of parts, then for starts
};

/// Bytes of a unit's blocks.
CK_INLINE ptrdiff_t ck_unit_bytes(int encoding) {
  switch (encoding) {
    case CK_Q8_0: return 8 * 34;
    case CK_Q4_0: return 8 * 18;
    case CK_Q4_1: return 8 * 20;
    case CK_Q5_0: return 8 * 22;
    case CK_Q5_1: return 8 * 24;
    case CK_Q3_K: return 110;
    case CK_Q4_K: return 144;
    case CK_Q5_K: return 176;
    default: return 210;  // Q6_K
  }
}

/// Whether codes are signed bytes; else they are below 64.
CK_INLINE bool ck_has_signs(int encoding) { return encoding == CK_Q8_0; }

/// What is subtracted from a code.
CK_INLINE int ck_code_offset(int encoding) {
  switch (encoding) {
    case CK_Q4_0: return 8;
    case CK_Q5_0: return 16;
    case CK_Q3_K: return 4;
    case CK_Q6_K: return 32;
    default: return 0;
  }
}

CK_INLINE bool ck_has_starts(int encoding) {
  return encoding == CK_Q4_1 || encoding == CK_Q5_1 || encoding == CK_Q4_K || encoding == CK_Q5_K;
}

CK_INLINE bool ck_has_scales(int encoding) { return encoding == CK_Q3_K || encoding == CK_Q6_K; }

// MARK: Pieces of blocks

#define CK_UNROLLED _Pragma("clang loop unroll(full)")

#define CK_LOAD_AS(type, pointer)              \
  ({                                           \
    type loaded;                               \
    memcpy(&loaded, (pointer), sizeof loaded); \
    loaded;                                    \
  })

#define CK_JOIN(type, low, high) \
  ({                             \
    type joined;                 \
    joined.lo = (low);           \
    joined.hi = (high);          \
    joined;                      \
  })

/// Of 16 bytes at `one` and at `other`: the low four bits, then the high ones, of each.
#define CK_NIBBLES(one, other)                                                                             \
  ({                                                                                                       \
    typedef uint64_t words __attribute__((ext_vector_type(4)));                                            \
    const ck_part both = CK_JOIN(ck_part, CK_LOAD_AS(ck_half_part, one), CK_LOAD_AS(ck_half_part, other)); \
    const words low = (words)(both & 15), high = (words)(both >> 4);                                       \
    (ck_two_parts) __builtin_shufflevector(low, high, 0, 1, 4, 5, 2, 3, 6, 7);                             \
  })

/// 16 in the bytes whose bit of the 32 bits at `one` and at `other` is set.
#define CK_FIFTH_BITS(one, other)                                                                   \
  ({                                                                                                \
    uint64_t spread[8];                                                                             \
    CK_UNROLLED for (int i = 0; i < 4; i++) {                                                       \
      spread[i] = (one)[i] * 0x0101010101010101u, spread[4 + i] = (other)[i] * 0x0101010101010101u; \
    }                                                                                               \
    const uint64_t bits[8] = {CK_EACH_BIT, CK_EACH_BIT, CK_EACH_BIT, CK_EACH_BIT,                   \
                              CK_EACH_BIT, CK_EACH_BIT, CK_EACH_BIT, CK_EACH_BIT};                  \
    const ck_two_parts each = CK_LOAD_AS(ck_two_parts, bits);                                       \
    (ck_two_parts)((CK_LOAD_AS(ck_two_parts, spread) & each) == each) & 16;                         \
  })
#define CK_EACH_BIT 0x8040201008040201u

/// Two parts that share 32 bytes: of each byte, some bits from `low` on and from `high` on.
#define CK_BITS(pointer, low, high, mask)                                                       \
  ({                                                                                            \
    const ck_part bytes = CK_LOAD_AS(ck_part, pointer);                                         \
    CK_JOIN(ck_two_parts, bytes >> (uint8_t)(low) & (mask), bytes >> (uint8_t)(high) & (mask)); \
  })

typedef uint32_t ck_eight_words __attribute__((ext_vector_type(8)));
typedef uint8_t ck_eight_bytes __attribute__((ext_vector_type(8)));

/// The float32 of eight float16, as `f16_to_f32` makes them.
#define CK_EIGHT_FLOATS(halves)                                                           \
  ({                                                                                      \
    const ck_eight_words bits = __builtin_convertvector((halves), ck_eight_words);        \
    const ck_eight_words magnitude = (bits & 0x7fff) << 13, sign = (bits & 0x8000) << 16; \
    const ck_parts scaled = CK_LOAD_AS(ck_parts, &magnitude) * 0x1p112f;                  \
    const ck_eight_words finite = CK_LOAD_AS(ck_eight_words, &scaled);                    \
    const ck_eight_words is_special = (ck_eight_words)(magnitude >= 0x0f800000);          \
    const ck_eight_words is_nan = (ck_eight_words)((magnitude & 0x007fffff) != 0);        \
    const ck_eight_words special = magnitude | 0x7f800000 | (is_nan & 0x00400000);        \
    const ck_eight_words result = (is_special & special) | (~is_special & finite) | sign; \
    CK_LOAD_AS(ck_parts, &result);                                                        \
  })

/// Up to eight float16 that lie `step` bytes apart.
CK_INLINE void ck_take_halves(const uint8_t *x, ptrdiff_t step, int count, ck_eight_halves *halves) {
  ck_eight_halves taken = 0;
  CK_UNROLLED for (int i = 0; i < 8; i++) {
    if (i < count) taken[i] = CK_LOAD_AS(uint16_t, x + i * step);
  }
  *halves = taken;
}

/// The scales and then the offsets of Q4_K's and Q5_K's parts, six bits each.
CK_INLINE void ck_take_six_bits(const uint8_t *x, uint8_t *scales) {
  uint32_t words[3];
  memcpy(words, x, sizeof words);
  const uint32_t wide[4] = {
      words[0] & 0x3f3f3f3f,
      (words[2] & 0x0f0f0f0f) | (words[0] >> 6 & 0x03030303) << 4,
      words[1] & 0x3f3f3f3f,
      (words[2] >> 4 & 0x0f0f0f0f) | (words[1] >> 6 & 0x03030303) << 4,
  };
  memcpy(scales, wide, sizeof wide);
}

// MARK: A unit

/// The codes of the parts 2i and 2i + 1; where there are fewer than `parts`, the second ones are any.
CK_INLINE void ck_take_codes(int encoding, const uint8_t *x, int i, int parts, ck_two_parts *codes) {
  const ptrdiff_t block = ck_unit_bytes(encoding) / CK_PARTS;
  const uint8_t *one = x + 2 * i * block, *other = 2 * i + 1 < parts ? one + block : one;
  switch (encoding) {
    case CK_Q8_0: *codes = CK_JOIN(ck_two_parts, CK_LOAD_AS(ck_part, one + 2), CK_LOAD_AS(ck_part, other + 2)); break;
    case CK_Q4_0: *codes = CK_NIBBLES(one + 2, other + 2); break;
    case CK_Q4_1: *codes = CK_NIBBLES(one + 4, other + 4); break;
    case CK_Q5_0: *codes = CK_NIBBLES(one + 6, other + 6) | CK_FIFTH_BITS(one + 2, other + 2); break;
    case CK_Q5_1: *codes = CK_NIBBLES(one + 8, other + 8) | CK_FIFTH_BITS(one + 4, other + 4); break;
    case CK_Q3_K:
      *codes = CK_BITS(x + 32 + i / 2 * 32, i % 2 * 4, i % 2 * 4 + 2, 3) | CK_BITS(x, 2 * i, 2 * i + 1, 1) << 2;
      break;
    case CK_Q4_K: *codes = CK_BITS(x + 16 + i * 32, 0, 4, 15); break;
    case CK_Q5_K: *codes = CK_BITS(x + 48 + i * 32, 0, 4, 15) | CK_BITS(x + 16, 2 * i, 2 * i + 1, 1) << 4; break;
    case CK_Q6_K:
      *codes = (CK_LOAD_AS(ck_two_parts, x + i / 2 * 64) >> (uint8_t)(i % 2 * 4) & 15) |
               CK_BITS(x + 128 + i / 2 * 32, i % 2 * 4, i % 2 * 4 + 2, 3) << 4;
      break;
    default: __builtin_unreachable();
  }
}

/// Takes the first `parts` parts apart that begin at x.
CK_INLINE void ck_take_apart(int encoding, const uint8_t *x, int parts, struct ck_unit *unit) {
  const ptrdiff_t block = ck_unit_bytes(encoding) / CK_PARTS;
  CK_UNROLLED for (int i = 0; i < CK_PARTS / 2; i++) {
    if (2 * i < parts) ck_take_codes(encoding, x, i, parts, &unit->codes[i]);
  }
  switch (encoding) {
    case CK_Q3_K:
      ck_take_halves(x + 108, 0, 1, &unit->steps);
      for (int i = 0; i < 16; i++) {
        const int low = x[96 + i % 8] >> i / 8 * 4 & 15, top = x[104 + i % 4] >> i / 4 * 2 & 3;
        unit->scales[i] = (uint8_t)((low | top << 4) - 32);
      }
      break;
    case CK_Q4_K:
    case CK_Q5_K:
      ck_take_halves(x, 0, 1, &unit->steps);
      ck_take_halves(x + 2, 0, 1, &unit->starts);
      ck_take_six_bits(x + 4, unit->scales);
      break;
    case CK_Q6_K:
      ck_take_halves(x + 208, 0, 1, &unit->steps);
      memcpy(unit->scales, x + 192, sizeof unit->scales);
      break;
    default:
      ck_take_halves(x, block, parts, &unit->steps);
      if (ck_has_starts(encoding)) ck_take_halves(x + 2, block, parts, &unit->starts);
  }
}

/// The steps of parts; in a format with scales, what those are multiplied by. `floats` makes float32 of eight float16.
#define CK_STEPS(encoding, unit, floats)                                                      \
  ({                                                                                          \
    ck_parts steps = floats((unit)->steps);                                                   \
    if (CK_IS_WHOLE_BLOCK(encoding)) steps = (ck_parts)steps[0];                              \
    if ((encoding) == CK_Q4_K || (encoding) == CK_Q5_K)                                       \
      steps *= __builtin_convertvector(CK_LOAD_AS(ck_eight_bytes, (unit)->scales), ck_parts); \
    steps;                                                                                    \
  })

/// The starts of parts, in a format that has them.
#define CK_STARTS(encoding, unit, floats)                                                                             \
  ({                                                                                                                  \
    ck_parts starts = floats((unit)->starts);                                                                         \
    CK_IS_WHOLE_BLOCK(encoding)                                                                                       \
    ? starts[0] * __builtin_convertvector(CK_LOAD_AS(ck_eight_bytes, (unit)->scales + CK_PARTS), ck_parts) : -starts; \
  })

/// Whether a unit is a block, not eight.
#define CK_IS_WHOLE_BLOCK(encoding) \
  ((encoding) == CK_Q3_K || (encoding) == CK_Q4_K || (encoding) == CK_Q5_K || (encoding) == CK_Q6_K)

#endif
