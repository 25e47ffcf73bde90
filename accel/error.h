// The error type of accel/ and inference/: a status and a message that grows a prefix per layer.
#ifndef SL_ACCEL_ERROR_H
#define SL_ACCEL_ERROR_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SL_ERROR_MAX 512

// Owned by the caller, usually on its stack. Functions that fail write one message into it and
// return a negative errno value; functions that succeed leave it alone. Any function that takes a
// `struct sl_error *` accepts NULL.
struct sl_error {
    char message[SL_ERROR_MAX];
};

// Writes the message and returns `status`, so that a failing function can
// `return sl_error_set(error, -EINVAL, "node '%s': …", name);`. Too long a message is cut at a
// character boundary.
int sl_error_set(struct sl_error *error, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

// Puts "<formatted>: " in front of the message that is there, and returns `status`.
int sl_error_prefix(struct sl_error *error, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

// How many bytes of UTF-8 text fit in `most` if no character is cut, for "%.*s".
int sl_text_length(const char *text, size_t most);

#ifdef __cplusplus
}
#endif
#endif
