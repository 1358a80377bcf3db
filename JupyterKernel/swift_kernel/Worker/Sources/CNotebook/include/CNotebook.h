// Runs a cell's entry point so that a trap, a call of exit, an uncaught error or an interrupt ends the
// cell and not the process.
//
// A cell runs on the main thread. What ends it early is a jump out of its frames: their references leak and
// a lock they held stays locked. Jumps are therefore made, when they can be, while the thread is in the
// cell's own code; see `interrupt_point` in guard.c.

#ifndef CNOTEBOOK_H
#define CNOTEBOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum {
  notebook_finished = 0,
  notebook_trapped,      // a signal such as SIGILL, SIGSEGV, SIGABRT
  notebook_interrupted,  // SIGINT
  notebook_threw,        // an error nobody caught
  notebook_exited,       // the cell called exit
} notebook_ending;

enum { notebook_frame_limit = 48 };

typedef struct {
  notebook_ending ending;
  int code;                                   // the signal, or the argument of exit
  bool stack_overflow;
  int frame_count;                            // of a trap: the program counter, then return addresses
  uintptr_t frames[notebook_frame_limit];
} notebook_outcome;

/// Installs the handlers, for the calling thread (the main one) as the thread that runs cells.
void notebook_guard_install(void);

/// Runs `entry(0, NULL)` and says how it ended.
notebook_outcome notebook_run(int (*entry)(int, char **));

/// Ends the running cell from a function that it called.
_Noreturn void notebook_end_cell(notebook_ending ending, int code);

/// Tells the guard where the machine code of a loaded library lies.
/// `is_cell`: it was compiled from a cell, so that it may be left at any instruction.
void notebook_add_code(const void *symbol_inside, bool is_cell);

/// The file of the library that holds `address`, or NULL, and the address within it.
const char *notebook_library(uintptr_t address, uintptr_t *address_in_file);

/// Whether SIGINT arrived since the cell (or its compilation) started; `clear` forgets it.
bool notebook_interrupt_requested(void);
void notebook_clear_interrupt(void);

/// While a cell waits for asynchronous work an interrupt only sets the flag above.
void notebook_set_awaiting(bool awaiting);

/// While the cell's thread is in a critical section no interrupt ends it.
void notebook_set_critical(bool critical);

/// Starts a program with `output` as its standard output and error, in this process group.
/// Returns its process id, or the negative of an errno.
int notebook_spawn(const char *path, char *const *arguments, int output);

#endif
