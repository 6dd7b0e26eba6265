/* Electron lets no addon hand memory of its own to JavaScript: napi_create_external_arraybuffer and
 * napi_create_external_buffer return napi_no_external_buffers_allowed there. Preloaded into Node, this makes Node answer in
 * the same way, since the addon asks for both functions by name. At the end it says how often. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

enum { NO_EXTERNAL_BUFFERS_ALLOWED = 22 };

static atomic_int refused;

static int refuse(void) {
  atomic_fetch_add(&refused, 1);
  return NO_EXTERNAL_BUFFERS_ALLOWED;
}

void *dlsym(void *handle, const char *name) {
  /* The versions under which glibc has had it: now, first on x86-64, first on arm64. */
  static const char *const versions[] = {"GLIBC_2.34", "GLIBC_2.2.5", "GLIBC_2.17"};
  void *(*real)(void *, const char *) = NULL;
  for (int i = 0; i < 3 && real == NULL; i++) *(void **)&real = dlvsym(RTLD_NEXT, "dlsym", versions[i]);
  if (strcmp(name, "napi_create_external_arraybuffer") == 0 || strcmp(name, "napi_create_external_buffer") == 0) {
    void *refusal;
    *(int (**)(void))&refusal = refuse;
    return refusal;
  }
  return real(handle, name);
}

__attribute__((destructor)) static void report(void) {
  fprintf(stderr, "external buffers refused: %d\n", atomic_load(&refused));
}
