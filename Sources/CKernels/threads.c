// The pool of threads: one for the process, started at first use.
//
// A job is a count of parts. Its state is one 64-bit word, (generation, next part): whoever wants a part takes it by
// compare-and-swap, which fails if the job is over, so a worker that wakes late can do no harm and a part whose
// worker never got a processor is done by the caller. Which thread does a part never matters to the result.
// Idle workers spin for some microseconds (the gap between two kernels of a training step), then sleep.
#if defined(__linux__)
#define _GNU_SOURCE
#include <sched.h>
#endif
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

#include "CKernels.h"
#include "dispatch.h"

enum { MAXIMUM_THREADS = 256, SPIN_NANOSECONDS = 30000 };

typedef void (*part_body)(void *context, int part);

static struct {
  // The job. Written by its caller before `state` is published.
  _Alignas(128) _Atomic uint64_t state;  // generation << 32 | next part
  _Atomic(part_body) body;
  _Atomic(void *) context;
  _Atomic int parts;
  _Atomic int threads;  // that may work on this job, the caller included
  _Alignas(128) _Atomic int finished;
  _Atomic bool caller_sleeps;

  _Alignas(128) _Atomic bool busy;  // a caller owns the pool
  _Atomic int thread_count;         // chosen or default; 0 until asked for
  _Atomic int started;              // workers that exist
  _Atomic int sleeping;
  pthread_mutex_t lock;
  pthread_cond_t work_arrived, work_finished;
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER,
          .work_arrived = PTHREAD_COND_INITIALIZER,
          .work_finished = PTHREAD_COND_INITIALIZER};

static _Thread_local bool inside_a_part;

static int available_processors(void) {
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
#endif
  long count = sysconf(_SC_NPROCESSORS_ONLN);
  return count > 0 ? (int)count : 1;
}

static int within_limits(int count) { return count < 1 ? 1 : count > MAXIMUM_THREADS ? MAXIMUM_THREADS : count; }

int ck_thread_count(void) {
  int count = atomic_load_explicit(&pool.thread_count, memory_order_relaxed);
  if (count == 0) {
    count = within_limits(available_processors());
    int unset = 0;
    if (!atomic_compare_exchange_strong(&pool.thread_count, &unset, count)) count = unset;
  }
  return count;
}

void ck_set_thread_count(int count) { atomic_store(&pool.thread_count, within_limits(count)); }

static inline void relax(void) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

static int64_t nanoseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/// Spins until the condition holds, for SPIN_NANOSECONDS at most; whether it holds.
#define SPINS_UNTIL(condition)                                        \
  ({                                                                  \
    int64_t limit = nanoseconds() + SPIN_NANOSECONDS;                 \
    bool holds;                                                       \
    do {                                                              \
      for (int i = 0; i < 16 && !(holds = (condition)); i++) relax(); \
    } while (!holds && nanoseconds() < limit);                        \
    holds;                                                            \
  })

static inline uint32_t generation(uint64_t state) { return (uint32_t)(state >> 32); }

/// Takes and does parts of the job of this generation until none is left.
static void do_parts(uint32_t job) {
  uint64_t state = atomic_load_explicit(&pool.state, memory_order_acquire);
  for (;;) {
    int part = (int)(uint32_t)state;
    int parts = atomic_load_explicit(&pool.parts, memory_order_relaxed);
    part_body body = atomic_load_explicit(&pool.body, memory_order_relaxed);
    void *context = atomic_load_explicit(&pool.context, memory_order_relaxed);
    if (generation(state) != job || part >= parts) return;
    // Success proves that the job is still running, so what was read above belongs to it.
    if (!atomic_compare_exchange_weak_explicit(&pool.state, &state, state + 1, memory_order_acq_rel,
                                               memory_order_acquire))
      continue;
    body(context, part);
    if (atomic_fetch_add(&pool.finished, 1) + 1 == parts && atomic_load(&pool.caller_sleeps)) {
      pthread_mutex_lock(&pool.lock);
      pthread_cond_signal(&pool.work_finished);
      pthread_mutex_unlock(&pool.lock);
    }
    state = atomic_load_explicit(&pool.state, memory_order_acquire);
  }
}

static void *work(void *argument) {
  int index = (int)(intptr_t)argument;  // the caller of a job counts as 0
  inside_a_part = true;
  uint32_t seen = 0;
  for (;;) {
    if (!SPINS_UNTIL(generation(atomic_load_explicit(&pool.state, memory_order_acquire)) != seen)) {
      pthread_mutex_lock(&pool.lock);
      atomic_fetch_add(&pool.sleeping, 1);
      while (generation(atomic_load(&pool.state)) == seen) pthread_cond_wait(&pool.work_arrived, &pool.lock);
      atomic_fetch_sub(&pool.sleeping, 1);
      pthread_mutex_unlock(&pool.lock);
    }
    seen = generation(atomic_load_explicit(&pool.state, memory_order_acquire));
    if (index < atomic_load_explicit(&pool.threads, memory_order_relaxed)) do_parts(seen);
  }
  return NULL;
}

/// Starts workers up to `threads` − 1, as far as the system allows. Only the pool's owner calls this.
static void start_workers(int threads) {
  int started = atomic_load_explicit(&pool.started, memory_order_relaxed);
  for (; started < threads - 1; started++) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, work, (void *)(intptr_t)(started + 1)) != 0) break;
    pthread_detach(thread);
  }
  atomic_store_explicit(&pool.started, started, memory_order_relaxed);
}

void ck_parallel(int parts, void (*body)(void *context, int part), void *context) {
  int threads = ck_thread_count();
  if (threads > parts) threads = parts;
  if (threads <= 1 || inside_a_part || atomic_exchange(&pool.busy, true)) {
    for (int part = 0; part < parts; part++) body(context, part);
    return;
  }
  start_workers(threads);
  atomic_store_explicit(&pool.body, body, memory_order_relaxed);
  atomic_store_explicit(&pool.context, context, memory_order_relaxed);
  atomic_store_explicit(&pool.parts, parts, memory_order_relaxed);
  atomic_store_explicit(&pool.threads, threads, memory_order_relaxed);
  atomic_store_explicit(&pool.finished, 0, memory_order_relaxed);
  uint32_t job = generation(atomic_load_explicit(&pool.state, memory_order_relaxed)) + 1;
  atomic_store(&pool.state, (uint64_t)job << 32);
  if (atomic_load(&pool.sleeping) > 0) {
    pthread_mutex_lock(&pool.lock);
    pthread_cond_broadcast(&pool.work_arrived);
    pthread_mutex_unlock(&pool.lock);
  }
  inside_a_part = true;
  do_parts(job);
  inside_a_part = false;
  if (!SPINS_UNTIL(atomic_load(&pool.finished) == parts)) {
    pthread_mutex_lock(&pool.lock);
    // An exchange, since no load may overtake it: qemu's arm64 (7.2) lets one overtake a sequentially consistent store.
    atomic_exchange(&pool.caller_sleeps, true);
    while (atomic_load(&pool.finished) != parts) pthread_cond_wait(&pool.work_finished, &pool.lock);
    atomic_store(&pool.caller_sleeps, false);
    pthread_mutex_unlock(&pool.lock);
  }
  atomic_store(&pool.busy, false);
}

// MARK: Ranges

struct ranges {
  ptrdiff_t count;
  int parts;
  ck_range_body body;
  const void *context;
};

static void run_range(void *context, int part) {
  const struct ranges *ranges = context;
  ptrdiff_t begin = ranges->count * part / ranges->parts, end = ranges->count * (part + 1) / ranges->parts;
  ranges->body(ranges->context, begin, end);
}

void ck_for_ranges(ptrdiff_t count, ptrdiff_t grain, ck_range_body body, const void *context) {
  if (count <= 0) return;
  ptrdiff_t parts = ck_smaller(count / grain, ck_thread_count());
  if (parts <= 1) {
    body(context, 0, count);
    return;
  }
  struct ranges ranges = {count, (int)parts, body, context};
  ck_parallel((int)parts, run_range, &ranges);
}
