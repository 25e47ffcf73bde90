// Verdict bodies: every field arrives, and neither text nor numbers can break the JSON.
#include "mqtt/verdict_json.h"

#include <cjson/cJSON.h>
#include <glib.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct sl_verdict_origin origin = {"0b7a-boot", "00ff00ff00ff00ff"};

static struct sl_verdict example(void)
{
    struct sl_verdict v = {
        .seq = 9007199254740993u,
        .camera = "cam1",
        .part_id = "p-17",
        .recipe = "board-a",
        .model = "pcb 1.0",
        .backend = "cpu",
        .result = SL_RESULT_NG,
        .n_reasons = 1,
        .reasons = {"short: 1"},
        .n_defects = 1,
        .defects_total = 3,
        .defects = {{"short", 0.9375f, 10.5f, 20.25f, 64.0f, 32.0f}},
        .picture_width = 640,
        .picture_height = 320,
        .frames = 2,
        .ts_utc_ms = 1700000000123,
        .ts_mono_ns = INT64_MIN,
        .clock = SL_CLOCK_SYNCED,
        .latency_ms = 12.5f,
        .registered = true,
        .shift_x_px = -1.25f,
        .rotation_deg = 0.5f,
        .registration_score = 0.875f,
        .decode_ms = 1.5f,
        .registration_ms = 2.5f,
        .inference_ms = 8.125f,
        .truth_defects = 2,
        .truth_found = 1,
    };
    return v;
}

static cJSON *parse(const char *text, size_t size)
{
    assert_int_equal(strlen(text), size);
    assert_true(g_utf8_validate(text, (gssize)size, NULL));
    cJSON *root = cJSON_ParseWithOpts(text, NULL, true);
    assert_non_null(root);
    return root;
}

static double number(const cJSON *object, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    assert_true(cJSON_IsNumber(item));
    return item->valuedouble;
}

static const char *string(const cJSON *object, const char *key)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, key));
    assert_non_null(text);
    return text;
}

static void writes_every_field(void **state)
{
    (void)state;
    char text[SL_VERDICT_JSON_MAX];
    struct sl_verdict v = example();
    size_t size = sl_verdict_json(text, sizeof(text), &v, &origin);
    assert_non_null(strstr(text, "\"seq\":9007199254740993,"));
    assert_non_null(strstr(text, "\"ts_mono_ns\":-9223372036854775808,"));
    assert_non_null(strstr(text, "\"ts\":1700000000123,"));
    assert_non_null(strstr(text, "\"box\":[10.5,20.25,64,32]"));
    cJSON *root = parse(text, size);
    assert_true(number(root, "schema") == SL_VERDICT_SCHEMA);
    assert_string_equal(string(root, "result"), "ng");
    assert_string_equal(string(root, "clock"), "synced");
    assert_string_equal(string(root, "stream"), origin.stream);
    assert_true(number(root, "latency_ms") == 12.5);
    assert_true(number(root, "defects_total") == 3);
    assert_true(number(cJSON_GetObjectItem(root, "registration"), "shift_x_px") == -1.25);
    assert_true(number(cJSON_GetObjectItem(root, "timing"), "inference_ms") == 8.125);
    assert_true(number(cJSON_GetObjectItem(root, "truth"), "found") == 1);
    const cJSON *defect = cJSON_GetArrayItem(cJSON_GetObjectItem(root, "defects"), 0);
    assert_string_equal(string(defect, "class"), "short");
    const cJSON *relative = cJSON_GetObjectItem(defect, "box_relative");
    assert_true(cJSON_GetArrayItem(relative, 2)->valuedouble == 0.1);
    assert_true(cJSON_GetArrayItem(relative, 3)->valuedouble == 0.1);
    cJSON_Delete(root);
}

static void leaves_out_unknown_truth(void **state)
{
    (void)state;
    char text[SL_VERDICT_JSON_MAX];
    struct sl_verdict v = example();
    v.truth_defects = -1;
    cJSON *root = parse(text, sl_verdict_json(text, sizeof(text), &v, &origin));
    assert_null(cJSON_GetObjectItem(root, "truth"));
    cJSON_Delete(root);
}

static void writes_a_defect(void **state)
{
    (void)state;
    char text[1024];
    struct sl_verdict v = example();
    cJSON *root = parse(text, sl_defect_json(text, sizeof(text), &v, &origin, 0));
    assert_true(number(root, "index") == 0);
    assert_true(number(root, "score") == 0.9375);
    assert_string_equal(string(root, "part_id"), "p-17");
    cJSON_Delete(root);
    assert_int_equal(sl_defect_json(text, sizeof(text), &v, &origin, 1), 0);
    v.n_defects = UINT32_MAX;
    assert_int_equal(sl_defect_json(text, sizeof(text), &v, &origin, SL_VERDICT_MAX_DEFECTS), 0);
}

static void escapes_text(void **state)
{
    (void)state;
    char text[SL_VERDICT_JSON_MAX];
    struct sl_verdict v = example();
    snprintf(v.part_id, sizeof(v.part_id), "a\"b\\c\n\x01\x7f\xc3\xbc");
    cJSON *root = parse(text, sl_verdict_json(text, sizeof(text), &v, &origin));
    assert_string_equal(string(root, "part_id"), v.part_id);
    cJSON_Delete(root);
}

static void replaces_what_is_not_utf8(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"\xff", "\xef\xbf\xbd"},
        {"a\xc3", "a\xef\xbf\xbd"},                                               // cut short
        {"\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd"},                                 // overlong
        {"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},                 // surrogate
        {"\xf4\x90\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"}, // too large
        {"\xf0\x9f\x94\xa7", "\xf0\x9f\x94\xa7"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[SL_VERDICT_JSON_MAX];
        struct sl_verdict v = example();
        snprintf(v.recipe, sizeof(v.recipe), "%s", cases[i].in);
        cJSON *root = parse(text, sl_verdict_json(text, sizeof(text), &v, &origin));
        assert_string_equal(string(root, "recipe"), cases[i].out);
        cJSON_Delete(root);
    }
}

static void survives_arrays_without_an_end(void **state)
{
    (void)state;
    char text[SL_VERDICT_JSON_MAX];
    struct sl_verdict v = example();
    memset(v.camera, 'x', sizeof(v.camera));
    memset(v.reasons, '\xc3', sizeof(v.reasons));
    v.n_reasons = UINT32_MAX;
    v.n_defects = UINT32_MAX;
    cJSON *root = parse(text, sl_verdict_json(text, sizeof(text), &v, &origin));
    assert_int_equal(strlen(string(root, "camera")), sizeof(v.camera));
    assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(root, "reasons")),
                     SL_VERDICT_MAX_REASONS);
    assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(root, "defects")),
                     SL_VERDICT_MAX_DEFECTS);
    cJSON_Delete(root);
}

static void writes_null_for_numbers_that_are_none(void **state)
{
    (void)state;
    char text[SL_VERDICT_JSON_MAX];
    struct sl_verdict v = example();
    v.latency_ms = NAN;
    v.decode_ms = INFINITY;
    v.inference_ms = 1e30f;
    v.shift_x_px = -1e-9f;
    v.picture_width = 0;
    cJSON *root = parse(text, sl_verdict_json(text, sizeof(text), &v, &origin));
    const cJSON *timing = cJSON_GetObjectItem(root, "timing");
    assert_true(cJSON_IsNull(cJSON_GetObjectItem(root, "latency_ms")));
    assert_true(cJSON_IsNull(cJSON_GetObjectItem(timing, "decode_ms")));
    assert_true(cJSON_IsNull(cJSON_GetObjectItem(timing, "inference_ms")));
    assert_non_null(strstr(text, "\"shift_x_px\":0,"));
    const cJSON *defect = cJSON_GetArrayItem(cJSON_GetObjectItem(root, "defects"), 0);
    const cJSON *relative = cJSON_GetObjectItem(defect, "box_relative");
    assert_true(cJSON_IsNull(cJSON_GetArrayItem(relative, 0)));
    assert_true(cJSON_IsNumber(cJSON_GetArrayItem(relative, 1)));
    cJSON_Delete(root);
}

static void takes_unknown_results_for_errors(void **state)
{
    (void)state;
    assert_string_equal(sl_result_name(SL_RESULT_OK), "ok");
    assert_string_equal(sl_result_name(0), "error");
    assert_string_equal(sl_result_name(77), "error");
    char text[SL_VERDICT_JSON_MAX];
    struct sl_verdict v = example();
    v.result = v.clock = UINT32_MAX;
    cJSON *root = parse(text, sl_verdict_json(text, sizeof(text), &v, &origin));
    assert_string_equal(string(root, "result"), "error");
    assert_string_equal(string(root, "clock"), "unsynced");
    cJSON_Delete(root);
}

static void refuses_every_buffer_that_is_too_small(void **state)
{
    (void)state;
    char whole[SL_VERDICT_JSON_MAX];
    struct sl_verdict v = example();
    size_t length = sl_verdict_json(whole, sizeof(whole), &v, &origin);
    for (size_t size = 0; size <= length + 1; size++) {
        char *text = malloc(size + 1); // exact, for the address sanitizer
        assert_non_null(text);
        text[size] = 'G';
        size_t used = sl_verdict_json(text, size, &v, &origin);
        assert_int_equal(used, size > length ? length : 0);
        assert_int_equal(text[size], 'G');
        free(text);
    }
}

static void holds_the_largest_verdict(void **state)
{
    (void)state;
    static char text[SL_VERDICT_JSON_MAX];
    struct sl_verdict v;
    memset(&v, 1, sizeof(v)); // every byte of text becomes six
    v.registered = true;
    v.n_reasons = SL_VERDICT_MAX_REASONS;
    v.n_defects = SL_VERDICT_MAX_DEFECTS;
    v.seq = UINT64_MAX;
    v.ts_utc_ms = v.ts_mono_ns = INT64_MIN;
    v.frames = v.defects_total = UINT32_MAX;
    v.picture_width = v.picture_height = 1;
    v.latency_ms = v.decode_ms = v.registration_ms = v.inference_ms = -987654321.0f;
    v.shift_x_px = v.shift_y_px = v.rotation_deg = v.registration_score = -987654321.0f;
    for (size_t i = 0; i < SL_VERDICT_MAX_DEFECTS; i++) {
        struct sl_defect *d = &v.defects[i];
        d->score = d->x1 = d->y1 = d->x2 = d->y2 = -98765.4321f;
    }
    struct sl_verdict_origin widest;
    memset(&widest, 1, sizeof(widest));
    size_t size = sl_verdict_json(text, sizeof(text), &v, &widest);
    assert_true(size > 0);
    cJSON_Delete(parse(text, size));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_every_field),
        cmocka_unit_test(leaves_out_unknown_truth),
        cmocka_unit_test(writes_a_defect),
        cmocka_unit_test(escapes_text),
        cmocka_unit_test(replaces_what_is_not_utf8),
        cmocka_unit_test(survives_arrays_without_an_end),
        cmocka_unit_test(writes_null_for_numbers_that_are_none),
        cmocka_unit_test(takes_unknown_results_for_errors),
        cmocka_unit_test(refuses_every_buffer_that_is_too_small),
        cmocka_unit_test(holds_the_largest_verdict),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
