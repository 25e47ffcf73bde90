// Buffers between pages that may not be touched.
#ifndef TESTS_ACCEL_GUARD_H
#define TESTS_ACCEL_GUARD_H

#include <stdbool.h>
#include <stddef.h>

struct guard {
    bool at_start; // the byte before the first faults; otherwise the byte behind the last
    struct {
        void *start;
        size_t bytes;
    } maps[128];
    int count;
};

// Zeroed. At the end of its pages it is aligned as far as `bytes` allows. Exits on failure.
void *guard_take(struct guard *guard, size_t bytes);
void guard_free(struct guard *guard);

#endif
