// See CSourceKit.h. The declarations are those of sourcekitd's C interface (sourcekitd.h in the Swift project).

#include "CSourceKit.h"

#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>

typedef struct {
  uint64_t data[3];
} variant;

static void *(*request_from_yaml)(const char *, char **);
static void (*request_release)(void *);
static void *(*send)(void *);
static bool (*is_error)(void *);
static variant (*value_of)(void *);
static char *(*json_of)(variant);
static void (*response_dispose)(void *);

bool sourcekit_start(const char *path) {
  void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!library) return false;
  void (*initialize)(void) = dlsym(library, "sourcekitd_initialize");
  request_from_yaml = dlsym(library, "sourcekitd_request_create_from_yaml");
  request_release = dlsym(library, "sourcekitd_request_release");
  send = dlsym(library, "sourcekitd_send_request_sync");
  is_error = dlsym(library, "sourcekitd_response_is_error");
  value_of = dlsym(library, "sourcekitd_response_get_value");
  json_of = dlsym(library, "sourcekitd_variant_json_description_copy");
  response_dispose = dlsym(library, "sourcekitd_response_dispose");
  if (!initialize || !request_from_yaml || !request_release || !send || !is_error || !value_of || !json_of
      || !response_dispose) {
    request_from_yaml = NULL;
    return false;
  }
  initialize();
  return true;
}

char *sourcekit_ask(const char *text) {
  if (!request_from_yaml) return NULL;
  void *request = request_from_yaml(text, NULL);
  if (!request) return NULL;
  void *response = send(request);
  char *answer = is_error(response) ? NULL : json_of(value_of(response));
  response_dispose(response);
  request_release(request);
  return answer;
}
