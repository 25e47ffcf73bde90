// The cpu back end against the reference interpreter, on random networks.
#include "tests/accel/network.h"

#include "accel/reference.h"
#include "accel/tensor.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct buffers {
    void *data[MAX_TENSORS];
};

static void allocate(const struct network *net, struct buffers *buffers)
{
    memset(buffers, 0, sizeof(*buffers));
    for (uint32_t t = 0; t < net->graph.n_tensors; t++)
        if (!net->tensors[t].data)
            buffers->data[t] = calloc(1, (size_t)net->tensors[t].bytes + 1);
}

static void release(struct buffers *buffers)
{
    for (uint32_t t = 0; t < MAX_TENSORS; t++)
        free(buffers->data[t]);
}

// Quantised results must be equal; real ones may differ by the order of their sums.
static void assert_same(const struct network *net, uint32_t tensor, const void *have,
                        const void *want, uint64_t seed, const char *config)
{
    const struct sl_tensor *t = &net->tensors[tensor];
    int64_t count = sl_elements(t);
    float most = 1.0f; // sums of large numbers that nearly cancel keep the error of the large ones
    for (int64_t i = 0; t->dtype == SL_F32 && i < count; i++)
        most = fmaxf(most, fabsf(((const float *)want)[i]));
    for (int64_t i = 0; i < count; i++) {
        bool same;
        if (t->dtype == SL_F32) {
            float a = ((const float *)have)[i], b = ((const float *)want)[i];
            same = fabsf(a - b) <= 1e-4f * fabsf(b) + 1e-5f * most;
        } else {
            same = memcmp((const char *)have + i * sl_dtype_size(t->dtype),
                          (const char *)want + i * sl_dtype_size(t->dtype),
                          sl_dtype_size(t->dtype)) == 0;
        }
        if (!same)
            fail_msg("seed %llu, %s: tensor %u differs at %lld of %lld", (unsigned long long)seed,
                     config, tensor, (long long)i, (long long)count);
    }
}

static void check_network(struct network *net, const char *config, uint64_t seed)
{
    struct sl_error error = {""};
    struct sl_accel *accel = NULL;
    struct sl_program *program = NULL;
    struct buffers buffers;
    allocate(net, &buffers);
    assert_int_equal(sl_accel_open(config, &accel, &error), 0);
    if (sl_accel_load(accel, &net->graph, &program, &error) != 0)
        fail_msg("seed %llu: %s", (unsigned long long)seed, error.message);
    for (int round = 0; round < 2; round++) {
        for (uint32_t i = 0; i < net->graph.n_inputs; i++) {
            const struct sl_tensor *t = &net->tensors[net->inputs[i]];
            fill_random(&net->random, t, buffers.data[net->inputs[i]]);
            memcpy(sl_program_input(program, i, NULL), buffers.data[net->inputs[i]],
                   (size_t)t->bytes);
        }
        assert_int_equal(run_reference(net, buffers.data), 0);
        assert_int_equal(sl_program_run(program, SL_NO_DEADLINE, &error), 0);
        for (uint32_t i = 0; i < net->graph.n_outputs; i++)
            assert_same(net, net->outputs[i], sl_program_output(program, i, NULL),
                        buffers.data[net->outputs[i]], seed, config);
    }
    sl_accel_unload(program);
    sl_accel_close(accel);
    release(&buffers);
}

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
static void random_network(struct network *net, uint64_t seed, uint32_t dtype)
{
    network_begin(net, seed);
    struct random *r = &net->random;
    uint32_t x = add_map(net, dtype, random_in(r, 1, 2), random_in(r, 1, 40), random_in(r, 1, 14),
                         random_in(r, 1, 24));
    if (dtype != SL_F32)
        set_quant(net, x, 0.05f, (int32_t)random_in(r, 0, 100));
    add_input(net, x);
    int64_t layers = random_in(r, 1, 6);
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

// Emulated machines are some fifteen times slower.
static int rounds(int usual)
{
    return getenv("SIGHTLINE_EMULATED") ? usual / 15 : usual;
}

static void check_many(uint32_t dtype, int count)
{
    enum { REAL_CONFIGS = 3 };
    static const char *const configs[] = {
        "cpu",          "cpu,threads=3", "cpu,isa=c",       "cpu,int8=s16",
        "cpu,int8=dot", "cpu,int8=sdot", "cpu,int8=matrix", "cpu,isa=c,int8=winograd"};
    size_t n_configs = dtype == SL_F32 ? REAL_CONFIGS : sizeof(configs) / sizeof(*configs);
    for (int i = 0; i < count; i++)
        for (size_t k = 0; k < n_configs; k++) {
            struct network net;
            uint64_t seed = 1000u * dtype + (uint64_t)i;
            random_network(&net, seed, dtype);
            check_network(&net, configs[k], seed);
            network_end(&net);
        }
}

static void test_uint8_networks(void **state)
{
    (void)state;
    check_many(SL_U8, rounds(45));
}

static void test_int8_networks(void **state)
{
    (void)state;
    check_many(SL_I8, rounds(45));
}

static void test_real_networks(void **state)
{
    (void)state;
    check_many(SL_F32, rounds(29));
}

// First layers of detectors, whose pixels are folded where their number is even.
static void test_first_layers(void **state)
{
    (void)state;
    for (int i = 0; i < rounds(30); i++) {
        struct network net;
        uint64_t seed = 777000u + (uint64_t)i;
        network_begin(&net, seed);
        struct random *r = &net.random;
        uint32_t x = add_map(&net, i % 2 ? SL_I8 : SL_U8, random_in(r, 1, 2), random_in(r, 1, 5),
                             random_in(r, 8, 40), random_in(r, 8, 40));
        set_quant(&net, x, 0.05f, (int32_t)random_in(r, 0, 100));
        add_input(&net, x);
        struct conv_shape shape = {.outputs = random_in(r, 1, 40),
                                   .kernel = 6,
                                   .stride = 2,
                                   .dilation = 1,
                                   .pad = random_in(r, 0, 3),
                                   .group = 1,
                                   .relu = 1};
        add_output(&net, add_conv(&net, x, &shape));
        check_network(&net, "cpu", seed);
        check_network(&net, "cpu,threads=3,int8=winograd", seed);
        network_end(&net);
    }
}

static void test_transposed(void **state)
{
    (void)state;
    static const uint32_t dtypes[] = {SL_U8, SL_I8, SL_F32};
    for (int i = 0; i < rounds(60); i++) {
        struct network net;
        uint64_t seed = 888000u + (uint64_t)i;
        network_begin(&net, seed);
        struct random *r = &net.random;
        uint32_t x = add_map(&net, dtypes[i % 3], random_in(r, 1, 2), random_in(r, 1, 40),
                             random_in(r, 2, 9), random_in(r, 2, 9));
        if (dtypes[i % 3] != SL_F32)
            set_quant(&net, x, 0.05f, (int32_t)random_in(r, 0, 100));
        add_input(&net, x);
        struct conv_shape shape = {.outputs = random_in(r, 1, 40),
                                   .kernel = random_in(r, 1, 5),
                                   .stride = random_in(r, 1, 3),
                                   .dilation = 1,
                                   .group = 1,
                                   .relu = (uint32_t)random_in(r, 0, 1)};
        shape.pad = random_in(r, 0, (shape.kernel - 1) / 2);
        x = add_conv_transpose(&net, x, &shape, random_in(r, 0, shape.stride - 1));
        shape = (struct conv_shape){8, 1, 1, 1, 0, 1, 0}; // reads what the phases left
        add_output(&net, add_conv(&net, x, &shape));
        check_network(&net, "cpu", seed);
        check_network(&net, "cpu,threads=3,isa=c", seed);
        network_end(&net);
    }
}

// Rows times a constant matrix: Gemm with either orientation, MatMul.
static void product_network(struct network *net, uint64_t seed, uint32_t dtype)
{
    network_begin(net, seed);
    struct random *r = &net->random;
    bool real = dtype == SL_F32, gemm = random_in(r, 0, 1), turned = gemm && random_in(r, 0, 1);
    int64_t rows = random_in(r, 1, 20), inner = random_in(r, 1, 70), columns = random_in(r, 1, 40);
    const int64_t a_dims[2] = {rows, inner}, y_dims[2] = {rows, columns};
    const int64_t b_dims[2] = {turned ? columns : inner, turned ? inner : columns};
    uint32_t a = add_tensor(net, dtype, 2, a_dims), y = add_tensor(net, dtype, 2, y_dims);
    uint32_t b = add_tensor(net, real ? SL_F32 : SL_I8, 2, b_dims);
    uint32_t bias = add_tensor(net, real ? SL_F32 : SL_I32, 1, &columns);
    if (!real) {
        set_quant(net, a, 0.05f, (int32_t)random_in(r, 0, 100));
        set_quant(net, y, 0.01f * (float)inner, (int32_t)random_in(r, 0, 100));
        set_channel_quant(net, b, turned ? 0 : 1, (uint32_t)columns);
        set_quant(net, bias, 1.0f, 0);
    }
    fill_constant(net, b);
    fill_constant(net, bias);
    const uint32_t operands[3] = {a, b, bias};
    struct sl_node *node =
        add_node(net, gemm ? SL_OP_GEMM : SL_OP_MATMUL, gemm ? 3 : 2, operands, y);
    node->attrs.gemm = (struct sl_gemm_attrs){1.0f, 1.0f, 0, turned};
    add_input(net, a);
    add_output(net, y);
}

static void test_products(void **state)
{
    (void)state;
    static const uint32_t dtypes[] = {SL_U8, SL_I8, SL_F32};
    for (uint64_t seed = 0; seed < (uint64_t)rounds(120); seed++) {
        struct network net;
        product_network(&net, seed, dtypes[seed % 3]);
        check_network(&net, seed % 2 ? "cpu,int8=dot" : "cpu,threads=2", seed);
        network_end(&net);
    }
}

static uint64_t honest_bytes(const struct sl_tensor *t)
{
    uint64_t bytes = sl_dtype_size(t->dtype);
    for (uint32_t i = 0; i < t->rank && i < SL_MAX_RANK; i++)
        bytes *= (uint64_t)t->dims[i];
    return bytes;
}

// One number of a good network replaced: it is refused, or it loads and runs within its memory
// (which the sanitizers watch).
static void mutate(struct network *net)
{
    struct random *r = &net->random;
    struct sl_tensor *t = &net->tensors[random_in(r, 0, net->graph.n_tensors - 1)];
    struct sl_node *n = &net->nodes[random_in(r, 0, net->graph.n_nodes - 1)];
    if (t->data) // nobody can know how long the memory behind a pointer is
        t = &net->tensors[net->inputs[0]];
    static const int64_t odd[] = {0, 1, 2, 3, -1, 5, 16, 17, 255, INT32_MAX, INT64_MAX, INT64_MIN};
    int64_t value = odd[random_in(r, 0, sizeof(odd) / sizeof(*odd) - 1)];
    switch (random_in(r, 0, 9)) {
    case 0:
        t->dims[random_in(r, 0, 3)] = value;
        break;
    case 1:
        t->dtype = (uint32_t)random_in(r, 0, 7);
        break;
    case 2:
        t->rank = (uint32_t)random_in(r, 0, 9);
        break;
    case 3:
        t->bytes = (uint64_t)value;
        break;
    case 4:
        t->quant.axis = (int32_t)value;
        break;
    case 5:
        n->op = (uint32_t)random_in(r, 0, 62);
        break;
    case 6:
        n->n_inputs = (uint32_t)random_in(r, 0, 4);
        break;
    case 7:
        net->operands[n - net->nodes][random_in(r, 0, 3)] = (uint32_t)random_in(r, 0, 40);
        break;
    default: // any 64-bit number of the attributes
        memcpy((char *)&n->attrs + 8 * random_in(r, 0, 13), &value, sizeof(value));
    }
    if (random_in(r, 0, 1)) // so that more than the lie about bytes is met
        t->bytes = honest_bytes(t);
}

static bool load_and_run(const struct network *net)
{
    struct sl_error error = {""};
    struct sl_accel *accel;
    struct sl_program *program = NULL;
    assert_int_equal(sl_accel_open("cpu", &accel, &error), 0);
    int status = sl_accel_load(accel, &net->graph, &program, &error);
    if (status == 0)
        sl_program_run(program, SL_NO_DEADLINE, &error);
    else
        assert_true(strlen(error.message) > 10);
    sl_accel_unload(program);
    sl_accel_close(accel);
    return status == 0;
}

static void test_mutated_networks(void **state)
{
    (void)state;
    static const uint32_t dtypes[] = {SL_U8, SL_I8, SL_F32};
    int refused = 0, ran = 0;
    for (uint64_t seed = 0; seed < (uint64_t)rounds(3000); seed++) {
        struct network net;
        random_network(&net, seed, dtypes[seed % 3]);
        mutate(&net);
        if (load_and_run(&net))
            ran++;
        else
            refused++;
        network_end(&net);
    }
    assert_true(refused > rounds(500) && ran > rounds(100));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_uint8_networks),   cmocka_unit_test(test_int8_networks),
        cmocka_unit_test(test_first_layers),     cmocka_unit_test(test_transposed),
        cmocka_unit_test(test_real_networks),    cmocka_unit_test(test_products),
        cmocka_unit_test(test_mutated_networks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
