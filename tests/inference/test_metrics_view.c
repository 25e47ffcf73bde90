// Curves, pictures, confusions and thresholds, on cases small enough to work out by hand.
#include "inference/metrics_view.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#define FOUND(at, the_score, the_class)                                                            \
    {                                                                                              \
        at, 0, (at) + 10, 10, the_score, the_class                                                 \
    }
#define LABEL(at, the_class, the_use)                                                              \
    {                                                                                              \
        {at, 0, (at) + 10, 10, 1, the_class}, the_use, 100                                         \
    }

// Three pictures: two objects of class 0 and one of class 1, a difficult one; a good part with two
// false alarms; a good part.
static struct sl_metrics *example(void)
{
    struct sl_metrics *m;
    const struct sl_label labels[] = {LABEL(0, 0, SL_LABEL_COUNTS), LABEL(50, 0, SL_LABEL_COUNTS),
                                      LABEL(100, 1, SL_LABEL_COUNTS),
                                      LABEL(150, 0, SL_LABEL_IGNORED)};
    const struct sl_detection found[] = {FOUND(0, 0.9f, 0), FOUND(100, 0.8f, 0),
                                         FOUND(150, 0.7f, 0), FOUND(50, 0.4f, 0),
                                         FOUND(200, 0.3f, 1)};
    const struct sl_detection wrong[] = {FOUND(0, 0.6f, 0), FOUND(50, 0.35f, 1)};
    assert_int_equal(sl_metrics_new(2, SL_METRIC_DEEPPCB, 0, &m, NULL), 0);
    assert_int_equal(sl_metrics_add(m, found, 5, labels, 4, NULL), 0);
    assert_int_equal(sl_metrics_add(m, wrong, 2, NULL, 0, NULL), 0);
    assert_int_equal(sl_metrics_add(m, NULL, 0, NULL, 0, NULL), 0);
    return m;
}

static void curves_go_down_the_scores(void **state)
{
    (void)state;
    struct sl_metrics *m = example();
    struct sl_curve_point *p;
    uint32_t count;
    assert_int_equal(sl_metrics_curve(m, 0, &p, &count, NULL), 0);
    assert_int_equal(count, 4); // 0.9 hit, 0.8 false, 0.6 false, 0.4 hit; 0.7 is ignored
    assert_float_equal(p[0].precision, 1, 0);
    assert_float_equal(p[0].recall, 0.5, 0);
    assert_float_equal(p[2].precision, 1.0 / 3, 1e-12);
    assert_float_equal(p[3].precision, 0.5, 0);
    assert_float_equal(p[3].recall, 1, 0);
    free(p);
    assert_int_equal(sl_metrics_curve(m, 1, &p, &count, NULL), 0);
    assert_int_equal(count, 2);
    assert_float_equal(p[1].recall, 0, 0);
    free(p);
    sl_metrics_free(m);
}

static void pictures_show_what_was_missed(void **state)
{
    (void)state;
    struct sl_metrics *m = example();
    struct sl_marked *marked;
    uint32_t count, misses, false_alarms;
    const float half[] = {0.5f, 0.5f};
    assert_int_equal(sl_metrics_pictures(m), 3);
    assert_int_equal(sl_metrics_picture(m, 0, half, &marked, &count, &misses, &false_alarms, NULL),
                     0);
    assert_int_equal(count, 5);
    assert_int_equal(misses, 2); // class 0 at 50 was below the threshold, class 1 taken for class 0
    assert_int_equal(false_alarms, 1);
    assert_int_equal(marked[0].outcome, SL_OUTCOME_HIT);
    assert_int_equal(marked[1].outcome, SL_OUTCOME_FALSE);
    assert_int_equal(marked[2].outcome, SL_OUTCOME_IGNORED);
    assert_int_equal(marked[3].outcome, SL_OUTCOME_MISSED);
    free(marked);
    sl_metrics_free(m);
}

static void confusions_name_both_classes(void **state)
{
    (void)state;
    struct sl_metrics *m = example();
    uint32_t counts[9];
    sl_metrics_confusion(m, (const float[]){0.5f, 0.3f}, counts);
    // rows: class 0, class 1, nothing there; columns: class 0, class 1, nothing said
    const uint32_t expected[] = {1, 0, 1, 1, 0, 0, 1, 2, 0};
    for (int i = 0; i < 9; i++)
        assert_int_equal(counts[i], expected[i]);
    sl_metrics_free(m);
}

static void thresholds_for_a_recall(void **state)
{
    (void)state;
    struct sl_metrics *m = example();
    float t[] = {0.1f, 0.1f};
    bool reached[2];
    assert_int_equal(sl_metrics_for_recall(m, 0.5, t, reached, NULL), 0);
    assert_float_equal(t[0], 0.9f, 0);
    assert_true(reached[0]);
    assert_float_equal(t[1], 0.3f, 0); // never found: the weakest detection
    assert_false(reached[1]);
    assert_int_equal(sl_metrics_for_recall(m, 0.51, t, reached, NULL), 0);
    assert_float_equal(t[0], 0.4f, 0);
    sl_metrics_free(m);
}

static void thresholds_for_good_parts(void **state)
{
    (void)state;
    struct sl_metrics *m = example();
    float t[2];
    assert_float_equal(sl_metrics_false_reject(m, (const float[]){0.5f, 0.5f}), 0.5, 0);
    assert_float_equal(sl_metrics_false_reject(m, (const float[]){0.61f, 0.36f}), 0, 0);
    assert_int_equal(sl_metrics_for_false_reject(m, 0.49, t, NULL), 0);
    assert_float_equal(t[0], 0.9f, 0); // one object; the next would reject one good part of two
    assert_float_equal(sl_metrics_false_reject(m, t), 0, 0);
    assert_int_equal(sl_metrics_for_false_reject(m, 0.5, t, NULL), 0);
    assert_float_equal(t[0], 0.4f, 0);
    assert_float_equal(sl_metrics_false_reject(m, t), 0.5, 0);
    sl_metrics_free(m);
}

static void without_good_parts_there_is_no_share(void **state)
{
    (void)state;
    struct sl_metrics *m;
    struct sl_error error = {""};
    float t[] = {0.25f};
    const struct sl_label label[] = {LABEL(0, 0, SL_LABEL_COUNTS)};
    assert_int_equal(sl_metrics_new(1, SL_METRIC_COCO, 0, &m, NULL), 0);
    assert_int_equal(sl_metrics_add(m, NULL, 0, label, 1, NULL), 0);
    assert_true(isnan(sl_metrics_false_reject(m, t)));
    assert_int_equal(sl_metrics_for_false_reject(m, 0.5, t, &error), -ENODATA);
    assert_float_equal(t[0], 0.25f, 0);
    sl_metrics_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(curves_go_down_the_scores),
        cmocka_unit_test(pictures_show_what_was_missed),
        cmocka_unit_test(confusions_name_both_classes),
        cmocka_unit_test(thresholds_for_a_recall),
        cmocka_unit_test(thresholds_for_good_parts),
        cmocka_unit_test(without_good_parts_there_is_no_share),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
