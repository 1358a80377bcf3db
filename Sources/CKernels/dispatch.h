// How a kernel reaches the CPU's vector units and its processors, in three ideas:
//
// - What the CPU offers is asked once, by ck_instruction_set_index. A loop is written once, in plain C, as a CK_KERNEL:
//   it is compiled for every set, and a call runs the best. Products (gemm.h) keep a table of kernels for each set
//   instead, since their tiling depends on the registers.
// - The choice is a branch, not the loader's: it works under every sanitizer and on every system.
// - A loop over n independent elements is a CK_RANGE_BODY, which ck_for_ranges runs over fixed parts.
#ifndef CK_DISPATCH_H
#define CK_DISPATCH_H

#include <stddef.h>

#define CK_INLINE static inline __attribute__((always_inline))

/// The instruction sets of a processor family, each with all of those before it. arm64's baseline has NEON.
enum { CK_BASELINE, CK_AVX2, CK_AVX512 };
int ck_instruction_set_index(void);

#if defined(__x86_64__)
// What the compiler may use is what ck_instruction_set_index asks for.
#define CK_AVX2_FEATURES "avx2,bmi,bmi2,f16c,fma"
#define CK_AVX512_FEATURES "avx512f,avx512bw,avx512cd,avx512dq,avx512vl," CK_AVX2_FEATURES

/// Defines the function `name` of `parameters`, whose body follows; `arguments` are the parameters' names.
#define CK_KERNEL(name, parameters, arguments)                                                                \
  CK_INLINE void name##_body parameters;                                                                      \
  __attribute__((target(CK_AVX512_FEATURES))) static void name##_avx512 parameters { name##_body arguments; } \
  __attribute__((target(CK_AVX2_FEATURES))) static void name##_avx2 parameters { name##_body arguments; }     \
  static void name parameters {                                                                               \
    switch (ck_instruction_set_index()) {                                                                     \
      case CK_AVX512: name##_avx512 arguments; break;                                                         \
      case CK_AVX2: name##_avx2 arguments; break;                                                             \
      default: name##_body arguments;                                                                         \
    }                                                                                                         \
  }                                                                                                           \
  CK_INLINE void name##_body parameters
#else
#define CK_KERNEL(name, parameters, arguments) static void name parameters
#endif

/// Before a loop whose iterations touch only their own elements: it is vectorised without a check for overlap, which
/// an output that *is* its input would fail.
#define CK_INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")

static inline ptrdiff_t ck_smaller(ptrdiff_t a, ptrdiff_t b) { return a < b ? a : b; }
static inline ptrdiff_t ck_larger(ptrdiff_t a, ptrdiff_t b) { return a > b ? a : b; }

/// Work on the elements (or rows) begin ..< end.
typedef void (*ck_range_body)(const void *context, ptrdiff_t begin, ptrdiff_t end);
#define CK_RANGE_BODY(name) \
  CK_KERNEL(name, (const void *context, ptrdiff_t begin, ptrdiff_t end), (context, begin, end))

/// Runs body over 0 ..< count, cut into at most one part a thread and no part below `grain`. The cuts depend on the
/// number of threads, so a body must compute each of its elements independently of where its range begins.
void ck_for_ranges(ptrdiff_t count, ptrdiff_t grain, ck_range_body body, const void *context);

/// A loop as above.
struct ck_loop {
  ck_range_body body;
  const void *context;
  ptrdiff_t count;
};
/// Runs several loops as if their ranges followed each other in one, at the cost of one.
void ck_for_loops(const struct ck_loop *loops, ptrdiff_t number, ptrdiff_t grain);

/// Elements a part must have before a second thread pays for cheap work (a few operations an element).
#define CK_GRAIN ((ptrdiff_t)16384)

/// Rows of `columns` elements that make up a part of `elements` elements.
static inline ptrdiff_t ck_row_grain(ptrdiff_t elements, ptrdiff_t columns) {
  return ck_larger(1, elements / ck_larger(1, columns));
}

#endif
