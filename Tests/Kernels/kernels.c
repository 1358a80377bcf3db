// The kernels against the same formulas in double precision, in a program that runs wherever C does: run.sh runs it for
// every instruction set. Sizes are odd, pointers lie one element off the alignment, and inputs hold what is special.
//
// It ends with a digest of the results that hold no rounding of more than one operation, or whose operations have the
// same order everywhere: it must be the same for all.
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "CKernels.h"

enum { MOST = 1 << 16 };

static int failures;
static const char *now;  // what is being checked
static uint64_t digest = 14695981039346656037u;

// A value that is off by more than `tolerance` of `scale`; infinities and NaN must be met.
static void expect(double found, double wanted, double scale, double tolerance, ptrdiff_t place) {
  if (isnan(wanted) ? isnan(found) : isinf(wanted) ? found == wanted : fabs(found - wanted) <= tolerance * scale)
    return;
  if (++failures <= 20) printf("%s [%td]: found %.9g, expected %.9g\n", now, place, found, wanted);
}

static void expect_near(const float *found, const double *wanted, ptrdiff_t count, double tolerance) {
  for (ptrdiff_t i = 0; i < count; i++) expect(found[i], wanted[i], 1 + fabs(wanted[i]), tolerance, i);
}

/// Adds to the digest. NaN counts as one value: its bits are not the same on every CPU.
static void add_to_digest(const float *x, ptrdiff_t count) {
  for (ptrdiff_t i = 0; i < count; i++) {
    uint32_t bits;
    memcpy(&bits, x + i, sizeof bits);
    if (isnan(x[i])) bits = 0x7fc00000;
    digest = (digest ^ bits) * 1099511628211u;
  }
}

static uint64_t state = 88172645463325252u;
static uint64_t next(void) {
  state ^= state << 13;
  state ^= state >> 7;
  return state ^= state << 17;
}
static float value(void) { return (float)((double)(next() >> 11) / 4503599627370496.0 - 1); }

/// Random values one element off the alignment; freed by nobody, since the program is short.
static float *values(ptrdiff_t count) {
  float *x = (float *)ck_allocate((size_t)(count + 17) * sizeof(float)) + 1;
  for (ptrdiff_t i = 0; i < count; i++) x[i] = value();
  return x;
}
static float *zeros(ptrdiff_t count) { return memset(values(count), 0, (size_t)count * sizeof(float)); }
static double *doubles(ptrdiff_t count) { return calloc((size_t)count + 1, sizeof(double)); }

static const float special[] = {0, -0.0f, 1, -1, INFINITY, -INFINITY, NAN, 1e-40f, -1e-40f, 3.4e38f, 88.7f, -103.9f};
enum { SPECIAL = sizeof special / sizeof *special };

// MARK: Products

static double element(const float *x, const ck_factor *f, ptrdiff_t row, ptrdiff_t column) {
  return x[f->transposed ? column * f->stride + row : row * f->stride + column];
}

static void check_product(ptrdiff_t m, ptrdiff_t n, ptrdiff_t k, int layout) {
  // Where b rounds, both are of bfloat16 before, so that the formula holds for products that widen as well.
  const bool turned_a = layout & 1, turned_b = layout & 2, half = layout & 4, rounds = layout & 8;
  float *a = values((m + 3) * (k + 3)), *b = values((n + 3) * (k + 3));
  uint16_t *halves = (uint16_t *)values((m + n + 3) * (k + 3)) + (rounds ? 2 : 1);
  if (rounds) {
    ck_f32_to_bf16(a, halves, (size_t)((m + 3) * (k + 3)));
    ck_bf16_to_f32(halves, a, (size_t)((m + 3) * (k + 3)));
  }
  if (half || rounds) {
    ck_f32_to_bf16(b, halves, (size_t)((n + 3) * (k + 3)));
    ck_bf16_to_f32(halves, b, (size_t)((n + 3) * (k + 3)));
  }
  const float alpha = layout % 3 ? 1 : -0.5f, beta = layout % 2 ? 0.75f : 0;
  const ptrdiff_t ldc = n + 2;
  float *c = values(m * ldc + 2), *before = values(m * ldc + 2);
  for (ptrdiff_t i = 0; i < m * ldc; i++) before[i] = c[i] = beta == 0 ? NAN : c[i];
  ck_product p = {m,
                  n,
                  k,
                  alpha,
                  beta,
                  {a, (turned_a ? m : k) + 3, turned_a, false, false},
                  {b, (turned_b ? k : n) + (rounds ? k % 2 : 3), turned_b, half, rounds},
                  c,
                  ldc};
  if (half) p.b.elements = halves;
  ck_multiply(&p);
  for (ptrdiff_t i = 0; i < m; i++) {
    for (ptrdiff_t j = 0; j < n; j++) {
      double sum = beta == 0 ? 0 : beta * (double)before[i * ldc + j], scale = fabs(sum);
      for (ptrdiff_t q = 0; q < k; q++) {
        const double term = alpha * element(a, &p.a, i, q) * element(b, &p.b, q, j);
        sum += term;
        scale += fabs(term);
      }
      expect(c[i * ldc + j], sum, scale, 1e-6, i * ldc + j);
    }
    for (ptrdiff_t j = n; j < ldc; j++) expect(c[i * ldc + j], before[i * ldc + j], 0, 0, i * ldc + j);
  }
}

static void check_products(void) {
  static const ptrdiff_t shapes[][3] = {{1, 1, 1},     {3, 5, 2},    {10, 77, 300}, {7, 100, 65},  {33, 40, 100},
                                        {70, 65, 270}, {15, 33, 16}, {2, 129, 700}, {100, 4, 200}, {99, 3, 17},
                                        {64, 64, 64},  {65, 31, 63}, {5, 300, 3},   {1, 100, 70},  {1, 50, 33},
                                        {1, 33, 20},   {100, 1, 70}, {9, 17, 0},    {100, 37, 128}};
  now = "product";
  for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
    for (int layout = 0; layout < 16; layout++) check_product(shapes[i][0], shapes[i][1], shapes[i][2], layout);
  now = "product of infinities and NaN";
  float *a = values(20 * 60), *b = values(60 * 40), *c = zeros(20 * 40);
  a[3 * 60 + 7] = INFINITY, a[5 * 60 + 2] = NAN, b[50 * 40 + 11] = -INFINITY;
  ck_multiply(&(ck_product){20, 40, 60, 1, 0, {a, 60, false, false}, {b, 40, false, false}, c, 40});
  for (ptrdiff_t i = 0; i < 800; i++) {
    double sum = 0;
    for (ptrdiff_t p = 0; p < 60; p++) sum += (double)a[i / 40 * 60 + p] * b[p * 40 + i % 40];
    expect(c[i], sum, 60, 1e-6, i);
  }
}

// MARK: Products of bytes

static const int block_encodings[] = {CK_Q8_0, CK_Q4_0, CK_Q4_1, CK_Q5_0, CK_Q5_1, CK_Q4_K, CK_Q5_K, CK_Q6_K};
enum { BLOCK_ENCODINGS = sizeof block_encodings / sizeof *block_encodings };

/// A matrix of random numbers in blocks; freed by nobody.
static ck_encoded blocks(int encoding, ptrdiff_t rows, ptrdiff_t columns) {
  const ptrdiff_t bytes = rows * columns / ck_block_count(encoding) * ck_block_bytes(encoding);
  uint8_t *codes = (uint8_t *)ck_allocate((size_t)bytes + 1) + 1;
  ck_encode_blocks(encoding, values(rows * columns), codes, rows * columns);
  return (ck_encoded){.encoding = encoding, .rows = rows, .columns = columns, .codes = codes};
}

/// x as products of bytes round it: 32 numbers share a step, by which the largest becomes 127.
static void round_to_bytes(const float *x, float *rounded, ptrdiff_t count) {
  for (ptrdiff_t part = 0; part < count; part += 32) {
    float largest = 0;
    for (ptrdiff_t i = part; i < part + 32; i++) largest = fmaxf(largest, fabsf(x[i]));
    for (ptrdiff_t i = part; i < part + 32; i++)
      rounded[i] = (float)nearbyint(x[i] * (largest > 0 ? 127 / largest : 0)) * (largest / 127);
  }
}

static void check_bytes(int encoding, ptrdiff_t m, ptrdiff_t n, ptrdiff_t k, ptrdiff_t head, float beta) {
  ck_encoded matrix = blocks(encoding, n, k);
  matrix.head = head;
  const ptrdiff_t lda = k + 3, ldc = n + 2;
  float *x = values(m * lda), *rounded = values(k), *w = values(n * k), *c = values(m * ldc), *alone = values(ldc);
  float *before = values(m * ldc);
  if (m > 2) memset(x + 2 * lda, 0, 32 * sizeof(float));
  for (ptrdiff_t i = 0; i < m * ldc; i++) before[i] = c[i] = beta == 0 ? NAN : c[i];
  ck_decode_rows(&matrix, 0, n, w, k);
  ck_product p = {.m = m, .n = n, .k = k, .alpha = -0.5f, .beta = beta, .a = {x, lda}, .c = c, .ldc = ldc};
  p.b = (ck_factor){.stride = k, .transposed = true, .encoded = &matrix, .bytes = true};
  ck_multiply(&p);
  for (ptrdiff_t i = 0; i < m; i++) {
    round_to_bytes(x + i * lda, rounded, k);
    for (ptrdiff_t j = 0; j < n; j++) {
      double sum = beta == 0 ? 0 : beta * (double)before[i * ldc + j], scale = fabs(sum);
      for (ptrdiff_t q = 0; q < k; q++) {
        const double term = -0.5 * (double)rounded[q] * (double)w[j * k + q];
        sum += term;
        scale += fabs(term);
      }
      expect(c[i * ldc + j], sum, scale, 2e-6, i * ldc + j);
    }
    for (ptrdiff_t j = n; j < ldc; j++) expect(c[i * ldc + j], before[i * ldc + j], 0, 0, i * ldc + j);
    // A row's bits are those that it has alone.
    memcpy(alone, before + i * ldc, (size_t)ldc * sizeof(float));
    p.m = 1, p.a.elements = x + i * lda, p.c = alone;
    ck_multiply(&p);
    for (ptrdiff_t j = 0; j < n; j++) expect(c[i * ldc + j], alone[j], 0, 0, i * ldc + j);
    add_to_digest(c + i * ldc, n);
  }
  add_to_digest(w, n * k);
}

static void check_products_of_bytes(void) {
  now = "product of bytes";
  for (int i = 0; i < BLOCK_ENCODINGS; i++) {
    const int encoding = block_encodings[i];
    const ptrdiff_t most = ck_block_count(encoding) == 256 ? 768 : 32 * 27;
    check_bytes(encoding, 1, 9, most, 0, 0);
    check_bytes(encoding, 3, 33, ck_block_count(encoding), 0, 0.75f);
    check_bytes(encoding, 20, 12, ck_block_count(encoding) == 256 ? 256 : 96, 6, 0);
    check_bytes(encoding, 37, 70, most - ck_block_count(encoding), 0, -2);
  }
  now = "product of bytes with NaN";
  ck_encoded matrix = blocks(CK_Q4_0, 5, 64);
  float *x = values(3 * 64), *c = zeros(15);
  x[64] = NAN, x[64 * 2 + 63] = INFINITY;
  ck_product p = {.m = 3, .n = 5, .k = 64, .alpha = 1, .a = {x, 64}, .c = c, .ldc = 5};
  p.b = (ck_factor){.stride = 64, .transposed = true, .encoded = &matrix, .bytes = true};
  ck_multiply(&p);
  for (ptrdiff_t i = 0; i < 15; i++)
    if (isnan(c[i]) != (i >= 5)) expect(c[i], i < 5 ? 0 : NAN, 0, 0, i);
}

/// Products with one left factor, together and alone; a right factor whose rows lie in another order.
static void check_together(ptrdiff_t m) {
  now = "products together";
  enum { K = 160, COUNT = 4 };
  static const ptrdiff_t columns[COUNT] = {300, 33, 64, 1};
  float *x = values(m * K);
  for (int kind = 0; kind < 4; kind++) {  // float32, bfloat16 pairs, bytes, and one of each
    ck_product together[COUNT], alone[COUNT];
    ck_encoded matrices[COUNT];
    for (int i = 0; i < COUNT; i++) {
      const int own = kind == 3 ? i % 3 : kind;
      matrices[i] = blocks(CK_Q4_0, columns[i], K);
      uint16_t *halves = (uint16_t *)values(columns[i] * K) + 2;
      ck_f32_to_bf16(values(columns[i] * K), halves, (size_t)(columns[i] * K));
      together[i] = (ck_product){.m = m, .n = columns[i], .k = K, .alpha = 1, .a = {x, K}, .ldc = columns[i]};
      together[i].b = (ck_factor){.elements = own == 1 ? (const void *)halves : values(columns[i] * K),
                                  .stride = K,
                                  .transposed = true,
                                  .bfloat16 = own == 1,
                                  .rounds = own == 1,
                                  .encoded = own == 2 ? &matrices[i] : NULL,
                                  .bytes = own == 2};
      alone[i] = together[i];
      together[i].c = zeros(m * columns[i]);
      alone[i].c = zeros(m * columns[i]);
      ck_multiply(&alone[i]);
    }
    ck_multiply_together(together, COUNT);
    for (int i = 0; i < COUNT; i++)
      for (ptrdiff_t j = 0; j < m * columns[i]; j++) expect(together[i].c[j], alone[i].c[j], 0, 0, j);
  }
  now = "product with rows in another order";
  enum { ROWS = 24, DEPTH = 1100 };
  float *w = values(ROWS * DEPTH), *decoded = values(ROWS * DEPTH), *c = zeros(m * ROWS), *y = zeros(m * ROWS);
  x = values(m * DEPTH);
  uint16_t *halves = (uint16_t *)values(ROWS * DEPTH) + 1;
  ck_f32_to_bf16(w, halves, ROWS * DEPTH);
  for (int encoding = CK_F32; encoding <= CK_BF16; encoding++) {
    if (encoding == CK_F16) ck_f32_to_f16(w, halves, ROWS * DEPTH);
    if (encoding == CK_BF16) ck_f32_to_bf16(w, halves, ROWS * DEPTH);
    ck_encoded matrix = {.encoding = encoding, .rows = ROWS, .columns = DEPTH, .head = 8};
    matrix.codes = encoding == CK_F32 ? (const void *)w : halves;
    ck_decode_rows(&matrix, 0, ROWS, decoded, DEPTH);
    ck_product p = {.m = m, .n = ROWS, .k = DEPTH, .alpha = 1, .a = {x, DEPTH}, .c = c, .ldc = ROWS};
    p.b = (ck_factor){.stride = DEPTH, .transposed = true, .encoded = &matrix};
    ck_multiply(&p);
    p.b = (ck_factor){.elements = decoded, .stride = DEPTH, .transposed = true};
    p.c = y;
    ck_multiply(&p);
    for (ptrdiff_t i = 0; i < m * ROWS; i++) expect(c[i], y[i], 0, 0, i);
  }
}

// MARK: Decoding

/// Halves of every kind, decoded from a place that is not aligned.
static void check_halves(void) {
  now = "float16 decoded";
  uint8_t *bytes = (uint8_t *)ck_allocate(2 * 65536 + 1) + 1;
  for (int i = 0; i < 65536; i++) memcpy(bytes + 2 * i, &(uint16_t){(uint16_t)i}, 2);
  float *decoded = values(65536), *converted = values(65536);
  uint16_t *aligned = (uint16_t *)values(32768);
  memcpy(aligned, bytes, 2 * 65536);
  for (int encoding = CK_F16; encoding <= CK_BF16; encoding++) {
    // Rows of 13 numbers, so that some are no whole register.
    const ck_encoded matrix = {.encoding = encoding, .rows = 5041, .columns = 13, .codes = bytes};
    ck_decode_rows(&matrix, 0, 5041, decoded, 13);
    (encoding == CK_F16 ? ck_f16_to_f32 : ck_bf16_to_f32)(aligned, converted, 65536);
    for (int i = 0; i < 13 * 5041; i++) expect(decoded[i], converted[i], 0, 0, i);
    add_to_digest(decoded, 13 * 5041);
  }
}

// MARK: Elementwise

static double unary(ck_unary_op op, double x) {
  switch (op) {
    case CK_NEGATE: return -x;
    case CK_EXP: return exp(x);
    case CK_LOG: return log(x);
    case CK_TANH: return tanh(x);
    case CK_ERF: return erf(x);
    case CK_SIGMOID: return 1 / (1 + exp(-x));
    case CK_RELU: return x < 0 ? 0 : x;
    case CK_GELU: return x == -INFINITY ? 0 : 0.5 * x * (1 + erf(x / sqrt(2)));
    case CK_GELU_TANH: return x == -INFINITY ? 0 : 0.5 * x * (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case CK_SILU: return x == -INFINITY ? 0 : x / (1 + exp(-x));
    case CK_SQRT: return sqrt(x);
    case CK_RSQRT: return 1 / sqrt(x);
    case CK_SQUARE: return x * x;
    case CK_ABS: return fabs(x);
    case CK_RECIPROCAL: return 1 / x;
    case CK_SOFTPLUS: return x > 30 ? x : log1p(exp(x));
    case CK_SIN: return sin(x);
    case CK_COS: return cos(x);
  }
  return 0;
}

static void check_elementwise(void) {
  enum { COUNT = 331 };
  float *x = values(COUNT), *dy = values(COUNT), *y = zeros(COUNT);
  for (int i = 0; i < COUNT; i++) x[i] *= 8;
  memcpy(x + 100, special, sizeof special);
  now = "unary";
  for (int op = CK_NEGATE; op <= CK_SOFTPLUS; op++) {
    ck_unary((ck_unary_op)op, x, y, COUNT);
    for (int i = 0; i < COUNT; i++) {
      double wanted = (double)(float)unary((ck_unary_op)op, x[i]);
      const bool cancels = op == CK_GELU || op == CK_GELU_TANH;
      expect(y[i], wanted, fabs(wanted) + (cancels && isfinite(x[i]) ? fabs(x[i]) : 1e-30), cancels ? 1e-6 : 1e-5,
             op * 1000 + i);
    }
    if (op == CK_NEGATE || op == CK_RELU || op == CK_SQRT || (op >= CK_SQUARE && op <= CK_RECIPROCAL))
      add_to_digest(y, COUNT);
    ck_unary_gradient((ck_unary_op)op, x, dy, y, COUNT);
    for (int i = 0; i < COUNT; i++) {  // differences of the double function; not where it bends, ends or is special
      if ((i >= 100 && i < 100 + SPECIAL) || fabsf(x[i]) < 0.01f || isnan(unary((ck_unary_op)op, x[i]))) continue;
      const double h = 1e-6;
      double wanted = dy[i] * (unary((ck_unary_op)op, x[i] + h) - unary((ck_unary_op)op, x[i] - h)) / (2 * h);
      expect(y[i], wanted, 1 + fabs(wanted), 1e-4, op * 1000 + i);
    }
  }
  now = "binary";
  float *a = values(7 * 5 * 19), *b = values(7 * 5 * 19), *out = zeros(7 * 5 * 19);
  memcpy(a + 50, special, sizeof special);
  for (int i = 0; i < SPECIAL; i++) b[50 + i] = special[(i * 5 + 6) % SPECIAL];
  static const ptrdiff_t shape[] = {7, 5, 19},
                         strides[][3] = {{95, 19, 1}, {0, 0, 1}, {0, 1, 0}, {1, 7, 35}, {0, 0, 0}};
  for (int op = CK_ADD; op <= CK_MINIMUM; op++) {
    for (int layout = 0; layout < 25; layout++) {
      const ptrdiff_t *sa = strides[layout / 5], *sb = strides[layout % 5];
      ck_binary((ck_binary_op)op, 3, shape, a, sa, b, sb, out);
      add_to_digest(out, 7 * 5 * 19);
      for (ptrdiff_t i = 0; i < 7 * 5 * 19; i++) {
        const ptrdiff_t i0 = i / 95, i1 = i / 19 % 5, i2 = i % 19;
        const float l = a[i0 * sa[0] + i1 * sa[1] + i2 * sa[2]], r = b[i0 * sb[0] + i1 * sb[1] + i2 * sb[2]];
        const float results[] = {l + r,
                                 l - r,
                                 l * r,
                                 l / r,
                                 isnan(l) || isnan(r) ? NAN : fmaxf(l, r),
                                 isnan(l) || isnan(r) ? NAN : fminf(l, r)};
        expect(out[i], results[op], 0, 0, layout * 1000 + i);
      }
    }
  }
  now = "affine";
  ck_affine(x, 2.5f, -1, y, COUNT);
  ck_accumulate(x, 0.5f, y, COUNT);
  for (int i = 0; i < COUNT; i++) expect(y[i], (float)(2.5 * x[i] - 1 + 0.5 * x[i]), 1 + fabs(x[i]), 1e-6, i);
  now = "add rows";
  memcpy(out, a, 35 * 19 * sizeof(float));
  ck_add_rows(b, out, 35, 19);
  for (int i = 0; i < 35 * 19; i++) expect(out[i], a[i] + b[i % 19], 0, 0, i);
  add_to_digest(out, 35 * 19);
}

// MARK: Reductions and moves

static void check_reductions(void) {
  now = "reduction";
  for (ptrdiff_t axis = 1; axis < 20000; axis = axis * 3 + 2) {
    float *x = values(axis * 15), *y = zeros(15);
    if (axis > 10) x[4 * axis + 3] = NAN;
    for (int op = CK_SUM; op <= CK_MAX; op++) {
      for (int inner = 1; inner <= 5; inner += 4) {
        const ptrdiff_t outer = 15 / inner;
        ck_reduce((ck_reduction)op, x, y, outer, axis, inner);
        if (op == CK_MAX) add_to_digest(y, 15);
        for (ptrdiff_t i = 0; i < 15; i++) {
          double result = op == CK_SUM ? 0 : -INFINITY;
          for (ptrdiff_t j = 0; j < axis; j++) {
            const double e = x[i / inner * axis * inner + j * inner + i % inner];
            result = op == CK_SUM ? result + e : isnan(e) || isnan(result) ? NAN : fmax(result, e);
          }
          expect(y[i], result, 1 + sqrt((double)axis), 1e-6, axis * 100 + i);
        }
      }
    }
    double squares = 0;
    for (ptrdiff_t i = 0; i < axis; i++) squares += (double)x[i] * x[i];
    expect(ck_sum_of_squares(x, (size_t)axis), squares, squares, 1e-12, axis);
    expect(ck_all_finite(x, (size_t)axis), 1, 0, 0, axis);
    expect(ck_all_finite(x, (size_t)(5 * axis)), axis <= 10, 0, 0, axis);
    size_t beyond = 0;
    for (ptrdiff_t i = 0; i < 5 * axis; i++) beyond += !(fabsf(x[i]) < 0.75f);
    expect((double)ck_count_from(x, -0.75f, (size_t)(5 * axis)), (double)beyond, 0, 0, axis);
    int32_t index[15];
    ck_argmax_rows(x, index, 15, axis);
    for (ptrdiff_t i = 0; i < 15; i++) {
      ptrdiff_t best = 0;
      for (ptrdiff_t j = 1; j < axis; j++) {
        const float e = x[i * axis + j], b = x[i * axis + best];
        if (!isnan(b) && (isnan(e) || e > b)) best = j;
      }
      expect(index[i], (double)best, 0, 0, axis * 100 + i);
    }
  }
  now = "permutation";
  float *x = values(6 * 7 * 9 * 21), *out = zeros(6 * 7 * 9 * 21);
  static const ptrdiff_t shape[] = {6, 7, 9, 21},
                         all[][4] = {
                             {1323, 189, 21, 1}, {1, 6, 42, 378}, {21, 1134, 126, 1}, {9, 1134, 1, 54}, {0, 3, 0, 0}};
  for (int layout = 0; layout < 5; layout++) {
    const ptrdiff_t *s = all[layout];
    ck_permute(4, shape, x, s, out);
    for (ptrdiff_t i = 0; i < 6 * 7 * 9 * 21; i++)
      expect(out[i], x[i / 1323 * s[0] + i / 189 % 7 * s[1] + i / 21 % 9 * s[2] + i % 21 * s[3]], 0, 0,
             layout * 10000 + i);
  }
  now = "rows of a table";
  int32_t index[] = {3, 0, 3, 5};
  float *table = values(6 * 13), *rows = zeros(4 * 13), *sums = zeros(6 * 13);
  ck_gather_rows(table, index, rows, 4, 13);
  ck_scatter_add_rows(rows, index, sums, 4, 13);
  for (int i = 0; i < 6 * 13; i++)
    expect(sums[i], table[i] * (i / 13 == 3 ? 2 : i / 13 == 0 || i / 13 == 5 ? 1 : 0), 0, 0, i);
}

// MARK: Rows

static void check_rows(ptrdiff_t columns) {
  enum { ROWS = 5 };
  float *x = values(ROWS * columns), *dy = values(ROWS * columns), *y = zeros(ROWS * columns),
        *dx = zeros(ROWS * columns);
  float *weight = values(columns), *bias = values(columns), *dweight = zeros(columns), *dbias = zeros(columns);
  float mean[ROWS], rstd[ROWS], losses[ROWS];
  double *wanted = doubles(ROWS * columns), *slopes = doubles(ROWS * columns), *weight_slopes = doubles(columns);
  const double n = (double)columns;
  for (ptrdiff_t i = 0; i < ROWS * columns; i++) x[i] *= 4;
  for (int log_form = 0; log_form < 2; log_form++) {
    now = log_form ? "log-softmax" : "softmax";
    ck_softmax_rows(log_form, x, y, ROWS, columns);
    ck_softmax_rows_gradient(log_form, y, dy, dx, ROWS, columns);
    for (int r = 0; r < ROWS; r++) {
      double sum = 0, dot = 0;
      for (ptrdiff_t j = r * columns; j < (r + 1) * columns; j++) sum += exp(x[j]);
      for (ptrdiff_t j = r * columns; j < (r + 1) * columns; j++) {
        wanted[j] = log_form ? x[j] - log(sum) : exp(x[j]) / sum;
        dot += log_form ? dy[j] : dy[j] * wanted[j];
      }
      for (ptrdiff_t j = r * columns; j < (r + 1) * columns; j++)
        slopes[j] = log_form ? dy[j] - exp(wanted[j]) * dot : wanted[j] * (dy[j] - dot);
    }
    expect_near(y, wanted, ROWS * columns, 2e-6);
    expect_near(dx, slopes, ROWS * columns, 1e-5);
  }
  now = "cross-entropy";
  int32_t targets[ROWS] = {0, (int32_t)columns - 1, -1, (int32_t)columns / 2, 0};
  ck_cross_entropy_rows(x, targets, -1, losses, dx, ROWS, columns);
  for (int r = 0; r < ROWS; r++) {
    expect(losses[r], targets[r] < 0 ? 0 : -wanted[r * columns + targets[r]], 1 + n, 1e-6, r);
    for (ptrdiff_t j = 0; j < columns; j++)
      expect(dx[r * columns + j], targets[r] < 0 ? 0 : exp(wanted[r * columns + j]) - (j == targets[r]), 1, 1e-5, j);
  }
  for (int rms = 0; rms < 2; rms++) {
    now = rms ? "RMS norm" : "layer norm";
    if (rms) {
      ck_rms_norm(x, weight, 1e-3f, y, rstd, ROWS, columns);
      ck_rms_norm_gradient(x, weight, rstd, dy, dx, dweight, ROWS, columns);
    } else {
      ck_layer_norm(x, weight, bias, 1e-3f, y, mean, rstd, ROWS, columns);
      ck_layer_norm_gradient(x, weight, mean, rstd, dy, dx, dweight, dbias, ROWS, columns);
    }
    memset(weight_slopes, 0, (size_t)columns * sizeof(double));
    for (int r = 0; r < ROWS; r++) {
      const float *row = x + r * columns, *g = dy + r * columns;
      double m = 0, v = 0, sum = 0, dot = 0;
      for (ptrdiff_t j = 0; j < columns; j++) m += rms ? 0 : row[j] / n;
      for (ptrdiff_t j = 0; j < columns; j++) v += (row[j] - m) * (row[j] - m) / n;
      const double s = 1 / sqrt(v + 1e-3f);
      for (ptrdiff_t j = 0; j < columns; j++) {
        sum += rms ? 0 : g[j] * (double)weight[j] / n;
        dot += g[j] * (double)weight[j] * (row[j] - m) * s / n;
        weight_slopes[j] += g[j] * (row[j] - m) * s;
      }
      for (ptrdiff_t j = 0; j < columns; j++) {
        wanted[r * columns + j] = (row[j] - m) * s * weight[j] + (rms ? 0 : bias[j]);
        slopes[r * columns + j] = s * (g[j] * (double)weight[j] - sum - (row[j] - m) * s * dot);
      }
    }
    expect_near(y, wanted, ROWS * columns, 1e-5);
    expect_near(dx, slopes, ROWS * columns, columns == 1 ? 1e-3 : 1e-4);
    expect_near(dweight, weight_slopes, columns, 1e-5);
  }
}

// MARK: Attention

static void check_attention(ptrdiff_t heads, ptrdiff_t key_heads, ptrdiff_t size, bool causal, ptrdiff_t window,
                            float cap, bool biased, bool rounds, const int32_t *query_starts, const int32_t *key_starts,
                            ptrdiff_t sequences) {
  now = rounds ? "attention in bfloat16" : "attention";
  const ptrdiff_t queries = query_starts[sequences], keys = key_starts[sequences], group = heads / key_heads;
  const ptrdiff_t all = queries * heads * size, all_keys = keys * key_heads * size, distances = 2 * keys + 1;
  float *q = values(all), *k = values(all_keys), *v = values(all_keys), *dout = values(all);
  float *out = zeros(all), *sums = zeros(queries * heads), *dq = values(all), *dk = values(all_keys),
        *dv = values(all_keys), *bias = values(heads * distances), *dbias = values(sequences * heads * distances);
  double *o = doubles(all), *gq = doubles(all), *gk = doubles(all_keys), *gv = doubles(all_keys), *p = doubles(keys),
         *f = doubles(keys), *gb = doubles(sequences * heads * distances);
  const ck_attention_rule rule = {0.6f, causal, window, cap, biased ? bias : NULL, keys, rounds};
  ck_attention(query_starts, key_starts, sequences, heads, key_heads, size, &rule, q, k, v, out, sums);
  ck_attention_gradient(query_starts, key_starts, sequences, heads, key_heads, size, &rule, q, k, v, out, sums, dout,
                        dq, dk, dv, biased ? dbias : NULL);
  for (ptrdiff_t s = 0; s < sequences; s++) {
    const ptrdiff_t count = key_starts[s + 1] - key_starts[s], offset = count - (query_starts[s + 1] - query_starts[s]);
    for (ptrdiff_t i = query_starts[s]; i < query_starts[s + 1]; i++) {
      const ptrdiff_t own = i - query_starts[s] + offset;
      const ptrdiff_t begin = window > 0 && own - window + 1 > 0 ? own - window + 1 : 0;
      ptrdiff_t seen = causal ? own + 1 : window > 0 ? own + window : count;
      if (seen > count) seen = count;
      for (ptrdiff_t h = 0; h < heads; h++) {
        const ptrdiff_t at = (i * heads + h) * size, first = (key_starts[s] * key_heads + h / group) * size,
                        step = key_heads * size;
        double sum = 0, dot = 0;
        for (ptrdiff_t j = begin; j < seen; j++) {
          double score = 0;
          for (ptrdiff_t d = 0; d < size; d++) score += (double)q[at + d] * k[first + j * step + d];
          score *= rule.scale;
          if (biased) score += bias[h * distances + keys + j - own];
          f[j] = 1;
          if (cap > 0) {
            const double t = tanh(score / cap);
            score = cap * t;
            f[j] = 1 - t * t;
          }
          sum += p[j] = exp(score);
        }
        for (ptrdiff_t j = begin; j < seen; j++)
          for (ptrdiff_t d = 0; d < size; d++) o[at + d] += p[j] / sum * v[first + j * step + d];
        for (ptrdiff_t d = 0; d < size; d++) dot += o[at + d] * dout[at + d];
        for (ptrdiff_t j = begin; j < seen; j++) {
          double slope = 0;
          for (ptrdiff_t d = 0; d < size; d++) slope += (double)dout[at + d] * v[first + j * step + d];
          slope = p[j] / sum * (slope - dot) * f[j];
          gb[(s * heads + h) * distances + keys + j - own] += slope;
          slope *= rule.scale;
          for (ptrdiff_t d = 0; d < size; d++) {
            gv[first + j * step + d] += p[j] / sum * dout[at + d];
            gq[at + d] += slope * k[first + j * step + d];
            gk[first + j * step + d] += slope * q[at + d];
          }
        }
      }
    }
  }
  // A rounded factor is off by up to 2⁻⁹ of itself, and an error of a score is one of its exponential.
  const double tolerance = rounds ? 0.05 : 2e-5;
  expect_near(out, o, all, tolerance / 2);
  expect_near(dq, gq, all, tolerance);
  expect_near(dk, gk, all_keys, tolerance);
  expect_near(dv, gv, all_keys, tolerance);
  if (biased) expect_near(dbias, gb, sequences * heads * distances, tolerance);
}

static void check_attentions(void) {
  const int32_t short_ones[] = {0, 1, 8, 45}, long_ones[] = {0, 3, 133, 211}, one[] = {0, 1}, many[] = {0, 333};
  check_attention(4, 2, 13, false, 0, 0, false, false, short_ones, short_ones, 3);
  check_attention(2, 2, 64, true, 0, 0, false, false, long_ones, long_ones, 3);
  check_attention(3, 1, 20, true, 0, 0, false, false, short_ones, long_ones, 3);
  check_attention(3, 3, 48, false, 0, 0, false, false, short_ones, long_ones, 3);
  check_attention(2, 1, 40, true, 0, 0, false, false, one, many, 1);
  check_attention(2, 1, 12, true, 5, 0, false, false, long_ones, long_ones, 3);
  check_attention(2, 2, 20, true, 70, 1.5f, false, false, long_ones, long_ones, 3);
  check_attention(2, 1, 40, true, 100, 0, false, false, one, many, 1);
  check_attention(4, 2, 8, false, 9, 0, false, false, long_ones, long_ones, 3);
  check_attention(3, 1, 16, false, 0, 2, true, false, long_ones, long_ones, 3);
  check_attention(2, 1, 12, true, 80, 0, true, false, short_ones, long_ones, 3);
  check_attention(2, 2, 32, false, 0, 0, false, true, long_ones, long_ones, 3);
  check_attention(4, 2, 64, true, 0, 0, false, true, long_ones, long_ones, 3);
  check_attention(2, 1, 17, true, 70, 1.5f, true, true, long_ones, long_ones, 3);
}

static void check_rotary(void) {
  now = "rotary positions";
  float *x = values(5 * 3 * 10), *cosines = values(8 * 5), *sines = values(8 * 5), *y = zeros(5 * 3 * 10);
  const int32_t positions[] = {0, 3, 7, 3, 1};
  ck_rotary(x, positions, cosines, sines, true, y, 5, 3, 10, 10);
  for (int i = 0; i < 75; i++) {
    const int at = i / 5 * 10 + i % 5, angle = positions[i / 15] * 5 + i % 5;
    expect(y[at], (double)x[at] * cosines[angle] + (double)x[at + 5] * sines[angle], 2, 1e-6, at);
    expect(y[at + 5], (double)x[at + 5] * cosines[angle] - (double)x[at] * sines[angle], 2, 1e-6, at + 5);
  }
  // Two pairs of a head of ten.
  ck_rotary(x, positions, cosines, sines, false, y, 5, 3, 10, 4);
  for (int i = 0; i < 150; i++) {
    const int d = i % 10, other = d < 2 ? i + 2 : i - 2, angle = positions[i / 30] * 2 + d % 2;
    expect(y[i], d >= 4 ? x[i] : (double)x[i] * cosines[angle] + (d < 2 ? -1.0 : 1.0) * x[other] * sines[angle], 2,
           1e-6, i);
  }
}

// MARK: Optimizers, formats, reflections

static void check_optimizers(void) {
  enum { COUNT = 77 };
  now = "Adam";
  float *w = values(COUNT), *g = values(COUNT), *m = zeros(COUNT), *v = zeros(COUNT);
  double *wanted = doubles(COUNT);
  for (int i = 0; i < COUNT; i++) {
    const double scaled = 0.5 * g[i];
    wanted[i] = w[i] * (1 - 0.01 * 0.1) - 0.01 * scaled / (fabs(scaled) + 1e-8);
  }
  ck_adam_step(w, g, m, v, COUNT, 0.01f, 0.9f, 0.999f, 1e-8f, 0.1f, true, 1, 0.5f);
  expect_near(w, wanted, COUNT, 1e-6);
  now = "SGD";
  for (int i = 0; i < COUNT; i++) wanted[i] = w[i] - 0.01 * (g[i] + 0.9 * (g[i] + 0.1 * w[i]) + 0.1 * w[i]);
  ck_sgd_step(w, g, m, COUNT, 0.01f, 0.9f, true, 0.1f, true, 1);
  expect_near(w, wanted, COUNT, 1e-6);
}

static void check_formats(void) {
  now = "number formats";
  uint16_t *halves = malloc((MOST + 1) * sizeof(uint16_t)), *back = malloc((MOST + 1) * sizeof(uint16_t));
  halves++, back++;
  float *x = values(MOST);
  double *wide = doubles(MOST);
  for (int i = 0; i < MOST; i++) halves[i] = (uint16_t)i;
  ck_f16_to_f32(halves, x, MOST);
  for (int i = 0; i < MOST; i++) {
    const int exponent = i >> 10 & 31, fraction = i & 1023;
    const double magnitude = exponent == 31  ? (fraction ? NAN : INFINITY)
                             : exponent == 0 ? ldexp(fraction, -24)
                                             : ldexp(1024 + fraction, exponent - 25);
    expect(x[i], i >> 15 ? -magnitude : magnitude, 0, 0, i);
  }
  add_to_digest(x, MOST);
  ck_f32_to_f16(x, back, MOST);
  for (int i = 0; i < MOST; i++) expect(back[i], isnan(x[i]) ? halves[i] | 0x200 : halves[i], 0, 0, i);
  ck_bf16_to_f32(halves, x, MOST);
  add_to_digest(x, MOST);
  ck_f32_to_bf16(x, back, MOST);
  for (int i = 0; i < MOST; i++) expect(back[i], isnan(x[i]) ? halves[i] | 0x40 : halves[i], 0, 0, i);
  for (int i = 0; i < MOST; i++) {  // any bits at all
    const uint32_t bits = (uint32_t)next();
    memcpy(x + i, &bits, sizeof bits);
  }
  memcpy(x, special, sizeof special);
  for (int i = SPECIAL; i < 5000; i++) x[i] = ldexpf(value(), i % 50 - 30);  // near float16's range
  ck_f32_to_f16(x, back, MOST);
  ck_f16_to_f32(back, x + 1, MOST - 1);
  add_to_digest(x + 1, MOST - 1);
  ck_f32_to_bf16(x, back, MOST);
  ck_bf16_to_f32(back, x, MOST);
  add_to_digest(x, MOST);
  ck_f32_to_f64(x, wide, MOST);
  for (int i = 0; i < MOST; i++) expect(wide[i], x[i], 0, 0, i);
  ck_f64_to_f32(wide, x, MOST);
  add_to_digest(x, MOST);
  uint8_t bytes[300];
  for (int i = 0; i < 300; i++) bytes[i] = (uint8_t)i;
  ck_normalize_bytes(bytes + 1, 0.1307f, 0.3081f, x, 299);
  for (int i = 0; i < 299; i++) expect(x[i], (bytes[i + 1] / 255.0 - 0.1307) / 0.3081, 4, 1e-6, i);
}

static void check_householder(void) {
  now = "Householder panel";
  enum { ROWS = 700, COLUMNS = 21 };
  float *panel = zeros(ROWS * CK_PANEL), tau[CK_PANEL];
  double *a = doubles(ROWS * COLUMNS);
  for (ptrdiff_t i = 0; i < ROWS * COLUMNS; i++) a[i] = panel[i / COLUMNS * CK_PANEL + i % COLUMNS] = value();
  ck_householder_panel(ROWS, COLUMNS, panel, tau);
  for (int c = 0; c < COLUMNS; c++) {  // H = 1 − τ v vᵀ, one after the other, turns A to R
    for (int j = 0; j < COLUMNS; j++) {
      double dot = a[c * COLUMNS + j];
      for (int i = c + 1; i < ROWS; i++) dot += panel[i * CK_PANEL + c] * a[i * COLUMNS + j];
      a[c * COLUMNS + j] -= tau[c] * dot;
      for (int i = c + 1; i < ROWS; i++) a[i * COLUMNS + j] -= tau[c] * dot * panel[i * CK_PANEL + c];
    }
  }
  for (int i = 0; i < ROWS; i++)
    for (int j = 0; j < COLUMNS; j++)
      expect(a[i * COLUMNS + j], i <= j ? panel[i * CK_PANEL + j] : 0, 30, 3e-6, i * 100 + j);
}

/// Leaves signals too little of a stack for the state of a matrix unit, so that Linux lends none.
static void refuse_matrix_unit(void) {
#if defined(__linux__)
  static char small[2048];
  sigaltstack(&(stack_t){.ss_sp = small, .ss_size = sizeof small}, NULL);
#endif
}

int main(int count, char **arguments) {
  if (count > 1 && strcmp(arguments[1], "vectors") == 0) refuse_matrix_unit();
  for (int threads = 1; threads <= 2; threads++) {
    ck_set_thread_count(threads);
    check_products();
    check_products_of_bytes();
    for (ptrdiff_t m = 1; m < 12; m += 5) check_together(m);
    check_halves();
    check_elementwise();
    check_reductions();
    for (ptrdiff_t columns = 1; columns < 700; columns = columns * 3 + 2) check_rows(columns);
    check_attentions();
    check_rotary();
    check_optimizers();
    check_formats();
    check_householder();
  }
  printf("%s %016" PRIx64 " %d failures\n", ck_instruction_set(), digest, failures);
  return failures != 0;
}
