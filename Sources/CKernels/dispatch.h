// How a kernel reaches the CPU's vector units and its processors, in three ideas:
//
// - A loop is written once, in plain C, and marked CK_CLONES: the compiler emits it for AVX-512, for AVX2 and for the
//   baseline, and the loader picks one. Elsewhere (arm64) the baseline already is the vector unit.
// - A loop over n independent elements becomes a "range body", which ck_for_ranges runs over fixed parts.
// - Products (gemm.c) choose a table of kernels instead, since their tiling depends on the registers.
#ifndef CK_DISPATCH_H
#define CK_DISPATCH_H

#include <stddef.h>

#if defined(__x86_64__) && defined(__ELF__)
#define CK_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define CK_CLONES
#endif

/// Before a loop whose iterations touch only their own elements: it is vectorised without a check for overlap, which
/// an output that *is* its input would fail.
#define CK_INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")

#define CK_INLINE static inline __attribute__((always_inline))

static inline ptrdiff_t ck_smaller(ptrdiff_t a, ptrdiff_t b) { return a < b ? a : b; }
static inline ptrdiff_t ck_larger(ptrdiff_t a, ptrdiff_t b) { return a > b ? a : b; }

/// Work on the elements (or rows) begin ..< end.
typedef void (*ck_range_body)(const void *context, ptrdiff_t begin, ptrdiff_t end);

/// Runs body over 0 ..< count, cut into at most one part a thread and no part below `grain`. The cuts depend on the
/// number of threads, so a body must compute each of its elements independently of where its range begins.
void ck_for_ranges(ptrdiff_t count, ptrdiff_t grain, ck_range_body body, const void *context);

/// Elements a part must have before a second thread pays for cheap work (a few operations an element).
#define CK_GRAIN ((ptrdiff_t)16384)

/// Rows of `columns` elements that make up a part of `elements` elements.
static inline ptrdiff_t ck_row_grain(ptrdiff_t elements, ptrdiff_t columns) {
  return ck_larger(1, elements / ck_larger(1, columns));
}

#endif
