// Products of bytes, on the inside: what gemm_bytes.c gives its kernels.
//
// The right factor lies in ggml's blocks, whose codes are bytes (codes.h). The left factor's rows are rounded to bytes,
// too, with a step for each part of 32 numbers. Products of bytes and their sums within a part are integers, and so
// exact; a part's sum is made float, times both steps, and added to those of the parts at the same place in other
// units; the eight places at last in pairs. So a result has the same bits on every processor.
#ifndef CK_GEMM_BYTES_H
#define CK_GEMM_BYTES_H

#include "CKernels.h"
#include "codes.h"
#include "gemm.h"

enum {
  CK_BYTES_AHEAD = 8192,  // how far ahead of what is read memory is asked for: processors' own guesses end with a page
  CK_MOST_BYTE_ROWS = 32,
};

typedef int32_t ck_part_sums __attribute__((ext_vector_type(8)));
typedef int32_t ck_two_sums __attribute__((ext_vector_type(16)));
typedef float ck_four_terms __attribute__((ext_vector_type(4)));

/// The order in which eight parts lie in a register once their sums are folded: halves of it then are pairs.
#define CK_ORDER_OF_PARTS 0, 4, 2, 6, 1, 5, 3, 7
#define CK_ORDERED(parts) __builtin_shufflevector(parts, parts, CK_ORDER_OF_PARTS)

struct ck_byte_product {
  ptrdiff_t rows, units, parts;  // of the left factor: rows, and what each has; parts of its last unit
  const int8_t *codes;           // [rows, units, 256], zeros after the last part
  const float *steps;            // [rows, units, 8], in the order above, and so
  const int32_t *sums;           // the codes' sums
  const ck_encoded *matrix;
  ptrdiff_t row_bytes;  // of the matrix
  float alpha, beta;
  float *c;
  ptrdiff_t ldc;
};

/// The columns of c that belong to the rows begin ..< end of the matrix, counted as they are stored.
typedef void (*ck_byte_range)(const struct ck_byte_product *s, ptrdiff_t begin, ptrdiff_t end);

/// The formats that are multiplied so, with a word for each.
#define CK_BYTE_ENCODINGS(X) X(CK_Q8_0) X(CK_Q4_0) X(CK_Q4_1) X(CK_Q5_0) X(CK_Q5_1) X(CK_Q4_K) X(CK_Q5_K) X(CK_Q6_K)

/// Whether there is a faster way for many rows of the left factor, and that way.
bool ck_has_byte_lanes(void);
void ck_multiply_byte_lanes(const struct ck_byte_product *product);

#endif
