// The opencl back end: random networks against the reference interpreter, and what it refuses.
// Skips where there is no OpenCL device.
#include "tests/accel/random_network.h"

#include "accel/opencl/device.h"
#include "accel/opencl/loader.h"
#include "accel/reference.h"
#include "accel/tensor.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static struct sl_accel *shared; // opening builds the kernels, which takes a second

static void assert_same(const struct sl_tensor *t, const void *have, const void *want,
                        unsigned long long seed)
{
    const int64_t count = sl_elements(t);
    const size_t size = sl_dtype_size(t->dtype);
    float most = 1.0f;
    for (int64_t i = 0; t->dtype == SL_F32 && i < count; i++)
        most = fmaxf(most, fabsf(((const float *)want)[i]));
    for (int64_t i = 0; i < count; i++) {
        bool same = memcmp((const char *)have + (size_t)i * size,
                           (const char *)want + (size_t)i * size, size) == 0;
        if (t->dtype == SL_F32)
            same = fabsf(((const float *)have)[i] - ((const float *)want)[i]) <= 1e-4f * most;
        if (!same)
            fail_msg("seed %llu: %s differs at %lld of %lld", seed, t->name ? t->name : "output",
                     (long long)i, (long long)count);
    }
}

static void compare(struct network *net, struct sl_program *program, void **data,
                    unsigned long long seed)
{
    struct sl_error error = {""};
    for (int round = 0; round < 2; round++) {
        for (uint32_t i = 0; i < net->graph.n_inputs; i++) {
            const uint32_t t = net->inputs[i];
            fill_random(&net->random, &net->tensors[t], data[t]);
            memcpy(sl_program_input(program, i, NULL), data[t], (size_t)net->tensors[t].bytes);
        }
        assert_int_equal(run_reference(net, data), 0);
        if (sl_program_run(program, SL_NO_DEADLINE, &error) != 0)
            fail_msg("seed %llu: %s", seed, error.message);
        for (uint32_t i = 0; i < net->graph.n_outputs; i++)
            assert_same(&net->tensors[net->outputs[i]], sl_program_output(program, i, NULL),
                        data[net->outputs[i]], seed);
    }
}

static void check_network(struct network *net, unsigned long long seed)
{
    struct sl_error error = {""};
    struct sl_program *program = NULL;
    void *data[MAX_TENSORS] = {NULL};
    for (uint32_t t = 0; t < net->graph.n_tensors; t++)
        if (!net->tensors[t].data)
            data[t] = calloc(1, (size_t)net->tensors[t].bytes + 1);
    if (sl_accel_load(shared, &net->graph, &program, &error) != 0)
        fail_msg("seed %llu: %s", seed, error.message);
    compare(net, program, data, seed);
    sl_accel_unload(program);
    for (uint32_t t = 0; t < MAX_TENSORS; t++)
        free(data[t]);
}

static int rounds(int usual)
{
    return getenv("SIGHTLINE_LONG_TESTS") ? 20 * usual : usual;
}

static void check_many(uint32_t dtype)
{
    for (int i = 0; i < rounds(20); i++) {
        struct network net;
        const uint64_t seed = 1000u * dtype + (uint64_t)i;
        random_network(&net, seed, dtype);
        check_network(&net, seed);
        network_end(&net);
    }
}

static void test_uint8_networks(void **state)
{
    (void)state;
    check_many(SL_U8);
}

static void test_int8_networks(void **state)
{
    (void)state;
    check_many(SL_I8);
}

static void test_real_networks(void **state)
{
    (void)state;
    check_many(SL_F32);
}

static void test_linear_resize(void **state)
{
    static const uint32_t dtypes[] = {SL_U8, SL_I8, SL_F32};
    static const uint32_t coordinates[] = {SL_RESIZE_HALF_PIXEL, SL_RESIZE_ASYMMETRIC,
                                           SL_RESIZE_ALIGN_CORNERS, SL_RESIZE_PYTORCH_HALF_PIXEL};
    (void)state;
    for (uint32_t i = 0; i < 12; i++) {
        struct network net;
        network_begin(&net, i);
        const int64_t h = random_in(&net.random, 1, 9), w = random_in(&net.random, 1, 9);
        uint32_t x = add_map(&net, dtypes[i % 3], 2, 3, h, w);
        uint32_t y = add_map(&net, dtypes[i % 3], 2, 3, 2 * h, 3 * w);
        if (i % 3 < 2) {
            set_quant(&net, x, 0.05f, 3);
            set_quant(&net, y, 0.043f, 10);
        }
        add_input(&net, x);
        add_node(&net, SL_OP_RESIZE, 1, &x, y)->attrs.resize =
            (struct sl_resize_attrs){.mode = SL_RESIZE_LINEAR,
                                     .coordinates = coordinates[i / 3],
                                     .rounding = SL_RESIZE_FLOOR,
                                     .scale = {1.0f, 1.0f, 2.0f, 3.0f}};
        add_output(&net, y);
        check_network(&net, i);
        network_end(&net);
    }
}

// float32 -> quantised -> float32, a transpose, a slice and padding.
static void test_borders_and_moves(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 8; i++) {
        struct network net;
        network_begin(&net, i);
        const int64_t turned[4] = {1, 6, 7, 5}, cut[4] = {1, 3, 7, 4}, wide[4] = {1, 3, 9, 7};
        uint32_t x = add_map(&net, SL_F32, 1, 5, 6, 7), q = add_map(&net, SL_I8, 1, 5, 6, 7);
        uint32_t t = add_tensor(&net, SL_I8, 4, turned), s = add_tensor(&net, SL_I8, 4, cut);
        uint32_t p = add_tensor(&net, SL_I8, 4, wide), y = add_tensor(&net, SL_F32, 4, wide);
        const float scale = random_real(&net.random, 0.001f, 0.02f);
        const uint32_t quantised[] = {q, t, s, p};
        for (int k = 0; k < 4; k++)
            set_quant(&net, quantised[k], scale, 7);
        add_input(&net, x);
        add_node(&net, SL_OP_QUANTIZE, 1, &x, q);
        struct sl_node *node = add_node(&net, SL_OP_TRANSPOSE, 1, &q, t);
        const int32_t perm[4] = {0, 2, 3, 1};
        memcpy(node->attrs.perm, perm, sizeof(perm));
        node = add_node(&net, SL_OP_SLICE, 1, &t, s);
        node->attrs.slice = (struct sl_slice_attrs){{0, 5, 0, 1}, {1, -2, 1, 1}};
        node = add_node(&net, SL_OP_PAD, 1, &s, p);
        node->attrs.pad = (struct sl_pad_attrs){
            .before = {0, 0, 1, 2}, .after = {0, 0, 1, 1}, .mode = 1 + i % 3, .value = 0.5f};
        add_node(&net, SL_OP_DEQUANTIZE, 1, &p, y);
        add_output(&net, q);
        add_output(&net, y);
        check_network(&net, i);
        network_end(&net);
    }
}

static void one_reduction(struct network *net)
{
    const int64_t dims[4] = {1, 4, 1, 1};
    network_begin(net, 5);
    uint32_t x = add_map(net, SL_F32, 1, 4, 3, 3), m = add_map(net, SL_F32, 1, 4, 3, 3);
    uint32_t y = add_tensor(net, SL_F32, 4, dims);
    add_input(net, x);
    add_node(net, SL_OP_UNARY, 1, &x, m)->attrs.unary.kind = SL_UNARY_ABS;
    add_node(net, SL_OP_REDUCE, 1, &m, y)->attrs.reduce =
        (struct sl_reduce_attrs){SL_REDUCE_SUM, 12, 1};
    add_output(net, y);
}

static void test_fallback(void **state)
{
    struct network net;
    struct sl_error error = {""};
    struct sl_program *program = NULL;
    struct sl_accel *usual = shared;
    (void)state;
    one_reduction(&net);
    assert_int_equal(sl_accel_load(shared, &net.graph, &program, &error), -ENOTSUP);
    assert_non_null(strstr(error.message, "Reduce"));
    assert_non_null(strstr(error.message, "fallback=yes"));
    assert_int_equal(sl_accel_open("opencl,fallback=yes", &shared, &error), 0);
    check_network(&net, 5);
    sl_accel_close(shared);
    shared = usual;
    network_end(&net);
}

static void refuse(const char *config, int status, const char *word)
{
    struct sl_accel *accel = NULL;
    struct sl_error error = {""};
    const int found = sl_accel_open(config, &accel, &error);
    if (found != status || !strstr(error.message, word))
        fail_msg("%s: %d '%s'", config, found, error.message);
    assert_null(accel);
}

static void test_refused_options(void **state)
{
    (void)state;
    refuse("opencl,colour=red", -EINVAL, "colour");
    refuse("opencl,fallback=perhaps", -EINVAL, "perhaps");
    refuse("opencl,memory_mib=0", -EINVAL, "memory_mib");
    refuse("opencl,memory_mib", -EINVAL, "KEY=VALUE");
    refuse("opencl:99", -ENODEV, "99");
    refuse("opencl:no-such-device", -ENODEV, "no-such-device");
}

static void test_memory_limit(void **state)
{
    struct network net;
    struct sl_error error = {""};
    struct sl_accel *accel = NULL;
    struct sl_program *program = NULL;
    (void)state;
    network_begin(&net, 1);
    uint32_t x = add_map(&net, SL_F32, 1, 8, 300, 300), y = add_map(&net, SL_F32, 1, 8, 300, 300);
    add_input(&net, x);
    add_node(&net, SL_OP_UNARY, 1, &x, y)->attrs.unary.kind = SL_UNARY_ABS;
    add_output(&net, y);
    assert_int_equal(sl_accel_open("opencl,memory_mib=1", &accel, &error), 0);
    assert_int_equal(sl_accel_load(accel, &net.graph, &program, &error), -ENOMEM);
    assert_non_null(strstr(error.message, "limit"));
    sl_accel_close(accel);
    network_end(&net);
}

static void test_kernel_error(void **state)
{
    struct ocl_device device = {0};
    struct sl_error error = {""};
    (void)state;
    assert_int_equal(ocl_device_open(&device, "0", &error), 0);
    assert_int_equal(ocl_device_build(&device, "int f(void) { return undeclared_name; }\n", &error),
                     -EIO);
    assert_non_null(strstr(error.message, "undeclared_name"));
    ocl_device_close(&device);
}

// --- functions between the back end and the driver ---
static const struct ocl_api *driver;
static unsigned long calls, failing; // the call with this number fails; 0: none
static bool hangs;

static bool fails(void)
{
    return ++calls == failing;
}
#define STATUS(name, symbol, parameters, arguments)                                                \
    static int32_t broken_##name parameters                                                        \
    {                                                                                              \
        return fails() ? CL_OUT_OF_RESOURCES : driver->name arguments;                             \
    }
#define OBJECT(type, name, symbol, parameters, arguments)                                          \
    static type broken_##name parameters                                                           \
    {                                                                                              \
        if (!fails())                                                                              \
            return driver->name arguments;                                                         \
        *status = CL_OUT_OF_RESOURCES;                                                             \
        return NULL;                                                                               \
    }
OCL_STATUS_FUNCTIONS(STATUS)
OCL_OBJECT_FUNCTIONS(OBJECT)

static cl_event_done held_done;
static void *held_ctx;
static int32_t held_on_event(cl_event event, int32_t status, cl_event_done done, void *ctx)
{
    if (!hangs)
        return broken_on_event(event, status, done, ctx);
    held_done = done;
    held_ctx = ctx;
    return CL_SUCCESS;
}

static void substitute(struct ocl_api *api)
{
    assert_int_equal(ocl_load(&driver, NULL), 0);
    *api = *driver;
#define PUT_STATUS(name, symbol, parameters, arguments)       api->name = broken_##name;
#define PUT_OBJECT(type, name, symbol, parameters, arguments) api->name = broken_##name;
    OCL_STATUS_FUNCTIONS(PUT_STATUS)
    OCL_OBJECT_FUNCTIONS(PUT_OBJECT)
    api->on_event = held_on_event;
    ocl_substitute(api);
}

static int open_and_run(struct network *net, int64_t deadline_ms, struct sl_error *error)
{
    struct sl_accel *accel = NULL;
    struct sl_program *program = NULL;
    struct timespec now;
    int status = sl_accel_open("opencl", &accel, error);
    if (status == 0)
        status = sl_accel_load(accel, &net->graph, &program, error);
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (status == 0)
        status = sl_program_run(program,
                                deadline_ms ? (int64_t)now.tv_sec * 1000000000 + now.tv_nsec +
                                                  deadline_ms * 1000000
                                            : SL_NO_DEADLINE,
                                error);
    if (hangs && held_done) { // the device wakes up: what was asked for can be released
        held_done(NULL, CL_COMPLETE, held_ctx);
        held_done = NULL;
        hangs = false;
    }
    if (program)
        sl_accel_unload(program);
    if (accel)
        sl_accel_close(accel);
    return status;
}

static void small_network(struct network *net)
{
    network_begin(net, 3);
    uint32_t x = add_map(net, SL_U8, 1, 3, 5, 5);
    set_quant(net, x, 0.05f, 3);
    add_input(net, x);
    const struct conv_shape shape = {4, 1, 1, 1, 0, 1, 1};
    add_output(net, add_conv(net, x, &shape));
}

// Every call in turn, until a run has so few that none fails.
static void test_nth_call_fails(void **state)
{
    struct ocl_api api;
    struct network net;
    struct sl_error error;
    unsigned long failed = 0;
    (void)state;
    small_network(&net);
    substitute(&api);
    for (failing = 1;; failing++) {
        calls = 0;
        error.message[0] = '\0';
        const int status = open_and_run(&net, 0, &error);
        if (calls < failing) {
            assert_int_equal(status, 0);
            break;
        }
        failed += status != 0;
        if (status != 0 && !*error.message)
            fail_msg("call %lu: status %d without a message", failing, status);
    }
    ocl_substitute(NULL);
    failing = 0;
    network_end(&net);
    assert_true(failed > 20);
}

static void test_hang(void **state)
{
    struct ocl_api api;
    struct network net;
    struct sl_error error = {""};
    (void)state;
    small_network(&net);
    substitute(&api);
    hangs = true;
    assert_int_equal(open_and_run(&net, 50, &error), -ETIMEDOUT);
    assert_non_null(strstr(error.message, "deadline"));
    ocl_substitute(NULL);
    network_end(&net);
}

static int32_t no_platforms(uint32_t max, cl_platform *out, uint32_t *count)
{
    (void)max;
    (void)out;
    *count = 0;
    return CL_PLATFORM_NOT_FOUND;
}

static void test_no_driver(void **state)
{
    struct ocl_api api;
    (void)state;
    assert_int_equal(ocl_load(&driver, NULL), 0);
    api = *driver;
    api.platforms = no_platforms;
    ocl_substitute(&api);
    refuse("opencl", -ENODEV, "no driver");
    ocl_substitute(NULL);
}

int main(void)
{
    struct sl_error error = {""};
    const struct ocl_api *cl;
    // Before anything is loaded: a library that is not there.
    setenv("SIGHTLINE_OPENCL", "/nonexistent/libOpenCL.so", 1);
    if (ocl_load(&cl, &error) != -ENOENT || !strstr(error.message, "/nonexistent/"))
        return 1;
    unsetenv("SIGHTLINE_OPENCL");
    if (sl_accel_open("opencl", &shared, &error) != 0) {
        printf("skipped: %s\n", error.message);
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_uint8_networks),
        cmocka_unit_test(test_int8_networks),
        cmocka_unit_test(test_real_networks),
        cmocka_unit_test(test_linear_resize),
        cmocka_unit_test(test_borders_and_moves),
        cmocka_unit_test(test_fallback),
        cmocka_unit_test(test_refused_options),
        cmocka_unit_test(test_memory_limit),
        cmocka_unit_test(test_kernel_error),
        cmocka_unit_test(test_nth_call_fails),
        cmocka_unit_test(test_hang),
        cmocka_unit_test(test_no_driver),
    };
    const int result = cmocka_run_group_tests_name("opencl", tests, NULL, NULL);
    sl_accel_close(shared);
    return result;
}
