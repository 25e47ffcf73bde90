// Fuzz target: any bytes are a stick or an error. The form of the bytes is in usb_sparse.h.
#include "tests/ota/usb_sparse.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static struct sl_volume volume;
    static struct sparse sparse;
    uint8_t *copy = malloc(size ? size : 1);
    if (!copy)
        abort();
    memcpy(copy, bytes, size);
    sparse_load(&sparse, copy, size);
    sparse_read(&sparse, &volume);
    free(copy);
    return 0;
}
