// Heads: every family against numbers worked out by hand, and what they refuse.
#include "inference/head.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define FLOOR 0.1f

// A model with an input of 64 x 64, two classes and outputs of the test's choice.
struct fixture {
    struct sl_model model;
    struct sl_graph graph;
    struct sl_tensor tensors[4];
    uint32_t numbers[4];
    float *data[4];
    struct sl_head *head;
    struct sl_candidates found;
    struct sl_error error;
};

static const char *const names[4] = {"a", "b", "c", "d"};

static void describe(struct fixture *f, uint32_t type, uint32_t n_strides, const uint32_t *strides)
{
    memset(f, 0, sizeof(*f));
    f->model.input.width = f->model.input.height = 64;
    f->model.n_classes = 2;
    f->model.head.type = type;
    f->model.head.n_strides = n_strides;
    memcpy(f->model.head.strides, strides, n_strides * sizeof(*strides));
    f->model.head.peak_window = 3;
    f->model.graph = &f->graph;
    f->graph.tensors = f->tensors;
    f->graph.outputs = f->numbers;
    f->found.limit = SL_MAX_CANDIDATES;
}

static float *add_output(struct fixture *f, uint32_t rank, const int64_t *dims, float value)
{
    const uint32_t i = f->graph.n_outputs++;
    size_t count = 1;
    struct sl_tensor *t = &f->tensors[i];
    t->name = names[i];
    t->dtype = SL_F32;
    t->rank = rank;
    for (uint32_t k = 0; k < rank; k++) {
        t->dims[k] = dims[k];
        count *= (size_t)dims[k];
    }
    f->numbers[i] = i;
    f->graph.n_tensors = f->graph.n_outputs;
    f->model.head.outputs[i] = names[i];
    f->model.head.n_outputs = f->graph.n_outputs;
    f->data[i] = malloc(count * sizeof(float));
    assert_non_null(f->data[i]);
    for (size_t k = 0; k < count; k++)
        f->data[i][k] = value;
    return f->data[i];
}

static int make(struct fixture *f)
{
    return sl_head_new(&f->model, &f->head, &f->error);
}

static void run(struct fixture *f)
{
    if (!f->head)
        assert_int_equal(make(f), 0);
    sl_head_decode(f->head, (const float *const *)f->data, FLOOR, &f->found);
}

static void clear(struct fixture *f)
{
    sl_head_free(f->head);
    for (int i = 0; i < 4; i++)
        free(f->data[i]);
}

static void expect(const struct sl_detection *d, float x1, float y1, float x2, float y2,
                   float score, uint32_t class_id)
{
    assert_float_equal(d->x1, x1, 1e-3);
    assert_float_equal(d->y1, y1, 1e-3);
    assert_float_equal(d->x2, x2, 1e-3);
    assert_float_equal(d->y2, y2, 1e-3);
    assert_float_equal(d->score, score, 1e-4);
    assert_int_equal(d->class_id, class_id);
}

static const float bad_values[] = {NAN, INFINITY, -INFINITY, 3e38f, -3e38f};

// Puts every bad value at every place of every output: nothing that is not finite may come out.
static void nothing_bad_comes_out(struct fixture *f)
{
    for (uint32_t o = 0; o < f->graph.n_outputs; o++) {
        size_t count = 1;
        for (uint32_t k = 0; k < f->tensors[o].rank; k++)
            count *= (size_t)f->tensors[o].dims[k];
        for (size_t b = 0; b < sizeof(bad_values) / sizeof(bad_values[0]); b++) {
            for (size_t i = 0; i < count; i++) {
                const float old = f->data[o][i];
                f->data[o][i] = bad_values[b];
                run(f);
                for (uint32_t k = 0; k < f->found.count; k++) {
                    const struct sl_detection *d = &f->found.rows[k];
                    assert_true(isfinite(d->x1) && isfinite(d->y1) && isfinite(d->x2) &&
                                isfinite(d->y2) && isfinite(d->score));
                    assert_true(d->x1 < d->x2 && d->y1 < d->y2);
                    assert_true(d->class_id < f->model.n_classes);
                }
                f->data[o][i] = old;
            }
        }
    }
}

// --- centre

static void centre_fixture(struct fixture *f, float **logits, float **boxes)
{
    const uint32_t stride = 16; // a grid of 4 x 4
    describe(f, SL_HEAD_CENTRE, 1, &stride);
    *logits = add_output(f, 4, (const int64_t[]){1, 2, 4, 4}, -10);
    *boxes = add_output(f, 4, (const int64_t[]){1, 4, 4, 4}, 0.5f);
}

static void centre_decodes_the_peak(void **state)
{
    (void)state;
    struct fixture f;
    float *logits, *boxes;
    centre_fixture(&f, &logits, &boxes);
    // Cell (row 1, column 2), class 1, logit 0: its centre is at (40, 24).
    logits[16 + 1 * 4 + 2] = 0;
    logits[16 + 1 * 4 + 3] = -1; // its weaker neighbour is no peak
    boxes[0 * 16 + 6] = 0.25f;
    boxes[1 * 16 + 6] = 0.5f;
    boxes[2 * 16 + 6] = 1;
    boxes[3 * 16 + 6] = 1.5f;
    run(&f);
    assert_int_equal(f.found.count, 1);
    expect(&f.found.rows[0], 36, 16, 56, 48, 0.5f, 1);
    clear(&f);
}

static void centre_suppresses_by_the_window(void **state)
{
    (void)state;
    struct fixture f;
    float *logits, *boxes;
    centre_fixture(&f, &logits, &boxes);
    logits[0] = 2;      // corner, class 0
    logits[16 + 1] = 3; // its neighbour in the other class is higher
    logits[2] = 1;      // within a window of 3 of that one
    logits[15] = 1;     // far away
    run(&f);
    assert_int_equal(f.found.count, 2);
    assert_int_equal(f.found.rows[0].class_id, 1);
    assert_float_equal(f.found.rows[0].score, 1 / (1 + expf(-3)), 1e-5);
    assert_float_equal(f.found.rows[1].score, 1 / (1 + expf(-1)), 1e-5);

    f.model.head.peak_window = 1; // every cell is its own peak
    run(&f);
    assert_int_equal(f.found.count, 4);
    clear(&f);
}

static void centre_keeps_the_floor(void **state)
{
    (void)state;
    struct fixture f;
    float *logits, *boxes;
    centre_fixture(&f, &logits, &boxes);
    logits[5] = logf(0.0999f / 0.9001f);
    run(&f);
    assert_int_equal(f.found.count, 0);
    logits[5] = logf(0.1001f / 0.8999f);
    run(&f);
    assert_int_equal(f.found.count, 1);
    clear(&f);
}

static void centre_works_on_several_strides(void **state)
{
    (void)state;
    const uint32_t strides[] = {16, 32};
    struct fixture f;
    describe(&f, SL_HEAD_CENTRE, 2, strides);
    float *fine = add_output(&f, 4, (const int64_t[]){1, 2, 4, 4}, -10);
    add_output(&f, 4, (const int64_t[]){1, 4, 4, 4}, 0.5f);
    float *coarse = add_output(&f, 4, (const int64_t[]){1, 2, 2, 2}, -10);
    add_output(&f, 4, (const int64_t[]){1, 4, 2, 2}, 0.5f);
    fine[0] = 1;
    coarse[3] = 2;
    run(&f);
    assert_int_equal(f.found.count, 2);
    expect(&f.found.rows[0], 32, 32, 64, 64, 0.880797f, 0);
    expect(&f.found.rows[1], 0, 0, 16, 16, 0.731059f, 0);
    clear(&f);
}

static void centre_never_reports_what_is_not_finite(void **state)
{
    (void)state;
    struct fixture f;
    float *logits, *boxes;
    centre_fixture(&f, &logits, &boxes);
    logits[5] = 1;
    nothing_bad_comes_out(&f);
    // An infinite logit is a broken network, not a certain defect.
    logits[5] = INFINITY;
    run(&f);
    assert_int_equal(f.found.count, 0);
    clear(&f);
}

static void centre_refuses_other_shapes(void **state)
{
    (void)state;
    const uint32_t stride = 16;
    struct fixture f;
    describe(&f, SL_HEAD_CENTRE, 1, &stride);
    add_output(&f, 4, (const int64_t[]){1, 3, 4, 4}, 0); // three classes, not two
    add_output(&f, 4, (const int64_t[]){1, 4, 4, 4}, 0);
    assert_int_equal(make(&f), -EINVAL);
    assert_non_null(strstr(f.error.message, "1 x 2 classes x 4 x 4"));
    assert_non_null(strstr(f.error.message, "1 x 3 x 4 x 4"));
    assert_non_null(strstr(f.error.message, "'a'"));
    f.tensors[0].dims[1] = 2;
    f.tensors[1].rank = 3;
    assert_int_equal(make(&f), -EINVAL);
    assert_non_null(strstr(f.error.message, "'b'"));
    f.tensors[1].rank = 4;
    f.model.head.n_outputs = 1;
    assert_int_equal(make(&f), -EINVAL);
    assert_null(f.head);
    clear(&f);
}

// --- yolox

static void yolox_decodes_the_grid(void **state)
{
    (void)state;
    const uint32_t strides[] = {16, 32}; // 16 cells, then 4
    struct fixture f;
    describe(&f, SL_HEAD_YOLOX, 2, strides);
    float *rows = add_output(&f, 3, (const int64_t[]){1, 20, 7}, 0);
    // Cell (row 1, column 2) of stride 16: centre ((2 + 0.5) 16, (1 + 0.25) 16) = (40, 20), size
    // (16 e^0, 16 e^ln2) = (16, 32), score 0.8 * 0.5.
    memcpy(rows + 6 * 7, (float[]){0.5f, 0.25f, 0, 0.693147f, 0.8f, 0.1f, 0.5f}, 7 * sizeof(float));
    // Cell (row 0, column 1) of stride 32: centre (32, 0), size (32, 32), score 0.9 * 0.9.
    memcpy(rows + 17 * 7, (float[]){0, 0, 0, 0, 0.9f, 0.9f, 0}, 7 * sizeof(float));
    // High objectness and no class: below the floor.
    memcpy(rows + 3 * 7, (float[]){0, 0, 0, 0, 0.9f, 0.05f, 0.1f}, 7 * sizeof(float));
    run(&f);
    assert_int_equal(f.found.count, 2);
    expect(&f.found.rows[0], 16, -16, 48, 16, 0.81f, 0);
    expect(&f.found.rows[1], 32, 4, 48, 36, 0.4f, 1);
    nothing_bad_comes_out(&f);
    clear(&f);
}

static void yolox_refuses_other_row_counts(void **state)
{
    (void)state;
    const uint32_t stride = 16;
    struct fixture f;
    describe(&f, SL_HEAD_YOLOX, 1, &stride);
    add_output(&f, 3, (const int64_t[]){1, 15, 7}, 0);
    assert_int_equal(make(&f), -EINVAL);
    assert_non_null(strstr(f.error.message, "1 x 16 x 7"));
    f.tensors[0].dims[1] = 16;
    f.tensors[0].dims[2] = 85;
    assert_int_equal(make(&f), -EINVAL);
    clear(&f);
}

// --- yolov5

static void set_anchors(struct fixture *f)
{
    f->model.head.n_anchors = 2;
    f->model.head.anchors[0][0][0] = 10;
    f->model.head.anchors[0][0][1] = 12;
    f->model.head.anchors[0][1][0] = 20;
    f->model.head.anchors[0][1][1] = 8;
}

// Anchor 1, cell (row 0, column 1) of stride 32. sigmoid(0) = 0.5, so the centre is at
// (1 + 2 0.5 - 0.5, 0.5) 32 = (48, 16); sigmoid(ln 3) = 0.75 gives a width of (1.5)^2 20 = 45.
static const float v5_cell[7] = {0, 0, 1.0986123f, 0, 4, -9, 4};
static const float v5_score = 0.982014f * 0.982014f;

static void yolov5_decodes_raw_planes(void **state)
{
    (void)state;
    const uint32_t stride = 32;
    struct fixture f;
    describe(&f, SL_HEAD_YOLOV5, 1, &stride);
    set_anchors(&f);
    float *v = add_output(&f, 4, (const int64_t[]){1, 14, 2, 2}, -9);
    for (int i = 0; i < 7; i++)
        v[(7 + i) * 4 + 1] = v5_cell[i];
    run(&f);
    assert_int_equal(f.found.count, 1);
    expect(&f.found.rows[0], 48 - 22.5f, 12, 48 + 22.5f, 20, v5_score, 1);
    nothing_bad_comes_out(&f);
    v[(7 + 4) * 4 + 1] = INFINITY;
    run(&f);
    assert_int_equal(f.found.count, 0);
    clear(&f);
}

static void yolov5_decodes_raw_rows(void **state)
{
    (void)state;
    const uint32_t stride = 32;
    struct fixture f;
    describe(&f, SL_HEAD_YOLOV5, 1, &stride);
    set_anchors(&f);
    float *v = add_output(&f, 5, (const int64_t[]){1, 2, 2, 2, 7}, -9);
    memcpy(v + (1 * 4 + 1) * 7, v5_cell, sizeof(v5_cell));
    run(&f);
    assert_int_equal(f.found.count, 1);
    expect(&f.found.rows[0], 48 - 22.5f, 12, 48 + 22.5f, 20, v5_score, 1);
    nothing_bad_comes_out(&f);
    clear(&f);
}

static void yolov5_takes_decoded_rows(void **state)
{
    (void)state;
    const uint32_t stride = 32;
    struct fixture f;
    describe(&f, SL_HEAD_YOLOV5, 1, &stride);
    set_anchors(&f);
    float *rows = add_output(&f, 3, (const int64_t[]){1, 8, 7}, 0);
    memcpy(rows + 5 * 7, (float[]){30, 20, 10, 6, 0.5f, 0.6f, 0.9f}, 7 * sizeof(float));
    run(&f);
    assert_int_equal(f.found.count, 1);
    expect(&f.found.rows[0], 25, 17, 35, 23, 0.45f, 1);
    nothing_bad_comes_out(&f);
    clear(&f);
}

static void yolov5_refuses_raw_outputs_without_anchors(void **state)
{
    (void)state;
    const uint32_t stride = 32;
    struct fixture f;
    describe(&f, SL_HEAD_YOLOV5, 1, &stride);
    add_output(&f, 4, (const int64_t[]){1, 14, 2, 2}, 0);
    assert_int_equal(make(&f), -EINVAL);
    assert_non_null(strstr(f.error.message, "anchors"));
    set_anchors(&f);
    f.tensors[0].dims[1] = 15;
    assert_int_equal(make(&f), -EINVAL);
    clear(&f);
}

// --- yolov8

static void yolov8_takes_decoded_columns(void **state)
{
    (void)state;
    const uint32_t stride = 32;
    struct fixture f;
    describe(&f, SL_HEAD_YOLOV8, 1, &stride);
    float *v = add_output(&f, 3, (const int64_t[]){1, 6, 4}, 0);
    const float column[6] = {30, 20, 10, 6, 0.7f, 0.3f};
    for (int i = 0; i < 6; i++)
        v[i * 4 + 2] = column[i];
    run(&f);
    assert_int_equal(f.found.count, 1);
    expect(&f.found.rows[0], 25, 17, 35, 23, 0.7f, 0);
    nothing_bad_comes_out(&f);
    clear(&f);
}

static void yolov8_decodes_distributions(void **state)
{
    (void)state;
    const uint32_t stride = 32;
    struct fixture f;
    describe(&f, SL_HEAD_YOLOV8, 1, &stride);
    float *v = add_output(&f, 4, (const int64_t[]){1, 4 * 3 + 2, 2, 2}, -9);
    // Cell (row 1, column 0). Left: equal logits, mean bin 1; top: 1 : 1 : 2, mean 1.25; right: all
    // on bin 2; bottom: all on bin 0.
    const float bins[12] = {0, 0, 0, 0, 0, 0.693147f, -90, -90, 0, 0, -90, -90};
    for (int i = 0; i < 12; i++)
        v[i * 4 + 2] = bins[i];
    v[12 * 4 + 2] = 0;
    run(&f);
    assert_int_equal(f.found.count, 1);
    expect(&f.found.rows[0], (0.5f - 1) * 32, (1.5f - 1.25f) * 32, (0.5f + 2) * 32, 1.5f * 32, 0.5f,
           0);
    nothing_bad_comes_out(&f);
    v[12 * 4 + 2] = INFINITY;
    run(&f);
    assert_int_equal(f.found.count, 0);
    clear(&f);
}

static void yolov8_refuses_other_shapes(void **state)
{
    (void)state;
    const uint32_t stride = 32;
    struct fixture f;
    describe(&f, SL_HEAD_YOLOV8, 1, &stride);
    add_output(&f, 4, (const int64_t[]){1, 13, 2, 2}, 0);
    assert_int_equal(make(&f), -EINVAL);
    f.tensors[0].dims[1] = 2; // no bins at all
    assert_int_equal(make(&f), -EINVAL);
    f.tensors[0].rank = 3;
    assert_int_equal(make(&f), -EINVAL);
    clear(&f);
}

// --- all

static void what_no_head_can_use_is_refused(void **state)
{
    (void)state;
    struct fixture f;
    float *logits, *boxes;
    centre_fixture(&f, &logits, &boxes);
    f.model.head.type = 99;
    assert_int_equal(make(&f), -EINVAL);
    f.model.head.type = 0;
    assert_int_equal(make(&f), -EINVAL);
    f.model.head.type = SL_HEAD_CENTRE;
    f.model.head.strides[0] = 0;
    assert_int_equal(make(&f), -EINVAL);
    f.model.head.strides[0] = 24; // does not divide 64
    assert_int_equal(make(&f), -EINVAL);
    assert_non_null(strstr(f.error.message, "24"));
    f.model.head.strides[0] = 16;
    f.model.head.n_strides = 0;
    assert_int_equal(make(&f), -EINVAL);
    f.model.head.n_strides = 1;
    f.model.head.outputs[1] = "absent";
    assert_int_equal(make(&f), -EINVAL);
    assert_non_null(strstr(f.error.message, "'absent'"));
    f.model.head.outputs[1] = "b";
    f.tensors[1].dtype = SL_U8;
    assert_int_equal(make(&f), -ENOTSUP);
    f.tensors[1].dtype = SL_F32;
    f.model.head.n_outputs = 0;
    assert_int_equal(make(&f), -EINVAL);
    assert_null(f.head);
    f.model.head.n_outputs = 2;
    assert_int_equal(make(&f), 0);
    clear(&f);
}

static void candidates_are_bounded(void **state)
{
    (void)state;
    struct fixture f;
    float *logits, *boxes;
    centre_fixture(&f, &logits, &boxes);
    f.model.head.peak_window = 1;
    f.found.limit = 3;
    for (int i = 0; i < 16; i++)
        logits[i] = (float)(i % 7);
    run(&f);
    assert_int_equal(f.found.count, 3);
    for (int i = 0; i < 2; i++)
        assert_float_equal(f.found.rows[i].score, 1 / (1 + expf(-6)), 1e-5);
    clear(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(centre_decodes_the_peak),
        cmocka_unit_test(centre_suppresses_by_the_window),
        cmocka_unit_test(centre_keeps_the_floor),
        cmocka_unit_test(centre_works_on_several_strides),
        cmocka_unit_test(centre_never_reports_what_is_not_finite),
        cmocka_unit_test(centre_refuses_other_shapes),
        cmocka_unit_test(yolox_decodes_the_grid),
        cmocka_unit_test(yolox_refuses_other_row_counts),
        cmocka_unit_test(yolov5_decodes_raw_planes),
        cmocka_unit_test(yolov5_decodes_raw_rows),
        cmocka_unit_test(yolov5_takes_decoded_rows),
        cmocka_unit_test(yolov5_refuses_raw_outputs_without_anchors),
        cmocka_unit_test(yolov8_takes_decoded_columns),
        cmocka_unit_test(yolov8_decodes_distributions),
        cmocka_unit_test(yolov8_refuses_other_shapes),
        cmocka_unit_test(what_no_head_can_use_is_refused),
        cmocka_unit_test(candidates_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
