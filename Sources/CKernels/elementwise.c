// Functions applied element by element: one operand, two operands with broadcasting, and the affine updates.
#include "CKernels.h"
#include "axes.h"
#include "dispatch.h"
#include "functions.h"
#include "lanes.h"

// MARK: One operand. A table of loops, one for each function and one for each derivative.

#define SQRT_HALF 0.70710678118654752f
#define SQRT_2_OVER_PI 0.79788456080286536f
#define GELU_CUBIC 0.044715f

/// Φ(x), the normal distribution function.
CK_INLINE float normal_cdf(float x) { return 0.5f + 0.5f * error_function(x * SQRT_HALF); }

CK_INLINE float negate(float x) { return -x; }
CK_INLINE float relu(float x) { return x < 0.0f ? 0.0f : x; }
CK_INLINE float gelu(float x) { return x == -INFINITY ? 0.0f : x * normal_cdf(x); }
CK_INLINE float gelu_tanh_argument(float x) { return SQRT_2_OVER_PI * (x + GELU_CUBIC * x * x * x); }
CK_INLINE float gelu_tanh(float x) {
  float y = 0.5f * x * (1.0f + hyperbolic_tangent(gelu_tanh_argument(x)));
  return x == -INFINITY ? 0.0f : y;
}
CK_INLINE float silu(float x) { return x == -INFINITY ? 0.0f : x * logistic(x); }
CK_INLINE float reciprocal_root(float x) { return 1.0f / square_root(x); }
CK_INLINE float square(float x) { return x * x; }
CK_INLINE float magnitude(float x) { return fabsf(x); }
CK_INLINE float reciprocal(float x) { return 1.0f / x; }
/// ln(1 + eˣ), without overflow or cancellation.
CK_INLINE float softplus(float x) {
  float e = exponential(-fabsf(x)), u = 1.0f + e;
  float tail = u == 1.0f ? e : logarithm(u) * e / (u - 1.0f);
  return x > 0.0f ? x + tail : x != x ? x : tail;
}

// The factor f′(x).
CK_INLINE float negate_slope(float x) { return (void)x, -1.0f; }
CK_INLINE float logarithm_slope(float x) { return 1.0f / x; }
CK_INLINE float tangent_slope(float x) {
  float t = hyperbolic_tangent(x);
  return (1.0f - t) * (1.0f + t);
}
CK_INLINE float error_slope(float x) { return 1.12837916709551257f * exponential(-x * x); }
CK_INLINE float logistic_slope(float x) {
  float s = logistic(x);
  return s * (1.0f - s);
}
CK_INLINE float relu_slope(float x) { return x > 0.0f ? 1.0f : 0.0f; }
CK_INLINE float gelu_slope(float x) {
  float density = 0.39894228040143268f * exponential(-0.5f * x * x);
  float y = normal_cdf(x) + x * density;
  return fabsf(x) == INFINITY ? (x > 0.0f ? 1.0f : 0.0f) : y;
}
CK_INLINE float gelu_tanh_slope(float x) {
  float t = hyperbolic_tangent(gelu_tanh_argument(x));
  float inner = SQRT_2_OVER_PI * (1.0f + 3.0f * GELU_CUBIC * x * x);
  float y = 0.5f * (1.0f + t) + 0.5f * x * (1.0f - t) * (1.0f + t) * inner;
  return fabsf(x) > 15.0f ? (x > 0.0f ? 1.0f : 0.0f) : y;
}
CK_INLINE float silu_slope(float x) {
  float s = logistic(x);
  float y = s + x * s * (1.0f - s);
  return fabsf(x) == INFINITY ? (x > 0.0f ? 1.0f : 0.0f) : y;
}
CK_INLINE float root_slope(float x) { return 0.5f / square_root(x); }
CK_INLINE float reciprocal_root_slope(float x) { return -0.5f / (x * square_root(x)); }
CK_INLINE float square_slope(float x) { return 2.0f * x; }
CK_INLINE float magnitude_slope(float x) { return x > 0.0f ? 1.0f : x < 0.0f ? -1.0f : x; }
CK_INLINE float reciprocal_slope(float x) { return -1.0f / (x * x); }
CK_INLINE float cosine_slope(float x) { return -sinf(x); }

//        operation      function            derivative
#define FOR_EACH_FUNCTION(CASE)                          \
  CASE(CK_NEGATE, negate, negate_slope)                  \
  CASE(CK_EXP, exponential, exponential)                 \
  CASE(CK_LOG, logarithm, logarithm_slope)               \
  CASE(CK_TANH, hyperbolic_tangent, tangent_slope)       \
  CASE(CK_ERF, error_function, error_slope)              \
  CASE(CK_SIGMOID, logistic, logistic_slope)             \
  CASE(CK_RELU, relu, relu_slope)                        \
  CASE(CK_GELU, gelu, gelu_slope)                        \
  CASE(CK_GELU_TANH, gelu_tanh, gelu_tanh_slope)         \
  CASE(CK_SILU, silu, silu_slope)                        \
  CASE(CK_SQRT, square_root, root_slope)                 \
  CASE(CK_RSQRT, reciprocal_root, reciprocal_root_slope) \
  CASE(CK_SQUARE, square, square_slope)                  \
  CASE(CK_ABS, magnitude, magnitude_slope)               \
  CASE(CK_RECIPROCAL, reciprocal, reciprocal_slope)      \
  CASE(CK_SOFTPLUS, softplus, logistic)

// Calls of the C library, over which no loop is vectorised.
#define FOR_EACH_CALL(CASE) \
  CASE(CK_SIN, sinf, cosf)  \
  CASE(CK_COS, cosf, cosine_slope)

struct unary {
  const float *x, *dy;
  float *y;
};

#define DEFINE_LOOPS_SO(HINT, operation, function, slope)                          \
  CK_RANGE_BODY(apply_##operation) {                                               \
    struct unary u = *(const struct unary *)context;                               \
    HINT for (ptrdiff_t i = begin; i < end; i++) u.y[i] = function(u.x[i]);        \
  }                                                                                \
  CK_RANGE_BODY(differentiate_##operation) {                                       \
    struct unary u = *(const struct unary *)context;                               \
    HINT for (ptrdiff_t i = begin; i < end; i++) u.y[i] = u.dy[i] * slope(u.x[i]); \
  }
#define DEFINE_LOOPS(operation, function, slope) DEFINE_LOOPS_SO(CK_INDEPENDENT, operation, function, slope)
#define DEFINE_CALLS(operation, function, slope) DEFINE_LOOPS_SO(, operation, function, slope)
FOR_EACH_FUNCTION(DEFINE_LOOPS)
FOR_EACH_CALL(DEFINE_CALLS)

static const struct {
  ck_range_body function, derivative;
} unary_loops[] = {
#define TABLE_ENTRY(operation, function, slope) [operation] = {apply_##operation, differentiate_##operation},
    FOR_EACH_FUNCTION(TABLE_ENTRY) FOR_EACH_CALL(TABLE_ENTRY)};

void ck_unary(ck_unary_op op, const float *x, float *y, size_t count) {
  struct unary context = {x, NULL, y};
  ck_for_ranges((ptrdiff_t)count, CK_GRAIN, unary_loops[op].function, &context);
}

void ck_unary_gradient(ck_unary_op op, const float *x, const float *dy, float *dx, size_t count) {
  struct unary context = {x, dy, dx};
  ck_for_ranges((ptrdiff_t)count, CK_GRAIN, unary_loops[op].derivative, &context);
}

// MARK: Two operands: a loop over rows of the last of the merged axes.

CK_INLINE float add(float a, float b) { return a + b; }
CK_INLINE float subtract(float a, float b) { return a - b; }
CK_INLINE float multiply(float a, float b) { return a * b; }
CK_INLINE float divide(float a, float b) { return a / b; }
CK_INLINE float lesser(float a, float b) { return a <= b || a != a ? a : b; }  // NaN wins, as in ck_greater
// As in PyTorch, an exponent of 0 gives the base no gradient, and a base of 0 the exponent none.
CK_INLINE float power_base_slope(float a, float b) { return b == 0.0f ? 0.0f : b * powf(a, b - 1.0f); }
CK_INLINE float power_exponent_slope(float a, float b) { return a == 0.0f && b >= 0.0f ? 0.0f : powf(a, b) * logf(a); }
CK_INLINE float less(float a, float b) { return a < b ? 1.0f : 0.0f; }
CK_INLINE float less_or_equal(float a, float b) { return a <= b ? 1.0f : 0.0f; }
CK_INLINE float equal(float a, float b) { return a == b ? 1.0f : 0.0f; }

#define FOR_EACH_POWER(CASE)                  \
  CASE(CK_POWER, powf)                        \
  CASE(CK_POWER_BASE_SLOPE, power_base_slope) \
  CASE(CK_POWER_EXPONENT_SLOPE, power_exponent_slope)

#define FOR_EACH_OPERATION(CASE)        \
  CASE(CK_ADD, add)                     \
  CASE(CK_LESS, less)                   \
  CASE(CK_LESS_OR_EQUAL, less_or_equal) \
  CASE(CK_EQUAL, equal)                 \
  CASE(CK_SUBTRACT, subtract)           \
  CASE(CK_MULTIPLY, multiply)           \
  CASE(CK_DIVIDE, divide)               \
  CASE(CK_MAXIMUM, ck_greater)          \
  CASE(CK_MINIMUM, lesser)

#define ROW_PARAMETERS (const float *a, ptrdiff_t step_a, const float *b, ptrdiff_t step_b, float *out, ptrdiff_t count)
typedef void(*binary_row) ROW_PARAMETERS;

#define DEFINE_ROW_SO(HINT, operation, function)                                                  \
  CK_KERNEL(row_##operation, ROW_PARAMETERS, (a, step_a, b, step_b, out, count)) {                \
    if (step_a == 1 && step_b == 1) {                                                             \
      HINT for (ptrdiff_t i = 0; i < count; i++) out[i] = function(a[i], b[i]);                   \
    } else if (step_a == 1 && step_b == 0) {                                                      \
      float scalar = *b;                                                                          \
      HINT for (ptrdiff_t i = 0; i < count; i++) out[i] = function(a[i], scalar);                 \
    } else if (step_a == 0 && step_b == 1) {                                                      \
      float scalar = *a;                                                                          \
      HINT for (ptrdiff_t i = 0; i < count; i++) out[i] = function(scalar, b[i]);                 \
    } else {                                                                                      \
      HINT for (ptrdiff_t i = 0; i < count; i++) out[i] = function(a[i * step_a], b[i * step_b]); \
    }                                                                                             \
  }
#define DEFINE_ROW(operation, function) DEFINE_ROW_SO(CK_INDEPENDENT, operation, function)
#define DEFINE_CALLED_ROW(operation, function) DEFINE_ROW_SO(, operation, function)
FOR_EACH_OPERATION(DEFINE_ROW)
FOR_EACH_POWER(DEFINE_CALLED_ROW)

struct binary {
  struct ck_axes axes;  // strides of a, then of b
  const float *a, *b;
  float *out;
  binary_row row;
};

/// The elements begin ..< end of the output, in its order.
static void run_binary(const void *context, ptrdiff_t begin, ptrdiff_t end) {
  const struct binary *s = context;
  const ptrdiff_t *shape = s->axes.shape, *stride_a = s->axes.strides[0], *stride_b = s->axes.strides[1];
  int last = s->axes.rank - 1;
  // Where `begin` lies, axis by axis.
  ptrdiff_t index[CK_MAXIMUM_RANK], remaining = begin;
  ptrdiff_t offset_a = 0, offset_b = 0;
  for (int axis = last; axis >= 0; axis--) {
    index[axis] = remaining % shape[axis];
    remaining /= shape[axis];
    offset_a += index[axis] * stride_a[axis];
    offset_b += index[axis] * stride_b[axis];
  }
  while (begin < end) {
    ptrdiff_t count = ck_smaller(shape[last] - index[last], end - begin);
    s->row(s->a + offset_a, stride_a[last], s->b + offset_b, stride_b[last], s->out + begin, count);
    begin += count;
    offset_a -= index[last] * stride_a[last];
    offset_b -= index[last] * stride_b[last];
    index[last] = 0;
    for (int axis = last - 1; axis >= 0; axis--) {
      offset_a += stride_a[axis];
      offset_b += stride_b[axis];
      if (++index[axis] < shape[axis]) break;
      offset_a -= shape[axis] * stride_a[axis];
      offset_b -= shape[axis] * stride_b[axis];
      index[axis] = 0;
    }
  }
}

void ck_binary(ck_binary_op op, int rank, const ptrdiff_t *shape, const float *a, const ptrdiff_t *stride_a,
               const float *b, const ptrdiff_t *stride_b, float *out) {
  static const binary_row rows[] = {
#define ROW_ENTRY(operation, function) [operation] = row_##operation,
      FOR_EACH_OPERATION(ROW_ENTRY) FOR_EACH_POWER(ROW_ENTRY)};
  const ptrdiff_t *const strides[] = {stride_a, stride_b};
  struct binary context = {ck_merged_axes(rank, shape, 2, strides), a, b, out, rows[op]};
  ck_for_ranges(context.axes.count, CK_GRAIN, run_binary, &context);
}

// MARK: Affine updates.

struct affine {
  const float *x;
  float scale, offset;
  float *y;
};

CK_RANGE_BODY(run_affine) {
  struct affine s = *(const struct affine *)context;
  CK_INDEPENDENT
  for (ptrdiff_t i = begin; i < end; i++) s.y[i] = s.scale * s.x[i] + s.offset;
}

void ck_affine(const float *x, float scale, float offset, float *y, size_t count) {
  struct affine context = {x, scale, offset, y};
  ck_for_ranges((ptrdiff_t)count, CK_GRAIN, run_affine, &context);
}

struct capped {
  const float *y;
  float cap, *x;
};

CK_RANGE_BODY(run_cap) {
  struct capped s = *(const struct capped *)context;
  CK_INDEPENDENT
  for (ptrdiff_t i = begin; i < end; i++) s.x[i] = s.cap * hyperbolic_tangent(s.x[i] / s.cap);
}

void ck_cap(float *x, float cap, size_t count) {
  struct capped context = {NULL, cap, x};
  ck_for_ranges((ptrdiff_t)count, CK_GRAIN, run_cap, &context);
}

CK_RANGE_BODY(run_cap_slopes) {
  struct capped s = *(const struct capped *)context;
  CK_INDEPENDENT
  for (ptrdiff_t i = begin; i < end; i++) s.x[i] *= 1.0f - s.y[i] / s.cap * (s.y[i] / s.cap);
}

void ck_cap_slopes(const float *y, float cap, float *slopes, size_t count) {
  struct capped context = {y, cap, slopes};
  ck_for_ranges((ptrdiff_t)count, CK_GRAIN, run_cap_slopes, &context);
}

CK_RANGE_BODY(run_accumulate) {
  struct affine s = *(const struct affine *)context;
  CK_INDEPENDENT
  for (ptrdiff_t i = begin; i < end; i++) s.y[i] += s.scale * s.x[i];
}

void ck_accumulate(const float *x, float scale, float *y, size_t count) {
  struct affine context = {x, scale, 0, y};
  ck_for_ranges((ptrdiff_t)count, CK_GRAIN, run_accumulate, &context);
}

struct add_rows {
  const float *bias;
  float *y;
  ptrdiff_t columns;
};

CK_RANGE_BODY(run_add_rows) {
  struct add_rows s = *(const struct add_rows *)context;
  for (ptrdiff_t i = begin; i < end; i++) {
    float *y = s.y + i * s.columns;
    CK_INDEPENDENT
    for (ptrdiff_t j = 0; j < s.columns; j++) y[j] += s.bias[j];
  }
}

void ck_add_rows(const float *bias, float *y, ptrdiff_t rows, ptrdiff_t columns) {
  struct add_rows context = {bias, y, columns};
  ck_for_ranges(rows, ck_row_grain(CK_GRAIN, columns), run_add_rows, &context);
}
