// Networks as bytes: round trips, and bytes that are no network.
#include "tests/accel/network.h"

#include "accel/isolated/graph_bytes.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

struct bytes {
    struct network net;
    size_t size;
    unsigned char *data; // a copy that may be damaged
};

static void write_network(struct bytes *b)
{
    const struct conv_shape shape = {8, 3, 1, 1, 1, 1, 1};
    struct sl_error error = {""};
    int fd = -1;
    network_begin(&b->net, 9);
    uint32_t x = add_map(&b->net, SL_U8, 1, 4, 8, 8);
    set_quant(&b->net, x, 0.02f, 3);
    add_input(&b->net, x);
    add_output(&b->net, add_conv(&b->net, x, &shape));
    b->net.graph.onnx = "onnx bytes";
    b->net.graph.onnx_bytes = 10;
    assert_int_equal(graph_bytes_write(&b->net.graph, &fd, &b->size, &error), 0);
    void *map = mmap(NULL, b->size, PROT_READ, MAP_SHARED, fd, 0);
    assert_true(map != MAP_FAILED);
    assert_true(mmap(NULL, b->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
    b->data = aligned_alloc(64, (b->size + 63) / 64 * 64);
    assert_non_null(b->data);
    memcpy(b->data, map, b->size);
    munmap(map, b->size);
    close(fd);
}

static void end(struct bytes *b)
{
    free(b->data);
    network_end(&b->net);
}

static void test_round_trip(void **state)
{
    (void)state;
    struct bytes b;
    struct sl_graph *graph = NULL;
    struct sl_error error = {""};
    write_network(&b);
    assert_int_equal(graph_bytes_read(b.data, b.size, &graph, &error), 0);
    assert_int_equal(graph->n_tensors, b.net.graph.n_tensors);
    assert_int_equal(graph->n_nodes, b.net.graph.n_nodes);
    assert_int_equal(graph->onnx_bytes, 10);
    assert_memory_equal(graph->onnx, "onnx bytes", 10);
    for (uint32_t i = 0; i < graph->n_tensors; i++) {
        const struct sl_tensor *was = &b.net.graph.tensors[i], *is = &graph->tensors[i];
        assert_string_equal(is->name, was->name ? was->name : "");
        assert_int_equal(is->bytes, was->bytes);
        assert_int_equal(is->quant.count, was->quant.count);
        if (was->quant.count)
            assert_memory_equal(is->quant.scale, was->quant.scale, 4 * was->quant.count);
        assert_int_equal(is->data == NULL, was->data == NULL);
        if (was->data)
            assert_memory_equal(is->data, was->data, was->bytes);
    }
    for (uint32_t i = 0; i < graph->n_nodes; i++) {
        const struct sl_node *was = &b.net.graph.nodes[i], *is = &graph->nodes[i];
        assert_int_equal(is->op, was->op);
        assert_memory_equal(is->inputs, was->inputs, 4 * was->n_inputs);
        assert_memory_equal(&is->attrs, &was->attrs, sizeof(is->attrs));
    }
    graph_bytes_free(graph);
    end(&b);
}

static void test_every_shorter_block_is_refused(void **state)
{
    (void)state;
    struct bytes b;
    struct sl_graph *graph = NULL;
    struct sl_error error = {""};
    write_network(&b);
    for (size_t size = 0; size < b.size; size += size < 512 ? 1 : 61) {
        int status = graph_bytes_read(b.data, size, &graph, &error);
        if (b.size - size > 64) // the last part may be only the space behind it
            assert_int_equal(status, -EINVAL);
        if (status == 0)
            graph_bytes_free(graph);
    }
    end(&b);
}

// Under the address sanitizer this finds what reads outside.
static void test_damaged_blocks_are_refused_or_right(void **state)
{
    (void)state;
    struct bytes b;
    struct sl_graph *graph = NULL;
    struct sl_error error = {""};
    struct random random = {77};
    unsigned refused = 0;
    write_network(&b);
    unsigned char *good = malloc(b.size);
    assert_non_null(good);
    memcpy(good, b.data, b.size);
    for (int round = 0; round < 20000; round++) {
        memcpy(b.data, good, b.size);
        for (int64_t k = random_in(&random, 1, 4); k > 0; k--) {
            size_t limit = random_in(&random, 0, 1) ? 192 : b.size;
            size_t at = (size_t)random_in(&random, 0, (int64_t)limit - 1);
            b.data[at] = (unsigned char)(random_in(&random, 0, 2) ? random_next(&random) : 0xff);
        }
        int status = graph_bytes_read(b.data, b.size, &graph, &error);
        refused += status != 0;
        if (status == 0)
            graph_bytes_free(graph);
    }
    assert_true(refused > 5000);
    free(good);
    end(&b);
}

// The seed of the fuzz target.
static int write_seed(const char *path)
{
    struct bytes b;
    write_network(&b);
    FILE *file = fopen(path, "wb");
    bool good = file && fwrite(b.data, 1, b.size, file) == b.size;
    good = file && fclose(file) == 0 && good;
    end(&b);
    return good ? 0 : 1;
}

int main(int argc, char **argv)
{
    if (argc == 2)
        return write_seed(argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_every_shorter_block_is_refused),
        cmocka_unit_test(test_damaged_blocks_are_refused_or_right),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
