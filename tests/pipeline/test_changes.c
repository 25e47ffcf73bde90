// What commands changed outlives a restart, and damage to it does not stop anything; alarms are told
// once.
#include "pipeline/alarm.h"
#include "pipeline/changes.h"

#include <cjson/cJSON.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static gchar *folder, *path;

static int make(void **state)
{
    (void)state;
    folder = g_dir_make_tmp("sl-changes-XXXXXX", NULL);
    path = g_build_filename(folder, "changes.json", NULL);
    return 0;
}

static int clean(void **state)
{
    g_autofree gchar *command = g_strdup_printf("rm -rf '%s'", folder);
    (void)state;
    g_free(folder);
    g_free(path);
    return system(command);
}

static void test_kept(void **state)
{
    const struct sl_change rows[] = {{"open", 0.48, 0.6}, {"short", 0.48, 0.7}};
    (void)state;
    struct sl_changes *c = sl_changes_load(path);
    assert_null(sl_changes_recipe(c, "cam"));
    assert_true(sl_changes_set_recipe(c, "cam", "b", "job", NULL));
    assert_true(sl_changes_set_thresholds(c, "cam", "b", rows, 2, NULL));
    sl_changes_free(c);
    c = sl_changes_load(path);
    assert_string_equal(sl_changes_recipe(c, "cam"), "b");
    assert_string_equal(sl_changes_job(c, "cam"), "job");
    assert_true(sl_changes_threshold(c, "cam", "b", "open", 0.48) == 0.6);
    assert_true(sl_changes_threshold(c, "cam", "a", "open", 0.48) == 0.48); // another recipe
    assert_true(sl_changes_threshold(c, "cam2", "b", "open", 0.48) == 0.48);
    assert_true(sl_changes_threshold(c, "cam", "b", "open", 0.5) == 0.5); // configured anew
    assert_true(sl_changes_set_recipe(c, "cam", NULL, NULL, NULL));
    assert_null(sl_changes_recipe(c, "cam"));
    assert_null(sl_changes_job(c, "cam"));
    assert_true(sl_changes_threshold(c, "cam", "b", "short", 0.48) == 0.7);
    sl_changes_free(c);
}

static void test_damage(void **state)
{
    static const char *const texts[] = {
        "",
        "[]",
        "{",
        "{\"cam\":7}",
        "{\"cam\":{\"recipe\":7,\"thresholds\":[1]}}",
        "{\"cam\":{\"thresholds\":{\"b\":{\"open\":{\"value\":9,\"instead_of\":0.48}}}}}",
    };
    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
        assert_true(g_file_set_contents(path, texts[i], -1, NULL));
        struct sl_changes *c = sl_changes_load(path);
        assert_null(sl_changes_recipe(c, "cam"));
        assert_true(sl_changes_threshold(c, "cam", "b", "open", 0.48) == 0.48);
        assert_true(sl_changes_set_recipe(c, "cam", "b", NULL, NULL));
        assert_string_equal(sl_changes_recipe(c, "cam"), "b");
        sl_changes_free(c);
    }
}

static void test_what_cannot_be_written_changes_nothing(void **state)
{
    g_autofree gchar *nowhere = g_build_filename(folder, "no", "such", "file.json", NULL);
    g_autoptr(GError) error = NULL;
    (void)state;
    struct sl_changes *c = sl_changes_load(nowhere);
    assert_false(sl_changes_set_recipe(c, "cam", "b", NULL, &error));
    assert_non_null(strstr(error->message, "file.json"));
    assert_null(sl_changes_recipe(c, "cam"));
    sl_changes_free(c);
}

struct told {
    guint n;
    gboolean deaf;
    gchar state[8][16], id[8][64];
};

static gboolean tell(void *ctx, const gchar *camera, const gchar *json)
{
    struct told *t = ctx;
    if (t->deaf)
        return FALSE;
    cJSON *alarm = cJSON_Parse(json);
    assert_string_equal(camera, "cam");
    g_strlcpy(t->state[t->n], cJSON_GetObjectItem(alarm, "state")->valuestring, 16);
    g_strlcpy(t->id[t->n++], cJSON_GetObjectItem(alarm, "id")->valuestring, 64);
    cJSON_Delete(alarm);
    return TRUE;
}

static void test_alarms_are_told_once(void **state)
{
    struct sl_alarms alarms = {0};
    struct told told = {0};
    const gchar *const none[SL_ALARM_COUNT] = {NULL};
    const gchar *const lost[SL_ALARM_COUNT] = {[SL_ALARM_CAMERA_LOST] = "gone"};
    (void)state;
    sl_alarms_update(&alarms, "cam", none, tell, &told);
    assert_int_equal(told.n, 0);
    told.deaf = TRUE; // the ledger is full
    sl_alarms_update(&alarms, "cam", lost, tell, &told);
    told.deaf = FALSE;
    for (int i = 0; i < 3; i++)
        sl_alarms_update(&alarms, "cam", lost, tell, &told);
    for (int i = 0; i < 3; i++)
        sl_alarms_update(&alarms, "cam", none, tell, &told);
    assert_int_equal(told.n, 2);
    assert_string_equal(told.state[0], "raised");
    assert_string_equal(told.state[1], "cleared");
    assert_string_equal(told.id[0], told.id[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_kept, make, clean),
        cmocka_unit_test_setup_teardown(test_damage, make, clean),
        cmocka_unit_test_setup_teardown(test_what_cannot_be_written_changes_nothing, make, clean),
        cmocka_unit_test(test_alarms_are_told_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
