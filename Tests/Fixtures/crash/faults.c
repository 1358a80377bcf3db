// Fails, or kills, a program at the n-th call that changes the disk under a folder: to be put before the C library's own
// functions by LD_PRELOAD.
//
//   FAULT_ROOT   the folder; calls elsewhere don't count
//   FAULT_AT     n, from 1; absent: none fails
//   FAULT_KIND   "kill", or "fail": the call answers EIO (a write: ENOSPC)
//   FAULT_LOG    a file that each call's name is added to
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static atomic_int calls;

#define REAL(name, type) ((type)dlsym(RTLD_NEXT, name))

static const char *root(void) {
  const char *path = getenv("FAULT_ROOT");
  return path ? path : "/nowhere";
}

static bool lies_under_root(const char *path) {
  char whole[4096];
  if (path[0] != '/') {
    if (!getcwd(whole, 2048)) return false;
    strncat(whole, "/", 2);
    strncat(whole, path, 2000);
    path = whole;
  }
  return strncmp(path, root(), strlen(root())) == 0;
}

static bool is_under_root(int descriptor) {
  char link[64], path[4096];
  struct stat status;
  if (fstat(descriptor, &status) != 0 || !(S_ISREG(status.st_mode) || S_ISDIR(status.st_mode))) return false;
  snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length <= 0) return false;
  path[length] = 0;
  return lies_under_root(path);
}

// Whether this call fails; kills the process where that is asked for.
static bool fails(const char *name) {
  int call = atomic_fetch_add(&calls, 1) + 1;
  const char *log = getenv("FAULT_LOG"), *at = getenv("FAULT_AT"), *kind = getenv("FAULT_KIND");
  if (log) {
    int file = (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND, 0644);
    if (file >= 0) {
      syscall(SYS_write, file, name, strlen(name));
      syscall(SYS_write, file, "\n", 1);
      syscall(SYS_close, file);
    }
  }
  if (!at || call != atoi(at)) return false;
  if (kind && strcmp(kind, "kill") == 0) raise(SIGKILL);
  errno = strstr(name, "write") ? ENOSPC : EIO;
  return true;
}

#define CHANGES(flags) ((flags) & (O_CREAT | O_TRUNC))

int open(const char *path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  mode_t mode = flags & O_CREAT ? va_arg(arguments, mode_t) : 0;
  va_end(arguments);
  if (CHANGES(flags) && lies_under_root(path) && fails("open")) return -1;
  return REAL("open", int (*)(const char *, int, mode_t))(path, flags, mode);
}
int open64(const char *path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  mode_t mode = flags & O_CREAT ? va_arg(arguments, mode_t) : 0;
  va_end(arguments);
  if (CHANGES(flags) && lies_under_root(path) && fails("open")) return -1;
  return REAL("open64", int (*)(const char *, int, mode_t))(path, flags, mode);
}
ssize_t write(int file, const void *bytes, size_t count) {
  if (is_under_root(file) && fails("write")) return -1;
  return REAL("write", ssize_t(*)(int, const void *, size_t))(file, bytes, count);
}
ssize_t pwrite(int file, const void *bytes, size_t count, off_t offset) {
  if (is_under_root(file) && fails("pwrite")) return -1;
  return REAL("pwrite", ssize_t(*)(int, const void *, size_t, off_t))(file, bytes, count, offset);
}
ssize_t pwrite64(int file, const void *bytes, size_t count, off64_t offset) {
  if (is_under_root(file) && fails("pwrite")) return -1;
  return REAL("pwrite64", ssize_t(*)(int, const void *, size_t, off64_t))(file, bytes, count, offset);
}
int ftruncate(int file, off_t length) {
  if (is_under_root(file) && fails("ftruncate")) return -1;
  return REAL("ftruncate", int (*)(int, off_t))(file, length);
}
int ftruncate64(int file, off64_t length) {
  if (is_under_root(file) && fails("ftruncate")) return -1;
  return REAL("ftruncate64", int (*)(int, off64_t))(file, length);
}
int fsync(int file) {
  if (is_under_root(file) && fails("fsync")) return -1;
  return REAL("fsync", int (*)(int))(file);
}
int rename(const char *from, const char *to) {
  if (lies_under_root(to) && fails("rename")) return -1;
  return REAL("rename", int (*)(const char *, const char *))(from, to);
}
int link(const char *from, const char *to) {
  if (lies_under_root(to) && fails("link")) return -1;
  return REAL("link", int (*)(const char *, const char *))(from, to);
}
int mkdir(const char *path, mode_t mode) {
  if (lies_under_root(path) && fails("mkdir")) return -1;
  return REAL("mkdir", int (*)(const char *, mode_t))(path, mode);
}
int unlink(const char *path) {
  if (lies_under_root(path) && fails("unlink")) return -1;
  return REAL("unlink", int (*)(const char *))(path);
}
int rmdir(const char *path) {
  if (lies_under_root(path) && fails("rmdir")) return -1;
  return REAL("rmdir", int (*)(const char *))(path);
}
long syscall(long number, ...) {
  va_list list;
  va_start(list, number);
  long a[6];
  for (int i = 0; i < 6; i++) a[i] = va_arg(list, long);
  va_end(list);
  if (number == SYS_renameat2 && lies_under_root((const char *)a[3]) && fails("exchange")) return -1;
  return REAL("syscall", long (*)(long, ...))(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
