// Memory that is given back all at once: what the import of a model is made of.
#ifndef SL_INFERENCE_POOL_H
#define SL_INFERENCE_POOL_H

#include "accel/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pool_block;

// Every allocation is a block of its own, so that sanitizers see its ends.
struct pool {
    struct pool_block *blocks;
    uint64_t left; // bytes that may still be taken
    bool failed;   // an allocation failed
    bool refused;  // and that was because of `left`, not for want of memory
};

void pool_init(struct pool *pool, uint64_t limit);
void pool_free(struct pool *pool);

// Zeroed, aligned as malloc does; NULL on failure. Size 0 gives a valid pointer.
void *pool_alloc(struct pool *pool, uint64_t size);
void *pool_array(struct pool *pool, uint64_t count, size_t size);
void *pool_copy(struct pool *pool, const void *bytes, uint64_t size);
char *pool_string(struct pool *pool, const char *text, size_t length);

// Gives back one allocation early.
void pool_release(struct pool *pool, void *memory);

// Makes room for one more element in a growing array: *array has *capacity elements of `size`
// bytes, `count` of them used. false: no memory, the array is as it was.
bool pool_grow(struct pool *pool, void **array, uint32_t count, uint32_t *capacity, size_t size);

// What a failed allocation means: -E2BIG or -ENOMEM, with a message.
int pool_error(const struct pool *pool, struct sl_error *error);

#endif
