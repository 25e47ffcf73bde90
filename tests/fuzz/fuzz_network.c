// Fuzzes the reader of networks that travel to sightline-accel-host. What it accepts must be
// usable: every byte that the description names is read.
#include "accel/isolated/graph_bytes.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static volatile unsigned char sink;

static void touch(const void *data, uint64_t bytes)
{
    const unsigned char *p = data;
    unsigned char sum = 0;
    for (uint64_t i = 0; p && i < bytes; i++)
        sum = (unsigned char)(sum + p[i]);
    sink = sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct sl_error error;
    struct sl_graph *graph;
    const size_t rounded = size / 64 * 64 + 64;
    unsigned char *aligned = aligned_alloc(64, rounded);
    if (!aligned)
        return 0;
    memcpy(aligned, bytes, size);
    if (graph_bytes_read(aligned, size, &graph, &error) == 0) {
        for (uint32_t i = 0; i < graph->n_tensors; i++) {
            touch(graph->tensors[i].data, graph->tensors[i].bytes);
            touch(graph->tensors[i].name, strlen(graph->tensors[i].name));
        }
        for (uint32_t i = 0; i < graph->n_nodes; i++)
            touch(graph->nodes[i].name, strlen(graph->nodes[i].name));
        touch(graph->onnx, graph->onnx_bytes);
        graph_bytes_free(graph);
    }
    free(aligned);
    return 0;
}
