// The memory that libjpeg works in, kept from one picture to the next.
#include "inference/jpeg_memory.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <jerror.h>

// libjpeg-turbo's vector code wants rows on 32 bytes and works past their end up to the next
// multiple of 64.
#define ALIGNMENT   ((size_t)64)
#define ROW_BYTES   ((size_t)64)
#define BLOCK_MIN   ((size_t)64 * 1024)
#define REQUEST_MAX (SIZE_MAX / 4)

struct sl_jpeg_block {
    struct sl_jpeg_block *next;
    size_t size, used;
    uint8_t *bytes; // behind this header, aligned
};

// libjpeg declares these two and leaves them to its memory manager. Ours are wholly in memory.
struct jvirt_sarray_control {
    struct jvirt_sarray_control *next;
    JSAMPARRAY rows;
    JDIMENSION width, height;
    boolean pre_zero;
};

struct jvirt_barray_control {
    struct jvirt_barray_control *next;
    JBLOCKARRAY rows;
    JDIMENSION width, height;
    boolean pre_zero;
};

static struct sl_jpeg_memory *memory_of(j_common_ptr cinfo)
{
    return cinfo->client_data;
}

static size_t round_up(size_t size, size_t to)
{
    return (size + to - 1) / to * to;
}

static struct sl_jpeg_block *block_new(size_t size)
{
    struct sl_jpeg_block *block =
        aligned_alloc(ALIGNMENT, round_up(sizeof(*block), ALIGNMENT) + size);
    if (block == NULL)
        return NULL;
    *block = (struct sl_jpeg_block){.size = size};
    block->bytes = (uint8_t *)block + round_up(sizeof(*block), ALIGNMENT);
    return block;
}

static void *allocate(j_common_ptr cinfo, int pool, size_t size)
{
    (void)pool;
    struct sl_jpeg_memory *memory = memory_of(cinfo);
    struct sl_jpeg_block *block = memory->block;

    if (size > REQUEST_MAX)
        ERREXIT1(cinfo, JERR_OUT_OF_MEMORY, 1);
    size = round_up(size, ALIGNMENT);
    if (block == NULL || size > block->size - block->used) {
        block = block_new(size > BLOCK_MIN ? size : BLOCK_MIN);
        if (block == NULL)
            ERREXIT1(cinfo, JERR_OUT_OF_MEMORY, 2);
        block->next = memory->block;
        memory->block = block;
    }
    void *at = block->bytes + block->used;
    block->used += size;
    return at;
}

// A table of `count` row pointers into one allocation of rows of `row_size` bytes.
static void *allocate_rows(j_common_ptr cinfo, int pool, size_t row_size, JDIMENSION count)
{
    if (count == 0 || row_size > REQUEST_MAX / count)
        ERREXIT1(cinfo, JERR_OUT_OF_MEMORY, 3);
    void **rows = allocate(cinfo, pool, count * sizeof(*rows));
    uint8_t *bytes = allocate(cinfo, pool, row_size * count);
    for (JDIMENSION i = 0; i < count; i++)
        rows[i] = bytes + row_size * i;
    return rows;
}

static JSAMPARRAY allocate_samples(j_common_ptr cinfo, int pool, JDIMENSION width, JDIMENSION count)
{
    return allocate_rows(cinfo, pool, round_up(width * sizeof(JSAMPLE), ROW_BYTES), count);
}

static JBLOCKARRAY allocate_blocks(j_common_ptr cinfo, int pool, JDIMENSION width, JDIMENSION count)
{
    return allocate_rows(cinfo, pool, width * sizeof(JBLOCK), count);
}

static jvirt_sarray_ptr request_samples(j_common_ptr cinfo, int pool, boolean pre_zero,
                                        JDIMENSION width, JDIMENSION height, JDIMENSION max_access)
{
    (void)max_access;
    struct sl_jpeg_memory *memory = memory_of(cinfo);
    struct jvirt_sarray_control *array = allocate(cinfo, pool, sizeof(*array));
    *array = (struct jvirt_sarray_control){memory->sample_arrays, NULL, width, height, pre_zero};
    memory->sample_arrays = array;
    return array;
}

static jvirt_barray_ptr request_blocks(j_common_ptr cinfo, int pool, boolean pre_zero,
                                       JDIMENSION width, JDIMENSION height, JDIMENSION max_access)
{
    (void)max_access;
    struct sl_jpeg_memory *memory = memory_of(cinfo);
    struct jvirt_barray_control *array = allocate(cinfo, pool, sizeof(*array));
    *array = (struct jvirt_barray_control){memory->block_arrays, NULL, width, height, pre_zero};
    memory->block_arrays = array;
    return array;
}

static void realize(j_common_ptr cinfo)
{
    struct sl_jpeg_memory *memory = memory_of(cinfo);

    for (struct jvirt_sarray_control *a = memory->sample_arrays; a != NULL; a = a->next) {
        if (a->rows != NULL)
            continue;
        a->rows = allocate_samples(cinfo, JPOOL_IMAGE, a->width, a->height);
        for (JDIMENSION y = 0; a->pre_zero && y < a->height; y++)
            memset(a->rows[y], 0, a->width * sizeof(JSAMPLE));
    }
    for (struct jvirt_barray_control *a = memory->block_arrays; a != NULL; a = a->next) {
        if (a->rows != NULL)
            continue;
        a->rows = allocate_blocks(cinfo, JPOOL_IMAGE, a->width, a->height);
        for (JDIMENSION y = 0; a->pre_zero && y < a->height; y++)
            memset(a->rows[y], 0, a->width * sizeof(JBLOCK));
    }
}

static JSAMPARRAY access_samples(j_common_ptr cinfo, jvirt_sarray_ptr array, JDIMENSION start,
                                 JDIMENSION count, boolean writable)
{
    (void)writable;
    if (array->rows == NULL || start > array->height || count > array->height - start)
        ERREXIT(cinfo, JERR_BAD_VIRTUAL_ACCESS);
    return array->rows + start;
}

static JBLOCKARRAY access_blocks(j_common_ptr cinfo, jvirt_barray_ptr array, JDIMENSION start,
                                 JDIMENSION count, boolean writable)
{
    (void)writable;
    if (array->rows == NULL || start > array->height || count > array->height - start)
        ERREXIT(cinfo, JERR_BAD_VIRTUAL_ACCESS);
    return array->rows + start;
}

static void free_blocks(struct sl_jpeg_memory *memory)
{
    while (memory->block != NULL) {
        struct sl_jpeg_block *next = memory->block->next;
        free(memory->block);
        memory->block = next;
    }
}

static void forget_tables(j_decompress_ptr cinfo)
{
    for (int i = 0; i < NUM_QUANT_TBLS; i++)
        cinfo->quant_tbl_ptrs[i] = NULL;
    for (int i = 0; i < NUM_HUFF_TBLS; i++)
        cinfo->dc_huff_tbl_ptrs[i] = cinfo->ac_huff_tbl_ptrs[i] = NULL;
}

static void end_picture(j_common_ptr cinfo, int pool)
{
    struct sl_jpeg_memory *memory = memory_of(cinfo);
    size_t total = 0;

    if (pool != JPOOL_IMAGE)
        return;
    forget_tables((j_decompress_ptr)cinfo);
    memory->sample_arrays = NULL;
    memory->block_arrays = NULL;
    if (memory->block != NULL && memory->block->next != NULL) {
        for (const struct sl_jpeg_block *block = memory->block; block != NULL; block = block->next)
            total += block->size;
        free_blocks(memory);
        memory->block = block_new(total); // without it the next picture begins with none
    }
    if (memory->block != NULL)
        memory->block->used = 0;
}

void sl_jpeg_memory_install(j_decompress_ptr cinfo)
{
    struct jpeg_memory_mgr *mem = cinfo->mem;

    mem->alloc_small = allocate;
    mem->alloc_large = allocate;
    mem->alloc_sarray = allocate_samples;
    mem->alloc_barray = allocate_blocks;
    mem->request_virt_sarray = request_samples;
    mem->request_virt_barray = request_blocks;
    mem->realize_virt_arrays = realize;
    mem->access_virt_sarray = access_samples;
    mem->access_virt_barray = access_blocks;
    mem->free_pool = end_picture;
}

void sl_jpeg_memory_free(struct sl_jpeg_memory *memory)
{
    free_blocks(memory);
}
