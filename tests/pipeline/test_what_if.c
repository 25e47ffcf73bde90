// What if a threshold were another: each way a part can flip, and when nobody can tell.
#include "pipeline/what_if.h"

#include "pipeline/threshold.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define PART(result, defects, total, near)                                                         \
    "{\"recipe\":\"r\",\"model\":\"m\",\"frames\":1,\"result\":\"" result "\",\"defects\":["        \
    defects "],\"defects_total\":" total ",\"near_floor\":0.1,\"near\":[" near "]}"
#define FOUND(class, score) "{\"class\":\"" class "\",\"score\":" score "}"

static struct sl_what_if count(const char *class_name, double threshold, const char *body)
{
    struct sl_what_if w = {"r", "m", class_name, threshold, 0, 0, 0, 0, 0, 0};
    cJSON *json = cJSON_Parse(body);
    sl_what_if_add(&w, json);
    cJSON_Delete(json);
    return w;
}

static void test_ng_becomes_ok(void **state)
{
    static const char body[] = PART("ng", FOUND("open", "0.6"), "1", "");
    (void)state;
    assert_int_equal(count(NULL, 0.5, body).ng_to_ok, 0);
    assert_int_equal(count(NULL, 0.6, body).ng_to_ok, 0);
    assert_int_equal(count(NULL, 0.61, body).ng_to_ok, 1);
    assert_int_equal(count("open", 0.61, body).ng_to_ok, 1);
    assert_int_equal(count("short", 0.61, body).ng_to_ok, 0); // another class's
}

static void test_another_defect_keeps_it_ng(void **state)
{
    static const char body[] =
        PART("ng", FOUND("open", "0.6") "," FOUND("short", "0.5"), "2", "");
    (void)state;
    const struct sl_what_if one = count("open", 0.9, body), all = count(NULL, 0.9, body);
    assert_int_equal(one.ng_after, 1);
    assert_int_equal(one.ng_to_ok, 0);
    assert_int_equal(all.ng_to_ok, 1);
}

static void test_ok_becomes_ng(void **state)
{
    static const char body[] = PART("ok", "", "0", FOUND("open", "0.3"));
    (void)state;
    assert_int_equal(count(NULL, 0.3, body).ok_to_ng, 1);
    assert_int_equal(count("open", 0.2, body).ok_to_ng, 1);
    assert_int_equal(count("short", 0.2, body).ok_to_ng, 0);
    assert_int_equal(count(NULL, 0.31, body).ok_to_ng, 0);
}

static void test_unknown_where_the_scores_do_not_decide(void **state)
{
    (void)state;
    // Below the floor, with nothing that decides otherwise.
    assert_int_equal(count(NULL, 0.05, PART("ok", "", "0", "")).unknown, 1);
    assert_int_equal(count(NULL, 0.05, PART("ok", "", "0", FOUND("open", "0.2"))).unknown, 0);
    assert_int_equal(count(NULL, 0.5, PART("error", "", "0", "")).unknown, 1);
    // More defects than are listed, and all that are listed fall.
    assert_int_equal(count(NULL, 0.9, PART("ng", FOUND("open", "0.6"), "2", "")).unknown, 1);
    assert_int_equal(count(NULL, 0.5, PART("ng", FOUND("open", "0.6"), "2", "")).unknown, 0);
    // Recorded before near misses were.
    assert_int_equal(
        count(NULL, 0.5, "{\"recipe\":\"r\",\"model\":\"m\",\"result\":\"ok\",\"defects\":[]}")
            .unknown,
        1);
}

static void test_others_and_nonsense_are_passed_over(void **state)
{
    static const char *const bodies[] = {
        "null", "[]", "{}", "7", "{\"recipe\":\"r\",\"model\":\"other\",\"result\":\"ok\"}",
        "{\"recipe\":7,\"model\":[],\"result\":{}}"};
    (void)state;
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++)
        assert_int_equal(count(NULL, 0.5, bodies[i]).parts, 0);
}

static void test_thresholds_part_what_was_found(void **state)
{
    static struct sl_detect_result in = {.count = 4,
                                         .detections = {{.score = 0.9f, .class_id = 0},
                                                        {.score = 0.5f, .class_id = 1},
                                                        {.score = 0.3f, .class_id = 0},
                                                        {.score = 0.2f, .class_id = 0}}};
    static struct sl_detect_result out;
    const struct sl_thresholds t = {.n = 2, .value = {0.4f, 0.5f}};
    gfloat near[SL_MAX_CLASSES];
    (void)state;
    sl_thresholds_apply(&t, &in, &out, near);
    assert_int_equal(out.count, 2);
    assert_int_equal(out.detections[1].class_id, 1);
    assert_true(near[0] == 0.3f && near[1] == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ng_becomes_ok),
        cmocka_unit_test(test_another_defect_keeps_it_ng),
        cmocka_unit_test(test_ok_becomes_ng),
        cmocka_unit_test(test_unknown_where_the_scores_do_not_decide),
        cmocka_unit_test(test_others_and_nonsense_are_passed_over),
        cmocka_unit_test(test_thresholds_part_what_was_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
