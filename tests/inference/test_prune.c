// Pruning on a network made by hand that has all that couples channels: a residual sum, slices, a
// depthwise layer, a concatenation, a channel shuffle, a constant per channel.
#include "inference/workshop/heads.h"
#include "inference/workshop/prune_impl.h"
#include "inference/workshop/tape.h"

#include "accel/tensor.h"
#include "inference/random.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SIDE = 8, CHANNELS = 8, PICTURES = 8 };

struct fixture {
    struct graph graph;
    struct calibration calibration;
    uint64_t seed;
    struct sl_error error;
};

static float value(struct fixture *f)
{
    return (float)(random_next(&f->seed) >> 40) * 0x1p-23f - 1;
}

static uint32_t add_tensor(struct fixture *f, const char *name, uint32_t rank, const int64_t *dims,
                           bool constant)
{
    struct sl_tensor t = {.name = name, .dtype = SL_F32, .rank = rank};
    uint32_t number;
    memcpy(t.dims, dims, rank * sizeof(*dims));
    t.bytes = (uint64_t)sl_elements(&t) * sizeof(float);
    if (constant) {
        float *data = pool_alloc(&f->graph.pool, t.bytes);
        assert_non_null(data);
        for (int64_t i = 0; i < sl_elements(&t); i++)
            data[i] = value(f);
        t.data = data;
    }
    assert_int_equal(graph_add_tensor(&f->graph, &t, &number, &f->error), 0);
    return number;
}

static uint32_t add_map(struct fixture *f, const char *name, int64_t channels)
{
    return add_tensor(f, name, 4, (int64_t[]){1, channels, SIDE, SIDE}, false);
}

static void add_node(struct fixture *f, struct sl_node node, const char *name, uint32_t output,
                     const uint32_t *inputs, uint32_t n)
{
    node.name = name;
    node.n_inputs = n;
    node.inputs = inputs;
    node.n_outputs = 1;
    node.outputs = &output;
    assert_int_equal(graph_add_node(&f->graph, &node, &f->error), 0);
}

static uint32_t add_conv(struct fixture *f, const char *name, uint32_t x, int64_t in, int64_t out,
                         int64_t side, bool depthwise, bool relu)
{
    const uint32_t y = add_map(f, name, out);
    const uint32_t inputs[] = {
        x, add_tensor(f, "w", 4, (int64_t[]){out, depthwise ? 1 : in, side, side}, true),
        add_tensor(f, "b", 1, &out, true)};
    struct sl_node node = {.op = SL_OP_CONV};
    node.activation.kind = relu ? SL_UNARY_RELU : SL_ACT_NONE;
    node.attrs.conv = (struct sl_conv_attrs){.group = depthwise ? in : 1,
                                             .kernel = {side, side},
                                             .stride = {1, 1},
                                             .dilation = {1, 1},
                                             .pad = {side / 2, side / 2, side / 2, side / 2}};
    add_node(f, node, name, y, inputs, 3);
    return y;
}

static uint32_t add_slice(struct fixture *f, const char *name, uint32_t x, int64_t first)
{
    const uint32_t y = add_map(f, name, CHANNELS / 2);
    struct sl_node node = {.op = SL_OP_SLICE};
    node.attrs.slice = (struct sl_slice_attrs){.start = {0, first, 0, 0}, .step = {1, 1, 1, 1}};
    add_node(f, node, name, y, &x, 1);
    return y;
}

static uint32_t add_shuffle(struct fixture *f, uint32_t x)
{
    const int64_t apart[] = {1, 2, CHANNELS / 2, SIDE, SIDE};
    const int64_t turned[] = {1, CHANNELS / 2, 2, SIDE, SIDE};
    const uint32_t a = add_tensor(f, "apart", 5, apart, false);
    const uint32_t b = add_tensor(f, "turned", 5, turned, false);
    const uint32_t y = add_map(f, "shuffled", CHANNELS);
    struct sl_node transpose = {.op = SL_OP_TRANSPOSE, .attrs = {.perm = {0, 2, 1, 3, 4}}};
    add_node(f, (struct sl_node){.op = SL_OP_RESHAPE}, "apart", a, &x, 1);
    add_node(f, transpose, "turn", b, &a, 1);
    add_node(f, (struct sl_node){.op = SL_OP_RESHAPE}, "together", y, &b, 1);
    return y;
}

// The same with rows and columns as one dimension and none for the picture.
static uint32_t add_flat_shuffle(struct fixture *f, uint32_t x)
{
    const int64_t apart[] = {CHANNELS / 2, 2, SIDE * SIDE};
    const int64_t turned[] = {2, CHANNELS / 2, SIDE * SIDE};
    const uint32_t a = add_tensor(f, "flat", 3, apart, false);
    const uint32_t b = add_tensor(f, "flat_turned", 3, turned, false);
    const uint32_t y = add_map(f, "flat_shuffled", CHANNELS);
    struct sl_node transpose = {.op = SL_OP_TRANSPOSE, .attrs = {.perm = {1, 0, 2}}};
    add_node(f, (struct sl_node){.op = SL_OP_RESHAPE}, "flatten", a, &x, 1);
    add_node(f, transpose, "flat_turn", b, &a, 1);
    add_node(f, (struct sl_node){.op = SL_OP_RESHAPE}, "unflatten", y, &b, 1);
    return y;
}

static uint32_t add_binary(struct fixture *f, const char *name, uint32_t kind, uint32_t a,
                           uint32_t b)
{
    const uint32_t y = add_map(f, name, CHANNELS), inputs[] = {a, b};
    struct sl_node node = {.op = SL_OP_BINARY};
    node.attrs.binary = kind;
    add_node(f, node, name, y, inputs, 2);
    return y;
}

static void build(struct fixture *f)
{
    graph_init(&f->graph, 1 << 26);
    f->seed = 7;
    const uint32_t x = add_map(f, "x", 3);
    assert_int_equal(graph_add_input(&f->graph, x, &f->error), 0);
    const uint32_t stem = add_conv(f, "stem", x, 3, CHANNELS, 3, false, true);
    const uint32_t left = add_slice(f, "left", stem, 0);
    const uint32_t right = add_slice(f, "right", stem, CHANNELS / 2);
    const uint32_t deep = add_conv(f, "deep", right, 4, 4, 3, true, false);
    const uint32_t point = add_conv(f, "point", deep, 4, 4, 1, false, true);
    const uint32_t joined = add_map(f, "joined", CHANNELS), both[] = {left, point};
    add_node(f, (struct sl_node){.op = SL_OP_CONCAT, .attrs = {.axis = 1}}, "joined", joined, both,
             2);
    const uint32_t shuffled = add_flat_shuffle(f, add_shuffle(f, joined));
    const uint32_t mixed = add_conv(f, "mixed", shuffled, CHANNELS, CHANNELS, 3, false, false);
    const uint32_t sum = add_binary(f, "sum", SL_BINARY_ADD, mixed, stem);
    const uint32_t scale = add_tensor(f, "scale", 4, (int64_t[]){1, CHANNELS, 1, 1}, true);
    const uint32_t scaled = add_binary(f, "scaled", SL_BINARY_MUL, sum, scale);
    const uint32_t head = add_conv(f, "head", scaled, CHANNELS, 2, 1, false, false);
    assert_int_equal(graph_add_output(&f->graph, head, &f->error), 0);
}

static int begin(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    *state = f;
    build(f);
    f->calibration.count = PICTURES;
    f->calibration.elements = 3 * SIDE * SIDE;
    f->calibration.inputs = calloc(PICTURES, sizeof(float *));
    for (int p = 0; p < PICTURES; p++) {
        f->calibration.inputs[p] = malloc(f->calibration.elements * sizeof(float));
        for (uint64_t i = 0; i < f->calibration.elements; i++)
            f->calibration.inputs[p][i] = value(f);
    }
    return 0;
}

static int end(void **state)
{
    struct fixture *f = *state;
    graph_free(&f->graph);
    calibration_free(&f->calibration);
    free(f);
    return 0;
}

static uint32_t tensor_named(const struct graph *g, const char *name)
{
    uint32_t found = g->n_tensors;
    for (uint32_t t = 0; t < g->n_tensors; t++)
        if (!strcmp(g->tensors[t].name, name) && !g->tensors[t].data)
            found = t;
    assert_true(found < g->n_tensors);
    return found;
}

static void couples_channels(void **state)
{
    struct fixture *f = *state;
    struct channels c;
    assert_int_equal(channels_find(&f->graph, &c, &f->error), 0);
    const uint32_t stem = tensor_named(&f->graph, "stem"), sum = tensor_named(&f->graph, "sum");
    const uint32_t mixed = tensor_named(&f->graph, "mixed");
    const uint32_t deep = tensor_named(&f->graph, "deep");
    const uint32_t shuffled = tensor_named(&f->graph, "shuffled");
    const uint32_t again = tensor_named(&f->graph, "flat_shuffled");
    for (uint32_t i = 0; i < CHANNELS; i++) {
        assert_int_equal(channels_slot(&c, stem, i), channels_slot(&c, sum, i));
        assert_int_equal(channels_slot(&c, stem, i), channels_slot(&c, mixed, i));
        assert_null(c.fixed_by[channels_slot(&c, stem, i)]);
    }
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(channels_slot(&c, deep, i), channels_slot(&c, stem, 4 + i));
        assert_int_equal(channels_plane(&c, shuffled, 2 * i).tensor, stem);
        assert_int_equal(channels_plane(&c, shuffled, 2 * i).channel, i);
        assert_int_equal(channels_slot(&c, again, i), channels_slot(&c, shuffled, 2 * i));
        assert_int_equal(channels_slot(&c, again, 4 + i), channels_slot(&c, shuffled, 2 * i + 1));
    }
    assert_string_equal(c.fixed_by[channels_slot(&c, tensor_named(&f->graph, "head"), 0)],
                        "the network's output");
    assert_string_equal(c.fixed_by[channels_slot(&c, f->graph.inputs[0], 0)],
                        "the network's input");
    channels_free(&c);
}

struct outputs {
    float values[PICTURES][2 * SIDE * SIDE];
};

static int keep(void *ctx, uint32_t picture, const float *const *values, struct sl_error *error)
{
    struct outputs *o = ctx;
    (void)error;
    memcpy(o->values[picture], values[0], sizeof(o->values[picture]));
    return 0;
}

static void run(struct fixture *f, const struct graph *g, struct outputs *out)
{
    const int status =
        calibration_run(g, &f->calibration, g->outputs, g->n_outputs, keep, out, &f->error);
    if (status < 0)
        fail_msg("%s", f->error.message);
}

// What is cut computes what it computed with the weights of the channels at 0, whatever goes.
static void cuts_what_is_gone_and_nothing_else(void **state)
{
    struct fixture *f = *state;
    for (int trial = 0; trial < 20; trial++) {
        struct prune_options options = {.refit = false};
        struct prune_report report = {0};
        struct prune_plan plan = {.graph = &f->graph,
                                  .calibration = &f->calibration,
                                  .options = &options,
                                  .report = &report};
        struct graph masked, cut;
        struct outputs a, b;
        uint32_t layer[64], gone = 0;
        memset(layer, 0xff, sizeof(layer));
        plan.layer = layer;
        assert_int_equal(channels_find(&f->graph, &plan.channels, &f->error), 0);
        for (uint32_t s = 0; s < plan.channels.n_slots; s++)
            if (plan.channels.parent[s] == s && !plan.channels.fixed_by[s] &&
                random_below(&f->seed, 3) == 0 && gone < 5) {
                plan.channels.gone[s] = true;
                gone++;
            }
        assert_int_equal(prune_refit(&plan, &masked, &f->error), 0);
        assert_int_equal(prune_cut(&plan, &masked, &cut, &f->error), 0);
        run(f, &masked, &a);
        run(f, &cut, &b);
        for (int p = 0; p < PICTURES; p++)
            for (int i = 0; i < 2 * SIDE * SIDE; i++)
                assert_true(fabsf(a.values[p][i] - b.values[p][i]) < 1e-3f);
        graph_free(&masked);
        graph_free(&cut);
        channels_free(&plan.channels);
    }
}

// A channel that is a copy of another goes first, and nothing is lost: the other takes its part.
static void finds_what_can_be_made_up_for(void **state)
{
    struct fixture *f = *state;
    struct network network = {.graph = f->graph};
    struct prune_options options = {.remove = 0.05, .granule = 1, .refit = true};
    struct prune_report report = {0};
    struct outputs before, after;
    const struct sl_node *stem = &f->graph.nodes[0], *point = NULL;
    for (uint32_t n = 0; n < f->graph.n_nodes; n++)
        if (!strcmp(f->graph.nodes[n].name, "point"))
            point = &f->graph.nodes[n];
    assert_non_null(point);
    assert_string_equal(stem->name, "stem");
    float *w = (float *)(uintptr_t)f->graph.tensors[point->inputs[1]].data;
    float *b = (float *)(uintptr_t)f->graph.tensors[point->inputs[2]].data;
    memcpy(w + 4, w, 4 * sizeof(*w)); // output 1 of `point` becomes output 0
    b[1] = b[0] = 1;
    pool_init(&network.constants, 1 << 20);
    run(f, &f->graph, &before);
    assert_int_equal(prune_network(&network, &f->calibration, &options, &report, &f->error), 0);
    f->graph = network.graph;
    run(f, &f->graph, &after);
    for (uint32_t i = 0; i < report.n_layers; i++)
        if (!strcmp(report.layers[i].name, "point"))
            assert_int_equal(report.layers[i].out, 3);
    double signal = 0, noise = 0;
    for (int p = 0; p < PICTURES; p++)
        for (int i = 0; i < 2 * SIDE * SIDE; i++) {
            signal += pow((double)before.values[p][i], 2);
            noise += pow((double)(before.values[p][i] - after.values[p][i]), 2);
        }
    assert_true(noise < 1e-4 * signal);
    prune_report_free(&report);
    pool_free(&network.constants);
}

static void refuses_what_cannot_be_reached(void **state)
{
    struct fixture *f = *state;
    struct network network = {.graph = f->graph};
    struct prune_options options = {.remove = 0.999, .granule = 4, .refit = true};
    struct prune_report report = {0};
    assert_int_equal(prune_network(&network, &f->calibration, &options, &report, &f->error),
                     -ERANGE);
    assert_non_null(strstr(f->error.message, "is the most"));
    const struct prune_time strange = {"nobody", 3};
    options = (struct prune_options){.remove = 0.5, .times = &strange, .n_times = 1};
    assert_int_equal(prune_network(&network, &f->calibration, &options, &report, &f->error),
                     -EINVAL);
    assert_non_null(strstr(f->error.message, "no time of any node"));
}

static void refuses_batches(void **state)
{
    struct fixture *f = *state;
    struct channels c;
    f->graph.tensors[f->graph.inputs[0]].dims[0] = 2;
    assert_int_equal(channels_find(&f->graph, &c, &f->error), -ENOTSUP);
    assert_non_null(strstr(f->error.message, "batches of 2"));
}

// --- the tape

// Pooling, padding, enlarging, slices of pixels and an activation that is smooth.
static void build_other(struct fixture *f)
{
    const int64_t half = SIDE / 2;
    graph_free(&f->graph);
    graph_init(&f->graph, 1 << 26);
    const uint32_t x = add_map(f, "x", 3);
    assert_int_equal(graph_add_input(&f->graph, x, &f->error), 0);
    const uint32_t stem = add_conv(f, "stem", x, 3, CHANNELS, 3, false, false);
    f->graph.nodes[0].activation.kind = SL_UNARY_SILU;
    const uint32_t most = add_tensor(f, "most", 4, (int64_t[]){1, CHANNELS, half, half}, false);
    const uint32_t mean = add_tensor(f, "mean", 4, (int64_t[]){1, CHANNELS, half, half}, false);
    const uint32_t odd = add_tensor(f, "odd", 4, (int64_t[]){1, CHANNELS, half, half}, false);
    struct sl_node pool = {.op = SL_OP_MAX_POOL};
    pool.attrs.pool =
        (struct sl_pool_attrs){.kernel = {2, 2}, .stride = {2, 2}, .dilation = {1, 1}};
    add_node(f, pool, "most", most, &stem, 1);
    pool.op = SL_OP_AVERAGE_POOL;
    pool.attrs.pool = (struct sl_pool_attrs){
        .kernel = {3, 3}, .stride = {2, 2}, .dilation = {1, 1}, .pad = {1, 1, 0, 0}};
    add_node(f, pool, "mean", mean, &stem, 1);
    struct sl_node cut = {.op = SL_OP_SLICE};
    cut.attrs.slice = (struct sl_slice_attrs){.start = {0, 0, 1, 0}, .step = {1, 1, 2, 2}};
    add_node(f, cut, "odd", odd, &stem, 1);
    const uint32_t sum = add_tensor(f, "both", 4, (int64_t[]){1, CHANNELS, half, half}, false);
    struct sl_node add = {.op = SL_OP_BINARY}, mul = {.op = SL_OP_BINARY};
    add.attrs.binary = SL_BINARY_ADD;
    mul.attrs.binary = SL_BINARY_MUL;
    add_node(f, add, "both", sum, (uint32_t[]){most, mean}, 2);
    const uint32_t product =
        add_tensor(f, "product", 4, (int64_t[]){1, CHANNELS, half, half}, false);
    add_node(f, mul, "product", product, (uint32_t[]){sum, odd}, 2);
    struct sl_node wider = {.op = SL_OP_RESIZE};
    wider.attrs.resize = (struct sl_resize_attrs){.mode = SL_RESIZE_NEAREST,
                                                  .coordinates = SL_RESIZE_ASYMMETRIC,
                                                  .rounding = SL_RESIZE_FLOOR,
                                                  .scale = {1, 1, 2, 2}};
    const uint32_t wide = add_map(f, "wide", CHANNELS);
    add_node(f, wider, "wide", wide, &product, 1);
    struct sl_node around = {.op = SL_OP_PAD, .attrs = {.pad = {.mode = SL_PAD_CONSTANT}}};
    around.attrs.pad.before[2] = around.attrs.pad.after[3] = 1;
    around.attrs.pad.after[2] = around.attrs.pad.before[3] = -1;
    around.attrs.pad.value = 0.5f;
    const uint32_t padded = add_map(f, "padded", CHANNELS);
    add_node(f, around, "padded", padded, &wide, 1);
    const uint32_t head = add_conv(f, "head", padded, CHANNELS, 2, 1, false, false);
    assert_int_equal(graph_add_output(&f->graph, head, &f->error), 0);
}

static void set_layers(struct tape *tape)
{
    for (uint32_t i = 0; i < tape->n_layers; i++) {
        struct tape_layer *l = &tape->layers[i];
        const struct sl_node *node = &tape->graph->nodes[l->node];
        l->weights = (float *)(uintptr_t)tape->graph->tensors[node->inputs[1]].data;
        l->biases = (float *)(uintptr_t)tape->graph->tensors[node->inputs[2]].data;
    }
}

// A loss: the head's values, each times a number of its own.
static double loss_of(struct tape *tape, uint32_t head)
{
    double sum = 0;
    tape_forward(tape);
    for (int i = 0; i < 2 * SIDE * SIDE; i++)
        sum += (double)(tape->maps[head].value[i] * sinf((float)i));
    return sum;
}

static void check_derivatives(struct tape *tape, uint32_t head, float *at, float found)
{
    const float before = *at, h = 2e-2f * fmaxf(0.1f, fabsf(before));
    *at = before + h;
    const double more = loss_of(tape, head);
    *at = before - h;
    const double less = loss_of(tape, head);
    *at = before;
    const double slope = (more - less) / (2 * (double)h);
    assert_true(fabs(slope - (double)found) < 0.03 * fabs(slope) + 0.3);
}

static void check_tape(struct fixture *f)
{
    struct tape tape;
    struct outputs want;
    uint32_t heads[4], count;
    assert_int_equal(heads_find(&f->graph, heads, &count, 4, &f->error), 0);
    assert_int_equal(count, 1);
    assert_int_equal(heads[0], f->graph.outputs[0]);
    if (tape_open(&f->graph, heads, count, SIDE, SIDE, true, &tape, &f->error) < 0)
        fail_msg("%s", f->error.message);
    set_layers(&tape);
    run(f, &f->graph, &want);
    for (int p = 0; p < PICTURES; p++) {
        memcpy(tape.maps[f->graph.inputs[0]].value, f->calibration.inputs[p],
               f->calibration.elements * sizeof(float));
        tape_forward(&tape);
        for (int i = 0; i < 2 * SIDE * SIDE; i++)
            assert_true(fabsf(tape.maps[heads[0]].value[i] - want.values[p][i]) <
                        1e-3f * fmaxf(1, fabsf(want.values[p][i])));
    }
    tape_clear_grads(&tape);
    for (int i = 0; i < 2 * SIDE * SIDE; i++)
        tape.maps[heads[0]].grad[i] = sinf((float)i);
    tape_backward(&tape);
    for (uint32_t l = 0; l < tape.n_layers; l++) {
        struct tape_layer *layer = &tape.layers[l];
        check_derivatives(&tape, heads[0], &layer->biases[0], layer->bias_grads[0]);
        for (uint64_t k = 0; k < layer->n_weights; k += 7)
            check_derivatives(&tape, heads[0], &layer->weights[k], layer->weight_grads[k]);
    }
    tape_close(&tape);
}

static void derives_what_it_computes(void **state)
{
    struct fixture *f = *state;
    // Bends of ReLU make differences and derivatives differ: without it for this.
    for (uint32_t n = 0; n < f->graph.n_nodes; n++)
        if (f->graph.nodes[n].activation.kind == SL_UNARY_RELU)
            f->graph.nodes[n].activation.kind = SL_UNARY_SILU;
    check_tape(f);
    build_other(f);
    check_tape(f);
}

static void names_what_it_cannot_derive(void **state)
{
    struct fixture *f = *state;
    struct tape tape;
    uint32_t heads[4], count;
    assert_int_equal(heads_find(&f->graph, heads, &count, 4, &f->error), 0);
    for (uint32_t n = 0; n < f->graph.n_nodes; n++)
        if (!strcmp(f->graph.nodes[n].name, "sum"))
            f->graph.nodes[n].attrs.binary = SL_BINARY_POW;
    assert_int_equal(tape_open(&f->graph, heads, count, SIDE, SIDE, true, &tape, &f->error),
                     -ENOTSUP);
    assert_non_null(strstr(f->error.message, "'sum'"));
}

// --- tuning

static void turns_patches(void **state)
{
    enum { HEIGHT = 7, WIDTH = 9 };
    const int64_t size[] = {2, HEIGHT, WIDTH}, sides[2][2] = {{4, 4}, {3, 5}};
    float picture[2 * HEIGHT * WIDTH], found[2 * 16];
    (void)state;
    for (int i = 0; i < 2 * HEIGHT * WIDTH; i++)
        picture[i] = (float)i;
    for (uint32_t turn = 0; turn < 8 + 4; turn++) { // a patch that is not square has four
        const struct tune_patch patch = {.top = 2, .left = 3, .turn = turn % 8};
        const int64_t *side = sides[turn / 8];
        tune_cut_patch(picture, size, &patch, side, found);
        for (int64_t i = 0; i < 2 * side[0] * side[1]; i++) {
            const int64_t c = i / (side[0] * side[1]);
            int64_t row = i / side[1] % side[0], column = i % side[1];
            row = turn & 1 ? side[0] - 1 - row : row;
            column = turn & 2 ? side[1] - 1 - column : column;
            const int64_t down = turn & 4 ? column : row, right = turn & 4 ? row : column;
            const int64_t at = (c * HEIGHT + 2 + down) * WIDTH + 3 + right;
            assert_true(found[i] >= (float)at && found[i] <= (float)at);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(couples_channels, begin, end),
        cmocka_unit_test_setup_teardown(cuts_what_is_gone_and_nothing_else, begin, end),
        cmocka_unit_test_setup_teardown(finds_what_can_be_made_up_for, begin, end),
        cmocka_unit_test_setup_teardown(refuses_what_cannot_be_reached, begin, end),
        cmocka_unit_test_setup_teardown(refuses_batches, begin, end),
        cmocka_unit_test_setup_teardown(derives_what_it_computes, begin, end),
        cmocka_unit_test_setup_teardown(names_what_it_cannot_derive, begin, end),
        cmocka_unit_test(turns_patches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
