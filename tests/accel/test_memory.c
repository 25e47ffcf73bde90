// Memory: a run allocates nothing, and a compile that runs out of it leaves nothing behind.
//
// malloc and friends of this program are ours: they count, and fail when told to.
#include "tests/accel/network.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__real_realloc(void *memory, size_t bytes);
void *__real_aligned_alloc(size_t alignment, size_t bytes);
void __real_free(void *memory);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_realloc(void *memory, size_t bytes);
void *__wrap_aligned_alloc(size_t alignment, size_t bytes);
void __wrap_free(void *memory);

static atomic_long allocations, live;
static atomic_long fail_at = -1; // the allocation that fails, counted from 0

static bool may_allocate(void)
{
    bool fails = atomic_fetch_add(&allocations, 1) == atomic_load(&fail_at);
    if (!fails)
        atomic_fetch_add(&live, 1);
    return !fails;
}

void *__wrap_malloc(size_t bytes)
{
    return may_allocate() ? __real_malloc(bytes) : NULL;
}

void *__wrap_calloc(size_t count, size_t bytes)
{
    return may_allocate() ? __real_calloc(count, bytes) : NULL;
}

void *__wrap_realloc(void *memory, size_t bytes)
{
    if (memory)
        atomic_fetch_sub(&live, 1);
    return may_allocate() ? __real_realloc(memory, bytes) : NULL;
}

void *__wrap_aligned_alloc(size_t alignment, size_t bytes)
{
    return may_allocate() ? __real_aligned_alloc(alignment, bytes) : NULL;
}

void __wrap_free(void *memory)
{
    if (memory)
        atomic_fetch_sub(&live, 1);
    __real_free(memory);
}

// A bit of everything: kernels, the interpreter with scratch memory, layout changes.
static void build(struct network *net)
{
    const struct conv_shape shape = {20, 3, 1, 1, 1, 1, 1};
    network_begin(net, 5);
    uint32_t x = add_map(net, SL_U8, 1, 4, 12, 12);
    set_quant(net, x, 0.1f, 3);
    add_input(net, x);
    uint32_t y = add_conv(net, x, &shape);
    uint32_t z = add_map(net, SL_U8, 1, 20, 12, 12);
    set_quant(net, z, 0.1f, 0);
    const uint32_t operands[2] = {y, y};
    add_node(net, SL_OP_BINARY, 2, operands, z)->attrs.binary = SL_BINARY_MUL;
    uint32_t s = add_map(net, SL_U8, 1, 20, 12, 12);
    set_quant(net, s, 1.0f / 255, 0);
    add_node(net, SL_OP_UNARY, 1, &z, s)->attrs.unary.kind = SL_UNARY_SIGMOID;
    uint32_t r = add_map(net, SL_F32, 1, 20, 12, 12);
    add_node(net, SL_OP_DEQUANTIZE, 1, &s, r);
    add_output(net, r);
}

static void test_run_allocates_nothing(void **state)
{
    (void)state;
    struct network net;
    struct sl_error error = {""};
    struct sl_accel *accel;
    struct sl_program *program;
    build(&net);
    assert_int_equal(sl_accel_open("cpu,threads=2", &accel, &error), 0);
    assert_int_equal(sl_accel_load(accel, &net.graph, &program, &error), 0);
    assert_int_equal(sl_program_run(program, SL_NO_DEADLINE, &error), 0);
    long before = atomic_load(&allocations);
    for (int i = 0; i < 20; i++)
        assert_int_equal(sl_program_run(program, SL_NO_DEADLINE, &error), 0);
    assert_int_equal(atomic_load(&allocations), before);
    sl_accel_unload(program);
    sl_accel_close(accel);
    network_end(&net);
}

static int open_and_load(const struct network *net)
{
    struct sl_error error = {""};
    struct sl_accel *accel = NULL;
    struct sl_program *program = NULL;
    int status = sl_accel_open("cpu,threads=2", &accel, &error);
    if (status == 0)
        status = sl_accel_load(accel, &net->graph, &program, &error);
    if (status == -ENOMEM && !strstr(error.message, "no memory"))
        fail_msg("the message says nothing of memory: %s", error.message);
    sl_accel_unload(program);
    sl_accel_close(accel);
    return status;
}

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    struct network net;
    build(&net);
    assert_int_equal(open_and_load(&net), 0);
    int n = 0, status = -ENOMEM;
    for (; status != 0 && n < 10000; n++) {
        long before = atomic_load(&live);
        atomic_store(&fail_at, atomic_load(&allocations) + n);
        status = open_and_load(&net);
        atomic_store(&fail_at, -1);
        assert_int_equal(atomic_load(&live), before);
        assert_true(status == 0 || status == -ENOMEM);
    }
    assert_int_equal(status, 0);
    assert_true(n > 5);
    network_end(&net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_run_allocates_nothing),
        cmocka_unit_test(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
