// ota.yaml: what is filled in, and what is refused with file, line and key.
#include "ota/settings.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static char path[] = "/tmp/test-settings-XXXXXX";
static struct sl_settings *settings;
static struct sl_yaml_error error;

static int load(const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    settings = NULL;
    error.message[0] = '\0';
    return sl_settings_load(path, &settings, &error);
}

static void what_is_not_there_is_filled_in(void **unused)
{
    (void)unused;
    assert_int_equal(load("schema: 1\n"), 0);
    assert_string_equal(settings->storage, "/dev/disk/by-partlabel");
    assert_string_equal(settings->control, "/run/sightline/control.sock");
    assert_string_equal(settings->agent, "/run/sightline-otad/agent.sock");
    assert_string_equal(settings->audit, "/var/lib/sightline-ota/audit");
    assert_string_equal(settings->self_test, SIGHTLINE_LIBEXEC "/sightline-selftest");
    assert_null(settings->product);
    assert_null(settings->broker);
    assert_null(settings->tensor);
    assert_int_equal(settings->gate, SL_GATE_AT_ONCE);
    assert_int_equal(settings->self_test_s, 120);
    assert_int_equal(settings->shadow_s, 3600);
    assert_int_equal(settings->probation_s, 86400);
    assert_int_equal(settings->idle_s, 60);
    sl_settings_free(settings);
}

static void what_is_there_counts(void **unused)
{
    (void)unused;
    static const char *const gates[] = {"at-once", "on-demand", "line-idle", "order"};
    char text[256];
    for (uint32_t i = 0; i < 4; i++) {
        snprintf(text, sizeof(text),
                 "schema: 1\nstorage: /x\ngate: %s\nidle_s: 86400\nself_test_s: 1\ncamera: cam1\n",
                 gates[i]);
        assert_int_equal(load(text), 0);
        assert_int_equal(settings->gate, i);
        assert_int_equal(settings->idle_s, 86400);
        assert_int_equal(settings->self_test_s, 1);
        assert_string_equal(settings->storage, "/x");
        assert_string_equal(settings->camera, "cam1");
        sl_settings_free(settings);
    }
}

static void the_brokers_port_follows_its_authority(void **unused)
{
    (void)unused;
    static const struct {
        const char *more;
        uint16_t port;
        const char *root;
    } rows[] = {{"", 1883, "sightline-update"},
                {", ca_file: ca.pem", 8883, "sightline-update"},
                {", ca_file: ca.pem, port: 1884, topics: a/b", 1884, "a/b"}};
    char text[256];
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        snprintf(text, sizeof(text), "schema: 1\ncamera: cam1\nbroker: {host: plant%s}\n",
                 rows[i].more);
        assert_int_equal(load(text), 0);
        assert_int_equal(settings->broker->port, rows[i].port);
        assert_string_equal(settings->broker->root, rows[i].root);
        assert_true(settings->broker->keepalive_s > 0);
        sl_settings_free(settings);
    }
}

static void mistakes_are_named(void **unused)
{
    (void)unused;
    static const struct {
        const char *text, *words;
    } rows[] = {
        {"", "mapping"},
        {"schema: 2\n", "schema"},
        {"schema: 1\nstorge: /x\n", "storge"},
        {"schema: 1\ngate: sometimes\n", "gate"},
        {"schema: 1\nidle_s: 0\n", "idle_s"},
        {"schema: 1\nidle_s: 86401\n", "idle_s"},
        {"schema: 1\nself_test_s: 3601\n", "self_test_s"},
        {"schema: 1\nshadow_s: 604801\n", "shadow_s"},
        {"schema: 1\nprobation_s: -1\n", "probation_s"},
        {"schema: 1\nstorage: ''\n", "storage"},
        {"schema: 1\nstorage: {a: 1}\n", "storage"},
        {"schema: 1\nbroker: {host: plant}\n", "camera"},
        {"schema: 1\ncamera: c\nbroker: {port: 1}\n", "host"},
        {"schema: 1\ncamera: c\nbroker: {host: p, port: 0}\n", "port"},
        {"schema: 1\ncamera: c\nbroker: {host: p, port: 65536}\n", "port"},
        {"schema: 1\ncamera: c\nbroker: {host: p, user: x}\n", "user"},
        {"schema: 1\n\tstorage: /x\n", ""},
        {"- schema\n", ""},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_true(load(rows[i].text) < 0);
        assert_null(settings);
        if (!strstr(error.message, rows[i].words) || !strstr(error.message, path))
            fail_msg("%s: '%s'", rows[i].text, error.message);
    }
}

static void files_that_are_none(void **unused)
{
    (void)unused;
    assert_int_equal(sl_settings_load("/nowhere/ota.yaml", &settings, &error), -ENOENT);
    assert_non_null(strstr(error.message, "/nowhere/ota.yaml"));
    assert_true(sl_settings_load("/", &settings, &error) < 0);
    char *large = malloc(70000);
    assert_non_null(large);
    memset(large, '#', 70000);
    large[69999] = '\0';
    assert_int_equal(load(large), -EFBIG);
    free(large);
    sl_settings_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_not_there_is_filled_in), cmocka_unit_test(what_is_there_counts),
        cmocka_unit_test(the_brokers_port_follows_its_authority),
        cmocka_unit_test(mistakes_are_named), cmocka_unit_test(files_that_are_none)};
    const int fd = mkstemp(path);
    if (fd < 0)
        return 1;
    close(fd);
    const int status = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    return status;
}
