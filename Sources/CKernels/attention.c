// Attention of packed sequences, in blocks of queries and keys (Dao et al. 2022, FlashAttention): the matrix of scores
// is never whole, the gradient recomputes it, and memory grows with the length, not its square.
//
// One part of the work is one sequence and one head, or in the gradient one key head with the query heads that share
// it: parts write to places of their own, so results do not depend on the number of threads.
#include "CKernels.h"
#include "dispatch.h"
#include "functions.h"
#include "gemm.h"
#include "lanes.h"

enum {
  QUERIES = 64,
  KEYS = 64,               // rows and columns of a block of scores
  WORTH_TURNING = 37,      // queries; fewer are multiplied as they lie
  LEAST_SIZE_OF_ONE = 16,  // of a head, whose single query is multiplied by dot products
};

struct attention {
  const int32_t *query_starts, *key_starts;
  ptrdiff_t heads, key_heads, size;
  ck_attention_rule rule;
  const float *q, *k, *v;
  float *out, *logsumexp;
  // Gradient.
  const float *dout;
  float *dq, *dk, *dv, *dbias;
};

/// A block of scores: of `rows` queries of one head, and `columns` keys.
struct block {
  const struct attention *attention;
  ptrdiff_t rows, columns;
  ptrdiff_t first_own;    // the column at the first query's own place; each later one's is one further
  const float *bias;      // of this head, from the column at the query's own place; NULL where there is none
  ptrdiff_t query_place;  // of the first query, in q and what has its shape, with `query_stride` from query to query
  ptrdiff_t query_stride;
  float *scores, *slopes;  // [rows, stride]
  ptrdiff_t stride;
  float *largest, *sum;  // [rows], over the keys so far: the greatest score, Σ exp(score − largest)
  float *dots;           // [rows]: rowsum(dO ∘ O)
};

static void begin_block(struct block *b, ptrdiff_t first_query, ptrdiff_t rows, ptrdiff_t head) {
  b->rows = rows;
  b->query_stride = b->attention->heads * b->attention->size;
  b->query_place = first_query * b->query_stride + head * b->attention->size;
  const ck_attention_rule *rule = &b->attention->rule;
  b->bias = rule->bias == NULL ? NULL : rule->bias + head * (2 * rule->reach + 1) + rule->reach;
}

/// Where the keys that a query of the block sees end, from 0 to `columns`.
CK_INLINE ptrdiff_t seen_end(const struct block *b, ptrdiff_t row) {
  const ck_attention_rule *rule = &b->attention->rule;
  if (!rule->causal && rule->window == 0) return b->columns;
  return ck_larger(0, ck_smaller(b->first_own + row + (rule->causal ? 1 : rule->window), b->columns));
}

/// Where they begin, from 0 to their end.
CK_INLINE ptrdiff_t seen_begin(const struct block *b, ptrdiff_t row, ptrdiff_t end) {
  const ptrdiff_t window = b->attention->rule.window;
  return window == 0 ? 0 : ck_larger(0, ck_smaller(b->first_own + row - window + 1, end));
}

/// The first block of `width` keys that the first query of a block sees something of; later queries see no earlier one.
CK_INLINE ptrdiff_t first_block(const struct attention *s, ptrdiff_t own, ptrdiff_t width) {
  return s->rule.window == 0 ? 0 : ck_larger(0, own - s->rule.window + 1) / width * width;
}

CK_INLINE float *logsumexp(const struct block *b, ptrdiff_t row) {
  return b->attention->logsumexp + (b->query_place + row * b->query_stride) / b->attention->size;
}

/// Adds the bias to scaled scores and caps them.
CK_KERNEL(adjust_block, (const struct block *b), (b)) {
  const float cap = b->attention->rule.cap;
  for (ptrdiff_t i = 0; i < b->rows; i++) {
    const ptrdiff_t end = seen_end(b, i), begin = seen_begin(b, i, end);
    float *row = b->scores + i * b->stride;
    if (b->bias != NULL) {
      CK_INDEPENDENT
      for (ptrdiff_t j = begin; j < end; j++) row[j] += b->bias[j - b->first_own - i];
    }
    if (cap == 0) continue;
    CK_INDEPENDENT
    for (ptrdiff_t j = begin; j < end; j++) row[j] = cap * hyperbolic_tangent(row[j] / cap);
  }
}

CK_INLINE bool is_adjusted(const struct block *b) { return b->bias != NULL || b->attention->rule.cap != 0; }

// MARK: Forward

/// Turns scores to exp(score − largest), after what was summed before is brought to the new largest.
CK_KERNEL(weigh_block, (const struct block *b), (b)) {
  const ptrdiff_t size = b->attention->size;
  for (ptrdiff_t i = 0; i < b->rows; i++) {
    float *row = b->scores + i * b->stride;
    const ptrdiff_t end = seen_end(b, i), begin = seen_begin(b, i, end), seen = end - begin;
    for (ptrdiff_t j = 0; j < begin; j++) row[j] = 0;
    for (ptrdiff_t j = end; j < b->columns; j++) row[j] = 0;
    if (seen == 0) continue;
    row += begin;
    const float before = b->largest[i], largest = ck_greater(ck_row_max(row, seen), before);
    exponentials(row, largest, row, seen);
    const float shrink = exponential(before - largest), sum = ck_row_sum(row, seen);
    b->largest[i] = largest;
    b->sum[i] = b->sum[i] * shrink + sum;
    if (before == -INFINITY || shrink == 1) continue;
    float *out = b->attention->out + b->query_place + i * b->query_stride;
    CK_INDEPENDENT
    for (ptrdiff_t d = 0; d < size; d++) out[d] *= shrink;
  }
}

CK_KERNEL(finish_block, (const struct block *b), (b)) {
  const struct attention *s = b->attention;
  for (ptrdiff_t i = 0; i < b->rows; i++) {
    float *out = s->out + b->query_place + i * b->query_stride;
    const float share = 1.0f / b->sum[i];
    CK_INDEPENDENT
    for (ptrdiff_t d = 0; d < s->size; d++) out[d] *= share;
    if (s->logsumexp != NULL) *logsumexp(b, i) = b->largest[i] + logarithm(b->sum[i]);
  }
}

/// One head of one sequence, one block of queries after the other.
static void forward_part(void *context, int part) {
  const struct attention *s = context;
  const ptrdiff_t sequence = part / s->heads, head = part % s->heads, key_head = head / (s->heads / s->key_heads);
  const ptrdiff_t size = s->size, k_stride = s->key_heads * size;
  const bool rounds = s->rule.rounds;
  const ptrdiff_t first_query = s->query_starts[sequence], queries = s->query_starts[sequence + 1] - first_query;
  const ptrdiff_t first_key = s->key_starts[sequence], keys = s->key_starts[sequence + 1] - first_key;
  _Alignas(64) float scores[QUERIES * KEYS];
  float largest[QUERIES], sum[QUERIES];
  struct block b = {.attention = s, .scores = scores, .largest = largest, .sum = sum};
  const size_t bytes = (size_t)(size * QUERIES) * sizeof(float);
  float *q_turned = ck_allocate(bytes);
  for (ptrdiff_t i0 = 0; i0 < queries; i0 += QUERIES) {
    begin_block(&b, first_query + i0, ck_smaller(QUERIES, queries - i0), head);
    b.stride = KEYS * (QUERIES / b.rows);  // few queries, as of a text that is being written, take more keys at a time
    for (ptrdiff_t i = 0; i < b.rows; i++) largest[i] = -INFINITY, sum[i] = 0;
    ck_factor q = {s->q + b.query_place, b.query_stride, false, false};
    if (b.rows >= WORTH_TURNING) {
      ck_gemm_kernels()->transpose(b.rows, size, q.elements, q.stride, q_turned, QUERIES);
      q = (ck_factor){q_turned, QUERIES, true, false};
    }
    const ptrdiff_t own = i0 + keys - queries, start = first_block(s, own, b.stride);
    for (ptrdiff_t j0 = start; j0 < keys; j0 += b.stride) {
      b.columns = ck_smaller(b.stride, keys - j0);
      b.first_own = own - j0;
      b.columns = seen_end(&b, b.rows - 1);
      if (b.columns == 0) break;
      const ptrdiff_t place = (first_key + j0) * k_stride + key_head * size;
      const ck_factor k_turned = {s->k + place, k_stride, true, false, rounds},
                      v = {s->v + place, k_stride, false, false, rounds};
      const ck_factor weights = {scores, b.stride, false, false};
      const ck_product product = {b.rows, b.columns, size, s->rule.scale, 0, q, k_turned, scores, b.stride};
      // For a single query no packing is worth while, as short as it may be.
      if (b.rows == 1 && size >= LEAST_SIZE_OF_ONE) {
        ck_multiply_skinny(&product, NULL);
      } else {
        ck_multiply(&product);
      }
      if (is_adjusted(&b)) adjust_block(&b);
      weigh_block(&b);
      ck_multiply(&(ck_product){b.rows, size, b.columns, 1, j0 == start ? 0 : 1, weights, v, s->out + b.query_place,
                                b.query_stride});
    }
    finish_block(&b);
  }
  ck_deallocate(q_turned, bytes);
}

void ck_attention(const int32_t *query_starts, const int32_t *key_starts, ptrdiff_t sequences, ptrdiff_t heads,
                  ptrdiff_t key_heads, ptrdiff_t size, const ck_attention_rule *rule, const float *q, const float *k,
                  const float *v, float *out, float *logsumexp) {
  struct attention context = {query_starts, key_starts, heads, key_heads, size, *rule, q,   k, v,
                              out,          logsumexp,  NULL,  NULL,      NULL, NULL,  NULL};
  ck_parallel((int)(sequences * heads), forward_part, &context);
}

// MARK: Gradient

CK_KERNEL(dot_block, (const struct block *b), (b)) {
  for (ptrdiff_t i = 0; i < b->rows; i++) {
    const ptrdiff_t place = b->query_place + i * b->query_stride;
    b->dots[i] = ck_row_dot(b->attention->dout + place, b->attention->out + place, b->attention->size);
  }
}

/// Turns scores to P, and slopes, which are dO Vᵀ, to dS.
CK_KERNEL(differentiate_block, (const struct block *b), (b)) {
  for (ptrdiff_t i = 0; i < b->rows; i++) {
    float *p = b->scores + i * b->stride, *slope = b->slopes + i * b->stride;
    const float dot = b->dots[i], cap = b->attention->rule.cap;
    const ptrdiff_t end = seen_end(b, i), begin = seen_begin(b, i, end);
    if (cap != 0) {  // y = c tanh(x / c), dx = dy (1 − (y / c)²)
      CK_INDEPENDENT
      for (ptrdiff_t j = begin; j < end; j++) slope[j] = (slope[j] - dot) * (1 - p[j] / cap * (p[j] / cap));
    }
    exponentials(p + begin, *logsumexp(b, i), p + begin, end - begin);
    for (ptrdiff_t j = 0; j < begin; j++) p[j] = 0;
    for (ptrdiff_t j = end; j < b->columns; j++) p[j] = 0;
    if (cap != 0) {
      CK_INDEPENDENT
      for (ptrdiff_t j = 0; j < b->columns; j++) slope[j] *= p[j];
    } else {
      CK_INDEPENDENT
      for (ptrdiff_t j = 0; j < b->columns; j++) slope[j] = p[j] * (slope[j] - dot);
    }
  }
}

/// Adds the slopes of scores to those of the bias at their distance.
CK_KERNEL(sum_bias_slopes, (const struct block *b, float *dbias), (b, dbias)) {
  for (ptrdiff_t i = 0; i < b->rows; i++) {
    const ptrdiff_t end = seen_end(b, i), begin = seen_begin(b, i, end);
    const float *slope = b->slopes + i * b->stride;
    CK_INDEPENDENT
    for (ptrdiff_t j = begin; j < end; j++) dbias[j - b->first_own - i] += slope[j];
  }
}

/// One key head of one sequence, with its query heads. Of P = softmax(s Q Kᵀ), O = P V:
/// dV = Pᵀ dO, dP = dO Vᵀ, dS = P ∘ (dP − rowsum(dO ∘ O)), dQ = s dS K, dK = s dSᵀ Q.
///
/// Products take a left factor fastest as its transpose, and a right one as it is: so what several of them read is
/// turned once.
static void gradient_part(void *context, int part) {
  const struct attention *s = context;
  const ptrdiff_t sequence = part / s->key_heads, key_head = part % s->key_heads, group = s->heads / s->key_heads;
  const ptrdiff_t size = s->size, k_stride = s->key_heads * size;
  const bool rounds = s->rule.rounds;
  const ptrdiff_t first_query = s->query_starts[sequence], queries = s->query_starts[sequence + 1] - first_query;
  const ptrdiff_t first_key = s->key_starts[sequence], keys = s->key_starts[sequence + 1] - first_key;
  const ptrdiff_t key_place = first_key * k_stride + key_head * size;
  _Alignas(64) float scores[QUERIES * KEYS], slopes[QUERIES * KEYS];
  float dots[QUERIES];
  struct block b = {.attention = s, .scores = scores, .slopes = slopes, .stride = KEYS, .dots = dots};

  // Kᵀ and Vᵀ in blocks of [size, KEYS], Qᵀ and dOᵀ of one block of queries.
  const ptrdiff_t blocks = (keys + KEYS - 1) / KEYS, turned = size * KEYS * blocks;
  const size_t bytes = (size_t)(2 * (turned + size * QUERIES)) * sizeof(float);
  float *k_turned = ck_allocate(bytes), *v_turned = k_turned + turned;
  float *q_turned = v_turned + turned, *dout_turned = q_turned + size * QUERIES;
  const ck_transpose transpose = ck_gemm_kernels()->transpose;
  for (ptrdiff_t j0 = 0; j0 < keys; j0 += KEYS) {
    const ptrdiff_t columns = ck_smaller(KEYS, keys - j0), place = key_place + j0 * k_stride;
    transpose(columns, size, s->k + place, k_stride, k_turned + j0 * size, KEYS);
    transpose(columns, size, s->v + place, k_stride, v_turned + j0 * size, KEYS);
    for (ptrdiff_t j = 0; j < columns; j++) {
      if (s->dk != NULL) memset(s->dk + place + j * k_stride, 0, (size_t)size * sizeof(float));
      if (s->dv != NULL) memset(s->dv + place + j * k_stride, 0, (size_t)size * sizeof(float));
    }
  }
  for (ptrdiff_t head = key_head * group; head < (key_head + 1) * group; head++) {
    const ptrdiff_t distances = 2 * s->rule.reach + 1;
    float *dbias = s->dbias == NULL ? NULL : s->dbias + (sequence * s->heads + head) * distances;
    if (dbias != NULL) memset(dbias, 0, (size_t)distances * sizeof(float));
    for (ptrdiff_t i0 = 0; i0 < queries; i0 += QUERIES) {
      begin_block(&b, first_query + i0, ck_smaller(QUERIES, queries - i0), head);
      dot_block(&b);
      transpose(b.rows, size, s->q + b.query_place, b.query_stride, q_turned, QUERIES);
      transpose(b.rows, size, s->dout + b.query_place, b.query_stride, dout_turned, QUERIES);
      const ck_factor q = {s->q + b.query_place, b.query_stride, false, false, rounds};
      const ck_factor dout = {s->dout + b.query_place, b.query_stride, false, false, rounds};
      const ck_factor qt = {q_turned, QUERIES, true, false}, doutt = {dout_turned, QUERIES, true, false};
      const ptrdiff_t own = i0 + keys - queries, start = first_block(s, own, KEYS);
      for (ptrdiff_t j0 = start; j0 < keys; j0 += KEYS) {
        b.columns = ck_smaller(KEYS, keys - j0);
        b.first_own = own - j0;
        b.columns = seen_end(&b, b.rows - 1);
        if (b.columns == 0) break;
        const ptrdiff_t place = key_place + j0 * k_stride, rows = b.rows, columns = b.columns;
        const ck_factor k = {s->k + place, k_stride, false, false, rounds};
        const ck_factor kt = {k_turned + j0 * size, KEYS, false, false, rounds};
        const ck_factor vt = {v_turned + j0 * size, KEYS, false, false, rounds};
        const ck_factor pt = {scores, KEYS, true, false}, dst = {slopes, KEYS, true, false};
        const ck_factor ds = {slopes, KEYS, false, false};
        ck_multiply(&(ck_product){rows, columns, size, s->rule.scale, 0, qt, kt, scores, KEYS});
        ck_multiply(&(ck_product){rows, columns, size, 1, 0, doutt, vt, slopes, KEYS});
        if (is_adjusted(&b)) adjust_block(&b);
        differentiate_block(&b);
        if (dbias != NULL) sum_bias_slopes(&b, dbias + s->rule.reach);
        if (s->dv != NULL) ck_multiply(&(ck_product){columns, size, rows, 1, 1, pt, dout, s->dv + place, k_stride});
        if (s->dk != NULL)
          ck_multiply(&(ck_product){columns, size, rows, s->rule.scale, 1, dst, q, s->dk + place, k_stride});
        if (s->dq != NULL)
          ck_multiply(&(ck_product){rows, size, columns, s->rule.scale, j0 == start ? 0 : 1, ds, k,
                                    s->dq + b.query_place, b.query_stride});
      }
    }
  }
  ck_deallocate(k_turned, bytes);
}

void ck_attention_gradient(const int32_t *query_starts, const int32_t *key_starts, ptrdiff_t sequences, ptrdiff_t heads,
                           ptrdiff_t key_heads, ptrdiff_t size, const ck_attention_rule *rule, const float *q,
                           const float *k, const float *v, const float *out, const float *logsumexp, const float *dout,
                           float *dq, float *dk, float *dv, float *dbias) {
  struct attention context = {query_starts, key_starts,         heads, key_heads, size, *rule, q,    k, v,
                              (float *)out, (float *)logsumexp, dout,  dq,        dk,   dv,    dbias};
  ck_parallel((int)(sequences * key_heads), gradient_part, &context);
}

// MARK: Rotary positions

struct rotary {
  const float *x, *cosines, *sines;
  const int32_t *positions;
  float *y, direction;
  ptrdiff_t heads, size, turned;
};

CK_RANGE_BODY(rotary_range) {
  struct rotary s = *(const struct rotary *)context;
  ptrdiff_t half = s.turned / 2;
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
      for (ptrdiff_t d = s.turned; d < s.size; d++) y[d] = x[d];
    }
  }
}

void ck_rotary(const float *x, const int32_t *positions, const float *cosines, const float *sines, bool inverse,
               float *y, ptrdiff_t tokens, ptrdiff_t heads, ptrdiff_t size, ptrdiff_t turned) {
  struct rotary context = {x, cosines, sines, positions, y, inverse ? -1.0f : 1.0f, heads, size, turned};
  ck_for_ranges(tokens, ck_row_grain(CK_GRAIN, heads * size), rotary_range, &context);
}
