// The quantised convolutions of a network as oneDNN primitives.
#include "tests/accel/onednn.h"

#include "inference/model.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <oneapi/dnnl/dnnl.h>

enum { ARGUMENTS = 4, MOST_CHANNELS = 4096 };

struct conv {
    struct onednn_conv about;
    dnnl_primitive_desc_t desc;
    dnnl_primitive_t primitive;
    dnnl_memory_t memory[ARGUMENTS];
    dnnl_exec_arg_t arguments[ARGUMENTS];
    int n_arguments;
};

struct onednn {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    uint32_t count;
    struct conv *convs;
};

static const struct sl_tensor *operand(const struct sl_graph *g, const struct sl_node *node,
                                       uint32_t i)
{
    const bool there = i < node->n_inputs && node->inputs[i] != SL_NO_TENSOR;
    return there ? &g->tensors[node->inputs[i]] : NULL;
}

static bool is_8bit(const struct sl_tensor *t)
{
    return t->quant.count > 0 && (t->dtype == SL_U8 || t->dtype == SL_I8);
}

static bool is_taken(const struct sl_graph *g, const struct sl_node *node)
{
    return node->op == SL_OP_CONV && is_8bit(operand(g, node, 0)) && is_8bit(operand(g, node, 1)) &&
           operand(g, node, 0)->rank == 4 && operand(g, node, 1)->data;
}

static dnnl_data_type_t type_of(const struct sl_tensor *t)
{
    return t->dtype == SL_U8 ? dnnl_u8 : t->dtype == SL_I8 ? dnnl_s8 : dnnl_f32;
}

static dnnl_status_t describe_tensor(dnnl_memory_desc_t *out, const struct sl_tensor *t,
                                     dnnl_data_type_t type, dnnl_format_tag_t tag)
{
    dnnl_dims_t dims = {0};
    memcpy(dims, t->dims, t->rank * sizeof(*dims));
    return dnnl_memory_desc_init_by_tag(out, (int)t->rank, dims, type, tag);
}

// Weights as oneDNN counts their dimensions: groups stand apart.
static dnnl_status_t describe_weights(dnnl_memory_desc_t *out, const struct sl_node *node,
                                      const struct sl_tensor *w, bool plain)
{
    const int64_t group = node->attrs.conv.group;
    const dnnl_dims_t grouped = {group, w->dims[0] / group, w->dims[1], w->dims[2], w->dims[3]};
    const dnnl_dims_t single = {w->dims[0], w->dims[1], w->dims[2], w->dims[3]};
    if (group == 1)
        return dnnl_memory_desc_init_by_tag(out, 4, single, dnnl_s8,
                                            plain ? dnnl_oihw : dnnl_format_tag_any);
    return dnnl_memory_desc_init_by_tag(out, 5, grouped, dnnl_s8,
                                        plain ? dnnl_goihw : dnnl_format_tag_any);
}

static dnnl_status_t set_scales(dnnl_primitive_attr_t attr, const struct sl_tensor *x,
                                const struct sl_tensor *w, const struct sl_tensor *y)
{
    float scales[MOST_CHANNELS];
    const uint32_t count = w->quant.count;
    if (count > MOST_CHANNELS)
        return dnnl_unimplemented;
    for (uint32_t i = 0; i < count; i++)
        scales[i] =
            x->quant.scale[0] * w->quant.scale[i] / (y->quant.count ? y->quant.scale[0] : 1.0f);
    return dnnl_primitive_attr_set_output_scales(attr, count, count > 1 ? 1 << 1 : 0, scales);
}

static dnnl_status_t set_zero_points(dnnl_primitive_attr_t attr, const struct sl_tensor *x,
                                     const struct sl_tensor *y)
{
    dnnl_status_t status = dnnl_success;
    if (x->quant.zero_point[0])
        status =
            dnnl_primitive_attr_set_zero_points(attr, DNNL_ARG_SRC, 1, 0, &x->quant.zero_point[0]);
    if (status == dnnl_success && y->quant.count && y->quant.zero_point[0])
        status =
            dnnl_primitive_attr_set_zero_points(attr, DNNL_ARG_DST, 1, 0, &y->quant.zero_point[0]);
    return status;
}

// Any other activation is left out, which is in oneDNN's favour.
static dnnl_status_t set_activation(dnnl_primitive_attr_t attr, const struct sl_node *node)
{
    dnnl_post_ops_t ops;
    const struct sl_activation *a = &node->activation;
    if (a->kind != (uint32_t)SL_UNARY_RELU && a->kind != SL_ACT_CLIP)
        return dnnl_success;
    dnnl_status_t status = dnnl_post_ops_create(&ops);
    if (status != dnnl_success)
        return status;
    status = a->kind == SL_ACT_CLIP
                 ? dnnl_post_ops_append_eltwise(ops, 1.0f, dnnl_eltwise_clip, a->alpha, a->beta)
                 : dnnl_post_ops_append_eltwise(ops, 1.0f, dnnl_eltwise_relu, 0.0f, 0.0f);
    if (status == dnnl_success)
        status = dnnl_primitive_attr_set_post_ops(attr, ops);
    dnnl_post_ops_destroy(ops);
    return status;
}

static dnnl_status_t make_descriptor(const struct onednn *dnn, const struct sl_graph *g,
                                     const struct sl_node *node, dnnl_primitive_attr_t attr,
                                     dnnl_primitive_desc_t *out)
{
    const struct sl_conv_attrs *c = &node->attrs.conv;
    const struct sl_tensor *x = operand(g, node, 0), *w = operand(g, node, 1);
    const struct sl_tensor *b = operand(g, node, 2), *y = &g->tensors[node->outputs[0]];
    const dnnl_dims_t stride = {c->stride[0], c->stride[1]};
    const dnnl_dims_t dilation = {c->dilation[0] - 1, c->dilation[1] - 1};
    const dnnl_dims_t before = {c->pad[0], c->pad[1]}, after = {c->pad[2], c->pad[3]};
    dnnl_memory_desc_t xd, wd, bd, yd;
    dnnl_convolution_desc_t desc;
    dnnl_status_t status = describe_tensor(&xd, x, type_of(x), dnnl_format_tag_any);
    if (status == dnnl_success)
        status = describe_weights(&wd, node, w, false);
    if (status == dnnl_success)
        status = describe_tensor(&yd, y, type_of(y), dnnl_format_tag_any);
    if (status == dnnl_success && b)
        status = describe_tensor(&bd, b, dnnl_s32, dnnl_x);
    if (status == dnnl_success)
        status = dnnl_dilated_convolution_forward_desc_init(
            &desc, dnnl_forward_inference, dnnl_convolution_direct, &xd, &wd, b ? &bd : NULL, &yd,
            stride, dilation, before, after);
    if (status == dnnl_success)
        status = set_scales(attr, x, w, y);
    if (status == dnnl_success)
        status = set_zero_points(attr, x, y);
    if (status == dnnl_success)
        status = set_activation(attr, node);
    if (status == dnnl_success)
        status = dnnl_primitive_desc_create(out, &desc, attr, dnn->engine, NULL);
    return status;
}

static void fill(dnnl_memory_t memory, const dnnl_memory_desc_t *desc)
{
    void *data = NULL;
    uint32_t random = 1;
    const size_t bytes = dnnl_memory_desc_get_size(desc);
    if (dnnl_memory_get_data_handle(memory, &data) != dnnl_success || !data)
        return;
    for (size_t i = 0; i < bytes; i++) {
        random = random * 1664525 + 1013904223;
        ((uint8_t *)data)[i] = (uint8_t)(random >> 24);
    }
}

static dnnl_status_t add_memory(const struct onednn *dnn, struct conv *conv, int argument,
                                const dnnl_memory_desc_t *desc)
{
    dnnl_memory_t *memory = &conv->memory[conv->n_arguments];
    const dnnl_status_t status =
        dnnl_memory_create(memory, desc, dnn->engine, DNNL_MEMORY_ALLOCATE);
    if (status != dnnl_success)
        return status;
    conv->arguments[conv->n_arguments++] = (dnnl_exec_arg_t){argument, *memory};
    if (argument == DNNL_ARG_SRC)
        fill(*memory, desc);
    return dnnl_success;
}

// Into what the last added memory holds.
static dnnl_status_t reorder(const struct onednn *dnn, struct conv *conv,
                             const dnnl_memory_desc_t *from, const dnnl_memory_desc_t *to,
                             const void *data)
{
    dnnl_memory_t source = NULL;
    dnnl_primitive_desc_t desc = NULL;
    dnnl_primitive_t primitive = NULL;
    void *bytes;
    memcpy(&bytes, &data, sizeof(bytes)); // oneDNN only reads it
    dnnl_status_t status = dnnl_memory_create(&source, from, dnn->engine, bytes);
    if (status == dnnl_success)
        status =
            dnnl_reorder_primitive_desc_create(&desc, from, dnn->engine, to, dnn->engine, NULL);
    if (status == dnnl_success)
        status = dnnl_primitive_create(&primitive, desc);
    const dnnl_exec_arg_t arguments[] = {{DNNL_ARG_FROM, source},
                                         {DNNL_ARG_TO, conv->memory[conv->n_arguments - 1]}};
    if (status == dnnl_success)
        status = dnnl_primitive_execute(primitive, dnn->stream, 2, arguments);
    if (status == dnnl_success)
        status = dnnl_stream_wait(dnn->stream);
    dnnl_primitive_destroy(primitive);
    dnnl_primitive_desc_destroy(desc);
    dnnl_memory_destroy(source);
    return status;
}

static dnnl_status_t make_memories(const struct onednn *dnn, struct conv *conv,
                                   const struct sl_graph *g, const struct sl_node *node)
{
    const dnnl_memory_desc_t *xd = dnnl_primitive_desc_query_md(conv->desc, dnnl_query_src_md, 0);
    const dnnl_memory_desc_t *wd =
        dnnl_primitive_desc_query_md(conv->desc, dnnl_query_weights_md, 0);
    const dnnl_memory_desc_t *bd =
        dnnl_primitive_desc_query_md(conv->desc, dnnl_query_weights_md, 1);
    const dnnl_memory_desc_t *yd = dnnl_primitive_desc_query_md(conv->desc, dnnl_query_dst_md, 0);
    dnnl_memory_desc_t plain;
    dnnl_status_t status = add_memory(dnn, conv, DNNL_ARG_SRC, xd);
    if (status == dnnl_success)
        status = add_memory(dnn, conv, DNNL_ARG_DST, yd);
    if (status == dnnl_success && operand(g, node, 2)) {
        status = add_memory(dnn, conv, DNNL_ARG_BIAS, bd);
        if (status == dnnl_success)
            status = reorder(dnn, conv, bd, bd, operand(g, node, 2)->data);
    }
    if (status == dnnl_success)
        status = add_memory(dnn, conv, DNNL_ARG_WEIGHTS, wd);
    if (status == dnnl_success)
        status = describe_weights(&plain, node, operand(g, node, 1), true);
    if (status == dnnl_success)
        status = reorder(dnn, conv, &plain, wd, operand(g, node, 1)->data);
    return status;
}

static void describe(struct conv *conv, const struct sl_graph *g, const struct sl_node *node)
{
    const char *name = "";
    const struct sl_conv_attrs *c = &node->attrs.conv;
    const struct sl_tensor *x = operand(g, node, 0), *y = &g->tensors[node->outputs[0]];
    struct onednn_conv *about = &conv->about;
    dnnl_primitive_desc_query(conv->desc, dnnl_query_impl_info_str, 0, &name);
    about->node = node->name;
    about->macs = sl_node_macs(g, node).dense;
    snprintf(about->implementation, sizeof(about->implementation), "%s", name);
    snprintf(about->shape, sizeof(about->shape),
             "%" PRId64 "x%" PRId64 "x%" PRId64 " k%" PRId64 "s%" PRId64 "g%" PRId64 " -> %" PRId64,
             x->dims[1], x->dims[2], x->dims[3], c->kernel[0], c->stride[0], c->group, y->dims[1]);
}

static int make_conv(const struct onednn *dnn, struct conv *conv, const struct sl_graph *g,
                     const struct sl_node *node, struct sl_error *error)
{
    dnnl_primitive_attr_t attr = NULL;
    dnnl_status_t status = dnnl_primitive_attr_create(&attr);
    if (status == dnnl_success)
        status = make_descriptor(dnn, g, node, attr, &conv->desc);
    dnnl_primitive_attr_destroy(attr);
    if (status == dnnl_success)
        status = dnnl_primitive_create(&conv->primitive, conv->desc);
    if (status == dnnl_success)
        status = make_memories(dnn, conv, g, node);
    if (status != dnnl_success)
        return sl_error_set(error, -ENOTSUP, "node '%s': oneDNN: status %d", node->name,
                            (int)status);
    describe(conv, g, node);
    return 0;
}

int onednn_open(const struct sl_graph *graph, struct onednn **out, struct sl_error *error)
{
    struct onednn *dnn = calloc(1, sizeof(*dnn));
    if (!dnn || !(dnn->convs = calloc(graph->n_nodes + 1, sizeof(*dnn->convs)))) {
        free(dnn);
        return sl_error_set(error, -ENOMEM, "no memory");
    }
    int status = 0;
    if (dnnl_engine_create(&dnn->engine, dnnl_cpu, 0) != dnnl_success ||
        dnnl_stream_create(&dnn->stream, dnn->engine, dnnl_stream_default_flags) != dnnl_success)
        status = sl_error_set(error, -ENODEV, "oneDNN has no engine for this processor");
    for (uint32_t i = 0; status == 0 && i < graph->n_nodes; i++)
        if (is_taken(graph, &graph->nodes[i]))
            status = make_conv(dnn, &dnn->convs[dnn->count++], graph, &graph->nodes[i], error);
    if (status == 0 && dnn->count == 0)
        status = sl_error_set(error, -ENOENT, "there is no quantised convolution");
    if (status == 0)
        *out = dnn;
    else
        onednn_close(dnn);
    return status;
}

void onednn_close(struct onednn *dnn)
{
    if (!dnn)
        return;
    for (uint32_t i = 0; i < dnn->count; i++) {
        struct conv *conv = &dnn->convs[i];
        for (int k = 0; k < ARGUMENTS; k++)
            dnnl_memory_destroy(conv->memory[k]);
        dnnl_primitive_destroy(conv->primitive);
        dnnl_primitive_desc_destroy(conv->desc);
    }
    dnnl_stream_destroy(dnn->stream);
    dnnl_engine_destroy(dnn->engine);
    free(dnn->convs);
    free(dnn);
}

uint32_t onednn_count(const struct onednn *dnn)
{
    return dnn->count;
}

const struct onednn_conv *onednn_conv(const struct onednn *dnn, uint32_t index)
{
    return &dnn->convs[index].about;
}

int onednn_run(struct onednn *dnn, uint32_t index, struct sl_error *error)
{
    const struct conv *conv = &dnn->convs[index];
    dnnl_status_t status =
        dnnl_primitive_execute(conv->primitive, dnn->stream, conv->n_arguments, conv->arguments);
    if (status == dnnl_success)
        status = dnnl_stream_wait(dnn->stream);
    return status == dnnl_success ? 0
                                  : sl_error_set(error, -EIO, "node '%s': oneDNN: status %d",
                                                 conv->about.node, (int)status);
}

const char *onednn_isa(void)
{
    static const struct {
        dnnl_cpu_isa_t isa;
        const char *name;
    } names[] = {
        {dnnl_cpu_isa_avx2, "avx2"},
        {dnnl_cpu_isa_avx2_vnni, "avx2_vnni"},
        {dnnl_cpu_isa_avx512_core, "avx512_core"},
        {dnnl_cpu_isa_avx512_core_vnni, "avx512_core_vnni"},
        {dnnl_cpu_isa_avx512_core_bf16, "avx512_core_bf16"},
        {dnnl_cpu_isa_avx512_core_amx, "avx512_core_amx"},
    };
    const dnnl_cpu_isa_t isa = dnnl_get_effective_cpu_isa();
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        if (names[i].isa == isa)
            return names[i].name;
    return "other";
}
