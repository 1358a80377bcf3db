// Functions of whole rows: softmax, cross-entropy, layer and RMS normalisation. Threads share the rows; what is summed
// over rows (the gradients of weight and bias) is shared by columns, so that each sum keeps its order.
#include "CKernels.h"
#include "dispatch.h"
#include "functions.h"
#include "lanes.h"

/// Elements a part must have: rows cost several passes and an exponential.
enum { ROW_WORK = 8192 };

// MARK: Softmax

struct softmax {
  const float *x, *dy;
  float *y;
  ptrdiff_t columns;
};

CK_RANGE_BODY(softmax_range) {
  struct softmax s = *(const struct softmax *)context;
  for (ptrdiff_t row = begin; row < end; row++) {
    const float *x = s.x + row * s.columns;
    float *y = s.y + row * s.columns;
    float largest = ck_row_max(x, s.columns);
    exponentials(x, largest, y, s.columns);
    float scale = 1.0f / ck_row_sum(y, s.columns);
    CK_INDEPENDENT
    for (ptrdiff_t j = 0; j < s.columns; j++) y[j] *= scale;
  }
}

/// Σ exp(x − largest), without a buffer for the exponentials: blocks of the row pass through the stack.
CK_INLINE float sum_of_exponentials(const float *x, float largest, ptrdiff_t columns) {
  enum { BLOCK = 256 };
  float sum = 0, block[BLOCK];
  for (ptrdiff_t j = 0; j < columns; j += BLOCK) {
    ptrdiff_t count = ck_smaller(BLOCK, columns - j);
    exponentials(x + j, largest, block, count);
    sum += ck_row_sum(block, count);
  }
  return sum;
}

CK_RANGE_BODY(log_softmax_range) {
  struct softmax s = *(const struct softmax *)context;
  for (ptrdiff_t row = begin; row < end; row++) {
    const float *x = s.x + row * s.columns;
    float *y = s.y + row * s.columns;
    float largest = ck_row_max(x, s.columns);
    float log_sum = logarithm(sum_of_exponentials(x, largest, s.columns));
    CK_INDEPENDENT
    for (ptrdiff_t j = 0; j < s.columns; j++) y[j] = (x[j] - largest) - log_sum;
  }
}

void ck_softmax_rows(bool log_form, const float *x, float *y, ptrdiff_t rows, ptrdiff_t columns) {
  struct softmax context = {x, NULL, y, columns};
  ck_for_ranges(rows, ck_row_grain(ROW_WORK, columns), log_form ? log_softmax_range : softmax_range, &context);
}

CK_RANGE_BODY(softmax_gradient_range) {
  struct softmax s = *(const struct softmax *)context;
  for (ptrdiff_t row = begin; row < end; row++) {
    const float *y = s.x + row * s.columns, *dy = s.dy + row * s.columns;
    float *dx = s.y + row * s.columns;
    float dot = ck_row_dot(y, dy, s.columns);
    CK_INDEPENDENT
    for (ptrdiff_t j = 0; j < s.columns; j++) dx[j] = y[j] * (dy[j] - dot);
  }
}

CK_RANGE_BODY(log_softmax_gradient_range) {
  struct softmax s = *(const struct softmax *)context;
  for (ptrdiff_t row = begin; row < end; row++) {
    const float *y = s.x + row * s.columns, *dy = s.dy + row * s.columns;
    float *dx = s.y + row * s.columns;
    float sum = ck_row_sum(dy, s.columns);
    CK_INDEPENDENT
    for (ptrdiff_t j = 0; j < s.columns; j++) dx[j] = dy[j] - exponential(y[j]) * sum;
  }
}

void ck_softmax_rows_gradient(bool log_form, const float *y, const float *dy, float *dx, ptrdiff_t rows,
                              ptrdiff_t columns) {
  struct softmax context = {y, dy, dx, columns};
  ck_for_ranges(rows, ck_row_grain(ROW_WORK, columns), log_form ? log_softmax_gradient_range : softmax_gradient_range,
                &context);
}

// MARK: Cross-entropy

struct cross_entropy {
  const float *x;
  const int32_t *target;
  int32_t ignore;
  float *losses, *gradient;
  ptrdiff_t columns;
};

CK_RANGE_BODY(cross_entropy_range) {
  struct cross_entropy s = *(const struct cross_entropy *)context;
  for (ptrdiff_t row = begin; row < end; row++) {
    const float *x = s.x + row * s.columns;
    float *gradient = s.gradient == NULL ? NULL : s.gradient + row * s.columns;
    int32_t target = s.target[row];
    if (target == s.ignore) {
      s.losses[row] = 0;
      if (gradient != NULL) memset(gradient, 0, (size_t)s.columns * sizeof(float));
      continue;
    }
    float chosen = x[target];
    float largest = ck_row_max(x, s.columns);
    float sum;
    if (gradient != NULL) {
      exponentials(x, largest, gradient, s.columns);
      sum = ck_row_sum(gradient, s.columns);
      float scale = 1.0f / sum;
      CK_INDEPENDENT
      for (ptrdiff_t j = 0; j < s.columns; j++) gradient[j] *= scale;
      gradient[target] -= 1.0f;
    } else {
      sum = sum_of_exponentials(x, largest, s.columns);
    }
    s.losses[row] = logarithm(sum) + (largest - chosen);
  }
}

void ck_cross_entropy_rows(const float *x, const int32_t *target, int32_t ignore, float *losses, float *gradient,
                           ptrdiff_t rows, ptrdiff_t columns) {
  struct cross_entropy context = {x, target, ignore, losses, gradient, columns};
  ck_for_ranges(rows, ck_row_grain(ROW_WORK, columns), cross_entropy_range, &context);
}

// MARK: Layer and RMS normalisation. RMS normalisation is layer normalisation with mean 0 and no bias; where `mean` is
// NULL below, it is meant.

struct norm {
  const float *x, *weight, *bias;
  float epsilon;
  float *y, *mean, *rstd;
  ptrdiff_t columns;
};

CK_RANGE_BODY(norm_range) {
  struct norm s = *(const struct norm *)context;
  float count = (float)s.columns;
  for (ptrdiff_t row = begin; row < end; row++) {
    const float *x = s.x + row * s.columns, *weight = s.weight, *bias = s.bias;
    float *y = s.y + row * s.columns;
    float mean = s.mean == NULL ? 0 : ck_row_sum(x, s.columns) / count;
    float variance = ck_row_squares(x, mean, s.columns) / count;
    float rstd = 1.0f / square_root(variance + s.epsilon);
    if (s.mean != NULL) s.mean[row] = mean;
    s.rstd[row] = rstd;
    if (weight != NULL && bias != NULL) {
      CK_INDEPENDENT
      for (ptrdiff_t j = 0; j < s.columns; j++) y[j] = (x[j] - mean) * rstd * weight[j] + bias[j];
    } else if (weight != NULL) {
      CK_INDEPENDENT
      for (ptrdiff_t j = 0; j < s.columns; j++) y[j] = (x[j] - mean) * rstd * weight[j];
    } else if (bias != NULL) {
      CK_INDEPENDENT
      for (ptrdiff_t j = 0; j < s.columns; j++) y[j] = (x[j] - mean) * rstd + bias[j];
    } else {
      CK_INDEPENDENT
      for (ptrdiff_t j = 0; j < s.columns; j++) y[j] = (x[j] - mean) * rstd;
    }
  }
}

void ck_layer_norm(const float *x, const float *weight, const float *bias, float epsilon, float *y, float *mean,
                   float *rstd, ptrdiff_t rows, ptrdiff_t columns) {
  struct norm context = {x, weight, bias, epsilon, y, mean, rstd, columns};
  ck_for_ranges(rows, ck_row_grain(ROW_WORK, columns), norm_range, &context);
}

void ck_rms_norm(const float *x, const float *weight, float epsilon, float *y, float *rstd, ptrdiff_t rows,
                 ptrdiff_t columns) {
  ck_layer_norm(x, weight, NULL, epsilon, y, NULL, rstd, rows, columns);
}

struct norm_gradient {
  const float *x, *weight, *mean, *rstd, *dy;
  float *dx, *dweight, *dbias;
  ptrdiff_t rows, columns;
};

/// With n = (x − mean)·rstd and g = dy·weight: dx = rstd·(g − mean(g) − n·mean(g·n)); mean(g) stays out for RMS.
CK_RANGE_BODY(norm_input_gradient_range) {
  struct norm_gradient s = *(const struct norm_gradient *)context;
  float count = (float)s.columns;
  for (ptrdiff_t row = begin; row < end; row++) {
    const float *x = s.x + row * s.columns, *dy = s.dy + row * s.columns, *weight = s.weight;
    float *dx = s.dx + row * s.columns;
    float mean = s.mean == NULL ? 0 : s.mean[row], rstd = s.rstd[row];
    float sum = 0, dot;  // Σ g and Σ g·(x − mean)
    if (weight != NULL) {
      if (s.mean != NULL) sum = ck_row_dot(dy, weight, s.columns);
      dot = CK_SUM_OVER(s.columns, CK_LOAD_LANES(dy + i) * CK_LOAD_LANES(weight + i) * (CK_LOAD_LANES(x + i) - mean),
                        dy[i] * weight[i] * (x[i] - mean));
    } else {
      if (s.mean != NULL) sum = ck_row_sum(dy, s.columns);
      dot = CK_SUM_OVER(s.columns, CK_LOAD_LANES(dy + i) * (CK_LOAD_LANES(x + i) - mean), dy[i] * (x[i] - mean));
    }
    float shift = sum / count, slope = dot * rstd * rstd / count;
    if (weight != NULL) {
      CK_INDEPENDENT
      for (ptrdiff_t j = 0; j < s.columns; j++) dx[j] = rstd * (dy[j] * weight[j] - shift - (x[j] - mean) * slope);
    } else {
      CK_INDEPENDENT
      for (ptrdiff_t j = 0; j < s.columns; j++) dx[j] = rstd * (dy[j] - shift - (x[j] - mean) * slope);
    }
  }
}

/// dweight = Σ dy·n and dbias = Σ dy over the rows, for some columns. Blocks of rows are summed first, then the blocks:
/// a sum over many thousand rows keeps its accuracy.
CK_RANGE_BODY(norm_parameter_gradient_range) {
  struct norm_gradient s = *(const struct norm_gradient *)context;
  enum { ROWS = 128, COLUMNS = 256 };
  float weight_block[COLUMNS], bias_block[COLUMNS], weight_total[COLUMNS], bias_total[COLUMNS];
  for (ptrdiff_t first = begin; first < end; first += COLUMNS) {
    ptrdiff_t columns = ck_smaller(COLUMNS, end - first);
    CK_INDEPENDENT
    for (ptrdiff_t j = 0; j < columns; j++) weight_total[j] = bias_total[j] = 0;
    for (ptrdiff_t top = 0; top < s.rows; top += ROWS) {
      ptrdiff_t bottom = ck_smaller(top + ROWS, s.rows);
      CK_INDEPENDENT
      for (ptrdiff_t j = 0; j < columns; j++) weight_block[j] = bias_block[j] = 0;
      for (ptrdiff_t row = top; row < bottom; row++) {
        const float *x = s.x + row * s.columns + first, *dy = s.dy + row * s.columns + first;
        float mean = s.mean == NULL ? 0 : s.mean[row], rstd = s.rstd[row];
        CK_INDEPENDENT
        for (ptrdiff_t j = 0; j < columns; j++) {
          weight_block[j] += dy[j] * ((x[j] - mean) * rstd);
          bias_block[j] += dy[j];
        }
      }
      CK_INDEPENDENT
      for (ptrdiff_t j = 0; j < columns; j++) {
        weight_total[j] += weight_block[j];
        bias_total[j] += bias_block[j];
      }
    }
    if (s.dweight != NULL) memcpy(s.dweight + first, weight_total, (size_t)columns * sizeof(float));
    if (s.dbias != NULL) memcpy(s.dbias + first, bias_total, (size_t)columns * sizeof(float));
  }
}

void ck_layer_norm_gradient(const float *x, const float *weight, const float *mean, const float *rstd, const float *dy,
                            float *dx, float *dweight, float *dbias, ptrdiff_t rows, ptrdiff_t columns) {
  struct norm_gradient context = {x, weight, mean, rstd, dy, dx, dweight, dbias, rows, columns};
  // The parameters first: dx may be dy.
  if (dweight != NULL || dbias != NULL)
    ck_for_ranges(columns, ck_larger(64, ck_row_grain(ROW_WORK, rows)), norm_parameter_gradient_range, &context);
  if (dx != NULL) ck_for_ranges(rows, ck_row_grain(ROW_WORK, columns), norm_input_gradient_range, &context);
}

void ck_rms_norm_gradient(const float *x, const float *weight, const float *rstd, const float *dy, float *dx,
                          float *dweight, ptrdiff_t rows, ptrdiff_t columns) {
  ck_layer_norm_gradient(x, weight, NULL, rstd, dy, dx, dweight, NULL, rows, columns);
}
