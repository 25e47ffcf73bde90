// The detector with the shipped model: what it finds, what it refuses, and that a frame costs no
// allocation.
#include "inference/dataset.h"
#include "inference/detect.h"
#include "inference/selftest.h"
#include "tests/inference/allocations.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define MODEL SL_SOURCE_DIR "/deploy/models/pcb"

enum { SIDE = 640, BYTES = SIDE * SIDE };

struct fixture {
    const struct sl_model *model;
    struct sl_detector *detector;
    struct sl_jpeg *jpeg;
    uint8_t *reference, *picture;
    struct sl_detect_result result;
    struct sl_error error;
};

static struct sl_picture grey(const uint8_t *pixels)
{
    return (struct sl_picture){SL_PIXELS_GREY, SIDE, SIDE, {pixels}, {SIDE}};
}

static void decode(struct sl_jpeg *jpeg, const void *bytes, size_t size, uint8_t *dst)
{
    struct sl_picture out;
    const struct sl_jpeg_request request = {.pixels = SL_PIXELS_GREY, .scale = 1};
    assert_int_equal(sl_jpeg_decode(jpeg, bytes, size, &request, dst, SIDE, BYTES, &out, NULL), 0);
}

static void load(struct fixture *f, const char *name, uint8_t *dst)
{
    const void *bytes;
    size_t size;
    assert_int_equal(f->model->source->component(f->model->source, name, &bytes, &size, NULL), 0);
    decode(f->jpeg, bytes, size, dst);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct sl_model_source *source;
    assert_non_null(f);
    f->reference = malloc(BYTES);
    f->picture = malloc(BYTES);
    assert_non_null(f->reference);
    assert_non_null(f->picture);
    if (sl_model_source_directory(MODEL, &source, &f->error) < 0 ||
        sl_model_load(source, &f->model, &f->error) < 0 ||
        sl_detector_new(f->model, "cpu", &f->detector, &f->error) < 0)
        fail_msg("%s", f->error.message);
    assert_int_equal(sl_jpeg_new(&f->jpeg, NULL), 0);
    load(f, f->model->golden[0].reference, f->reference);
    load(f, f->model->golden[0].picture, f->picture);
    const struct sl_picture reference = grey(f->reference);
    assert_int_equal(sl_detector_set_reference(f->detector, &reference, NULL), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    sl_detector_free(f->detector);
    sl_model_unref(f->model);
    sl_jpeg_free(f->jpeg);
    free(f->reference);
    free(f->picture);
    free(f);
    return 0;
}

static int run(struct fixture *f)
{
    const struct sl_picture picture = grey(f->picture);
    return sl_detector_run(f->detector, &picture, SL_NO_DEADLINE, &f->result, &f->error);
}

static void the_golden_pictures_agree(void **state)
{
    struct fixture *f = *state;
    assert_true(f->model->n_golden > 0);
    if (sl_model_selftest(f->detector, NULL, &f->error) != 0)
        fail_msg("%s", f->error.message);
}

static void defects_are_found(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(run(f), 0);
    assert_true(f->result.count > 0);
    assert_true(f->result.registered);
    assert_true(f->result.timings.inference_us > 0);
    for (uint32_t i = 0; i < f->result.count; i++) {
        const struct sl_detection *d = &f->result.detections[i];
        assert_true(d->x1 >= 0 && d->y1 >= 0 && d->x2 <= SIDE && d->y2 <= SIDE);
        assert_true(d->score >= f->model->classes[d->class_id].threshold && d->score <= 1);
        if (i > 0)
            assert_true(f->result.detections[i - 1].score >= d->score);
    }
}

// A picture of its own reference has no defects.
static void a_good_part_is_good(void **state)
{
    struct fixture *f = *state;
    memcpy(f->picture, f->reference, BYTES);
    assert_int_equal(run(f), 0);
    assert_int_equal(f->result.count, 0);
}

// The way of a frame: bytes of a JPEG to detections, with every size seen once before.
static void a_frame_allocates_nothing(void **state)
{
    struct fixture *f = *state;
    const void *bytes;
    size_t size;
    if (allocations() < 0) {
        print_message("allocations are not counted under a sanitizer\n");
        skip();
    }
    for (int i = 0; i < 12; i++) {
        const struct sl_golden *golden = &f->model->golden[(uint32_t)i % f->model->n_golden];
        assert_int_equal(
            f->model->source->component(f->model->source, golden->reference, &bytes, &size, NULL),
            0);
        decode(f->jpeg, bytes, size, f->reference);
        const struct sl_picture reference = grey(f->reference);
        assert_int_equal(
            f->model->source->component(f->model->source, golden->picture, &bytes, &size, NULL), 0);
        const long before = allocations();
        assert_int_equal(sl_detector_set_reference(f->detector, &reference, NULL), 0);
        decode(f->jpeg, bytes, size, f->picture);
        assert_int_equal(run(f), 0);
        if (i >= (int)f->model->n_golden)
            assert_int_equal(allocations() - before, 0);
    }
}

// A failing frame must not leak its way into the heap either.
static void a_bad_frame_allocates_nothing(void **state)
{
    struct fixture *f = *state;
    memset(f->picture, 100, BYTES);
    assert_true(run(f) < 0);
    const long before = allocations();
    for (int i = 0; i < 5; i++)
        assert_true(run(f) < 0);
    assert_int_equal(allocations() - before, 0);
    assert_int_equal(f->result.count, 0);
}

static void a_mask_hides_what_lies_inside(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(run(f), 0);
    const uint32_t before = f->result.count;
    const struct sl_detection first = f->result.detections[0];
    const struct sl_registration base = f->result.registration;
    // Where that is on the reference.
    const float angle = base.rotation_deg * 0.0174533f, half = SIDE / 2.0f;
    const float px = (first.x1 + first.x2) / 2 - half - base.dx_px;
    const float py = (first.y1 + first.y2) / 2 - half - base.dy_px;
    const float x = half + cosf(angle) * px + sinf(angle) * py;
    const float y = half - sinf(angle) * px + cosf(angle) * py;
    const float square[][2] = {{x - 4, y - 4}, {x + 4, y - 4}, {x + 4, y + 4}, {x - 4, y + 4}};
    const struct sl_mask mask = {4, square};
    assert_int_equal(sl_detector_set_masks(f->detector, &mask, 1, NULL), 0);
    assert_int_equal(run(f), 0);
    assert_int_equal(f->result.count, before - 1);

    // The mask is drawn on the reference: it moves with the part.
    uint8_t *moved = malloc(BYTES);
    assert_non_null(moved);
    for (int row = 0; row < SIDE; row++)
        for (int column = 0; column < SIDE; column++)
            moved[row * SIDE + column] =
                f->picture[(row < 9 ? 0 : row - 9) * SIDE + (column < 14 ? 0 : column - 14)];
    free(f->picture);
    f->picture = moved;
    assert_int_equal(run(f), 0);
    assert_float_equal(f->result.registration.dx_px, base.dx_px + 14, 1);
    assert_float_equal(f->result.registration.dy_px, base.dy_px + 9, 1);
    for (uint32_t i = 0; i < f->result.count; i++) {
        const struct sl_detection *d = &f->result.detections[i];
        assert_true(fabsf((d->x1 + d->x2) / 2 - (first.x1 + first.x2) / 2 - 14) > 3 ||
                    fabsf((d->y1 + d->y2) / 2 - (first.y1 + first.y2) / 2 - 9) > 3);
    }
    assert_int_equal(sl_detector_set_masks(f->detector, NULL, 0, NULL), 0);
    assert_int_equal(run(f), 0);
    assert_true(f->result.count >= before - 1);
}

static void thresholds_replace_the_models(void **state)
{
    struct fixture *f = *state;
    float thresholds[SL_MAX_CLASSES];
    const uint32_t n = f->model->n_classes;
    assert_int_equal(run(f), 0);
    const uint32_t before = f->result.count;
    const uint32_t class_id = f->result.detections[0].class_id;
    for (uint32_t i = 0; i < n; i++)
        thresholds[i] = f->model->classes[i].threshold;
    thresholds[class_id] = 1;
    assert_int_equal(sl_detector_set_thresholds(f->detector, thresholds, n, NULL), 0);
    assert_int_equal(run(f), 0);
    assert_true(f->result.count < before);
    for (uint32_t i = 0; i < f->result.count; i++)
        assert_int_not_equal(f->result.detections[i].class_id, class_id);

    assert_int_equal(sl_detector_set_thresholds(f->detector, thresholds, n - 1, &f->error),
                     -EINVAL);
    thresholds[0] = NAN;
    assert_int_equal(sl_detector_set_thresholds(f->detector, thresholds, n, &f->error), -EINVAL);
    thresholds[0] = 1.5f;
    assert_int_equal(sl_detector_set_thresholds(f->detector, thresholds, n, &f->error), -EINVAL);
    assert_non_null(strstr(f->error.message, f->model->classes[0].name));
    assert_int_equal(run(f), 0); // the ones before are in force
}

static void a_part_too_far_off_is_not_judged(void **state)
{
    struct fixture *f = *state;
    const int by = 70;
    assert_int_equal(run(f), 0);
    const float base = f->result.registration.dx_px;
    for (int row = 0; row < SIDE; row++)
        memmove(f->picture + row * SIDE + by, f->picture + row * SIDE, SIDE - by);
    assert_int_equal(run(f), -ERANGE);
    assert_int_equal(f->result.count, 0);
    assert_false(f->result.registered);
    assert_float_equal(f->result.registration.dx_px, base + (float)by, 1);
    // Without registration the reference is used where it stands.
    sl_detector_set_registration(f->detector, false);
    assert_int_equal(run(f), 0);
}

static void a_late_frame_is_not_judged(void **state)
{
    struct fixture *f = *state;
    const struct sl_picture picture = grey(f->picture);
    assert_int_equal(sl_detector_run(f->detector, &picture, 1, &f->result, &f->error), -ETIMEDOUT);
    assert_int_equal(f->result.count, 0);
    assert_int_equal(run(f), 0);
}

static void without_a_reference_nothing_is_judged(void **state)
{
    struct fixture *f = *state;
    struct sl_detector *detector;
    const struct sl_picture picture = grey(f->picture);
    assert_int_equal(sl_detector_new(f->model, "cpu", &detector, NULL), 0);
    assert_int_equal(sl_detector_run(detector, &picture, SL_NO_DEADLINE, &f->result, &f->error),
                     -ENODATA);
    assert_non_null(strstr(f->error.message, "reference"));
    sl_detector_free(detector);
}

static void broken_pictures_are_refused(void **state)
{
    struct fixture *f = *state;
    struct sl_picture picture = grey(f->picture);
    picture.stride[0] = 3;
    assert_int_equal(sl_detector_run(f->detector, &picture, SL_NO_DEADLINE, &f->result, &f->error),
                     -EINVAL);
    assert_int_equal(sl_detector_set_reference(f->detector, &picture, &f->error), -EINVAL);
    assert_non_null(strstr(f->error.message, "reference"));
    assert_int_equal(run(f), -ENODATA); // a refused reference leaves none behind
}

static void an_unknown_back_end_is_refused(void **state)
{
    struct fixture *f = *state;
    struct sl_detector *detector = NULL;
    assert_true(sl_detector_new(f->model, "abacus", &detector, &f->error) < 0);
    assert_non_null(strstr(f->error.message, "abacus"));
    assert_null(detector);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(the_golden_pictures_agree),     CASE(defects_are_found),
        CASE(a_good_part_is_good),           CASE(a_frame_allocates_nothing),
        CASE(a_bad_frame_allocates_nothing), CASE(a_mask_hides_what_lies_inside),
        CASE(thresholds_replace_the_models), CASE(a_part_too_far_off_is_not_judged),
        CASE(a_late_frame_is_not_judged),    CASE(without_a_reference_nothing_is_judged),
        CASE(broken_pictures_are_refused),   CASE(an_unknown_back_end_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
