// The axes of a strided loop: those that can be walked as one are merged.
#ifndef CK_AXES_H
#define CK_AXES_H

#include <stdbool.h>
#include <stddef.h>

enum { CK_MAXIMUM_RANK = 8, CK_MAXIMUM_OPERANDS = 2 };

struct ck_axes {
  int rank;         // at least 1
  ptrdiff_t count;  // of elements
  ptrdiff_t shape[CK_MAXIMUM_RANK], strides[CK_MAXIMUM_OPERANDS][CK_MAXIMUM_RANK];
};

/// Axes of one element vanish, and an axis joins the one before it where every operand walks both with one stride.
static inline struct ck_axes ck_merged_axes(int rank, const ptrdiff_t *shape, int operands,
                                            const ptrdiff_t *const *strides) {
  struct ck_axes merged = {.rank = 0, .count = 1};
  for (int axis = 0; axis < rank; axis++) {
    merged.count *= shape[axis];
    if (shape[axis] == 1) continue;
    int place = merged.rank - 1;
    bool joins = place >= 0;
    for (int x = 0; x < operands; x++) joins = joins && merged.strides[x][place] == strides[x][axis] * shape[axis];
    if (!joins) merged.shape[place = merged.rank++] = 1;
    merged.shape[place] *= shape[axis];
    for (int x = 0; x < operands; x++) merged.strides[x][place] = strides[x][axis];
  }
  if (merged.rank == 0) {
    merged.rank = merged.shape[0] = 1;
    for (int x = 0; x < operands; x++) merged.strides[x][0] = 1;
  }
  return merged;
}

#endif
