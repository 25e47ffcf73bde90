// Memory that is given back all at once.
#include "accel/cpu/region.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_BYTES ((size_t)64 << 10)
#define HEAD_BYTES  ((size_t)64)

struct region_block {
    struct region_block *next;
    size_t used, size;
};

static struct region_block *add_block(struct region *region, size_t bytes)
{
    size_t size = bytes > BLOCK_BYTES / 4 ? bytes : BLOCK_BYTES;
    struct region_block *block = aligned_alloc(64, HEAD_BYTES + size);
    if (!block)
        return NULL;
    memset(block, 0, HEAD_BYTES + size);
    block->size = size;
    block->next = region->blocks;
    region->blocks = block;
    return block;
}

void *region_take(struct region *region, size_t count, size_t size)
{
    if (size && count > (SIZE_MAX / 2) / size)
        return NULL;
    size_t bytes = (count * size + 63) & ~(size_t)63;
    struct region_block *block = region->blocks;
    if (!block || block->size - block->used < bytes)
        block = add_block(region, bytes);
    if (!block)
        return NULL;
    void *memory = (unsigned char *)block + HEAD_BYTES + block->used;
    block->used += bytes;
    region->bytes += bytes;
    return memory;
}

void *region_copy(struct region *region, const void *data, size_t bytes)
{
    void *copy = region_take(region, 1, bytes);
    if (copy && bytes)
        memcpy(copy, data, bytes);
    return copy;
}

void region_free(struct region *region)
{
    while (region->blocks) {
        struct region_block *next = region->blocks->next;
        free(region->blocks);
        region->blocks = next;
    }
    region->bytes = 0;
}
