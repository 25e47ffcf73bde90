// The check of a network: each test breaks a good one in one place and reads the refusal.
#include "tests/accel/network.h"

#include "accel/graph_check.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

// quantised input -> conv -> relu -> output
struct fixture {
    struct network net;
    uint32_t x, y, z;
};

static int setup(void **state)
{
    static struct fixture f;
    const struct conv_shape shape = {8, 3, 1, 1, 1, 1, 1};
    network_begin(&f.net, 5);
    f.x = add_map(&f.net, SL_U8, 1, 4, 6, 6);
    set_quant(&f.net, f.x, 0.1f, 7);
    f.y = add_conv(&f.net, f.x, &shape);
    f.z = add_map(&f.net, SL_U8, 1, 8, 6, 6);
    set_quant(&f.net, f.z, 0.2f, 0);
    add_node(&f.net, SL_OP_UNARY, 1, &f.y, f.z)->attrs.unary.kind = SL_UNARY_RELU;
    add_input(&f.net, f.x);
    add_output(&f.net, f.z);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    network_end(&((struct fixture *)*state)->net);
    return 0;
}

static void assert_refused(struct fixture *f, int status, const char *part)
{
    struct sl_error error = {""};
    assert_int_equal(sl_graph_check(&f->net.graph, &error), status);
    if (!strstr(error.message, part))
        fail_msg("expected '%s' in: %s", part, error.message);
}

static void test_good_network_passes(void **state)
{
    struct fixture *f = *state;
    struct sl_error error = {""};
    assert_int_equal(sl_graph_check(&f->net.graph, &error), 0);
}

static void test_header(void **state)
{
    struct fixture *f = *state;
    struct sl_graph good = f->net.graph;
    assert_int_equal(sl_graph_check(NULL, NULL), -EINVAL);
    f->net.graph.version = 2;
    assert_refused(f, -ENOTSUP, "version 2");
    f->net.graph = good;
    f->net.graph.struct_size = 8;
    assert_refused(f, -EINVAL, "struct_size is 8");
    f->net.graph = good;
    f->net.graph.nodes = NULL;
    assert_refused(f, -EINVAL, "NULL");
    f->net.graph = good;
    f->net.graph.n_outputs = 0;
    assert_refused(f, -EINVAL, "no outputs");
    f->net.graph = good;
    f->net.graph.n_tensors = UINT32_MAX;
    assert_refused(f, -E2BIG, "tensors");
}

static void test_sizes_that_lie(void **state)
{
    struct fixture *f = *state;
    struct sl_tensor *x = &f->net.tensors[f->x], good = *x;
    x->bytes++;
    assert_refused(f, -EINVAL, "145 bytes, but 144 follow");
    *x = good;
    x->dims[2] = -1;
    assert_refused(f, -EINVAL, "dimension 2 is -1");
    *x = good;
    x->dims[0] = x->dims[1] = INT64_MAX;
    assert_refused(f, -E2BIG, "larger than");
    *x = good;
    x->dims[0] = x->dims[1] = x->dims[2] = (int64_t)1 << 22; // the product overflows 64 bits
    assert_refused(f, -E2BIG, "larger than");
    *x = good;
    x->rank = 9;
    assert_refused(f, -EINVAL, "9 dimensions");
    *x = good;
    x->dtype = 77;
    assert_refused(f, -ENOTSUP, "type 77");
}

static void test_quantisation(void **state)
{
    struct fixture *f = *state;
    struct sl_tensor *x = &f->net.tensors[f->x], good = *x;
    const float scales[] = {0.0f, -1.0f, NAN, INFINITY, 1e-40f};
    for (size_t i = 0; i < 4; i++) {
        x->quant.scale = &scales[i];
        assert_refused(f, -EINVAL, "scale 0 is");
    }
    *x = good;
    const int32_t zero = 256;
    x->quant.zero_point = &zero;
    assert_refused(f, -EINVAL, "zero point 0 is 256");
    *x = good;
    x->quant.scale = NULL;
    assert_refused(f, -EINVAL, "NULL");
    *x = good;
    x->quant.count = 3;
    x->quant.axis = 1;
    assert_refused(f, -EINVAL, "3 scales do not fit axis 1");
    *x = good;
    x->dtype = SL_F32;
    x->bytes *= 4;
    assert_refused(f, -ENOTSUP, "quantised float32");
}

static void test_indexes_out_of_range(void **state)
{
    struct fixture *f = *state;
    uint32_t *operands = f->net.operands[0], good = operands[0];
    operands[0] = 1000;
    assert_refused(f, -EINVAL, "input 0 is not a tensor");
    operands[0] = good;
    good = operands[3];
    operands[3] = 1000;
    assert_refused(f, -EINVAL, "output 0 is not a tensor");
    operands[3] = good;
    f->net.inputs[0] = 1000;
    assert_refused(f, -EINVAL, "input 0 is tensor 1000");
    f->net.inputs[0] = f->x;
    f->net.outputs[0] = 1000;
    assert_refused(f, -EINVAL, "output 0 is tensor 1000");
}

static void test_order_and_cycles(void **state)
{
    struct fixture *f = *state;
    f->net.operands[0][0] = f->z; // conv reads what relu writes
    assert_refused(f, -EINVAL, "read before it is written");
    f->net.operands[0][0] = f->y; // conv reads its own output
    assert_refused(f, -EINVAL, "read before it is written");
    f->net.operands[0][0] = f->x;
    f->net.operands[1][1] = f->y; // both write y
    assert_refused(f, -EINVAL, "already written");
    f->net.operands[1][1] = f->x; // writes an input
    assert_refused(f, -EINVAL, "already written");
}

static void test_missing_contents(void **state)
{
    struct fixture *f = *state;
    uint32_t w = f->net.operands[0][1];
    f->net.tensors[w].data = NULL;
    assert_refused(f, -EINVAL, "input 1 is read before it is written");
}

static void test_operator_and_arity(void **state)
{
    struct fixture *f = *state;
    struct sl_node *node = &f->net.nodes[0], good = *node;
    node->op = 999;
    assert_refused(f, -ENOTSUP, "operator number 999");
    *node = good;
    node->n_inputs = 1;
    assert_refused(f, -EINVAL, "1 inputs, expected 2 to 3");
    *node = good;
    node->inputs = NULL;
    assert_refused(f, -EINVAL, "NULL");
    *node = good;
    f->net.operands[0][1] = SL_NO_TENSOR;
    assert_refused(f, -EINVAL, "not optional");
}

static void test_attributes(void **state)
{
    struct fixture *f = *state;
    struct sl_conv_attrs *conv = &f->net.nodes[0].attrs.conv, good = *conv;
    conv->stride[0] = 0;
    assert_refused(f, -EINVAL, "out of range");
    *conv = good;
    conv->dilation[1] = INT64_MAX;
    assert_refused(f, -EINVAL, "out of range");
    *conv = good;
    conv->pad[3] = -1;
    assert_refused(f, -EINVAL, "out of range");
    *conv = good;
    conv->group = 3;
    assert_refused(f, -EINVAL, "3 groups");
    *conv = good;
    conv->group = INT64_MAX;
    assert_refused(f, -EINVAL, "groups");
    *conv = good;
    conv->kernel[0] = 5;
    assert_refused(f, -EINVAL, "kernel is 5x3");
    *conv = good;
    conv->pad[0] = 0;
    assert_refused(f, -EINVAL, "output is [1,8,6,6], but [1,8,5,6] follows");
    *conv = good;
    f->net.nodes[0].activation.kind = 500;
    assert_refused(f, -EINVAL, "fused activation 500");
}

static void test_types(void **state)
{
    struct fixture *f = *state;
    f->net.nodes[1].attrs.unary.kind = SL_UNARY_NOT;
    assert_refused(f, -ENOTSUP, "node 'node' (Not): input 0: type uint8 is not supported");
    f->net.nodes[1].attrs.unary.kind = 1000;
    assert_refused(f, -EINVAL, "unary function 1000");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_good_network_passes),  TEST(test_header),
        TEST(test_sizes_that_lie),       TEST(test_quantisation),
        TEST(test_indexes_out_of_range), TEST(test_order_and_cycles),
        TEST(test_missing_contents),     TEST(test_operator_and_arity),
        TEST(test_attributes),           TEST(test_types),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
