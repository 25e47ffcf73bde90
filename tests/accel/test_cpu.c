// The cpu back end against the reference interpreter, on random networks.
#include "tests/accel/random_network.h"

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

// Emulated machines are some fifteen times slower, and so is ThreadSanitizer.
static int rounds(int usual)
{
#if defined(__SANITIZE_THREAD__)
    return usual / 15;
#endif
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

// Is some step of the network computed by the kernel of that name?
static bool has_kernel(const struct network *net, const char *kernel)
{
    struct sl_error error = {""};
    struct sl_accel *accel = NULL;
    struct sl_program *program = NULL;
    struct sl_profile rows[16];
    bool found = false;
    assert_int_equal(sl_accel_open("cpu", &accel, &error), 0);
    assert_int_equal(sl_accel_load(accel, &net->graph, &program, &error), 0);
    uint32_t count = sl_program_profile(program, rows, 16);
    for (uint32_t i = 0; i < count && i < 16; i++)
        found |= strcmp(rows[i].kernel, kernel) == 0;
    sl_accel_unload(program);
    sl_accel_close(accel);
    return found;
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
        if (i % 4 == 1) // depthwise
            shape.group = shape.outputs = net.tensors[x].dims[1];
        if (i % 4 == 2 && net.tensors[x].dims[1] % 2 == 0) {
            shape.group = 2;
            shape.outputs *= 2;
        }
        x = add_conv_transpose(&net, x, &shape, random_in(r, 0, shape.stride - 1));
        shape = (struct conv_shape){8, 1, 1, 1, 0, 1, 0}; // reads what the phases left
        add_output(&net, add_conv(&net, x, &shape));
        assert_false(has_kernel(&net, "reference"));
        check_network(&net, "cpu", seed);
        check_network(&net, "cpu,threads=3,isa=c", seed);
        network_end(&net);
    }
}

static void test_linear_resize(void **state)
{
    static const uint32_t dtypes[] = {SL_U8, SL_I8, SL_F32};
    static const uint32_t coordinates[] = {SL_RESIZE_HALF_PIXEL, SL_RESIZE_ASYMMETRIC,
                                           SL_RESIZE_ALIGN_CORNERS, SL_RESIZE_PYTORCH_HALF_PIXEL};
    (void)state;
    for (uint64_t i = 0; i < (uint64_t)rounds(48); i++) {
        struct network net;
        network_begin(&net, i);
        struct random *r = &net.random;
        int64_t n = random_in(r, 1, 2), channels = random_in(r, 1, 40), in[2], out[2];
        struct sl_resize_attrs attrs = {.mode = SL_RESIZE_LINEAR,
                                        .coordinates = coordinates[i / 3 % 4],
                                        .rounding = SL_RESIZE_FLOOR,
                                        .scale = {1.0f, 1.0f}};
        for (int k = 0; k < 2; k++) {
            in[k] = random_in(r, 1, 9);
            out[k] = random_in(r, 1, 20);
            attrs.scale[2 + k] = (float)out[k] / (float)in[k];
        }
        uint32_t x = add_map(&net, dtypes[i % 3], n, channels, in[0], in[1]);
        uint32_t y = add_map(&net, dtypes[i % 3], n, channels, out[0], out[1]);
        if (i % 3 < 2) {
            set_quant(&net, x, 0.05f, 3);
            set_quant(&net, y, 0.043f, 10);
        }
        add_input(&net, x);
        add_node(&net, SL_OP_RESIZE, 1, &x, y)->attrs.resize = attrs;
        add_output(&net, y);
        assert_true(has_kernel(&net, "resize_linear"));
        check_network(&net, i % 2 ? "cpu" : "cpu,isa=c,threads=3", i);
        network_end(&net);
    }
}

// Squeeze and excite: a map times one value for each channel, of which there are many.
static void test_wide_gates(void **state)
{
    static const uint32_t dtypes[] = {SL_U8, SL_I8, SL_F32};
    (void)state;
    for (uint64_t i = 0; i < (uint64_t)rounds(24); i++) {
        struct network net;
        network_begin(&net, i);
        struct random *r = &net.random;
        const uint32_t dtype = dtypes[i % 3];
        const int64_t channels = random_in(r, 1, 2048), h = random_in(r, 1, 5);
        const uint32_t x[] = {add_map(&net, dtype, 1, channels, h, 3),
                              add_map(&net, dtype, 1, channels, 1, 1)};
        const uint32_t y = add_map(&net, dtype, 1, channels, h, 3);
        if (dtype != SL_F32) {
            set_quant(&net, x[0], 4.0f / 255, 3);
            set_quant(&net, x[1], 1.0f / 255, 0);
            set_quant(&net, y, 8.0f / 255, 100);
        }
        add_input(&net, x[0]);
        add_input(&net, x[1]);
        add_node(&net, SL_OP_BINARY, 2, x, y)->attrs.binary = SL_BINARY_MUL;
        add_output(&net, y);
        assert_true(has_kernel(&net, "broadcast"));
        check_network(&net, i % 2 ? "cpu" : "cpu,isa=c,threads=3", i);
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

// Sets the weights of the input channels from `first` on to zero, for all outputs.
static void clear_channels(struct network *net, uint32_t w, int64_t first)
{
    const int64_t *dims = net->tensors[w].dims;
    int8_t *data = (int8_t *)(uintptr_t)net->tensors[w].data;
    for (int64_t o = 0; o < dims[0]; o++)
        memset(data + (o * dims[1] + first) * dims[2] * dims[3], 0,
               (size_t)((dims[1] - first) * dims[2] * dims[3]));
}

static void check_left_out(const char *config, const struct conv_shape *shape, int64_t channels,
                           int64_t kept)
{
    struct network net;
    struct sl_error error = {""};
    struct sl_accel *accel = NULL;
    struct sl_program *program = NULL;
    network_begin(&net, 4711);
    uint32_t x = add_map(&net, SL_U8, 1, channels, 9, 9);
    set_quant(&net, x, 0.05f, 3);
    add_input(&net, x);
    add_output(&net, add_conv(&net, x, shape));
    clear_channels(&net, net.nodes[0].inputs[1], kept);
    check_network(&net, config, 4711);
    assert_int_equal(sl_accel_open(config, &accel, &error), 0);
    assert_int_equal(sl_accel_load(accel, &net.graph, &program, &error), 0);
    const struct sl_footprint f = sl_program_footprint(program);
    assert_true(f.macs > 0);
    assert_int_equal(f.left_out * (uint64_t)channels, f.macs * (uint64_t)(channels - kept));
    sl_accel_unload(program);
    sl_accel_close(accel);
    network_end(&net);
}

// Zero weights are counted as left out, the zeros that fill up channels are not.
static void test_left_out(void **state)
{
    (void)state;
    static const char *const configs[] = {"cpu,int8=s16", "cpu,int8=dot", "cpu,int8=sdot",
                                          "cpu,int8=matrix", "cpu,isa=c,int8=winograd"};
    const struct conv_shape point = {20, 1, 1, 1, 0, 1, 1}, square = {20, 3, 1, 1, 1, 1, 1};
    for (size_t i = 0; i < sizeof(configs) / sizeof(*configs); i++) {
        check_left_out(configs[i], &point, 128, 64); // AMX leaves out 64 channels together
        check_left_out(configs[i], &point, 24, 24);
        check_left_out(configs[i], &square, 128, 64);
        check_left_out(configs[i], &square, 24, 24);
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
        cmocka_unit_test(test_uint8_networks), cmocka_unit_test(test_int8_networks),
        cmocka_unit_test(test_first_layers),   cmocka_unit_test(test_transposed),
        cmocka_unit_test(test_linear_resize),  cmocka_unit_test(test_wide_gates),
        cmocka_unit_test(test_real_networks),  cmocka_unit_test(test_products),
        cmocka_unit_test(test_left_out),       cmocka_unit_test(test_mutated_networks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
