// Fuzz target: any bytes are a network that back ends may compile, or an error with a message.
#include "accel/graph_check.h"
#include "inference/onnx.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void load(const uint8_t *bytes, size_t size, const struct sl_onnx_options *options)
{
    struct sl_error error = {""};
    struct sl_onnx *onnx = NULL;
    if (sl_onnx_load(bytes, size, options, &onnx, &error) < 0) {
        if (!error.message[0] || onnx)
            abort();
        return;
    }
    if (sl_graph_check(sl_onnx_graph(onnx), &error) < 0) {
        fprintf(stderr, "imported, but not well formed: %s\n", error.message);
        abort();
    }
    sl_onnx_free(onnx);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static const struct sl_onnx_options plain = {.no_fusion = true};
    load(bytes, size, NULL);
    load(bytes, size, &plain);
    return 0;
}
