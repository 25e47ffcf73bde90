// The workshop's parts on networks and matrices made by hand.
#include "accel/accel.h"
#include "inference/onnx.h"
#include "inference/onnx_write.h"
#include "inference/workshop/channel_class.h"
#include "inference/workshop/equalise_noise.h"
#include "inference/workshop/folder.h"
#include "inference/workshop/linear.h"
#include "inference/workshop/quantize_impl.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

// --- linear algebra

static float next(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return (float)(*state >> 8) * 0x1p-23f - 1;
}

static void least_squares_finds_the_weights(void **state)
{
    enum { ROWS = 200, K = 7, M = 3 };
    float x[ROWS * K], w[M * K], y[ROWS * M], h[K * K] = {0}, c[M * K] = {0}, found[M * K];
    uint32_t seed = 1;
    struct sl_error error;
    (void)state;
    for (int i = 0; i < ROWS * K; i++)
        x[i] = next(&seed);
    for (int i = 0; i < M * K; i++)
        w[i] = next(&seed);
    linear_apply(y, x, ROWS, K, w, M);
    linear_gram(h, K, x, ROWS);
    linear_cross(c, M, K, y, x, ROWS);
    assert_int_equal(linear_solve(h, K, 0, c, M, found, &error), 0);
    for (int i = 0; i < M * K; i++)
        assert_true(fabsf(found[i] - w[i]) < 1e-4f);
}

static void the_factor_is_that_of_the_inverse(void **state)
{
    enum { ROWS = 50, K = 5 };
    float x[ROWS * K], h[K * K] = {0}, u[K * K];
    uint32_t seed = 2;
    struct sl_error error;
    (void)state;
    for (int i = 0; i < ROWS * K; i++)
        x[i] = next(&seed);
    linear_gram(h, K, x, ROWS);
    assert_int_equal(linear_inverse_factor(h, K, 0, u, &error), 0);
    for (int i = 0; i < K; i++) {
        for (int j = 0; j < K; j++) { // uT u h = I
            float sum = 0;
            for (int a = 0; a < K; a++)
                for (int b = 0; b < K; b++)
                    sum += u[b * K + i] * u[b * K + a] * h[a * K + j];
            assert_true(fabsf(sum - (i == j ? 1.0f : 0.0f)) < 1e-3f);
        }
    }
}

static void equations_without_a_solution_are_refused(void **state)
{
    const float h[4] = {1, 1, 1, 1}, c[2] = {1, 1};
    float w[2];
    struct sl_error error;
    (void)state;
    assert_int_equal(linear_solve(h, 2, -1, c, 1, w, &error), -EDOM);
    assert_non_null(strstr(error.message, "calibration"));
}

// --- ranges

static void rounding_keeps_zero_exact(void **state)
{
    const struct range ranges[] = {{-0.278f, 5}, {0, 6}, {-3, 0}, {-1e-3f, 1000}, {0, 0}, {2, 3}};
    (void)state;
    for (size_t i = 0; i < sizeof(ranges) / sizeof(*ranges); i++) {
        const struct rounding r = range_rounding(ranges[i]);
        const float zero = 0;
        float out;
        round_values(r, &zero, &out, 1);
        assert_true(out == 0);
        assert_true(r.scale > 0 && r.zero_point >= 0 && r.zero_point <= 255);
    }
}

static void one_far_value_does_not_widen_the_range(void **state)
{
    struct tensor_group g = {.seen = {0, 100}};
    (void)state;
    g.bins = calloc(RANGE_BINS, sizeof(*g.bins));
    assert_non_null(g.bins);
    for (int i = 0; i < RANGE_BINS / 50; i++)
        g.bins[i] = 100000;
    g.bins[RANGE_BINS - 1] = 1;
    ranges_from_bins(&g);
    free(g.bins);
    assert_true(g.candidates[RANGE_MINMAX].high == 100);
    assert_true(g.candidates[RANGE_PERCENTILE].high < 3);
    assert_true(g.candidates[RANGE_SQUARED_ERROR].high < 60);
    for (int k = 0; k < RANGE_KINDS; k++)
        assert_true(g.candidates[k].low <= 0 && g.candidates[k].high > 1);
}

// --- files

static void a_folder_appears_whole_or_not_at_all(void **state)
{
    char base[] = "/tmp/workshop-XXXXXX", path[64], file[96];
    struct folder *f;
    struct stat info;
    struct sl_error error;
    (void)state;
    assert_non_null(mkdtemp(base));
    snprintf(path, sizeof(path), "%s/model", base);
    assert_int_equal(folder_begin(path, &f, &error), 0);
    assert_int_equal(folder_add(f, "golden/1.jpg", "abc", 3, &error), 0);
    assert_int_equal(stat(path, &info), -1);
    folder_end(f); // not committed
    assert_int_equal(rmdir(base), 0);
    assert_int_equal(mkdir(base, 0755), 0);
    assert_int_equal(folder_begin(path, &f, &error), 0);
    assert_int_equal(folder_add(f, "golden/1.jpg", "abc", 3, &error), 0);
    assert_int_equal(folder_commit(f, &error), 0);
    folder_end(f);
    snprintf(file, sizeof(file), "%s/golden/1.jpg", path);
    assert_int_equal(stat(file, &info), 0);
    assert_int_equal(info.st_size, 3);
    assert_int_equal(folder_begin(path, &f, &error), -EEXIST);
    assert_non_null(strstr(error.message, "there already"));
    unlink(file);
    snprintf(file, sizeof(file), "%s/golden", path);
    rmdir(file);
    rmdir(path);
    rmdir(base);
}

// --- weights in fewer bytes

// A 1x1 convolution of 32 channels, and its weights after a file in the given storage.
static void store(enum sl_weight_storage storage, const float *weights, float *found, size_t *size)
{
    static const uint32_t conv_inputs[] = {0, 1}, conv_outputs[] = {2};
    const struct sl_tensor tensors[] = {
        {.name = "x", .dtype = SL_F32, .rank = 4, .dims = {1, 32, 2, 2}, .bytes = 512},
        {.name = "w", .dtype = SL_F32, .rank = 4, .dims = {40, 32, 1, 1}, .bytes = 5120},
        {.name = "y", .dtype = SL_F32, .rank = 4, .dims = {1, 40, 2, 2}, .bytes = 640}};
    struct sl_tensor own[3];
    memcpy(own, tensors, sizeof(own));
    own[1].data = weights;
    const struct sl_node node = {.name = "conv",
                                 .op = SL_OP_CONV,
                                 .n_inputs = 2,
                                 .n_outputs = 1,
                                 .inputs = conv_inputs,
                                 .outputs = conv_outputs,
                                 .attrs.conv = {1, {1, 1}, {1, 1}, {1, 1}, {0}, {0}}};
    const struct sl_graph graph = {.version = SL_GRAPH_VERSION,
                                   .struct_size = sizeof(graph),
                                   .name = "one",
                                   .n_tensors = 3,
                                   .n_nodes = 1,
                                   .n_inputs = 1,
                                   .n_outputs = 1,
                                   .tensors = own,
                                   .nodes = &node,
                                   .inputs = conv_inputs,
                                   .outputs = conv_outputs};
    const struct sl_onnx_write_options options = {.weights = storage};
    struct sl_onnx *onnx = NULL;
    struct sl_error error = {""};
    void *bytes = NULL;
    if (sl_onnx_write(&graph, &options, &bytes, size, &error) < 0 ||
        sl_onnx_load(bytes, *size, NULL, &onnx, &error) < 0)
        fail_msg("%s", error.message);
    const struct sl_graph *g = sl_onnx_graph(onnx);
    assert_int_equal(g->n_nodes, 1);
    memcpy(found, g->tensors[g->nodes[0].inputs[1]].data, 5120);
    sl_onnx_free(onnx);
    free(bytes);
}

static void a_signal_leaves_no_half_folder(void **state)
{
    char base[] = "/tmp/workshop-XXXXXX", path[64];
    int status;
    (void)state;
    assert_non_null(mkdtemp(base));
    snprintf(path, sizeof(path), "%s/model", base);
    for (int early = 0; early < 2; early++) {
        const pid_t child = fork();
        if (child == 0) {
            struct folder *f;
            struct sl_error error;
            if (folder_begin(path, &f, &error) < 0)
                _exit(1);
            if (early)
                raise(SIGTERM);
            if (folder_add(f, "a", "abc", 3, &error) < 0)
                _exit(2);
            raise(SIGTERM);
            if (folder_commit(f, &error) != -EINTR)
                _exit(3);
            folder_end(f);
            _exit(4);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), SIGTERM);
    }
    assert_int_equal(rmdir(base), 0); // nothing is in it
}

static void weights_survive_their_storage(void **state)
{
    float weights[1280], found[1280];
    size_t plain, half, quarter;
    uint32_t seed = 3;
    (void)state;
    for (int i = 0; i < 1280; i++)
        weights[i] = next(&seed);
    store(SL_WEIGHTS_AS_THEY_ARE, weights, found, &plain);
    assert_memory_equal(weights, found, sizeof(weights));
    store(SL_WEIGHTS_FP16, weights, found, &half);
    for (int i = 0; i < 1280; i++)
        assert_true(fabsf(weights[i] - found[i]) <= fabsf(weights[i]) * 0x1p-11f + 0x1p-25f);
    store(SL_WEIGHTS_INT4, weights, found, &quarter);
    for (int i = 0; i < 1280; i++)
        assert_true(fabsf(weights[i] - found[i]) < 0.2f); // half a step, or cut off by the search
    assert_true(half < plain - 2400 && quarter < half);
}

// --- channels that carry the same numbers

static uint32_t add_map(struct graph *g, const char *name, const float *data, uint32_t rank,
                        const int64_t *dims)
{
    struct sl_error error;
    struct sl_tensor t = {.name = name, .dtype = SL_F32, .rank = rank, .data = data, .bytes = 4};
    uint32_t number;
    for (uint32_t i = 0; i < rank; i++) {
        t.dims[i] = dims[i];
        t.bytes *= (uint64_t)dims[i];
    }
    assert_int_equal(graph_add_tensor(g, &t, &number, &error), 0);
    return number;
}

static uint32_t add_op(struct graph *g, uint32_t op, const uint32_t *inputs, uint32_t n_inputs,
                       const struct sl_node *like, uint32_t rank, const int64_t *dims)
{
    struct sl_error error;
    struct sl_node node = *like;
    const uint32_t out = add_map(g, "map", NULL, rank, dims);
    node.name = "node";
    node.op = op;
    node.n_inputs = n_inputs;
    node.n_outputs = 1;
    node.inputs = inputs;
    node.outputs = &out;
    assert_int_equal(graph_add_node(g, &node, &error), 0);
    return out;
}

// Two convolutions, their channels concatenated and shuffled, and a convolution that reads them.
// `kind` is the activation of the first two.
static void make_shuffle(struct graph *g, uint32_t kind, const float *weights)
{
    static const int64_t in[] = {1, 2, 2, 2}, half[] = {1, 4, 2, 2}, all[] = {1, 8, 2, 2},
                         split[] = {1, 2, 4, 2, 2}, turned[] = {1, 4, 2, 2, 2}, w4[] = {4, 2, 1, 1},
                         w8[] = {2, 8, 1, 1}, out[] = {1, 2, 2, 2};
    const struct sl_node conv = {.attrs.conv = {1, {1, 1}, {1, 1}, {1, 1}, {0}, {0}},
                                 .activation.kind = kind};
    const struct sl_node last = {.attrs.conv = {1, {1, 1}, {1, 1}, {1, 1}, {0}, {0}}};
    const struct sl_node turn = {.attrs.perm = {0, 2, 1, 3, 4}}, plain = {.name = "plain"};
    const struct sl_node joined = {.attrs.axis = 1};
    struct sl_error error;
    graph_init(g, 1 << 20);
    const uint32_t x = add_map(g, "x", NULL, 4, in), wa = add_map(g, "wa", weights, 4, w4),
                   wb = add_map(g, "wb", weights, 4, w4), wc = add_map(g, "wc", weights, 4, w8);
    assert_int_equal(graph_add_input(g, x, &error), 0);
    const uint32_t a = add_op(g, SL_OP_CONV, (uint32_t[]){x, wa}, 2, &conv, 4, half);
    const uint32_t b = add_op(g, SL_OP_CONV, (uint32_t[]){x, wb}, 2, &conv, 4, half);
    uint32_t t = add_op(g, SL_OP_CONCAT, (uint32_t[]){a, b}, 2, &joined, 4, all);
    t = add_op(g, SL_OP_RESHAPE, &t, 1, &plain, 5, split);
    t = add_op(g, SL_OP_TRANSPOSE, &t, 1, &turn, 5, turned);
    t = add_op(g, SL_OP_RESHAPE, &t, 1, &plain, 4, all);
    t = add_op(g, SL_OP_CONV, (uint32_t[]){t, wc}, 2, &last, 4, out);
    assert_int_equal(graph_add_output(g, t, &error), 0);
}

static void classes_go_through_a_shuffle(void **state)
{
    const float weights[16] = {1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8};
    struct channel_classes c;
    struct graph g;
    struct sl_error error = {""};
    (void)state;
    make_shuffle(&g, SL_UNARY_RELU, weights);
    if (channel_classes_find(&g, &c, &error) < 0)
        fail_msg("%s", error.message);
    for (uint32_t i = 0; i < 4; i++) { // a0 b0 a1 b1 ...
        assert_int_equal(c.reads[6][2 * i], c.writes[0][i]);
        assert_int_equal(c.reads[6][2 * i + 1], c.writes[1][i]);
        assert_true(c.writes[0][i] > CHANNEL_FIXED && c.writes[0][i] != c.writes[1][i]);
    }
    for (uint32_t i = 0; i < 2; i++) { // the network's own input and output stay
        assert_int_equal(c.reads[0][i], CHANNEL_FIXED);
        assert_int_equal(c.writes[6][i], CHANNEL_FIXED);
    }
    channel_classes_free(&c);
    graph_free(&g);
}

static void sigmoid_keeps_its_channels_as_they_are(void **state)
{
    const float weights[16] = {1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8};
    struct channel_classes c;
    struct graph g;
    struct sl_error error = {""};
    (void)state;
    make_shuffle(&g, SL_UNARY_SIGMOID, weights);
    if (channel_classes_find(&g, &c, &error) < 0)
        fail_msg("%s", error.message);
    for (uint32_t i = 0; i < 8; i++)
        assert_int_equal(c.reads[6][i], CHANNEL_FIXED);
    channel_classes_free(&c);
    graph_free(&g);
}

// A channel that is a hundred times the others costs them nearly all their levels, until scaled.
static void scales_lower_the_expected_noise(void **state)
{
    const float weights[16] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    float values[32];
    struct noise_reader r = {.node = 0};
    struct graph g;
    struct sl_error error = {""};
    const uint32_t classes[8] = {2, 3, 4, 5, 6, 7, 8, 9};
    float scale[10] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    struct noise_ranges ranges = {.count = 1};
    (void)state;
    ranges.rows = calloc(1, sizeof(*ranges.rows));
    make_shuffle(&g, SL_UNARY_RELU, weights);
    assert_int_equal(noise_reader_open(&g, 6, classes, &r, &error), 0);
    for (int i = 0; i < 32; i++)
        values[i] = i / 4 == 3 ? 100 : 1;
    noise_reader_see(&g, &r, values, 1);
    noise_reader_finish(&r);
    const struct noise_reader *readers[] = {&r};
    const double before = noise_expected(readers, 1, scale, &ranges);
    scale[5] = 10;
    const double after = noise_expected(readers, 1, scale, &ranges);
    assert_true(after < 0.6 * before);
    assert_float_equal(noise_most(&r, 3), 100, 1e-6);
    noise_reader_close(&r);
    free(ranges.rows);
    graph_free(&g);
}

// --- scales that the file brings

static uint32_t add_rounded(struct graph *g, uint32_t from, float scale, const int64_t *dims)
{
    static const int32_t zero = 0;
    const struct sl_node plain = {.name = "plain"};
    struct sl_error error;
    const uint32_t q = add_op(g, SL_OP_QUANTIZE, &from, 1, &plain, 4, dims);
    g->tensors[q].dtype = SL_U8;
    g->tensors[q].bytes /= sizeof(float);
    assert_int_equal(graph_make_quant(g, 1, 0, &scale, &zero, &g->tensors[q].quant, &error), 0);
    return add_op(g, SL_OP_DEQUANTIZE, &q, 1, &plain, 4, dims);
}

// A convolution of the concatenation of the input rounded twice (scale 0: as it is). Returns how
// the range of the concatenation was chosen, and its scale.
static enum range_kind range_of_concatenation(const float scales[2], float *scale)
{
    enum { ROOM = 16 };
    static const int64_t in[] = {1, 2, 2, 2}, all[] = {1, 4, 2, 2}, w[] = {2, 4, 1, 1};
    static const float weights[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    static float picture[8] = {0, 1, 2, 3, 4, 5, 6, 255};
    float *pictures[] = {picture};
    const struct calibration calibration = {.count = 1, .elements = 8, .inputs = pictures};
    const struct quantize_options options = {.method = QUANTIZE_MINMAX};
    const struct sl_node joined = {.attrs.axis = 1};
    const struct sl_node conv = {.attrs.conv = {1, {1, 1}, {1, 1}, {1, 1}, {0}, {0}}};
    bool kept[ROOM] = {false}, wanted[ROOM];
    uint32_t parent[ROOM], ends[2];
    struct tensor_group groups[ROOM] = {0};
    struct quantize_report report = {0};
    struct graph g;
    struct sl_error error = {""};
    graph_init(&g, 1 << 20);
    const uint32_t x = add_map(&g, "x", NULL, 4, in), wc = add_map(&g, "w", weights, 4, w);
    assert_int_equal(graph_add_input(&g, x, &error), 0);
    for (int i = 0; i < 2; i++)
        ends[i] = scales[i] > 0 ? add_rounded(&g, x, scales[i], in) : x;
    const uint32_t both = add_op(&g, SL_OP_CONCAT, ends, 2, &joined, 4, all);
    const uint32_t y = add_op(&g, SL_OP_CONV, (uint32_t[]){both, wc}, 2, &conv, 4, in);
    assert_int_equal(graph_add_output(&g, y, &error), 0);
    struct plan plan = {.graph = &g,
                        .calibration = &calibration,
                        .options = &options,
                        .report = &report,
                        .kept = kept,
                        .wanted = wanted,
                        .parent = parent,
                        .groups = groups};
    assert_true(g.n_tensors <= ROOM);
    if (plan_tensors(&plan, &error) < 0 || ranges_find(&plan, &error) < 0)
        fail_msg("%s", error.message);
    const struct tensor_group *group = plan_group(&plan, both);
    *scale = group->rounding.scale;
    for (int i = 0; i < ROOM; i++)
        free(groups[i].bins);
    graph_free(&g);
    return group->chosen;
}

static void a_given_scale_clips_no_other_tensor(void **state)
{
    static const struct {
        float scales[2], found;
        enum range_kind chosen;
    } rows[] = {
        {{2, 0}, 2, RANGE_GIVEN},
        {{2, 2}, 2, RANGE_GIVEN},
        {{0.01f, 0}, 1, RANGE_MINMAX},
        {{0, 0.01f}, 1, RANGE_MINMAX},
        {{2, 0.01f}, 1.0f, RANGE_MINMAX}, // the widest that was seen is 255, rounded to 256 or 254
        {{0.01f, 0.01f}, 0.01f, RANGE_GIVEN},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        float scale;
        assert_int_equal(range_of_concatenation(rows[i].scales, &scale), rows[i].chosen);
        assert_float_equal(scale, rows[i].found, 0.01);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(least_squares_finds_the_weights),
        cmocka_unit_test(the_factor_is_that_of_the_inverse),
        cmocka_unit_test(equations_without_a_solution_are_refused),
        cmocka_unit_test(rounding_keeps_zero_exact),
        cmocka_unit_test(one_far_value_does_not_widen_the_range),
        cmocka_unit_test(a_folder_appears_whole_or_not_at_all),
        cmocka_unit_test(a_signal_leaves_no_half_folder),
        cmocka_unit_test(weights_survive_their_storage),
        cmocka_unit_test(classes_go_through_a_shuffle),
        cmocka_unit_test(sigmoid_keeps_its_channels_as_they_are),
        cmocka_unit_test(scales_lower_the_expected_noise),
        cmocka_unit_test(a_given_scale_clips_no_other_tensor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
