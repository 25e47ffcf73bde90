// Simulated boards: the same for the same seed, and a truth that is true.
#include "pipeline/line/board.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SIDE = 640 };

static struct sl_line_product *product_of(uint64_t seed)
{
    struct sl_line_product *product = NULL;
    assert_int_equal(sl_line_product_new(SIDE, SIDE, seed, &product), 0);
    return product;
}

// A camera without faults, so that pixels can be compared with the golden board.
static struct sl_line_params still(uint32_t max_defects)
{
    struct sl_line_params params = sl_line_default_params;
    params.shift_px = params.rotation_deg = params.blur_px = params.noise = params.light = 0;
    params.defect_rate = max_defects ? 1 : 0;
    params.max_defects = max_defects;
    return params;
}

static void test_same_seed_same_picture(void **state)
{
    (void)state;
    struct sl_line_product *a = product_of(7), *b = product_of(7);
    uint8_t *first = malloc(SIDE * SIDE), *second = malloc(SIDE * SIDE);
    struct sl_line_truth truth_a, truth_b;
    assert_memory_equal(sl_line_product_picture(a), sl_line_product_picture(b), SIDE * SIDE);
    for (uint64_t seed = 0; seed < 10; seed++) {
        assert_int_equal(
            sl_line_board_render(a, seed, &sl_line_default_params, first, SIDE, &truth_a), 0);
        assert_int_equal(
            sl_line_board_render(b, seed, &sl_line_default_params, second, SIDE, &truth_b), 0);
        assert_memory_equal(first, second, SIDE * SIDE);
        assert_memory_equal(&truth_a.count, &truth_b.count, sizeof(truth_a.count));
    }
    // Order does not matter, and other seeds give other pictures.
    assert_int_equal(sl_line_board_render(a, 3, &sl_line_default_params, first, SIDE, &truth_a), 0);
    assert_memory_not_equal(first, second, SIDE * SIDE);
    free(first);
    free(second);
    sl_line_product_free(a);
    sl_line_product_free(b);
}

static int changed_pixels(const uint8_t *golden, const uint8_t *picture, int x1, int y1, int x2,
                          int y2)
{
    int count = 0;
    for (int y = y1; y < y2; y++)
        for (int x = x1; x < x2; x++)
            count += abs(golden[y * SIDE + x] - picture[y * SIDE + x]) > 100;
    return count;
}

static void test_every_change_is_in_a_box_and_every_box_has_one(void **state)
{
    (void)state;
    const struct sl_line_params params = still(10);
    uint32_t seen[SL_LINE_CLASSES] = {0};
    uint8_t *picture = malloc(SIDE * SIDE);
    for (uint64_t seed = 0; seed < 40; seed++) {
        struct sl_line_product *product = product_of(seed);
        const uint8_t *golden = sl_line_product_picture(product);
        struct sl_line_truth truth;
        assert_int_equal(sl_line_board_render(product, seed, &params, picture, SIDE, &truth), 0);
        assert_true(truth.count <= 10);
        int inside = 0;
        for (uint32_t i = 0; i < truth.count; i++) {
            const struct sl_line_defect *d = &truth.defects[i];
            assert_true(d->x1 >= 0 && d->y1 >= 0 && d->x2 <= SIDE && d->y2 <= SIDE);
            assert_true(d->x1 < d->x2 && d->y1 < d->y2);
            const int changed =
                changed_pixels(golden, picture, (int)d->x1, (int)d->y1, (int)d->x2, (int)d->y2);
            assert_true(changed > 10);
            inside += changed;
            seen[d->class_id]++;
        }
        // Boxes may overlap at their margins, never at the defects.
        assert_int_equal(changed_pixels(golden, picture, 0, 0, SIDE, SIDE), inside);
        sl_line_product_free(product);
    }
    for (int i = 0; i < SL_LINE_CLASSES; i++)
        assert_true(seen[i] > 5);
    free(picture);
}

static void test_good_part_is_the_golden_board(void **state)
{
    (void)state;
    const struct sl_line_params params = still(0);
    struct sl_line_product *product = product_of(1);
    uint8_t *picture = malloc(SIDE * SIDE);
    struct sl_line_truth truth;
    assert_int_equal(sl_line_board_render(product, 5, &params, picture, SIDE, &truth), 0);
    assert_int_equal(truth.count, 0);
    assert_memory_equal(picture, sl_line_product_picture(product), SIDE * SIDE);
    free(picture);
    sl_line_product_free(product);
}

static void test_boxes_move_with_the_board(void **state)
{
    (void)state;
    struct sl_line_params params = still(8);
    params.shift_px = 20;
    params.rotation_deg = 3;
    struct sl_line_product *product = product_of(3);
    uint8_t *picture = malloc(SIDE * SIDE);
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct sl_line_truth truth;
        assert_int_equal(sl_line_board_render(product, seed, &params, picture, SIDE, &truth), 0);
        assert_true(fabsf(truth.shift_x_px) <= 20 && fabsf(truth.rotation_deg) <= 3);
        for (uint32_t i = 0; i < truth.count; i++) {
            // Take the box's middle back to the board: it must lie within it.
            const struct sl_line_defect *d = &truth.defects[i];
            assert_true(d->x2 - d->x1 > 9 && d->y2 - d->y1 > 9);
        }
    }
    free(picture);
    sl_line_product_free(product);
}

static void test_room_for_none(void **state)
{
    (void)state;
    // A tiny board cannot hold 32 defects: fewer are claimed, none is invented.
    struct sl_line_params params = still(SL_LINE_MAX_DEFECTS);
    struct sl_line_product *product = NULL;
    assert_int_equal(sl_line_product_new(128, 128, 2, &product), 0);
    uint8_t picture[128 * 128];
    struct sl_line_truth truth;
    for (uint64_t seed = 0; seed < 30; seed++) {
        assert_int_equal(sl_line_board_render(product, seed, &params, picture, 128, &truth), 0);
        assert_true(truth.count < SL_LINE_MAX_DEFECTS);
    }
    sl_line_product_free(product);
}

static void test_refusals(void **state)
{
    (void)state;
    struct sl_line_product *product = NULL;
    assert_int_equal(sl_line_product_new(0, 640, 1, &product), -EINVAL);
    assert_int_equal(sl_line_product_new(640, 100000, 1, &product), -EINVAL);
    assert_int_equal(sl_line_product_new(641, 640, 1, &product), -EINVAL);
    assert_null(product);

    product = product_of(1);
    uint8_t *picture = malloc(SIDE * SIDE);
    struct sl_line_truth truth = {.count = 99};
    struct sl_line_params params = sl_line_default_params;
    assert_int_equal(sl_line_board_render(product, 1, &params, picture, SIDE - 1, &truth), -EINVAL);
    params.noise = NAN;
    assert_string_equal(sl_line_params_problem(&params), "noise");
    assert_int_equal(sl_line_board_render(product, 1, &params, picture, SIDE, &truth), -EINVAL);
    params = sl_line_default_params;
    params.shift_px = -1;
    assert_string_equal(sl_line_params_problem(&params), "shift_px");
    params = sl_line_default_params;
    params.max_defects = SL_LINE_MAX_DEFECTS + 1;
    assert_string_equal(sl_line_params_problem(&params), "max_defects");
    assert_int_equal(truth.count, 99);
    free(picture);
    sl_line_product_free(product);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_seed_same_picture),
        cmocka_unit_test(test_every_change_is_in_a_box_and_every_box_has_one),
        cmocka_unit_test(test_good_part_is_the_golden_board),
        cmocka_unit_test(test_boxes_move_with_the_board),
        cmocka_unit_test(test_room_for_none),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
