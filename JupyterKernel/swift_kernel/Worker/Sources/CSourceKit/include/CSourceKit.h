// SourceKit in this process: a request in YAML in, its answer in JSON out.

#ifndef CSOURCEKIT_H
#define CSOURCEKIT_H

#include <stdbool.h>

/// Loads the toolchain's libsourcekitdInProc from `path`. On failure `sourcekit_ask` answers NULL.
bool sourcekit_start(const char *path);

/// The answer, to be freed by the caller, or NULL if the request failed.
char *sourcekit_ask(const char *request);

#endif
