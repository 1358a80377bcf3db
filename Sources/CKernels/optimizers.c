// Optimizers: one pass over weight, gradient and moments, since what a step costs is the memory it touches.
// The rules are PyTorch's (torch.optim.Adam, AdamW and SGD).
//
// Each pass also says whether every gradient that it read was a finite number, which costs it nothing.
#include <math.h>
#include <stdatomic.h>

#include "CKernels.h"
#include "dispatch.h"
#include "functions.h"

/// All bits of the exponent are set where a gradient is infinite or not a number.
CK_INLINE uint32_t is_broken(float gradient) { return (bits_of_float(gradient) & 0x7fffffff) >= 0x7f800000; }

CK_INLINE void report(atomic_bool *broken, uint32_t found) {
  if (found) atomic_store_explicit(broken, true, memory_order_relaxed);
}

struct adam {
  float *weight;
  const float *gradient;
  atomic_bool *broken;
  float *m, *v;
  float gradient_scale, decay, keep;  // decay is added to the gradient, keep multiplies the weight: one of them is idle
  float beta1, beta2, rest1, rest2;   // rest = 1 − beta
  float step_size, root_scale, epsilon;
};

CK_RANGE_BODY(adam_range) {
  struct adam s = *(const struct adam *)context;
  uint32_t broken = 0;
  CK_INDEPENDENT
  for (ptrdiff_t i = begin; i < end; i++) {
    float weight = s.weight[i];
    broken |= is_broken(s.gradient[i]);
    float gradient = s.gradient[i] * s.gradient_scale + s.decay * weight;
    float m = s.beta1 * s.m[i] + s.rest1 * gradient;
    float v = s.beta2 * s.v[i] + s.rest2 * gradient * gradient;
    s.m[i] = m;
    s.v[i] = v;
    s.weight[i] = s.keep * weight - s.step_size * m / (square_root(v) * s.root_scale + s.epsilon);
  }
  report(s.broken, broken);
}

bool ck_adam_step(float *weight, const float *gradient, float *m, float *v, size_t count, float learning_rate,
                  float beta1, float beta2, float epsilon, float decay, bool decoupled, int64_t step,
                  float gradient_scale) {
  double bias1 = 1 - pow(beta1, (double)step), bias2 = 1 - pow(beta2, (double)step);
  atomic_bool broken = false;
  struct adam context = {
      weight,
      gradient,
      &broken,
      m,
      v,
      .gradient_scale = gradient_scale,
      .decay = decoupled ? 0 : decay,
      .keep = decoupled ? (float)(1 - (double)learning_rate * decay) : 1,
      .beta1 = beta1,
      .beta2 = beta2,
      .rest1 = 1 - beta1,
      .rest2 = 1 - beta2,
      .step_size = (float)(learning_rate / bias1),
      .root_scale = (float)(1 / sqrt(bias2)),
      .epsilon = epsilon,
  };
  ck_for_ranges((ptrdiff_t)count, CK_GRAIN, adam_range, &context);
  return !broken;
}

struct sgd {
  float *weight;
  const float *gradient;
  atomic_bool *broken;
  float *velocity;
  float learning_rate, momentum, decay, gradient_scale;
  bool nesterov, first_step;
};

CK_RANGE_BODY(sgd_range) {
  struct sgd s = *(const struct sgd *)context;
  uint32_t broken = 0;
  CK_INDEPENDENT
  for (ptrdiff_t i = begin; i < end; i++) {
    broken |= is_broken(s.gradient[i]);
    s.weight[i] -= s.learning_rate * (s.gradient[i] * s.gradient_scale + s.decay * s.weight[i]);
  }
  report(s.broken, broken);
}

CK_RANGE_BODY(momentum_range) {
  struct sgd s = *(const struct sgd *)context;
  // velocity = momentum · velocity + gradient, and on the first step the gradient alone.
  float momentum = s.first_step ? 0 : s.momentum;
  // The update is the velocity, or with Nesterov gradient + momentum · velocity.
  float gradient_part = s.nesterov ? 1 : 0, velocity_part = s.nesterov ? s.momentum : 1;
  uint32_t broken = 0;
  CK_INDEPENDENT
  for (ptrdiff_t i = begin; i < end; i++) {
    float weight = s.weight[i];
    broken |= is_broken(s.gradient[i]);
    float gradient = s.gradient[i] * s.gradient_scale + s.decay * weight;
    float old = s.first_step ? 0 : s.velocity[i];  // never read before it is first written
    float velocity = momentum * old + gradient;
    s.velocity[i] = velocity;
    s.weight[i] = weight - s.learning_rate * (gradient_part * gradient + velocity_part * velocity);
  }
  report(s.broken, broken);
}

bool ck_sgd_step(float *weight, const float *gradient, float *velocity, size_t count, float learning_rate,
                 float momentum, bool nesterov, float decay, bool first_step, float gradient_scale) {
  atomic_bool broken = false;
  struct sgd context = {weight,   gradient, &broken,        velocity, learning_rate,
                        momentum, decay,    gradient_scale, nesterov, first_step};
  ck_for_ranges((ptrdiff_t)count, CK_GRAIN, velocity == NULL ? sgd_range : momentum_range, &context);
  return !broken;
}
