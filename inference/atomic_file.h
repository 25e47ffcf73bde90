// A file that appears whole or not at all, in the place of one that was there.
#ifndef SL_INFERENCE_ATOMIC_FILE_H
#define SL_INFERENCE_ATOMIC_FILE_H

#include "accel/error.h"

#include <stddef.h>

// Can a file be written there? To be asked before long work.
int atomic_file_check(const char *path, struct sl_error *error);
int atomic_file_write(const char *path, const void *bytes, size_t size, struct sl_error *error);

#endif
