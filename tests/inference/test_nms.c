// Candidates in order, overlap, suppression.
#include "inference/head.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static struct sl_candidates list;

static void start(uint32_t limit)
{
    list.count = 0;
    list.limit = limit;
}

static void add(float x, float y, float size, float score, uint32_t class_id)
{
    const struct sl_detection d = {x, y, x + size, y + size, score, class_id};
    sl_candidates_add(&list, &d);
}

static void they_stand_by_falling_score(void **state)
{
    (void)state;
    static const float scores[] = {0.3f, 0.9f, 0.1f, 0.9f, 0.5f, 0.2f};
    start(4);
    for (uint32_t i = 0; i < 6; i++)
        add(10 * (float)i, 0, 5, scores[i], i);
    assert_int_equal(list.count, 4);
    assert_int_equal(list.rows[0].class_id, 1); // of equals, the first to come stands first
    assert_int_equal(list.rows[1].class_id, 3);
    assert_int_equal(list.rows[2].class_id, 4);
    assert_int_equal(list.rows[3].class_id, 0);
}

static void a_full_list_drops_the_weakest(void **state)
{
    (void)state;
    start(SL_MAX_CANDIDATES);
    for (uint32_t i = 0; i < 3 * SL_MAX_CANDIDATES; i++)
        add(0, 0, 5, (float)((i * 7919u) % 4096u) / 4096, i % 3);
    assert_int_equal(list.count, SL_MAX_CANDIDATES);
    for (uint32_t i = 1; i < list.count; i++)
        assert_true(list.rows[i - 1].score >= list.rows[i].score);
    assert_true(list.rows[list.count - 1].score > 0.6f);
    start(0);
    add(0, 0, 5, 0.5f, 0);
    assert_int_equal(list.count, 0);
}

static void what_is_no_box_is_not_taken(void **state)
{
    (void)state;
    start(8);
    add(NAN, 0, 5, 0.5f, 0);
    add(0, INFINITY, 5, 0.5f, 0);
    add(0, 0, -5, 0.5f, 0);
    add(0, 0, 0, 0.5f, 0);
    add(0, 0, 5, NAN, 0);
    add(0, 0, 5, INFINITY, 0);
    assert_int_equal(list.count, 0);
}

static void overlap_by_hand(void **state)
{
    (void)state;
    const struct sl_detection a = {0, 0, 10, 10, 1, 0}, b = {5, 0, 15, 10, 1, 0},
                              c = {10, 0, 20, 10, 1, 0}, d = {2, 2, 7, 7, 1, 0};
    assert_float_equal(sl_box_overlap(&a, &a), 1, 1e-6);
    assert_float_equal(sl_box_overlap(&a, &b), 50.0 / 150, 1e-6);
    assert_float_equal(sl_box_overlap(&b, &a), 50.0 / 150, 1e-6);
    assert_float_equal(sl_box_overlap(&a, &c), 0, 0); // touching is not overlapping
    assert_float_equal(sl_box_overlap(&a, &d), 0.25, 1e-6);
}

static void the_stronger_box_wins(void **state)
{
    (void)state;
    start(8);
    add(0, 0, 10, 0.9f, 0);
    add(1, 0, 10, 0.8f, 0);  // overlap 90 / 110
    add(5, 0, 10, 0.7f, 0);  // 1 / 3 with the first
    add(40, 0, 10, 0.6f, 0); // alone
    sl_candidates_suppress(&list, 0.5f, false);
    assert_int_equal(list.count, 3);
    assert_float_equal(list.rows[1].score, 0.7f, 0);
    sl_candidates_suppress(&list, 0.3f, false);
    assert_int_equal(list.count, 2);
    assert_float_equal(list.rows[1].score, 0.6f, 0);
}

// A box that was itself dropped suppresses nothing.
static void what_is_dropped_drops_nothing(void **state)
{
    (void)state;
    start(8);
    add(0, 0, 10, 0.9f, 0);
    add(4, 0, 10, 0.8f, 0);
    add(8, 0, 10, 0.7f, 0); // overlaps the second, hardly the first
    sl_candidates_suppress(&list, 0.4f, false);
    assert_int_equal(list.count, 2);
    assert_float_equal(list.rows[1].score, 0.7f, 0);
}

static void classes_may_be_kept_apart(void **state)
{
    (void)state;
    start(8);
    add(0, 0, 10, 0.9f, 0);
    add(1, 0, 10, 0.8f, 1);
    add(1, 1, 10, 0.7f, 1);
    sl_candidates_suppress(&list, 0.4f, true);
    assert_int_equal(list.count, 2);
    assert_int_equal(list.rows[1].class_id, 1);
    sl_candidates_suppress(&list, 0.4f, false);
    assert_int_equal(list.count, 1);
}

static void an_empty_list_stays_empty(void **state)
{
    (void)state;
    start(8);
    sl_candidates_suppress(&list, 0.4f, true);
    assert_int_equal(list.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(they_stand_by_falling_score),
        cmocka_unit_test(a_full_list_drops_the_weakest),
        cmocka_unit_test(what_is_no_box_is_not_taken),
        cmocka_unit_test(overlap_by_hand),
        cmocka_unit_test(the_stronger_box_wins),
        cmocka_unit_test(what_is_dropped_drops_nothing),
        cmocka_unit_test(classes_may_be_kept_apart),
        cmocka_unit_test(an_empty_list_stays_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
