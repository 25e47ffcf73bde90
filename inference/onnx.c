// The public side of the ONNX import: bytes in, network description out.
#include "inference/onnx.h"

#include "inference/onnx_import.h"
#include "inference/onnx_parse.h"
#include "inference/passes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { OVERHEAD = 64 }; // times the file's size, for messages, copies and packed constants

struct sl_onnx {
    struct pool pool; // what is left when the import is done
    struct sl_graph graph;
    struct sl_onnx_metadata *metadata;
    uint32_t n_metadata;
    int64_t opset;
};

static int copy_metadata(struct sl_onnx *onnx, const Onnx__ModelProto *model,
                         struct sl_error *error)
{
    onnx->metadata = pool_array(&onnx->pool, model->n_metadata_props, sizeof(*onnx->metadata));
    if (!onnx->metadata)
        return pool_error(&onnx->pool, error);
    for (size_t i = 0; i < model->n_metadata_props; i++) {
        const char *key = model->metadata_props[i]->key, *value = model->metadata_props[i]->value;
        struct sl_onnx_metadata *row = &onnx->metadata[onnx->n_metadata];
        if (!key || !value)
            continue;
        row->key = pool_string(&onnx->pool, key, strlen(key));
        row->value = pool_string(&onnx->pool, value, strlen(value));
        if (!row->key || !row->value)
            return pool_error(&onnx->pool, error);
        onnx->n_metadata++;
    }
    return 0;
}

static int build(struct sl_onnx *onnx, const void *bytes, size_t size,
                 const struct sl_onnx_options *options, struct sl_error *error)
{
    const ProtobufCMessage *message = NULL;
    struct pool parsed;
    struct graph graph;
    pool_init(&parsed, (uint64_t)size * OVERHEAD + (64 << 20));
    graph_init(&graph, (uint64_t)size * OVERHEAD + (1ull << 30));
    int status = onnx_parse(&onnx__model_proto__descriptor, bytes, size, &parsed, &message, error);
    const Onnx__ModelProto *model = (const Onnx__ModelProto *)message;
    if (status == 0)
        status = onnx_import(model, options, &graph, &onnx->opset, error);
    if (status == 0)
        status = passes_run(&graph, options, error);
    if (status == 0)
        status = graph_freeze(&graph, &onnx->pool, model->graph->name ? model->graph->name : "",
                              &onnx->graph, error);
    if (status == 0)
        status = copy_metadata(onnx, model, error);
    graph_free(&graph);
    pool_free(&parsed);
    return status;
}

int sl_onnx_load(const void *bytes, size_t size, const struct sl_onnx_options *options,
                 struct sl_onnx **out, struct sl_error *error)
{
    static const struct sl_onnx_options usual;
    if (size > SL_ONNX_MAX_BYTES)
        return sl_error_set(error, -E2BIG, "%zu bytes, at most %u", size, SL_ONNX_MAX_BYTES);
    struct sl_onnx *onnx = calloc(1, sizeof(*onnx));
    if (!onnx)
        return sl_error_set(error, -ENOMEM, "out of memory");
    pool_init(&onnx->pool, (uint64_t)size * OVERHEAD + (1ull << 30));
    const int status = build(onnx, bytes, size, options ? options : &usual, error);
    if (status < 0) {
        sl_onnx_free(onnx);
        return status;
    }
    onnx->graph.onnx = bytes;
    onnx->graph.onnx_bytes = size;
    *out = onnx;
    return 0;
}

void sl_onnx_free(struct sl_onnx *onnx)
{
    if (!onnx)
        return;
    pool_free(&onnx->pool);
    free(onnx);
}

const struct sl_graph *sl_onnx_graph(const struct sl_onnx *onnx)
{
    return &onnx->graph;
}

const struct sl_onnx_metadata *sl_onnx_metadata(const struct sl_onnx *onnx, uint32_t *count)
{
    *count = onnx->n_metadata;
    return onnx->metadata;
}

int64_t sl_onnx_opset(const struct sl_onnx *onnx)
{
    return onnx->opset;
}
