// Opening a back end by its configuration string, for the session and for back ends that wrap
// others.
//
//     BACKEND[:DEVICE][,key=value…]
//
// A wrapper's device is the configuration string of what it wraps, so they nest:
// "isolated:fault:cpu,threads=2". Options pass through to what is wrapped, but for those that begin
// with the wrapper's name and a dot: "isolated:cpu,threads=2,isolated.memory_mib=512".
#ifndef SL_ACCEL_INNER_H
#define SL_ACCEL_INNER_H

#include "accel/plugin.h"

#include <stdint.h>

#define SL_CONFIG_MAX 256 // bytes of a configuration string with its end

struct sl_inner {
    const struct sl_backend *backend;
    void *device;
};

// -EINVAL: malformed; -ENOENT: no such back end; otherwise what the back end's `open` returned.
int sl_inner_open(const struct sl_host *host, const char *config, struct sl_inner *out,
                  struct sl_error *error);
// Finds the back end and checks the text, opens nothing.
int sl_inner_find(const char *config, const struct sl_backend **out, struct sl_error *error);

// One option of a wrapper: its key without the prefix, and its value.
typedef int (*sl_wrapper_option)(void *ctx, const char *key, const char *value,
                                 struct sl_error *error);
// Puts device and options together again as the wrapped back end's configuration string, without
// the options that begin with `prefix` ("isolated."), which go to `set`. `inner` has SL_CONFIG_MAX
// bytes.
int sl_wrapper_split(const char *prefix, const char *device, const char *options,
                     sl_wrapper_option set, void *ctx, char *inner, struct sl_error *error);

// A whole number between `low` and `high`, digits only; the message names the key.
int sl_option_number(const char *key, const char *value, uint64_t low, uint64_t high, uint64_t *out,
                     struct sl_error *error);

#endif
