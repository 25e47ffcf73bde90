// Memory that is given back all at once.
#ifndef SL_ACCEL_CPU_REGION_H
#define SL_ACCEL_CPU_REGION_H

#include <stddef.h>

struct region_block;
struct region {
    struct region_block *blocks;
    size_t bytes; // handed out
};

// Zeroed, aligned to 64 bytes; NULL if there is no memory.
void *region_take(struct region *region, size_t count, size_t size);
void *region_copy(struct region *region, const void *data, size_t bytes);
void region_free(struct region *region);

#endif
