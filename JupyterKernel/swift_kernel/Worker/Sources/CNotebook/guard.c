// See CNotebook.h.

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "CNotebook.h"

#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>

extern char **environ;

static pthread_t cell_thread;
static sigjmp_buf cell_start;
static volatile sig_atomic_t cell_is_running, interrupt_requested, is_awaiting, is_critical;
static notebook_outcome outcome;
static uintptr_t stack_low, stack_high;

// MARK: Where cells and packages have their code

typedef struct {
  uintptr_t low, high;
  bool is_cell;
} code_range;

enum { code_range_limit = 16384 };
static code_range code[code_range_limit];
static volatile sig_atomic_t code_count;

static int find_code(struct dl_phdr_info *info, size_t size, void *context) {
  (void)size;
  code_range *range = context;
  for (int i = 0; i < info->dlpi_phnum; i++) {
    const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
    if (segment->p_type != PT_LOAD || !(segment->p_flags & PF_X)) continue;
    uintptr_t low = info->dlpi_addr + segment->p_vaddr, high = low + segment->p_memsz;
    if (range->low < low || range->low >= high) continue;
    range->low = low;
    range->high = high;
    return 1;
  }
  return 0;
}

void notebook_add_code(const void *symbol_inside, bool is_cell) {
  if (code_count == code_range_limit) return;
  code_range range = {(uintptr_t)symbol_inside, 0, is_cell};
  if (dl_iterate_phdr(find_code, &range)) {
    code[code_count] = range;
    code_count++;
  }
}

static const code_range *code_at(uintptr_t address) {
  for (int i = code_count - 1; i >= 0; i--)
    if (address >= code[i].low && address < code[i].high) return &code[i];
  return NULL;
}

const char *notebook_library(uintptr_t address, uintptr_t *address_in_file) {
  Dl_info info;
  if (!dladdr((const void *)address, &info)) return NULL;
  *address_in_file = address - (uintptr_t)info.dli_fbase;
  return info.dli_fname;
}

// MARK: The machine's state at a signal

static uintptr_t program_counter(const ucontext_t *context) {
#if defined(__x86_64__)
  return (uintptr_t)context->uc_mcontext.gregs[REG_RIP];
#elif defined(__aarch64__)
  return (uintptr_t)context->uc_mcontext.pc;
#else
#error "Where is the program counter on this processor?"
#endif
}

static uintptr_t stack_pointer(const ucontext_t *context) {
#if defined(__x86_64__)
  return (uintptr_t)context->uc_mcontext.gregs[REG_RSP];
#else
  return (uintptr_t)context->uc_mcontext.sp;
#endif
}

static void record_frames(const ucontext_t *context) {
  uintptr_t counter = program_counter(context);
  void *addresses[notebook_frame_limit];
  int count = backtrace(addresses, notebook_frame_limit), first = 0;
  // The handler's own frames come before that of the trap.
  while (first < count && (uintptr_t)addresses[first] != counter) first++;
  outcome.frame_count = 0;
  outcome.frames[outcome.frame_count++] = counter;
  for (int i = first + 1; i < count; i++)
    outcome.frames[outcome.frame_count++] = (uintptr_t)addresses[i] - 1;  // within the call, not after it
}

// MARK: Ending a cell

static _Noreturn void leave(notebook_ending ending, int code_or_signal) {
  outcome.ending = ending;
  outcome.code = code_or_signal;
  cell_is_running = 0;
  siglongjmp(cell_start, 1);
}

void notebook_end_cell(notebook_ending ending, int code_or_signal) {
  if (cell_is_running && pthread_equal(pthread_self(), cell_thread)) leave(ending, code_or_signal);
  _exit(ending == notebook_exited ? code_or_signal : 1);
}

static void say(const char *text) {
  ssize_t ignored = write(STDERR_FILENO, text, strlen(text));
  (void)ignored;
}

static void on_trap(int number, siginfo_t *info, void *context) {
  if (cell_is_running && pthread_equal(pthread_self(), cell_thread)) {
    record_frames(context);
    uintptr_t address = (uintptr_t)info->si_addr;
    outcome.stack_overflow = (number == SIGSEGV || number == SIGBUS)
      && address + (1 << 20) > stack_low && address < stack_low + (1 << 16);
    leave(notebook_trapped, number);
  }
  if (cell_is_running) say("The trap was on another thread than the cell's own.\n");
  signal(number, SIG_DFL);
  raise(number);
}

// MARK: Interrupts

// A jump out of the cell's own code leaves no lock of a library locked. After an interrupt a timer asks every
// millisecond where the thread is; the longer the cell goes on, the less the guard asks for.
enum {
  patience_for_blocked = 300,    // milliseconds at one and the same instruction: a call that waits
  patience_for_packages = 400,   // until it may leave Swift code of a package
  patience_at_all = 4000,        // until it leaves whatever is running
};

static void set_timer(long microseconds) {
  struct itimerval timer = {{0, microseconds}, {0, microseconds}};
  setitimer(ITIMER_REAL, &timer, NULL);
}

// Where a function that the cell called returns to, once `leave_at_return` has run.
#if defined(__x86_64__)
__asm__(".text\n.globl notebook_returned_to_cell\nnotebook_returned_to_cell:\n  call notebook_leave_interrupted\n");
#else
__asm__(".text\n.globl notebook_returned_to_cell\nnotebook_returned_to_cell:\n  bl notebook_leave_interrupted\n");
#endif
extern char notebook_returned_to_cell[];

_Noreturn void notebook_leave_interrupted(void) {
  set_timer(0);
  leave(notebook_interrupted, SIGINT);
}

// A cell that spends its time in libraries is hardly ever met in its own code: it is left when the library's function
// returns to it. Its return addresses lie within functions, so that no other word of the stack has their value.
static void leave_at_return(uintptr_t stack_pointer) {
  void *addresses[notebook_frame_limit];
  int count = backtrace(addresses, notebook_frame_limit);
  for (int i = 0; i < count; i++) {
    const code_range *range = code_at((uintptr_t)addresses[i]);
    if (!range || !range->is_cell) continue;
    for (uintptr_t *word = (uintptr_t *)(stack_pointer & ~(uintptr_t)7); (uintptr_t)word < stack_high; word++)
      if (*word == (uintptr_t)addresses[i]) *word = (uintptr_t)notebook_returned_to_cell;
    return;
  }
}

static volatile int waited, stood_still;
static volatile uintptr_t last_counter;

static bool is_interrupt_point(uintptr_t counter) {
  const code_range *range = code_at(counter);
  if (range && range->is_cell) return true;
  if (stood_still >= patience_for_blocked || waited >= patience_at_all) return true;
  if (range && waited >= patience_for_packages) {
    Dl_info info;
    return dladdr((const void *)counter, &info) && info.dli_sname && strncmp(info.dli_sname, "$s", 2) == 0;
  }
  return false;
}

static void on_interrupt(int number, siginfo_t *info, void *context) {
  (void)info;
  if (!pthread_equal(pthread_self(), cell_thread)) {
    pthread_kill(cell_thread, number);
    return;
  }
  if (number == SIGINT) {
    interrupt_requested = 1;
    waited = stood_still = 0;
    last_counter = 0;
  }
  if (!cell_is_running || is_awaiting || !interrupt_requested) {
    set_timer(0);
    return;
  }
  uintptr_t counter = program_counter(context);
  waited++;
  stood_still = counter == last_counter ? stood_still + 1 : 0;
  last_counter = counter;
  if (!is_critical && is_interrupt_point(counter)) {
    set_timer(0);
    leave(notebook_interrupted, SIGINT);
  }
  if (number == SIGINT) {
    leave_at_return(stack_pointer(context));
    set_timer(1000);
  }
}

bool notebook_interrupt_requested(void) { return interrupt_requested; }
void notebook_clear_interrupt(void) { interrupt_requested = 0; }
void notebook_set_critical(bool critical) {
  if (pthread_equal(pthread_self(), cell_thread)) is_critical = critical;
}
void notebook_set_awaiting(bool awaiting) { is_awaiting = awaiting; }

// MARK: Installing and running

static void handle(int number, void (*handler)(int, siginfo_t *, void *), int flags) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_sigaction = handler;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | flags;
  sigemptyset(&action.sa_mask);
  sigaction(number, &action, NULL);
}

void notebook_guard_install(void) {
  setvbuf(stdout, NULL, _IOLBF, 1 << 16);
  cell_thread = pthread_self();
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  pthread_attr_t attributes;
  void *low = NULL;
  size_t size = 0;
  if (pthread_getattr_np(cell_thread, &attributes) == 0) {
    pthread_attr_getstack(&attributes, &low, &size);
    pthread_attr_destroy(&attributes);
  }
  stack_low = (uintptr_t)low;
  stack_high = stack_low + size;
  const size_t alternate_size = 256 * 1024;
  stack_t alternate = {.ss_sp = malloc(alternate_size), .ss_size = alternate_size};
  sigaltstack(&alternate, NULL);

  const int traps[] = {SIGILL, SIGTRAP, SIGSEGV, SIGBUS, SIGFPE, SIGABRT};
  for (size_t i = 0; i < sizeof traps / sizeof *traps; i++) handle(traps[i], on_trap, SA_NODEFER);
  handle(SIGINT, on_interrupt, SA_RESTART);
  handle(SIGALRM, on_interrupt, SA_RESTART);
  signal(SIGPIPE, SIG_IGN);
  void *frame;
  backtrace(&frame, 1);  // loads the unwinder, which a handler should not
  signal(SIGXFSZ, SIG_IGN);  // a file that grows too large is an error of the write, not a death

  // The list of accesses that the Swift runtime keeps lies in frames that a jump leaves.
  bool *disable_exclusivity = dlsym(RTLD_DEFAULT, "_swift_disableExclusivityChecking");
  if (disable_exclusivity) *disable_exclusivity = true;
}

notebook_outcome notebook_run(int (*entry)(int, char **)) {
  memset(&outcome, 0, sizeof outcome);
  if (sigsetjmp(cell_start, 1) == 0) {
    cell_is_running = 1;
    char *arguments[] = {NULL};
    entry(0, arguments);
    cell_is_running = 0;
    outcome.ending = notebook_finished;
  }
  set_timer(0);
  is_awaiting = is_critical = 0;
  return outcome;
}

int notebook_spawn(const char *path, char *const *arguments, int output) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, output, STDERR_FILENO);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t defaults;
  sigemptyset(&defaults);
  sigaddset(&defaults, SIGPIPE);
  posix_spawnattr_setsigdefault(&attributes, &defaults);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
  pid_t process = 0;
  int error = posix_spawn(&process, path, &actions, &attributes, arguments, environ);
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  return error ? -error : process;
}

// The linker's --wrap=exit sends a cell's calls of exit here.
_Noreturn void __wrap_exit(int status) { notebook_end_cell(notebook_exited, status); }
