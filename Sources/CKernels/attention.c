// Attention of packed sequences, in blocks of queries and keys (Dao et al. 2022, FlashAttention): the matrix of scores is
// never whole, the gradient recomputes it, and memory grows with the length, not its square.
//
// One part of the work is one sequence and one head, or in the gradient one key head with the query heads that share it:
// parts write to places of their own, so results do not depend on the number of threads.
#include "CKernels.h"
#include "dispatch.h"
#include "functions.h"
#include "lanes.h"

enum {
  QUERIES = 64, KEYS = 64,  // rows and columns of a block of scores; KEYS is a multiple of CK_LANES
  WORTH_A_TRANSPOSE = 8     // so many queries
};

struct attention {
  const int32_t *query_starts, *key_starts;
  ptrdiff_t heads, key_heads, size;
  float scale;
  bool causal;
  const float *q, *k, *v;
  float *out, *logsumexp;
  // Gradient.
  const float *dout;
  float *dq, *dk, *dv;
};

// MARK: Small products

/// c[rows, vectors · 16] (+)= Σ over p of a[row, p] · b[p, :], with the sums held in registers.
CK_INLINE void tile(const int rows, const int vectors, ptrdiff_t depth, const float *a, ptrdiff_t a_row, ptrdiff_t a_step,
                    const float *b, ptrdiff_t ldb, float *c, ptrdiff_t ldc, bool adds) {
  ck_lanes sums[4][2];
  _Pragma("clang loop unroll(full)") for (int i = 0; i < rows; i++) {
    _Pragma("clang loop unroll(full)") for (int v = 0; v < vectors; v++) {
      sums[i][v] = adds ? CK_LOAD_LANES(c + i * ldc + v * CK_LANES) : (ck_lanes)0;
    }
  }
  for (ptrdiff_t p = 0; p < depth; p++) {
    ck_lanes columns[2];
    _Pragma("clang loop unroll(full)") for (int v = 0; v < vectors; v++) {
      columns[v] = CK_LOAD_LANES(b + p * ldb + v * CK_LANES);
    }
    _Pragma("clang loop unroll(full)") for (int i = 0; i < rows; i++) {
      float x = a[i * a_row + p * a_step];
      _Pragma("clang loop unroll(full)") for (int v = 0; v < vectors; v++) sums[i][v] += x * columns[v];
    }
  }
  _Pragma("clang loop unroll(full)") for (int i = 0; i < rows; i++) {
    _Pragma("clang loop unroll(full)") for (int v = 0; v < vectors; v++) {
      memcpy(c + i * ldc + v * CK_LANES, &sums[i][v], sizeof(ck_lanes));
    }
  }
}

/// c [m, n] (+)= a [m, depth] · b [depth, n]; element (i, p) of a lies at a[i · a_row + p · a_step].
CK_INLINE void product(ptrdiff_t m, ptrdiff_t n, ptrdiff_t depth, const float *a, ptrdiff_t a_row, ptrdiff_t a_step,
                       const float *b, ptrdiff_t ldb, float *c, ptrdiff_t ldc, bool adds) {
  ptrdiff_t i = 0;
  for (; i + 4 <= m; i += 4) {
    ptrdiff_t j = 0;
    for (; j + 2 * CK_LANES <= n; j += 2 * CK_LANES)
      tile(4, 2, depth, a + i * a_row, a_row, a_step, b + j, ldb, c + i * ldc + j, ldc, adds);
    for (; j + CK_LANES <= n; j += CK_LANES)
      tile(4, 1, depth, a + i * a_row, a_row, a_step, b + j, ldb, c + i * ldc + j, ldc, adds);
  }
  for (; i < m; i++) {
    ptrdiff_t j = 0;
    for (; j + 2 * CK_LANES <= n; j += 2 * CK_LANES)
      tile(1, 2, depth, a + i * a_row, a_row, a_step, b + j, ldb, c + i * ldc + j, ldc, adds);
    for (; j + CK_LANES <= n; j += CK_LANES)
      tile(1, 1, depth, a + i * a_row, a_row, a_step, b + j, ldb, c + i * ldc + j, ldc, adds);
  }
  // Columns that fill no vector.
  ptrdiff_t first = n - n % CK_LANES;
  if (first == n) return;
  for (i = 0; i < m; i++) {
    float *row = c + i * ldc;
    for (ptrdiff_t j = first; j < n; j++) row[j] = adds ? row[j] : 0;
    for (ptrdiff_t p = 0; p < depth; p++) {
      float x = a[i * a_row + p * a_step];
      CK_INDEPENDENT
      for (ptrdiff_t j = first; j < n; j++) row[j] += x * b[p * ldb + j];
    }
  }
}

/// out[d, j] = rows[j, d] for j < count, 0 up to KEYS.
CK_INLINE void transpose_block(const float *rows, ptrdiff_t stride, ptrdiff_t count, ptrdiff_t size, float *out) {
  for (ptrdiff_t d = 0; d < size; d++) {
    float *row = out + d * KEYS;
    ptrdiff_t j = 0;
    for (; j < count; j++) row[j] = rows[j * stride + d];
    for (; j < KEYS; j++) row[j] = 0;
  }
}

/// How many keys of the block at `first_key` a query sees, from 0 to `count`.
CK_INLINE ptrdiff_t visible(const struct attention *s, ptrdiff_t query, ptrdiff_t offset, ptrdiff_t first_key,
                            ptrdiff_t count) {
  if (!s->causal) return count;
  ptrdiff_t seen = query + offset - first_key + 1;
  return seen < 0 ? 0 : ck_smaller(seen, count);
}

// MARK: Forward

/// One head of one sequence: running maximum, sum and output of each query, block of keys by block of keys.
static CK_CLONES void forward_part(void *context, int part) {
  const struct attention *s = context;
  ptrdiff_t sequence = part / s->heads, head = part % s->heads;
  ptrdiff_t size = s->size, q_stride = s->heads * size, k_stride = s->key_heads * size;
  ptrdiff_t first_query = s->query_starts[sequence], queries = s->query_starts[sequence + 1] - first_query;
  ptrdiff_t first = s->key_starts[sequence], keys = s->key_starts[sequence + 1] - first;
  ptrdiff_t offset = keys - queries;
  const float *q = s->q + first_query * q_stride + head * size;
  ptrdiff_t key_head = head / (s->heads / s->key_heads);
  const float *k = s->k + first * k_stride + key_head * size, *v = s->v + first * k_stride + key_head * size;
  float *out = s->out + first_query * q_stride + head * size;

  size_t bytes = (size_t)(size * KEYS + QUERIES * KEYS) * sizeof(float);
  float *transposed = ck_allocate(bytes), *scores = transposed + size * KEYS;
  float largest[QUERIES], sum[QUERIES];
  for (ptrdiff_t i0 = 0; i0 < queries; i0 += QUERIES) {
    ptrdiff_t rows = ck_smaller(QUERIES, queries - i0);
    for (ptrdiff_t i = 0; i < rows; i++) {
      largest[i] = -INFINITY;
      sum[i] = 0;
      memset(out + (i0 + i) * q_stride, 0, (size_t)size * sizeof(float));
    }
    for (ptrdiff_t j0 = 0; j0 < keys; j0 += KEYS) {
      ptrdiff_t columns = ck_smaller(KEYS, keys - j0);
      if (visible(s, i0 + rows - 1, offset, j0, columns) == 0) break;
      const float *block = k + j0 * k_stride, *block_queries = q + i0 * q_stride;
      if (rows < WORTH_A_TRANSPOSE) {  // a new token of a text that is being written
        for (ptrdiff_t i = 0; i < rows; i++)
          for (ptrdiff_t j = 0; j < columns; j++)
            scores[i * KEYS + j] = ck_row_dot(block_queries + i * q_stride, block + j * k_stride, size);
      } else {
        transpose_block(block, k_stride, columns, size, transposed);
        product(rows, KEYS, size, block_queries, q_stride, 1, transposed, KEYS, scores, KEYS, false);
      }
      for (ptrdiff_t i = 0; i < rows; i++) {
        float *row = scores + i * KEYS;
        ptrdiff_t seen = visible(s, i0 + i, offset, j0, columns);
        for (ptrdiff_t j = seen; j < KEYS; j++) row[j] = -INFINITY;
        if (seen == 0) {
          memset(row, 0, KEYS * sizeof(float));
          continue;
        }
        float greatest = ck_greater(ck_row_max(row, KEYS) * s->scale, largest[i]);
        CK_INDEPENDENT
        for (ptrdiff_t j = 0; j < KEYS; j++) row[j] = exponential(row[j] * s->scale - greatest);
        float shrink = exponential(largest[i] - greatest);
        sum[i] = sum[i] * shrink + ck_row_sum(row, KEYS);
        largest[i] = greatest;
        float *result = out + (i0 + i) * q_stride;
        CK_INDEPENDENT
        for (ptrdiff_t d = 0; d < size; d++) result[d] *= shrink;
      }
      product(rows, size, columns, scores, KEYS, 1, v + j0 * k_stride, k_stride, out + i0 * q_stride, q_stride, true);
    }
    for (ptrdiff_t i = 0; i < rows; i++) {
      float *result = out + (i0 + i) * q_stride, share = 1.0f / sum[i];
      CK_INDEPENDENT
      for (ptrdiff_t d = 0; d < size; d++) result[d] *= share;
      if (s->logsumexp != NULL)
        s->logsumexp[(first_query + i0 + i) * s->heads + head] = largest[i] + logarithm(sum[i]);
    }
  }
  ck_deallocate(transposed, bytes);
}

void ck_attention(const int32_t *query_starts, const int32_t *key_starts, ptrdiff_t sequences, ptrdiff_t heads,
                  ptrdiff_t key_heads, ptrdiff_t size, float scale, bool causal, const float *q, const float *k,
                  const float *v, float *out, float *logsumexp) {
  struct attention context = {query_starts, key_starts, heads, key_heads, size, scale, causal, q, k, v, out, logsumexp,
                              NULL, NULL, NULL, NULL};
  ck_parallel((int)(sequences * heads), forward_part, &context);
}

// MARK: Gradient

/// One key head of one sequence, with its query heads. Of P = softmax(s Q Kᵀ), O = P V:
/// dV = Pᵀ dO, dP = dO Vᵀ, dS = P ∘ (dP − rowsum(dO ∘ O)), dQ = s dS K, dK = s dSᵀ Q.
static CK_CLONES void gradient_part(void *context, int part) {
  const struct attention *s = context;
  ptrdiff_t sequence = part / s->key_heads, key_head = part % s->key_heads, group = s->heads / s->key_heads;
  ptrdiff_t size = s->size, q_stride = s->heads * size, k_stride = s->key_heads * size;
  ptrdiff_t first_query = s->query_starts[sequence], queries = s->query_starts[sequence + 1] - first_query;
  ptrdiff_t first = s->key_starts[sequence], keys = s->key_starts[sequence + 1] - first, offset = keys - queries;
  ptrdiff_t key_place = first * k_stride + key_head * size;
  ptrdiff_t query_place = first_query * q_stride + key_head * group * size;

  ptrdiff_t block = size * KEYS, square = QUERIES * KEYS;
  size_t bytes = (size_t)(4 * block + 2 * square + group * queries) * sizeof(float);
  float *k_transposed = ck_allocate(bytes), *v_transposed = k_transposed + block;
  float *dk_block = v_transposed + block, *dv_block = dk_block + block;
  float *scores = dv_block + block, *slopes = scores + square, *products = slopes + square;  // products: dO·O by row
  for (ptrdiff_t h = 0; h < group; h++) {
    for (ptrdiff_t i = 0; i < queries; i++) {
      ptrdiff_t row = query_place + i * q_stride + h * size;
      products[h * queries + i] = ck_row_dot(s->dout + row, s->out + row, size);
      if (s->dq != NULL) memset(s->dq + row, 0, (size_t)size * sizeof(float));
    }
  }
  for (ptrdiff_t j0 = 0; j0 < keys; j0 += KEYS) {
    ptrdiff_t columns = ck_smaller(KEYS, keys - j0), place = key_place + j0 * k_stride;
    transpose_block(s->k + place, k_stride, columns, size, k_transposed);
    transpose_block(s->v + place, k_stride, columns, size, v_transposed);
    memset(dk_block, 0, (size_t)(2 * block) * sizeof(float));
    for (ptrdiff_t h = 0; h < group; h++) {
      for (ptrdiff_t i0 = 0; i0 < queries; i0 += QUERIES) {
        ptrdiff_t rows = ck_smaller(QUERIES, queries - i0), at = query_place + i0 * q_stride + h * size;
        if (visible(s, i0 + rows - 1, offset, j0, columns) == 0) continue;
        product(rows, KEYS, size, s->q + at, q_stride, 1, k_transposed, KEYS, scores, KEYS, false);
        product(rows, KEYS, size, s->dout + at, q_stride, 1, v_transposed, KEYS, slopes, KEYS, false);
        for (ptrdiff_t i = 0; i < rows; i++) {
          float *p = scores + i * KEYS, *slope = slopes + i * KEYS;
          float log_sum = s->logsumexp[(first_query + i0 + i) * s->heads + key_head * group + h];
          float dot = products[h * queries + i0 + i];
          ptrdiff_t seen = visible(s, i0 + i, offset, j0, columns);
          CK_INDEPENDENT
          for (ptrdiff_t j = 0; j < KEYS; j++) p[j] = exponential(p[j] * s->scale - log_sum);
          for (ptrdiff_t j = seen; j < KEYS; j++) p[j] = 0;
          CK_INDEPENDENT
          for (ptrdiff_t j = 0; j < KEYS; j++) slope[j] = p[j] * (slope[j] - dot) * s->scale;
        }
        if (s->dv != NULL) product(columns, size, rows, scores, 1, KEYS, s->dout + at, q_stride, dv_block, size, true);
        if (s->dk != NULL) product(columns, size, rows, slopes, 1, KEYS, s->q + at, q_stride, dk_block, size, true);
        if (s->dq != NULL)
          product(rows, size, columns, slopes, KEYS, 1, s->k + place, k_stride, s->dq + at, q_stride, true);
      }
    }
    for (ptrdiff_t j = 0; j < columns; j++) {
      size_t row = (size_t)size * sizeof(float);
      if (s->dk != NULL) memcpy(s->dk + place + j * k_stride, dk_block + j * size, row);
      if (s->dv != NULL) memcpy(s->dv + place + j * k_stride, dv_block + j * size, row);
    }
  }
  ck_deallocate(k_transposed, bytes);
}

void ck_attention_gradient(const int32_t *query_starts, const int32_t *key_starts, ptrdiff_t sequences, ptrdiff_t heads,
                           ptrdiff_t key_heads, ptrdiff_t size, float scale, bool causal, const float *q, const float *k,
                           const float *v, const float *out, const float *logsumexp, const float *dout, float *dq,
                           float *dk, float *dv) {
  struct attention context = {query_starts, key_starts, heads, key_heads, size, scale, causal, q, k, v, (float *)out,
                              (float *)logsumexp, dout, dq, dk, dv};
  ck_parallel((int)(sequences * key_heads), gradient_part, &context);
}

// MARK: Rotary positions

struct rotary {
  const float *x, *cosines, *sines;
  const int32_t *positions;
  float *y, direction;
  ptrdiff_t heads, size;
};

static CK_CLONES void rotary_range(const void *context, ptrdiff_t begin, ptrdiff_t end) {
  struct rotary s = *(const struct rotary *)context;
  ptrdiff_t half = s.size / 2;
  for (ptrdiff_t token = begin; token < end; token++) {
    const float *cosines = s.cosines + s.positions[token] * half, *sines = s.sines + s.positions[token] * half;
    for (ptrdiff_t head = 0; head < s.heads; head++) {
      const float *x = s.x + (token * s.heads + head) * s.size;
      float *y = s.y + (token * s.heads + head) * s.size;
      CK_INDEPENDENT
      for (ptrdiff_t d = 0; d < half; d++) {
        float first = x[d], second = x[d + half], sine = sines[d] * s.direction;
        y[d] = first * cosines[d] - second * sine;
        y[d + half] = second * cosines[d] + first * sine;
      }
    }
  }
}

void ck_rotary(const float *x, const int32_t *positions, const float *cosines, const float *sines, bool inverse, float *y,
               ptrdiff_t tokens, ptrdiff_t heads, ptrdiff_t size) {
  struct rotary context = {x, cosines, sines, positions, y, inverse ? -1.0f : 1.0f, heads, size};
  ck_for_ranges(tokens, ck_row_grain(CK_GRAIN, heads * size), rotary_range, &context);
}
