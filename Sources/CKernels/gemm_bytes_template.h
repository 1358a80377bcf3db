// The kernels of gemm_bytes.h for one instruction set. gemm_bytes.c includes it with
//   NAME(x)            x with the set's suffix
//   DOT(codes, x)      of two parts of codes below 128 and of signed bytes: sums of four products each in sixteen lanes
//   SIGNED_DOT(…)      the same for codes that are signed bytes, plus
//   SIGNED_OFFSET      so many times the sums of x
//   EIGHT_FLOATS(x)    the float32 of eight float16
// No include guard: it is meant to be included again.

/// The eight parts' sums, in the order of CK_ORDER_OF_PARTS.
CK_INLINE void NAME(part_sums)(int encoding, const struct ck_unit *unit, int parts, const int8_t *x,
                               ck_part_sums *sums) {
  ck_two_sums dots[CK_PARTS / 2];
  CK_UNROLLED for (int i = 0; i < CK_PARTS / 2; i++) {
    dots[i] = 0;
    if (2 * i >= parts) continue;
    const ck_two_parts row = CK_LOAD_AS(ck_two_parts, x + 2 * CK_PART * i);
    if (ck_has_signs(encoding)) {
      dots[i] = SIGNED_DOT(unit->codes[i], row);
    } else {
      dots[i] = DOT(unit->codes[i], row);
    }
    if (ck_has_scales(encoding)) {
      typedef int8_t four_bytes __attribute__((ext_vector_type(4)));
      typedef int32_t four_words __attribute__((ext_vector_type(4)));
      const four_words scales = __builtin_convertvector(CK_LOAD_AS(four_bytes, unit->scales + 4 * i), four_words);
      dots[i] -= DOT((ck_two_parts)1, row) * ck_code_offset(encoding);
      dots[i] *= __builtin_shufflevector(scales, scales, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
    }
  }
  CK_UNROLLED for (int i = 0; i < 4; i += 2) dots[i] = FOLDED(2, dots[i], dots[i + 1]);
  dots[0] = FOLDED(1, dots[0], dots[2]);
  *sums = __builtin_shufflevector(dots[0], dots[0], 0, 1, 2, 3, 8, 9, 10, 11) +
          __builtin_shufflevector(dots[0], dots[0], 4, 5, 6, 7, 12, 13, 14, 15);
}

/// Adds a unit's products with one row's, by part.
CK_INLINE void NAME(add_terms)(int encoding, const struct ck_unit *unit, const ck_parts *steps, const ck_parts *starts,
                               int parts, const int8_t *x, const float *row_steps, const int32_t *row_sums,
                               ck_parts *terms) {
  ck_part_sums sums;
  NAME(part_sums)(encoding, unit, parts, x, &sums);
  const ck_part_sums all = CK_LOAD_AS(ck_part_sums, row_sums);
  const int offset = ck_has_signs(encoding) ? SIGNED_OFFSET : ck_has_scales(encoding) ? 0 : ck_code_offset(encoding);
  sums -= all * offset;
  const ck_parts by_row = CK_LOAD_AS(ck_parts, row_steps);
  *terms += __builtin_convertvector(sums, ck_parts) * (*steps * by_row);
  if (ck_has_starts(encoding)) *terms -= __builtin_convertvector(all, ck_parts) * (*starts * by_row);
}

/// Adds the products of one unit with `rows` rows'.
CK_INLINE void NAME(add_unit)(int encoding, const struct ck_byte_product *s, const uint8_t *blocks, int parts,
                              ptrdiff_t place, ptrdiff_t rows, ck_parts *terms) {
  struct ck_unit unit;
  ck_take_apart(encoding, blocks, parts, &unit);
  ck_parts steps = CK_STEPS(encoding, &unit, EIGHT_FLOATS), starts = 0;
  steps = CK_ORDERED(steps);
  if (ck_has_starts(encoding)) {
    starts = CK_STARTS(encoding, &unit, EIGHT_FLOATS);
    starts = CK_ORDERED(starts);
  }
  for (ptrdiff_t r = 0; r < rows; r++, place += s->units) NAME(add_terms)
  (encoding, &unit, &steps, &starts, parts, s->codes + place * CK_UNIT, s->steps + place * CK_PARTS,
   s->sums + place * CK_PARTS, &terms[r]);
}

/// `rows` rows of the left factor from `first` on, with the rows begin ..< end of the right one.
CK_INLINE void NAME(few_rows)(int encoding, const struct ck_byte_product *s, ptrdiff_t first, ptrdiff_t rows,
                              ptrdiff_t begin, ptrdiff_t end) {
  const ptrdiff_t unit_bytes = ck_unit_bytes(encoding), whole = s->units - (s->parts < CK_PARTS);
  const uint8_t *blocks = (const uint8_t *)s->matrix->codes + begin * s->row_bytes;
  for (ptrdiff_t stored = begin; stored < end; stored++, blocks += s->row_bytes) {
    ck_parts terms[CK_MOST_BYTE_ROWS];
    for (ptrdiff_t r = 0; r < rows; r++) terms[r] = 0;
    ptrdiff_t u = 0;
    for (; u < whole; u++) {
      const uint8_t *unit = blocks + u * unit_bytes;
      CK_UNROLLED for (ptrdiff_t line = 0; line < unit_bytes; line += 64)
          __builtin_prefetch(unit + line + CK_BYTES_AHEAD);
      NAME(add_unit)(encoding, s, unit, CK_PARTS, first * s->units + u, rows, terms);
    }
    if (u < s->units) {
      const uint8_t *unit = blocks + u * unit_bytes;
      __builtin_prefetch(unit + CK_BYTES_AHEAD);
      NAME(add_unit)(encoding, s, unit, (int)s->parts, first * s->units + u, rows, terms);
    }
    float *column = s->c + first * s->ldc + ck_row_of_stored(s->matrix, stored);
    for (ptrdiff_t r = 0; r < rows; r++) {
      const ck_four_terms pairs = terms[r].lo + terms[r].hi;
      const float sum = s->alpha * ((pairs[0] + pairs[2]) + (pairs[1] + pairs[3]));
      float *place = column + r * s->ldc;
      *place = s->beta == 0 ? sum : sum + s->beta * *place;
    }
  }
}

/// A single row keeps its sum in a register.
#define FEW_ROWS_OF(encoding)                                                                           \
  case encoding:                                                                                        \
    if (s->rows == 1) {                                                                                 \
      NAME(few_rows)(encoding, s, 0, 1, begin, end);                                                    \
    } else {                                                                                            \
      for (ptrdiff_t first = 0; first < s->rows; first += CK_MOST_BYTE_ROWS)                            \
        NAME(few_rows)(encoding, s, first, ck_smaller(CK_MOST_BYTE_ROWS, s->rows - first), begin, end); \
    }                                                                                                   \
    break;
static void NAME(few)(const struct ck_byte_product *s, ptrdiff_t begin, ptrdiff_t end) {
  switch (s->matrix->encoding) { CK_BYTE_ENCODINGS(FEW_ROWS_OF) }
}
