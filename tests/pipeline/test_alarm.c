// Alarms: each is told once when it is raised and once when it is cleared; what of the update
// agent's state is one.
#include "pipeline/alarm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static gchar *told;
static guint n_told;
static gboolean deaf;

static gboolean tell(void *ctx, const gchar *camera, const gchar *json)
{
    (void)ctx;
    assert_string_equal(camera, "cam1");
    g_free(told);
    told = g_strdup(json);
    n_told += !deaf;
    return !deaf;
}

static void update(struct sl_alarms *alarms, enum sl_alarm_kind kind, const gchar *text)
{
    const gchar *now[SL_ALARM_COUNT] = {NULL};
    now[kind] = text;
    sl_alarms_update(alarms, "cam1", now, tell, NULL);
}

static void each_is_told_once(void **unused)
{
    (void)unused;
    for (guint kind = 0; kind < SL_ALARM_COUNT; kind++) {
        struct sl_alarms alarms = {{0}};
        n_told = 0;
        update(&alarms, kind, NULL);
        assert_int_equal(n_told, 0);
        update(&alarms, kind, "why");
        update(&alarms, kind, "why else");
        assert_int_equal(n_told, 1);
        assert_non_null(strstr(told, "\"state\":\"raised\""));
        assert_non_null(strstr(told, "\"text\":\"why\""));
        update(&alarms, kind, NULL);
        update(&alarms, kind, NULL);
        assert_int_equal(n_told, 2);
        assert_non_null(strstr(told, "\"state\":\"cleared\""));
    }
}

static void what_could_not_be_told_is_told_later(void **unused)
{
    (void)unused;
    struct sl_alarms alarms = {{0}};
    n_told = 0;
    deaf = TRUE;
    update(&alarms, SL_ALARM_MODEL, "why");
    deaf = FALSE;
    update(&alarms, SL_ALARM_MODEL, "why");
    assert_int_equal(n_told, 1);
    assert_non_null(strstr(told, "\"kind\":\"model\""));
}

static void states_of_the_update_agent(void **unused)
{
    (void)unused;
    static const struct {
        const char *state, *words; // NULL: no alarm
    } rows[] = {
        {"{\"last_result\":\"none\",\"reason\":\"\"}", NULL},
        {"{\"last_result\":\"committed\",\"reason\":\"old: not newer\"}", NULL},
        {"{\"last_result\":\"abandoned\",\"reason\":\"x\"}", NULL},
        {"{\"last_result\":\"reverted\"}", NULL},
        {"{\"last_result\":\"failed\",\"reason\":\"latency: 9 ms\"}",
         "rolled back: it failed: latency: 9 ms"},
        {"{\"last_result\":\"crashed\",\"reason\":\"\"}", "rolled back: it crashed"},
        {"{\"last_result\":\"timed-out\"}", "took too long"},
        {"{\"last_result\":\"parked\"}", "restarted again and again"},
        {"{\"last_result\":\"not-whole\"}", "dropped"},
        {"{\"last_result\":\"other-slot\"}", "damaged"},
        {"{\"last_result\":\"state-lost\"}", "lost its state"},
        {"{\"last_result\":\"nothing-fit\"}", "no slot"},
        {"{\"last_result\":\"committed\",\"revoked\":true}", "a catalog revokes"},
        {"{\"last_result\":\"committed\",\"revoked\":false}", NULL},
        {"{\"last_result\":7,\"reason\":[]}", NULL},
        {"", NULL},
        {"{", NULL},
        {"[]", NULL},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree gchar *text = sl_alarm_of_model_state(rows[i].state);
        if (!rows[i].words)
            assert_null(text);
        else
            assert_non_null(strstr(text, rows[i].words));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_is_told_once),
                                       cmocka_unit_test(what_could_not_be_told_is_told_later),
                                       cmocka_unit_test(states_of_the_update_agent)};
    const int status = cmocka_run_group_tests(tests, NULL, NULL);
    g_free(told);
    return status;
}
