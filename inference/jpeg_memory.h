// The memory that libjpeg works in, kept from one picture to the next.
#ifndef SL_INFERENCE_JPEG_MEMORY_H
#define SL_INFERENCE_JPEG_MEMORY_H

#include <stddef.h>
#include <stdio.h>

#include <jpeglib.h>

// One block that allocations are cut from, and a list of further blocks for a picture that needs
// more than the last one did; the end of the picture makes them one block of the total size.
struct sl_jpeg_memory {
    struct sl_jpeg_block *block;
    struct jvirt_sarray_control *sample_arrays;
    struct jvirt_barray_control *block_arrays;
};

// Replaces the methods of cinfo->mem. From here on whatever libjpeg allocates lasts until the end
// of the picture (jpeg_abort, jpeg_finish_decompress), tables included: a picture never decodes
// with the tables of the one before. What has to live longer (a source manager) must be allocated
// earlier. cinfo->client_data must point to the memory.
void sl_jpeg_memory_install(j_decompress_ptr cinfo);

// After jpeg_destroy_decompress.
void sl_jpeg_memory_free(struct sl_jpeg_memory *memory);

#endif
