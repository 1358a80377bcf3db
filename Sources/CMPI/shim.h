// What of MPI is used, in words that Swift can call: MPI's constants are macros, and its handles are pointers in Open
// MPI and integers in MPICH. Every exchange only begins here; lora_mpi_test says whether it is over, so that whoever
// waits can also listen for a signal, or sleep.
//
// Functions return 0, or an error's code, which lora_mpi_describe puts into words.
#ifndef CMPI_SHIM_H
#define CMPI_SHIM_H

#include <mpi.h>
#include <stddef.h>

/// An exchange that has begun.
typedef struct {
  MPI_Request request;
} lora_mpi_operation;

/// Joins the processes that were started together, and says which of how many this one is.
static inline int lora_mpi_initialize(int *rank, int *count) {
  int initialized = 0, provided = 0;
  int code = MPI_Initialized(&initialized);
  if (code == MPI_SUCCESS && !initialized) code = MPI_Init_thread(NULL, NULL, MPI_THREAD_SERIALIZED, &provided);
  if (code == MPI_SUCCESS) code = MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  if (code == MPI_SUCCESS) code = MPI_Comm_rank(MPI_COMM_WORLD, rank);
  return code == MPI_SUCCESS ? MPI_Comm_size(MPI_COMM_WORLD, count) : code;
}

/// Leaves them: all must.
static inline int lora_mpi_finalize(void) { return MPI_Finalize(); }

/// Ends all of them, this one too.
static inline void lora_mpi_abort(int code) { MPI_Abort(MPI_COMM_WORLD, code); }

/// To each rank a run of numbers, from each rank one; runs are given by their lengths and places.
static inline int lora_mpi_exchange(const float *sent, const int *sent_counts, const int *sent_places, float *received,
                                    const int *received_counts, const int *received_places,
                                    lora_mpi_operation *operation) {
  return MPI_Ialltoallv(sent, sent_counts, sent_places, MPI_FLOAT, received, received_counts, received_places,
                        MPI_FLOAT, MPI_COMM_WORLD, &operation->request);
}

/// Every rank's numbers to every rank.
static inline int lora_mpi_gather(const float *sent, int sent_count, float *received, const int *counts,
                                  const int *places, lora_mpi_operation *operation) {
  return MPI_Iallgatherv(sent, sent_count, MPI_FLOAT, received, counts, places, MPI_FLOAT, MPI_COMM_WORLD,
                         &operation->request);
}

/// One rank's bytes to every rank.
static inline int lora_mpi_broadcast(void *bytes, int count, int root, lora_mpi_operation *operation) {
  return MPI_Ibcast(bytes, count, MPI_BYTE, root, MPI_COMM_WORLD, &operation->request);
}

/// Over once every rank has come here.
static inline int lora_mpi_barrier(lora_mpi_operation *operation) {
  return MPI_Ibarrier(MPI_COMM_WORLD, &operation->request);
}

/// Whether an exchange is over; this is also what drives it on.
static inline int lora_mpi_test(lora_mpi_operation *operation, int *is_over) {
  return MPI_Test(&operation->request, is_over, MPI_STATUS_IGNORE);
}

/// An error in words, of fewer than `capacity` characters.
static inline void lora_mpi_describe(int error, char *text, int capacity) {
  char whole[MPI_MAX_ERROR_STRING];
  int length = 0;
  if (MPI_Error_string(error, whole, &length) != MPI_SUCCESS) length = 0;
  if (length > capacity - 1) length = capacity - 1;
  for (int i = 0; i < length; i++) text[i] = whole[i];
  text[length] = 0;
}

#endif
