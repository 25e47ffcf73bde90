// Random networks of the layers that detectors are made of.
#include "tests/accel/random_network.h"

#include "accel/reference.h"
#include "accel/tensor.h"

static struct conv_shape random_conv(struct network *net, uint32_t x)
{
    struct random *r = &net->random;
    const int64_t *dims = net->tensors[x].dims;
    struct conv_shape s = {.outputs = random_in(r, 1, 40),
                           .kernel = random_in(r, 1, 4),
                           .stride = random_in(r, 1, 3),
                           .dilation = random_in(r, 1, 3),
                           .group = 1,
                           .relu = (uint32_t)random_in(r, 0, 1)};
    if (random_in(r, 0, 2) == 0) // the kind that Winograd's convolution takes
        s.kernel = 3, s.stride = random_in(r, 1, 2), s.dilation = 1;
    if (dims[1] <= 4 && random_in(r, 0, 1) == 0) // a detector's first layer, which is folded
        s.kernel = 6, s.stride = 2, s.dilation = 1;
    s.pad = random_in(r, 0, s.kernel);
    int64_t extent = (s.kernel - 1) * s.dilation + 1;
    if (extent > dims[2] + 2 * s.pad || extent > dims[3] + 2 * s.pad)
        s.kernel = 1;
    if (random_in(r, 0, 3) == 0) {
        s.group = dims[1] % 2 || random_in(r, 0, 1) ? dims[1] : dims[1] / 2;
        s.outputs = s.group * random_in(r, 1, 3);
    }
    return s;
}

static uint32_t like(struct network *net, uint32_t x)
{
    const struct sl_tensor *t = &net->tensors[x];
    uint32_t y = add_tensor(net, t->dtype, t->rank, t->dims);
    if (sl_is_quantised(t)) {
        int64_t low, high;
        sl_dtype_range(t->dtype, &low, &high);
        set_quant(net, y, random_real(&net->random, 0.01f, 0.1f),
                  (int32_t)random_in(&net->random, low, high));
    }
    return y;
}

static uint32_t add_unary(struct network *net, uint32_t x)
{
    static const uint32_t kinds[] = {SL_UNARY_SIGMOID, SL_UNARY_SILU, SL_UNARY_RELU,
                                     SL_UNARY_HARD_SWISH, SL_UNARY_LEAKY_RELU};
    uint32_t y = like(net, x);
    struct sl_node *node = add_node(net, SL_OP_UNARY, 1, &x, y);
    node->attrs.unary.kind = kinds[random_in(&net->random, 0, 4)];
    node->attrs.unary.alpha = 0.1f;
    return y;
}

static uint32_t add_sum(struct network *net, uint32_t a, uint32_t b)
{
    uint32_t y = like(net, a);
    const uint32_t operands[2] = {a, b};
    struct sl_node *node = add_node(net, SL_OP_BINARY, 2, operands, y);
    node->attrs.binary = SL_BINARY_ADD;
    node->activation.kind = random_in(&net->random, 0, 1) ? (uint32_t)SL_UNARY_RELU : SL_ACT_NONE;
    return y;
}

static uint32_t add_product(struct network *net, uint32_t a, uint32_t b)
{
    uint32_t y = like(net, a);
    const uint32_t operands[2] = {a, b};
    add_node(net, SL_OP_BINARY, 2, operands, y)->attrs.binary = SL_BINARY_MUL;
    return y;
}

// x with an operand of other dimensions, computed or constant, on either side.
static uint32_t add_broadcast(struct network *net, uint32_t x)
{
    struct random *r = &net->random;
    const struct sl_tensor *t = &net->tensors[x];
    bool channels = random_in(r, 0, 3) > 0, pictures = channels && random_in(r, 0, 1);
    const int64_t dims[4] = {pictures ? t->dims[0] : 1, channels ? t->dims[1] : 1, 1, 1};
    uint32_t row = add_tensor(net, t->dtype, 4, dims);
    if (t->dtype != SL_F32)
        set_quant(net, row, 0.03f, (int32_t)random_in(r, 0, 100));
    fill_constant(net, row);
    if (random_in(r, 0, 1))
        row = add_unary(net, row);
    uint32_t y = like(net, x);
    bool first = random_in(r, 0, 1);
    const uint32_t operands[2] = {first ? row : x, first ? x : row};
    static const uint32_t kinds[] = {SL_BINARY_ADD, SL_BINARY_SUB, SL_BINARY_MUL};
    static const uint32_t after[] = {SL_ACT_NONE, SL_UNARY_RELU, SL_UNARY_HARD_SWISH};
    struct sl_node *node = add_node(net, SL_OP_BINARY, 2, operands, y);
    node->attrs.binary = kinds[random_in(r, 0, 2)];
    node->activation.kind = after[random_in(r, 0, 2)];
    return y;
}

static uint32_t add_upsample(struct network *net, uint32_t x)
{
    const struct sl_tensor *t = &net->tensors[x];
    uint32_t y = add_map(net, t->dtype, t->dims[0], t->dims[1], 2 * t->dims[2], 2 * t->dims[3]);
    net->tensors[y].quant = net->tensors[x].quant;
    struct sl_node *node = add_node(net, SL_OP_RESIZE, 1, &x, y);
    node->attrs.resize = (struct sl_resize_attrs){.mode = SL_RESIZE_NEAREST,
                                                  .coordinates = SL_RESIZE_ASYMMETRIC,
                                                  .rounding = SL_RESIZE_FLOOR,
                                                  .scale = {1.0f, 1.0f, 2.0f, 2.0f}};
    return y;
}

static uint32_t add_concat(struct network *net, uint32_t a, uint32_t b)
{
    const struct sl_tensor *t = &net->tensors[a];
    uint32_t y = add_map(net, t->dtype, t->dims[0], t->dims[1] + net->tensors[b].dims[1],
                         t->dims[2], t->dims[3]);
    if (t->dtype != SL_F32)
        set_quant(net, y, 0.05f, 20);
    const uint32_t operands[2] = {a, b};
    add_node(net, SL_OP_CONCAT, 2, operands, y)->attrs.axis = 1;
    return y;
}

static uint32_t add_max_pool(struct network *net, uint32_t x)
{
    struct random *r = &net->random;
    const struct sl_tensor *t = &net->tensors[x];
    struct sl_pool_attrs pool = {.kernel = {3, 3}, .pad = {1, 1, 1, 1}};
    int64_t out[2];
    for (int i = 0; i < 2; i++) {
        pool.stride[i] = random_in(r, 1, 3);
        pool.dilation[i] = random_in(r, 1, 2);
        pool.kernel[i] = t->dims[2 + i] >= 5 ? random_in(r, 1, 3) : 1;
        pool.pad[i] = pool.pad[i + 2] = random_in(r, 0, pool.kernel[i] - 1);
        int64_t extent = (pool.kernel[i] - 1) * pool.dilation[i] + 1;
        out[i] = (t->dims[2 + i] + 2 * pool.pad[i] - extent) / pool.stride[i] + 1;
    }
    uint32_t y = add_map(net, t->dtype, t->dims[0], t->dims[1], out[0], out[1]);
    net->tensors[y].quant = net->tensors[x].quant;
    add_node(net, SL_OP_MAX_POOL, 1, &x, y)->attrs.pool = pool;
    return y;
}

// Even or odd channels, by way of a channel dimension of its own: what a channel shuffle does.
static uint32_t add_half_of_channels(struct network *net, uint32_t x)
{
    const struct sl_tensor *t = &net->tensors[x];
    const int64_t dims[5] = {t->dims[0], t->dims[1] / 2, 2, t->dims[2], t->dims[3]}, one = 1;
    if (t->dims[1] % 2 || t->rank != 4)
        return x;
    uint32_t split = add_tensor(net, t->dtype, 5, dims);
    net->tensors[split].quant = net->tensors[x].quant;
    add_node(net, SL_OP_RESHAPE, 1, &x, split);
    uint32_t index = add_tensor(net, SL_I64, 0, &one);
    fill_constant(net, index);
    *(int64_t *)(uintptr_t)net->tensors[index].data = random_in(&net->random, -2, 1);
    const uint32_t operands[2] = {split, index};
    uint32_t y = add_map(net, net->tensors[x].dtype, dims[0], dims[1], dims[3], dims[4]);
    net->tensors[y].quant = net->tensors[x].quant;
    add_node(net, SL_OP_GATHER, 2, operands, y)->attrs.axis = 2;
    return y;
}

static uint32_t add_average_pool(struct network *net, uint32_t x)
{
    struct random *r = &net->random;
    struct sl_tensor *t = &net->tensors[x];
    bool global = random_in(r, 0, 2) == 0;
    int64_t h = t->dims[2], w = t->dims[3];
    uint32_t y = add_map(net, t->dtype, t->dims[0], t->dims[1], global ? 1 : (h + 1) / 2,
                         global ? 1 : (w + 1) / 2);
    if (t->dtype != SL_F32)
        set_quant(net, y, 0.06f, 11);
    struct sl_node *node = add_node(net, SL_OP_AVERAGE_POOL, 1, &x, y);
    node->attrs.pool = (struct sl_pool_attrs){
        .kernel = {3, 3}, .stride = {2, 2}, .dilation = {1, 1}, .pad = {1, 1, 1, 1}};
    node->attrs.pool.count_include_pad = (uint32_t)random_in(r, 0, 1);
    if (global)
        node->attrs.pool =
            (struct sl_pool_attrs){.kernel = {h, w}, .stride = {1, 1}, .dilation = {1, 1}};
    return y;
}

// A chain of random layers, each of the last value.
static void add_layers(struct network *net, uint32_t x, int64_t layers)
{
    struct random *r = &net->random;
    if (net->tensors[x].dtype != SL_F32)
        set_quant(net, x, 0.05f, (int32_t)random_in(r, 0, 100));
    add_input(net, x);
    for (int64_t i = 0; i < layers; i++) {
        struct conv_shape shape = random_conv(net, x);
        switch (random_in(r, 0, 15)) {
        case 0:
            x = add_unary(net, x);
            break;
        case 1:
            x = add_sum(net, x, add_unary(net, x));
            break;
        case 9: // x times a function of x, as exported SiLU comes
            x = add_product(net, x, add_unary(net, x));
            break;
        case 10:
            x = add_broadcast(net, x);
            break;
        case 11: // two maps that are not a function of each other
            shape = (struct conv_shape){net->tensors[x].dims[1], 1, 1, 1, 0, 1, 0};
            x = add_product(net, x, add_conv(net, x, &shape));
            break;
        case 2:
            x = add_upsample(net, x);
            break;
        case 6: // a residual connection
            shape = (struct conv_shape){net->tensors[x].dims[1], 3, 1, 1, 1, 1, 1};
            x = add_sum(net, x, add_conv(net, x, &shape));
            break;
        case 7: { // two branches: the sum waits for the second
            shape = (struct conv_shape){net->tensors[x].dims[1], 3, 1, 1, 1, 1, 1};
            uint32_t first = add_conv(net, x, &shape);
            x = add_sum(net, first, add_conv(net, x, &shape));
            break;
        }
        case 5:
            x = add_average_pool(net, x);
            break;
        case 8:
            x = add_half_of_channels(net, add_concat(net, x, x));
            break;
        case 4:
            x = add_concat(net, x, add_unary(net, x));
            break;
        case 3:
            x = add_max_pool(net, x);
            break;
        default:
            x = add_conv(net, x, &shape);
        }
        if (i + 1 == layers || random_in(r, 0, 4) == 0)
            add_output(net, x);
    }
}

void random_network(struct network *net, uint64_t seed, uint32_t dtype)
{
    network_begin(net, seed);
    struct random *r = &net->random;
    uint32_t x = add_map(net, dtype, random_in(r, 1, 2), random_in(r, 1, 40), random_in(r, 1, 14),
                         random_in(r, 1, 24));
    add_layers(net, x, random_in(r, 1, 6));
}

void random_tall_network(struct network *net, uint64_t seed, uint32_t dtype)
{
    network_begin(net, seed);
    struct random *r = &net->random;
    uint32_t x =
        add_map(net, dtype, 1, random_in(r, 1, 40), random_in(r, 30, 70), random_in(r, 3, 12));
    add_layers(net, x, random_in(r, 3, 8));
}
