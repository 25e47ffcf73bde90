// Buffers that end at a page which may not be touched.
#ifndef TESTS_ACCEL_GUARD_H
#define TESTS_ACCEL_GUARD_H

#include <stddef.h>

struct guard {
    struct {
        void *start;
        size_t bytes;
    } maps[64];
    int count;
};

// Zeroed; the byte behind the last faults. Aligned as far as `bytes` allows. Exits on failure.
void *guard_take(struct guard *guard, size_t bytes);
void guard_free(struct guard *guard);

#endif
