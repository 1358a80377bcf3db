// The one choice among instruction sets.
#include "dispatch.h"

#include <stdatomic.h>

#include "CKernels.h"

static int best(void) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("bmi") || !__builtin_cpu_supports("bmi2") ||
      !__builtin_cpu_supports("f16c") || !__builtin_cpu_supports("fma"))
    return CK_BASELINE;
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                 __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                 __builtin_cpu_supports("avx512vl")
             ? CK_AVX512
             : CK_AVX2;
#else
  return CK_BASELINE;
#endif
}

int ck_instruction_set_index(void) {
  static _Atomic int chosen = -1;
  int index = atomic_load_explicit(&chosen, memory_order_relaxed);
  if (index < 0) {
    index = best();
    atomic_store_explicit(&chosen, index, memory_order_relaxed);
  }
  return index;
}

const char *ck_instruction_set(void) {
#if defined(__aarch64__)
  return "neon";
#else
  static const char *const names[] = {[CK_BASELINE] = "plain", [CK_AVX2] = "avx2", [CK_AVX512] = "avx512"};
  return names[ck_instruction_set_index()];
#endif
}

bool ck_multiplies_bfloat16(void) {
#if defined(__x86_64__)
  return ck_instruction_set_index() == CK_AVX512 && __builtin_cpu_supports("avx512bf16");
#else
  return false;
#endif
}
