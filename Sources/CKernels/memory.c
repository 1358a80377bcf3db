// The pool of memory. A step of training frees what the next one needs: freed blocks wait in lists by size class, and a
// large tensor is not paged in anew.
//
// What is kept is bounded: blocks in use and blocks kept together never exceed the most that was in use of late and a
// quarter (or LEAST_CEILING, if that is more), so the pool hardly raises a program's peak. Classes are an eighth of a
// power of two apart, so a block is at most an eighth larger than was asked for.
#if defined(__linux__)
#define _GNU_SOURCE
#endif
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "CKernels.h"

enum {
  ALIGNMENT = 64,
  STEPS = 8,  // classes from one power of two to the next
  CLASSES = 64 * STEPS,
  EPOCH = 1 << 14,  // allocations; "of late" is the present epoch and the one before
};
static const size_t MAPPED_SIZE = (size_t)1 << 20;  // from here on blocks come from the system, page by page
static const size_t HUGE_PAGE = (size_t)2 << 20;
static const size_t LEAST_CEILING = (size_t)128 << 20;

struct kept_block {
  struct kept_block *next;
};

static struct {
  pthread_mutex_t lock;
  struct kept_block *kept[CLASSES];
  size_t in_use, kept_bytes;
  size_t peak, earlier_peak;  // of in_use, in this epoch and in the one before
  int allocations;            // in this epoch
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER};

/// The class that holds `bytes`, and through `size` the size of its blocks.
static int class_of(size_t bytes, size_t *size) {
  if (bytes <= ALIGNMENT * STEPS) {  // multiples of the alignment
    size_t units = bytes == 0 ? 1 : (bytes + ALIGNMENT - 1) / ALIGNMENT;
    *size = units * ALIGNMENT;
    return (int)units - 1;
  }
  int exponent = 63 - __builtin_clzll((unsigned long long)(bytes - 1));  // 2^exponent ≤ bytes − 1
  size_t step = ((size_t)1 << exponent) / STEPS;
  size_t steps = (bytes + step - 1) / step;  // STEPS + 1 … 2 · STEPS
  *size = steps * step;
  return exponent * STEPS + (int)(steps - STEPS) - 1;
}

/// A quarter more than the most that was in use: classes have their peaks at different times of a step, and what one
/// gave back the next would page in anew.
static size_t ceiling(void) {
  size_t peak = pool.peak > pool.earlier_peak ? pool.peak : pool.earlier_peak;
  peak += peak / 4;
  return peak > LEAST_CEILING ? peak : LEAST_CEILING;
}

static void *obtain(size_t size) {
  if (size < MAPPED_SIZE) {
    void *block = aligned_alloc(ALIGNMENT, size);
    if (block == NULL) abort();
    return block;
  }
  // A block that holds a huge page starts on one and asks for them: paging in 16 MiB took 0.4 ms, and 1 MiB by small
  // pages as long.
  bool huge = size >= HUGE_PAGE;
  size_t slack = huge ? HUGE_PAGE : 0;
  char *mapped = mmap(NULL, size + slack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANON, -1, 0);
  if (mapped == MAP_FAILED) abort();
  if (huge) {
    size_t before = (HUGE_PAGE - (size_t)((uintptr_t)mapped % HUGE_PAGE)) % HUGE_PAGE;
    if (before > 0) munmap(mapped, before);
    mapped += before;
    if (slack > before) munmap(mapped + size, slack - before);
#if defined(MADV_HUGEPAGE)
    madvise(mapped, size, MADV_HUGEPAGE);
#endif
  }
  return mapped;
}

static void release(void *block, size_t size) {
  if (size < MAPPED_SIZE) {
    free(block);
  } else {
    munmap(block, size);
  }
}

static size_t size_of_class(int class) {
  if (class < STEPS) return (size_t)(class + 1) * ALIGNMENT;
  return (((size_t)1 << (class / STEPS)) / STEPS) * (size_t)(class % STEPS + 1 + STEPS);
}

/// Gives kept blocks back, the largest first, until no more than `limit` bytes are kept. Under the lock.
static void shrink(size_t limit) {
  for (int class = CLASSES - 1; class >= 0 && pool.kept_bytes > limit; class --) {
    size_t size = size_of_class(class);
    while (pool.kept[class] != NULL && pool.kept_bytes > limit) {
      struct kept_block *block = pool.kept[class];
      pool.kept[class] = block->next;
      pool.kept_bytes -= size;
      release(block, size);
    }
  }
}

void *ck_allocate(size_t bytes) {
  size_t size;
  int class = class_of(bytes, &size);
  pthread_mutex_lock(&pool.lock);
  if (++pool.allocations >= EPOCH) {
    pool.allocations = 0;
    pool.earlier_peak = pool.peak;
    pool.peak = pool.in_use;
  }
  pool.in_use += size;
  if (pool.in_use > pool.peak) pool.peak = pool.in_use;
  struct kept_block *block = pool.kept[class];
  if (block != NULL) {
    pool.kept[class] = block->next;
    pool.kept_bytes -= size;
  } else {
    shrink(ceiling() - pool.in_use);
  }
  pthread_mutex_unlock(&pool.lock);
  return block != NULL ? block : obtain(size);
}

void ck_deallocate(void *pointer, size_t bytes) {
  if (pointer == NULL) return;
  size_t size;
  int class = class_of(bytes, &size);
  pthread_mutex_lock(&pool.lock);
  bool keeps = pool.in_use + pool.kept_bytes <= ceiling();
  pool.in_use -= size;
  if (keeps) {
    struct kept_block *block = pointer;
    block->next = pool.kept[class];
    pool.kept[class] = block;
    pool.kept_bytes += size;
  }
  pthread_mutex_unlock(&pool.lock);
  if (!keeps) release(pointer, size);
}

void ck_trim_memory(void) {
  pthread_mutex_lock(&pool.lock);
  shrink(0);
  pool.peak = pool.in_use;
  pool.earlier_peak = 0;
  pthread_mutex_unlock(&pool.lock);
}
