// Matching and average precision on cases small enough to work out by hand.
#include "inference/metrics.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#define BOX(at, the_score, the_class)                                                              \
    {                                                                                              \
        at, 0, (at) + 10, 10, the_score, the_class                                                 \
    }

static const float half[] = {0.5f, 0.5f, 0.5f};

static struct sl_metrics *start(uint32_t n_classes)
{
    struct sl_metrics *m;
    assert_int_equal(sl_metrics_new(n_classes, SL_METRIC_DEEPPCB, 0, &m, NULL), 0);
    return m;
}

// Truths with score 0 are to be ignored.
static void add(struct sl_metrics *m, const struct sl_detection *found, uint32_t n_found,
                const struct sl_detection *truth, uint32_t n_truth)
{
    struct sl_label labels[8];
    for (uint32_t i = 0; i < n_truth; i++)
        labels[i] = (struct sl_label){truth[i],
                                      truth[i].score > 0 ? SL_LABEL_COUNTS : SL_LABEL_IGNORED, 100};
    assert_int_equal(sl_metrics_add(m, found, n_found, labels, n_truth, NULL), 0);
}

static void summarise(struct sl_metrics *m, const float *thresholds, struct sl_class_metrics *c,
                      struct sl_metrics_summary *s)
{
    assert_int_equal(sl_metrics_summary(m, thresholds, c, s, NULL), 0);
}

static void all_right_is_one(void **state)
{
    (void)state;
    struct sl_metrics *m = start(2);
    struct sl_class_metrics c[2];
    struct sl_metrics_summary s;
    const struct sl_detection truth[] = {BOX(0, 1, 0), BOX(50, 1, 1)};
    const struct sl_detection found[] = {BOX(0, 0.9f, 0), BOX(51, 0.6f, 1)};
    add(m, found, 2, truth, 2);
    summarise(m, half, c, &s);
    assert_float_equal(s.map, 1, 0);
    assert_float_equal(s.map50, 1, 0);
    assert_float_equal(s.f1, 1, 0);
    assert_int_equal(s.hits, 2);
    sl_metrics_free(m);
}

// Scores 0.9 hit, 0.8 false, 0.7 hit, 0.3 false; three truths. Precision at the hits: 1 and 2/3, so
// the area is (1 + 2/3) / 3. At 0.5: 2 of 3 found are right, 2 of 3 truths are found.
static void average_precision_by_hand(void **state)
{
    (void)state;
    struct sl_metrics *m = start(1);
    struct sl_class_metrics c[1];
    struct sl_metrics_summary s;
    const struct sl_detection truth[] = {BOX(0, 1, 0), BOX(50, 1, 0)}, more[] = {BOX(200, 1, 0)};
    const struct sl_detection found[] = {BOX(0, 0.9f, 0), BOX(100, 0.8f, 0)};
    const struct sl_detection later[] = {BOX(200, 0.7f, 0), BOX(300, 0.3f, 0)};
    add(m, later, 2, more, 1); // the order of pictures does not matter
    add(m, found, 2, truth, 2);
    summarise(m, half, c, &s);
    assert_float_equal(s.map, (1 + 2.0 / 3) / 3, 1e-9);
    assert_float_equal(c[0].ap, s.map, 0);
    assert_int_equal(s.found, 3);
    assert_int_equal(s.hits, 2);
    assert_float_equal(s.precision, 2.0 / 3, 1e-9);
    assert_float_equal(s.recall, 2.0 / 3, 1e-9);
    assert_float_equal(s.f1, 2.0 / 3, 1e-9);
    sl_metrics_free(m);
}

// Of two boxes on one defect the second is a false alarm; one box hits one defect only.
static void a_defect_is_hit_once(void **state)
{
    (void)state;
    struct sl_metrics *m = start(1);
    struct sl_class_metrics c[1];
    struct sl_metrics_summary s;
    const struct sl_detection truth[] = {BOX(0, 1, 0), BOX(3, 1, 0)};
    const struct sl_detection found[] = {BOX(0, 0.9f, 0), BOX(-3, 0.8f, 0)};
    add(m, found, 2, truth, 2);
    summarise(m, half, c, &s);
    assert_int_equal(s.hits, 1); // the second box overlaps the free truth by 4 / 16 only
    assert_int_equal(s.found, 2);
    assert_float_equal(s.map, 0.5, 1e-9);
    sl_metrics_free(m);
}

static void the_class_must_agree(void **state)
{
    (void)state;
    struct sl_metrics *m = start(3);
    struct sl_class_metrics c[3];
    struct sl_metrics_summary s;
    const struct sl_detection truth[] = {BOX(0, 1, 0), BOX(50, 1, 1)};
    const struct sl_detection found[] = {BOX(0, 0.9f, 1), BOX(50, 0.8f, 1)};
    add(m, found, 2, truth, 2);
    summarise(m, half, c, &s);
    assert_float_equal(c[0].ap, 0, 0);
    assert_float_equal(c[1].ap, 0.5, 1e-9);
    assert_true(isnan(c[2].ap)); // no truth: not part of the mean
    assert_float_equal(s.map, 0.25, 1e-9);
    sl_metrics_free(m);
}

// Shifted by 4.5 of 10: 5.5 / 14.5 = 0.379 counts at 0.33 and not at 0.5. By 5.1: 0.325 does not.
static void the_overlap_decides(void **state)
{
    (void)state;
    struct sl_metrics *m = start(1);
    struct sl_class_metrics c[1];
    struct sl_metrics_summary s;
    const struct sl_detection truth[] = {BOX(0, 1, 0), BOX(50, 1, 0)};
    const struct sl_detection found[] = {BOX(4.5f, 0.9f, 0), BOX(55.1f, 0.8f, 0)};
    add(m, found, 2, truth, 2);
    summarise(m, half, c, &s);
    assert_int_equal(s.hits, 1);
    assert_float_equal(s.map, 0.5, 1e-9);
    assert_float_equal(s.map50, 0, 0);
    sl_metrics_free(m);
}

static void what_is_ignored_counts_for_nothing(void **state)
{
    (void)state;
    struct sl_metrics *m = start(1);
    struct sl_class_metrics c[1];
    struct sl_metrics_summary s;
    const struct sl_detection truth[] = {BOX(0, 0, 0), BOX(50, 1, 0), BOX(104, 0, 0),
                                         BOX(100, 1, 0)};
    const struct sl_detection found[] = {BOX(0, 0.9f, 0), BOX(1, 0.9f, 0), BOX(50, 0.8f, 0),
                                         BOX(103, 0.7f, 0)};
    add(m, found, 4, truth, 4);
    summarise(m, half, c, &s);
    assert_int_equal(s.truths, 2);
    assert_int_equal(s.found, 2); // both boxes on the ignored one are out of the count
    assert_int_equal(s.hits, 2);  // the last hits a real defect although an ignored one is closer
    assert_float_equal(s.map, 1, 1e-9);
    assert_float_equal(s.f1, 1, 1e-9);
    sl_metrics_free(m);
}

static void thresholds_are_per_class(void **state)
{
    (void)state;
    struct sl_metrics *m = start(2);
    struct sl_class_metrics c[2];
    struct sl_metrics_summary s;
    const struct sl_detection truth[] = {BOX(0, 1, 0), BOX(50, 1, 1)};
    const struct sl_detection found[] = {BOX(0, 0.4f, 0), BOX(50, 0.4f, 1)};
    add(m, found, 2, truth, 2);
    summarise(m, (const float[]){0.4f, 0.41f}, c, &s);
    assert_int_equal(c[0].hits, 1); // at the threshold counts
    assert_int_equal(c[1].found, 0);
    assert_float_equal(s.precision, 1, 0);
    assert_float_equal(s.recall, 0.5, 0);
    assert_float_equal(s.map, 1, 0); // thresholds do not change the area
    sl_metrics_free(m);
}

static void nothing_is_zero_not_nan(void **state)
{
    (void)state;
    struct sl_metrics *m = start(1);
    struct sl_class_metrics c[1];
    struct sl_metrics_summary s;
    summarise(m, half, c, &s);
    assert_float_equal(s.map, 0, 0);
    assert_float_equal(s.f1, 0, 0);
    add(m, NULL, 0, NULL, 0);
    const struct sl_detection truth[] = {BOX(0, 1, 0)};
    add(m, NULL, 0, truth, 1);
    summarise(m, half, c, &s);
    assert_float_equal(s.map, 0, 0);
    assert_int_equal(s.truths, 1);
    sl_metrics_free(m);
}

static void too_much_is_refused(void **state)
{
    (void)state;
    struct sl_metrics *m;
    assert_int_equal(sl_metrics_new(SL_MAX_CLASSES + 1, SL_METRIC_COCO, 0, &m, NULL), -ENOMEM);
    m = start(1);
    struct sl_label *many = calloc(5000, sizeof(*many));
    assert_non_null(many);
    assert_int_equal(sl_metrics_add(m, NULL, 0, many, 5000, NULL), -E2BIG);
    free(many);
    sl_metrics_free(m);
}

static void matching_one_picture(void **state)
{
    (void)state;
    uint32_t hits, false_alarms;
    const struct sl_detection truth[] = {BOX(0, 1, 0), BOX(50, 1, 1)};
    const struct sl_detection found[] = {BOX(1, 0.9f, 0), BOX(2, 0.8f, 0), BOX(50, 0.7f, 0)};
    sl_match(found, 3, truth, 2, SL_HIT_OVERLAP, &hits, &false_alarms);
    assert_int_equal(hits, 1);
    assert_int_equal(false_alarms, 2);
    sl_match(found, 0, truth, 2, SL_HIT_OVERLAP, &hits, &false_alarms);
    assert_int_equal(hits, 0);
    assert_int_equal(false_alarms, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_right_is_one),
        cmocka_unit_test(average_precision_by_hand),
        cmocka_unit_test(a_defect_is_hit_once),
        cmocka_unit_test(the_class_must_agree),
        cmocka_unit_test(the_overlap_decides),
        cmocka_unit_test(what_is_ignored_counts_for_nothing),
        cmocka_unit_test(thresholds_are_per_class),
        cmocka_unit_test(nothing_is_zero_not_nan),
        cmocka_unit_test(too_much_is_refused),
        cmocka_unit_test(matching_one_picture),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
