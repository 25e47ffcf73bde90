// Memory that is given back all at once.
#include "inference/pool.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct pool_block {
    struct pool_block *next, *previous;
    uint64_t size; // with this header
    max_align_t memory[];
};

void pool_init(struct pool *pool, uint64_t limit)
{
    *pool = (struct pool){.left = limit};
}

void pool_free(struct pool *pool)
{
    while (pool->blocks) {
        struct pool_block *next = pool->blocks->next;
        free(pool->blocks);
        pool->blocks = next;
    }
}

static void *refuse(struct pool *pool)
{
    pool->failed = pool->refused = true;
    return NULL;
}

void *pool_alloc(struct pool *pool, uint64_t size)
{
    uint64_t header = sizeof(struct pool_block);
    if (pool->left < header || size > pool->left - header) {
        return refuse(pool);
    }
    struct pool_block *block = calloc(1, header + size);
    if (!block) {
        pool->failed = true;
        return NULL;
    }
    block->next = pool->blocks;
    block->size = header + size;
    if (pool->blocks) {
        pool->blocks->previous = block;
    }
    pool->blocks = block;
    pool->left -= block->size;
    return block->memory;
}

void pool_release(struct pool *pool, void *memory)
{
    if (!memory) {
        return;
    }
    struct pool_block *block =
        (struct pool_block *)(void *)((char *)memory - offsetof(struct pool_block, memory));
    if (block->next) {
        block->next->previous = block->previous;
    }
    if (block->previous) {
        block->previous->next = block->next;
    } else {
        pool->blocks = block->next;
    }
    pool->left += block->size;
    free(block);
}

void *pool_array(struct pool *pool, uint64_t count, size_t size)
{
    if (size > 0 && count > UINT64_MAX / size) {
        return refuse(pool);
    }
    return pool_alloc(pool, count * size);
}

void *pool_copy(struct pool *pool, const void *bytes, uint64_t size)
{
    void *copy = pool_alloc(pool, size);
    if (copy && size > 0) {
        memcpy(copy, bytes, size);
    }
    return copy;
}

char *pool_string(struct pool *pool, const char *text, size_t length)
{
    char *copy = pool_alloc(pool, (uint64_t)length + 1);
    if (copy) {
        memcpy(copy, text, length);
    }
    return copy;
}

bool pool_grow(struct pool *pool, void **array, uint32_t count, uint32_t *capacity, size_t size)
{
    if (count < *capacity) {
        return true;
    }
    if (count > UINT32_MAX / 2) {
        refuse(pool);
        return false;
    }
    uint32_t larger = count ? count * 2 : 16;
    void *grown = pool_array(pool, larger, size);
    if (!grown) {
        return false;
    }
    if (count > 0) {
        memcpy(grown, *array, count * size);
        pool_release(pool, *array);
    }
    *array = grown;
    *capacity = larger;
    return true;
}

int pool_error(const struct pool *pool, struct sl_error *error)
{
    if (pool->refused) {
        return sl_error_set(error, -E2BIG, "needs more memory than a model of its size may take");
    }
    return sl_error_set(error, -ENOMEM, "out of memory");
}
