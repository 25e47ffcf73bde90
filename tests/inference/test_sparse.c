// Sparse weights on matrices and networks made by hand.
#include "inference/workshop/linear.h"
#include "inference/workshop/sparse_impl.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static float next(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return (float)(*state >> 8) * 0x1p-23f - 1;
}

// --- patterns

static void patterns_are_read(void **state)
{
    static const struct {
        const char *text;
        uint32_t outputs, inputs;
    } good[] = {{"unstructured", 1, 1}, {"4x1", 4, 1}, {"16x4", 16, 4}, {"64x64", 64, 64}};
    struct sparse_pattern p;
    struct sl_error error;
    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
        assert_int_equal(sparse_pattern_parse(good[i].text, &p, &error), 0);
        assert_int_equal(p.outputs, good[i].outputs);
        assert_int_equal(p.inputs, good[i].inputs);
    }
}

static void other_patterns_are_refused(void **state)
{
    static const char *const bad[] = {
        "",      "16",   "x4",   "16x",   "0x4",  "4x0",  "65x1",  "1x65",
        "4x4x4", "-4x4", "4x-4", "4 x 4", "4x4 ", " 4x4", "dense", "99999999999999999999x1"};
    struct sparse_pattern p = {7, 7};
    struct sl_error error;
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        assert_int_equal(sparse_pattern_parse(bad[i], &p, &error), -EINVAL);
        assert_non_null(strstr(error.message, bad[i]));
        assert_int_equal(p.outputs, 7);
    }
}

// --- one layer

enum { ROWS = 400, CHANNELS = 5, AREA = 2, K = CHANNELS * AREA, M = 3 };

struct layer {
    float x[ROWS * K], w[M * K], h[K * K];
    struct sparse_layout layout;
};

static void make_layer(struct layer *l, struct sparse_pattern pattern)
{
    uint32_t seed = 5;
    struct sl_error error;
    memset(l, 0, sizeof(*l));
    for (int i = 0; i < ROWS; i++)
        for (int j = 0; j < K; j++) // inputs that depend on each other
            l->x[i * K + j] = next(&seed) + (j ? 0.7f * l->x[i * K + j - 1] : 0);
    for (int i = 0; i < M * K; i++)
        l->w[i] = next(&seed);
    linear_gram(l->h, K, l->x, ROWS);
    assert_int_equal(sparse_layout_make(M, K, AREA, pattern, &l->layout, &error), 0);
}

static double error_of(const struct layer *l, const float *w)
{
    float a[ROWS * M], b[ROWS * M];
    double sum = 0;
    linear_apply(a, l->x, ROWS, K, l->w, M);
    linear_apply(b, l->x, ROWS, K, w, M);
    for (int i = 0; i < ROWS * M; i++)
        sum += (double)((a[i] - b[i]) * (a[i] - b[i]));
    return sum;
}

static void blocks_follow_channels(void **state)
{
    // Five channels in pairs, two taps: channels 0 and 1 of tap 0, of tap 1 …, and channel 4 alone.
    static const uint32_t columns[K] = {0, 2, 1, 3, 4, 6, 5, 7, 8, 9};
    static const uint32_t starts[7] = {0, 2, 4, 6, 8, 9, 10};
    struct layer l;
    (void)state;
    make_layer(&l, (struct sparse_pattern){2, 2});
    assert_int_equal(l.layout.n_bands, 2);
    assert_int_equal(sparse_band_rows(&l.layout, 1), 1);
    assert_int_equal(l.layout.n_blocks, 6);
    assert_memory_equal(l.layout.column, columns, sizeof(columns));
    assert_memory_equal(l.layout.start, starts, sizeof(starts));
    sparse_layout_free(&l.layout);
}

static void costs_are_the_errors(void **state)
{
    static const struct sparse_pattern patterns[] = {{1, 1}, {2, 2}, {3, 4}};
    struct sl_error error;
    (void)state;
    for (size_t p = 0; p < sizeof(patterns) / sizeof(*patterns); p++) {
        struct layer l;
        make_layer(&l, patterns[p]);
        float *cost = calloc((size_t)l.layout.n_bands * l.layout.n_blocks, sizeof(*cost));
        uint32_t *count = calloc(l.layout.n_bands, sizeof(*count));
        float same[M * K];
        memcpy(same, l.w, sizeof(same));
        assert_non_null(cost);
        assert_non_null(count);
        assert_int_equal(sparse_thin(&l.layout, l.h, 0, NULL, same, cost, &error), 0);
        assert_memory_equal(same, l.w, sizeof(same)); // rating changes nothing
        double expected = 0;
        for (uint32_t removed = 1; removed <= l.layout.n_blocks; removed++) {
            float w[M * K];
            memcpy(w, l.w, sizeof(w));
            for (uint32_t b = 0; b < l.layout.n_bands; b++) {
                count[b] = removed;
                expected += (double)cost[b * l.layout.n_blocks + removed - 1];
            }
            assert_int_equal(sparse_thin(&l.layout, l.h, 0, count, w, NULL, &error), 0);
            assert_true(fabs(error_of(&l, w) - expected) < 1e-3 * expected + 1e-3);
        }
        free(cost);
        free(count);
        sparse_layout_free(&l.layout);
    }
}

// What remains is what least squares would have found for the same zeros.
static void the_rest_is_the_best(void **state)
{
    struct layer l;
    struct sl_error error;
    uint32_t count[M] = {4, 5, 6};
    float w[M * K];
    (void)state;
    make_layer(&l, (struct sparse_pattern){1, 1});
    memcpy(w, l.w, sizeof(w));
    assert_int_equal(sparse_thin(&l.layout, l.h, 0, count, w, NULL, &error), 0);
    for (uint32_t i = 0; i < M; i++) {
        uint32_t zeros = 0;
        for (uint32_t j = 0; j < K; j++) {
            double gradient = 0;
            zeros += w[i * K + j] == 0;
            for (uint32_t c = 0; c < K; c++)
                gradient += (double)((w[i * K + c] - l.w[i * K + c]) * l.h[c * K + j]);
            assert_true(w[i * K + j] == 0 || fabs(gradient) < 1e-2);
        }
        assert_int_equal(zeros, count[i]);
    }
    sparse_layout_free(&l.layout);
}

// Runs of columns: later ones make up for earlier ones, and counts are kept.
static void runs_keep_their_counts(void **state)
{
    struct layer l;
    struct sl_error error;
    uint32_t count[M * 2] = {2, 1, 3, 0, 1, 4};
    float w[M * K];
    (void)state;
    make_layer(&l, (struct sparse_pattern){1, 1});
    l.layout.n_runs = 2;
    l.layout.run[1] = 5;
    l.layout.run[2] = K;
    memcpy(w, l.w, sizeof(w));
    assert_int_equal(sparse_thin(&l.layout, l.h, 0, count, w, NULL, &error), 0);
    for (uint32_t i = 0; i < M; i++)
        for (uint32_t run = 0; run < 2; run++) {
            uint32_t zeros = 0;
            for (uint32_t p = l.layout.run[run]; p < l.layout.run[run + 1]; p++)
                zeros += w[i * K + l.layout.column[p]] == 0;
            assert_int_equal(zeros, count[i * 2 + run]);
        }
    float masked[M * K];
    for (uint32_t i = 0; i < M * K; i++)
        masked[i] = w[i] == 0 ? 0 : l.w[i];
    assert_true(error_of(&l, w) < 0.8 * error_of(&l, masked));
    sparse_layout_free(&l.layout);
}

// --- a network

enum { INPUTS = 8, OUTPUTS = 16, SIDE = 6, PICTURES = 8 };

// A 1x1 convolution with ReLU and a 3x3 one, on inputs whose upper half repeats the lower one.
struct small {
    struct network network;
    struct calibration calibration;
    float *pictures[PICTURES], w1[OUTPUTS * INPUTS], w2[4 * OUTPUTS * 9];
};

static void add(struct graph *g, const char *name, uint32_t rank, const int64_t *dims,
                const float *data)
{
    struct sl_tensor t = {.name = name, .dtype = SL_F32, .rank = rank, .data = data};
    struct sl_error error;
    uint32_t number;
    memcpy(t.dims, dims, rank * sizeof(*dims));
    t.bytes = (uint64_t)graph_elements(dims, rank, 1 << 20) * sizeof(float);
    assert_int_equal(graph_add_tensor(g, &t, &number, &error), 0);
}

static void make_small(struct small *s, int64_t group)
{
    uint32_t seed = 9;
    struct graph *g = &s->network.graph;
    struct sl_error error;
    memset(s, 0, sizeof(*s));
    for (int i = 0; i < OUTPUTS * INPUTS; i++)
        s->w1[i] = next(&seed);
    for (int i = 0; i < 4 * OUTPUTS * 9; i++)
        s->w2[i] = next(&seed);
    graph_init(g, 1 << 24);
    pool_init(&s->network.constants, 1 << 24);
    add(g, "x", 4, (int64_t[]){1, INPUTS, SIDE, SIDE}, NULL);
    add(g, "w1", 4, (int64_t[]){OUTPUTS, INPUTS / group, 1, 1}, s->w1);
    add(g, "a", 4, (int64_t[]){1, OUTPUTS, SIDE, SIDE}, NULL);
    add(g, "w2", 4, (int64_t[]){4, OUTPUTS, 3, 3}, s->w2);
    add(g, "y", 4, (int64_t[]){1, 4, SIDE, SIDE}, NULL);
    const struct sl_node first = {.name = "first",
                                  .op = SL_OP_CONV,
                                  .n_inputs = 2,
                                  .n_outputs = 1,
                                  .inputs = (const uint32_t[]){0, 1},
                                  .outputs = (const uint32_t[]){2},
                                  .activation = {.kind = SL_UNARY_RELU},
                                  .attrs.conv = {group, {1, 1}, {1, 1}, {1, 1}, {0}, {0}}};
    const struct sl_node second = {.name = "second",
                                   .op = SL_OP_CONV,
                                   .n_inputs = 2,
                                   .n_outputs = 1,
                                   .inputs = (const uint32_t[]){2, 3},
                                   .outputs = (const uint32_t[]){4},
                                   .attrs.conv = {1, {3, 3}, {1, 1}, {1, 1}, {1, 1, 1, 1}, {0}}};
    assert_int_equal(graph_add_node(g, &first, &error), 0);
    assert_int_equal(graph_add_node(g, &second, &error), 0);
    assert_int_equal(graph_add_input(g, 0, &error), 0);
    assert_int_equal(graph_add_output(g, 4, &error), 0);
    s->calibration = (struct calibration){
        .count = PICTURES, .elements = INPUTS * SIDE * SIDE, .inputs = s->pictures};
    for (int p = 0; p < PICTURES; p++) {
        s->pictures[p] = malloc(s->calibration.elements * sizeof(float));
        assert_non_null(s->pictures[p]);
        for (uint64_t i = 0; i < s->calibration.elements; i++)
            s->pictures[p][i] = i < s->calibration.elements / 2
                                    ? next(&seed)
                                    : s->pictures[p][i - s->calibration.elements / 2];
    }
}

static void free_small(struct small *s)
{
    graph_free(&s->network.graph);
    pool_free(&s->network.constants);
    for (int p = 0; p < PICTURES; p++)
        free(s->pictures[p]);
}

static const float *weights_of(const struct small *s, const char *node)
{
    const struct graph *g = &s->network.graph;
    for (uint32_t n = 0; n < g->n_nodes; n++)
        if (!strcmp(g->nodes[n].name, node))
            return g->tensors[g->nodes[n].inputs[1]].data;
    fail_msg("no node %s", node);
    return NULL;
}

static void what_is_redundant_goes_first(void **state)
{
    struct small s;
    struct sparse_report report;
    struct sl_error error = {""};
    // Half of the first layer's multiply-accumulates, which is a little less than a tenth.
    const struct sparse_options options = {.pattern = {16, 4}, .sparsity = 64.0 / (128 + 576)};
    (void)state;
    make_small(&s, 1);
    if (sparse_network(&s.network, &s.calibration, &options, &report, &error) < 0)
        fail_msg("%s", error.message);
    assert_int_equal(report.n_layers, 2);
    assert_true(fabs(report.layers[0].zero - 0.5) < 1e-6 && report.layers[1].zero == 0);
    assert_true(fabs(report.sparsity - options.sparsity) < 1e-6);
    assert_true(report.output_snr_db > 50);
    const float *w = weights_of(&s, "first");
    const int zeros = w[0] == 0 ? 0 : 4; // either half of the inputs
    for (int i = 0; i < OUTPUTS * INPUTS; i++)
        assert_int_equal(w[i] == 0, i % INPUTS / 4 == zeros / 4);
    sparse_report_free(&report);
    free_small(&s);
}

static void magnitude_takes_the_smallest(void **state)
{
    struct small s;
    struct sparse_report report;
    struct sl_error error;
    const struct sparse_options options = {.pattern = {1, 1}, .sparsity = 0.25, .magnitude = true};
    float kept = 9, gone = 0;
    (void)state;
    make_small(&s, 1);
    assert_int_equal(sparse_network(&s.network, &s.calibration, &options, &report, &error), 0);
    const float *w = weights_of(&s, "second");
    for (int i = 0; i < 4 * OUTPUTS * 9; i++) {
        assert_true(w[i] == 0 || w[i] == s.w2[i]);
        kept = w[i] == 0 ? kept : fminf(kept, fabsf(w[i]));
        gone = w[i] == 0 ? fmaxf(gone, fabsf(s.w2[i])) : gone;
    }
    assert_true(gone <= kept);
    assert_true(fabs(report.layers[1].zero - 0.25) < 1e-6);
    sparse_report_free(&report);
    free_small(&s);
}

static void what_cannot_be_reached_is_said(void **state)
{
    struct small s;
    struct sparse_report report;
    struct sl_error error;
    const struct sparse_options options = {.pattern = {1, 1}, .sparsity = 0.95};
    (void)state;
    make_small(&s, 2); // grouped: 64 of 640 multiply-accumulates stay
    assert_int_equal(sparse_network(&s.network, &s.calibration, &options, &report, &error),
                     -ERANGE);
    assert_non_null(strstr(error.message, "90.0 %"));
    assert_non_null(strstr(error.message, "95.0 %"));
    free_small(&s);
}

static void networks_of_integers_are_refused(void **state)
{
    struct small s;
    struct sparse_report report;
    struct sl_error error;
    const struct sparse_options options = {.pattern = {1, 1}, .sparsity = 0.5};
    const float scale = 1;
    (void)state;
    make_small(&s, 1);
    assert_int_equal(graph_make_quant(&s.network.graph, 1, 0, &scale, NULL,
                                      &s.network.graph.tensors[4].quant, &error),
                     0);
    assert_int_equal(sparse_network(&s.network, &s.calibration, &options, &report, &error),
                     -ENOTSUP);
    assert_non_null(strstr(error.message, "quantise"));
    free_small(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(patterns_are_read),
        cmocka_unit_test(other_patterns_are_refused),
        cmocka_unit_test(blocks_follow_channels),
        cmocka_unit_test(costs_are_the_errors),
        cmocka_unit_test(the_rest_is_the_best),
        cmocka_unit_test(runs_keep_their_counts),
        cmocka_unit_test(what_is_redundant_goes_first),
        cmocka_unit_test(magnitude_takes_the_smallest),
        cmocka_unit_test(what_cannot_be_reached_is_said),
        cmocka_unit_test(networks_of_integers_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
