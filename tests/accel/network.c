// Builds small networks in memory for the tests, with seeded random contents.
#include "tests/accel/network.h"

#include "accel/reference.h"
#include "accel/tensor.h"

#include <stdlib.h>
#include <string.h>

uint32_t random_next(struct random *random)
{
    random->state = random->state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(random->state >> 33);
}

int64_t random_in(struct random *random, int64_t low, int64_t high)
{
    return low + (int64_t)(random_next(random) % (uint64_t)(high - low + 1));
}

float random_real(struct random *random, float low, float high)
{
    return low + (high - low) * (float)random_next(random) / (float)(1u << 31);
}

static void *own(struct network *net, size_t bytes)
{
    void *memory = calloc(1, bytes ? bytes : 1);
    net->owned[net->n_owned++] = memory;
    return memory;
}

void network_begin(struct network *net, uint64_t seed)
{
    memset(net, 0, sizeof(*net));
    net->random.state = seed * 0x9E3779B97F4A7C15u + 1;
    net->graph = (struct sl_graph){.version = SL_GRAPH_VERSION,
                                   .struct_size = sizeof(struct sl_graph),
                                   .name = "test",
                                   .tensors = net->tensors,
                                   .nodes = net->nodes,
                                   .inputs = net->inputs,
                                   .outputs = net->outputs};
}

void network_end(struct network *net)
{
    for (uint32_t i = 0; i < net->n_owned; i++)
        free(net->owned[i]);
}

uint32_t add_tensor(struct network *net, uint32_t dtype, uint32_t rank, const int64_t *dims)
{
    uint32_t number = net->graph.n_tensors++;
    struct sl_tensor *tensor = &net->tensors[number];
    *tensor = (struct sl_tensor){.name = "tensor", .dtype = dtype, .rank = rank};
    memcpy(tensor->dims, dims, rank * sizeof(*dims));
    tensor->bytes = (uint64_t)sl_elements(tensor) * sl_dtype_size(dtype);
    return number;
}

uint32_t add_map(struct network *net, uint32_t dtype, int64_t n, int64_t c, int64_t h, int64_t w)
{
    const int64_t dims[4] = {n, c, h, w};
    return add_tensor(net, dtype, 4, dims);
}

void set_quant(struct network *net, uint32_t tensor, float scale, int32_t zero_point)
{
    float *scales = own(net, sizeof(float));
    int32_t *zeros = own(net, sizeof(int32_t));
    *scales = scale;
    *zeros = zero_point;
    net->tensors[tensor].quant = (struct sl_quant){1, 0, scales, zeros};
}

void set_channel_quant(struct network *net, uint32_t tensor, int32_t axis, uint32_t count)
{
    float *scales = own(net, count * sizeof(float));
    int32_t *zeros = own(net, count * sizeof(int32_t));
    for (uint32_t i = 0; i < count; i++)
        scales[i] = random_real(&net->random, 0.001f, 0.02f);
    net->tensors[tensor].quant = (struct sl_quant){count, axis, scales, zeros};
}

void fill_random(struct random *random, const struct sl_tensor *tensor, void *data)
{
    int64_t count = sl_elements(tensor);
    for (int64_t i = 0; i < count; i++) {
        uint32_t value = random_next(random);
        if (tensor->dtype == SL_F32)
            ((float *)data)[i] = random_real(random, -1.0f, 1.0f);
        else if (tensor->dtype == SL_I32)
            ((int32_t *)data)[i] = (int32_t)(value % 4001) - 2000;
        else if (tensor->dtype == SL_I64)
            ((int64_t *)data)[i] = value % 7;
        else
            ((uint8_t *)data)[i] = (uint8_t)(tensor->dtype == SL_BOOL ? value & 1 : value >> 5);
    }
}

void fill_constant(struct network *net, uint32_t tensor)
{
    void *data = own(net, (size_t)net->tensors[tensor].bytes);
    fill_random(&net->random, &net->tensors[tensor], data);
    net->tensors[tensor].data = data;
}

struct sl_node *add_node(struct network *net, uint32_t op, uint32_t n_inputs,
                         const uint32_t *inputs, uint32_t output)
{
    uint32_t number = net->graph.n_nodes++;
    struct sl_node *node = &net->nodes[number];
    memcpy(net->operands[number], inputs, n_inputs * sizeof(*inputs));
    net->operands[number][n_inputs] = output;
    *node = (struct sl_node){.name = "node",
                             .op = op,
                             .n_inputs = n_inputs,
                             .n_outputs = 1,
                             .inputs = net->operands[number],
                             .outputs = net->operands[number] + n_inputs};
    return node;
}

void add_input(struct network *net, uint32_t tensor)
{
    net->inputs[net->graph.n_inputs++] = tensor;
}

void add_output(struct network *net, uint32_t tensor)
{
    net->outputs[net->graph.n_outputs++] = tensor;
}

static int64_t out_size(const struct conv_shape *s, int64_t in)
{
    return (in + 2 * s->pad - (s->kernel - 1) * s->dilation - 1) / s->stride + 1;
}

// Adds the node that convolves x to y with random weights w, and their bias.
static void finish_conv(struct network *net, uint32_t op, uint32_t x, uint32_t w, uint32_t y,
                        const struct conv_shape *s)
{
    const struct sl_tensor *in = &net->tensors[x];
    bool real = in->dtype == SL_F32;
    uint32_t b = add_tensor(net, real ? SL_F32 : SL_I32, 1, &s->outputs);
    if (!real) {
        bool is_signed = in->dtype == SL_I8;
        float sums = (float)(in->dims[1] / s->group * s->kernel * s->kernel);
        if (op == SL_OP_CONV_TRANSPOSE && s->group > 1)
            set_quant(net, w, 0.002f, (int32_t)random_in(&net->random, -5, 5));
        else
            set_channel_quant(net, w, op == SL_OP_CONV ? 0 : 1, (uint32_t)s->outputs);
        set_quant(net, b, 1.0f, 0);
        set_quant(net, y, 0.001f * sums * random_real(&net->random, 0.5f, 2.0f),
                  (int32_t)random_in(&net->random, is_signed ? -128 : 0, is_signed ? 127 : 255));
    }
    fill_constant(net, w);
    fill_constant(net, b);
    const uint32_t operands[3] = {x, w, b};
    struct sl_node *node = add_node(net, op, 3, operands, y);
    node->attrs.conv = (struct sl_conv_attrs){.group = s->group,
                                              .kernel = {s->kernel, s->kernel},
                                              .stride = {s->stride, s->stride},
                                              .dilation = {s->dilation, s->dilation},
                                              .pad = {s->pad, s->pad, s->pad, s->pad}};
    node->activation.kind = s->relu ? (uint32_t)SL_UNARY_RELU : SL_ACT_NONE;
}

uint32_t add_conv(struct network *net, uint32_t x, const struct conv_shape *s)
{
    const int64_t *dims = net->tensors[x].dims;
    uint32_t dtype = net->tensors[x].dtype;
    uint32_t w = add_map(net, dtype == SL_F32 ? SL_F32 : SL_I8, s->outputs, dims[1] / s->group,
                         s->kernel, s->kernel);
    uint32_t y =
        add_map(net, dtype, dims[0], s->outputs, out_size(s, dims[2]), out_size(s, dims[3]));
    finish_conv(net, SL_OP_CONV, x, w, y, s);
    return y;
}

uint32_t add_conv_transpose(struct network *net, uint32_t x, const struct conv_shape *s,
                            int64_t more)
{
    const int64_t *dims = net->tensors[x].dims;
    uint32_t dtype = net->tensors[x].dtype;
    int64_t beyond = s->kernel - 2 * s->pad + more;
    uint32_t w = add_map(net, dtype == SL_F32 ? SL_F32 : SL_I8, dims[1], s->outputs / s->group,
                         s->kernel, s->kernel);
    uint32_t y = add_map(net, dtype, dims[0], s->outputs, (dims[2] - 1) * s->stride + beyond,
                         (dims[3] - 1) * s->stride + beyond);
    finish_conv(net, SL_OP_CONV_TRANSPOSE, x, w, y, s);
    net->nodes[net->graph.n_nodes - 1].attrs.conv.output_pad[0] = more;
    net->nodes[net->graph.n_nodes - 1].attrs.conv.output_pad[1] = more;
    return y;
}

int run_reference(const struct network *net, void **data)
{
    struct sl_error error;
    for (uint32_t i = 0; i < net->graph.n_nodes; i++) {
        int status = sl_reference_run(net->tensors, &net->nodes[i], data, &error);
        if (status)
            return status;
    }
    return 0;
}
