// What the C library offers under another name on each system: two names in the file system change places in one step;
// whether a directory is one that something is mounted on; bytes go from file to file within the system.
#define _GNU_SOURCE
#include "CKernels.h"
#include <errno.h>
#include <stdio.h>

#if defined(__linux__)
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

bool ck_exchange_paths(const char *one, const char *other) {
  const unsigned exchange = 1 << 1;  // RENAME_EXCHANGE
  return syscall(SYS_renameat2, AT_FDCWD, one, AT_FDCWD, other, exchange) == 0;
}
#elif defined(__APPLE__)
bool ck_exchange_paths(const char *one, const char *other) { return renamex_np(one, other, RENAME_SWAP) == 0; }
#else
bool ck_exchange_paths(const char *one, const char *other) {
  errno = ENOSYS;
  return false;
}
#endif

bool ck_is_mount_point(const char *path) {
#if defined(__linux__) && defined(STATX_ATTR_MOUNT_ROOT)
  // A part of the same file system, mounted a second time, has the same device as what is around it.
  struct statx information;
  return statx(AT_FDCWD, path, 0, STATX_TYPE, &information) == 0 &&
         (information.stx_attributes & information.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT);
#else
  (void)path;
  return false;
#endif
}

ptrdiff_t ck_copy_file_bytes(int from, ptrdiff_t from_offset, int to, ptrdiff_t to_offset, ptrdiff_t count) {
  ptrdiff_t done = 0;
#if defined(__linux__)
  long long source = from_offset, target = to_offset;
  while (done < count) {
    const long copied = syscall(SYS_copy_file_range, from, &source, to, &target, (size_t)(count - done), 0u);
    if (copied < 0 && errno == EINTR) continue;
    if (copied <= 0) break;
    done += copied;
  }
#else
  (void)from, (void)from_offset, (void)to, (void)to_offset, (void)count;
#endif
  return done;
}
