// The table of `sightline watch`: counts, limits, and text from strangers.
#include "pipeline/listen.h"
#include "pipeline/watch_table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct watch_table table;
static char line[WATCH_LINE];

static int clear(void **state)
{
    (void)state;
    memset(&table, 0, sizeof(table));
    memset(line, 'x', sizeof(line));
    return 0;
}

static bool take(const char *camera, const char *leaf, const char *payload)
{
    return watch_table_take(&table, camera, leaf, payload, strlen(payload), line);
}

// Not inlined: gcc 12 takes the address given to open_memstream for the text itself.
__attribute__((noinline)) static char *print(void)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    watch_table_print(&table, out);
    fclose(out);
    return text;
}

static void assert_printed(const char *part)
{
    char *text = print();
    if (!strstr(text, part))
        fail_msg("no '%s' in:\n%s", part, text);
    free(text);
}

static void assert_harmless(const char *text)
{
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        assert_true(*c >= 0x20 || *c == '\n');
        assert_int_not_equal(*c, 0x7f);
        assert_false(c[0] == 0xc2 && c[1] < 0xa0);
    }
}

static void test_counts(void **state)
{
    (void)state;
    assert_true(take("cam1", "verdict", "{\"result\":\"ok\",\"part_id\":\"a\",\"latency_ms\":8}"));
    assert_string_equal(line, "cam1         a                    OK       8.0 ms");
    assert_true(take("cam1", "verdict",
                     "{\"result\":\"ng\",\"part_id\":\"b\",\"latency_ms\":9.25,"
                     "\"reasons\":[\"short: 2\",\"open: 1\"]}"));
    assert_string_equal(line,
                        "cam1         b                    NG       9.2 ms  short: 2, open: 1");
    take("cam1", "verdict", "{\"result\":\"ok\"}");
    take("cam1", "verdict", "{\"result\":\"error\",\"latency_ms\":7}");
    take("cam2", "verdict", "{\"result\":\"ok\"}");
    const struct watch_camera *c = table.cameras;
    assert_int_equal(table.n_cameras, 2);
    assert_int_equal(c->parts, 4);
    assert_int_equal(c->ok, 2);
    assert_int_equal(c->ng, 1);
    assert_int_equal(c->error, 1);
    assert_int_equal(c[1].parts, 1);
    assert_printed("cam1                4        2        1        1     7.0 ms  unknown\n");
}

static void test_health(void **state)
{
    (void)state;
    assert_false(take("cam1", "health", "{\"state\":\"degraded\",\"reasons\":[\"x\",\"y\"]}"));
    assert_printed("degraded x, y\n");
    take("cam1", "status", "offline");
    assert_printed("offline\n");
    take("cam1", "health", "{\"state\":\"good\",\"reasons\":[]}");
    assert_printed("good\n");
    take("cam1", "health", "[\"not health\"]");
    assert_printed("unknown\n");
    assert_int_equal(table.cameras[0].parts, 0);
}

static void test_only_cameras_have_rows(void **state)
{
    (void)state;
    assert_false(take("sightline-host", "status", "online"));
    assert_false(take("cam1", "metrics", "{\"fps\":1}"));
    assert_int_equal(table.n_cameras, 0);
    assert_false(take("sightline-host", "status", "offline"));
    assert_int_equal(table.n_cameras, 1);
}

static void test_what_is_no_verdict(void **state)
{
    static const char *const payloads[] = {
        "",
        "{",
        "[]",
        "null",
        "\"ok\"",
        "{\"result\":1}",
        "{\"result\":\"OK\"}",
        "{\"result\":\"okay\",\"reasons\":3,\"part_id\":{},\"latency_ms\":\"1\"}",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(payloads) / sizeof(payloads[0]); i++) {
        assert_true(take("cam1", "verdict", payloads[i]));
        assert_non_null(strstr(line, "?"));
        assert_non_null(strstr(line, "not a verdict"));
    }
    assert_int_equal(table.cameras[0].parts, 0);
}

static void test_hostile_text(void **state)
{
    static const char payload[] =
        "{\"result\":\"ng\",\"part_id\":\"\\u001b[2J\\u0007\\u009b\\n\",\"state\":\"\\u001b]0;x\","
        "\"reasons\":[\"\\u001b[31m\",\"\xc2\x9b\x31\",\"\xff\xfe\",\"\x7f\"]}";
    (void)state;
    take("\x1b[H\xc2\x85", "verdict", payload);
    assert_harmless(line);
    assert_null(strchr(line, '\n'));
    take("\x1b[H\xc2\x85", "health", payload);
    char *text = print();
    assert_harmless(text);
    free(text);
}

static void test_long_text(void **state)
{
    char payload[8192], name[2048];
    size_t used = (size_t)snprintf(payload, sizeof(payload), "{\"result\":\"ng\",\"part_id\":\"");
    (void)state;
    // Three bytes each, so that every cut is a chance to cut a character.
    for (int i = 0; i < 500; i++, used += 3)
        memcpy(payload + used, "\xe9\x83\xa8", 3);
    used += (size_t)snprintf(payload + used, sizeof(payload) - used, "\",\"reasons\":[\"r\"");
    for (int i = 0; i < 100; i++)
        used += (size_t)snprintf(payload + used, sizeof(payload) - used, ",\"reason %d\"", i);
    snprintf(payload + used, sizeof(payload) - used, "],\"latency_ms\":1e300}");
    for (size_t i = 0; i + 1 < sizeof(name); i += 2)
        memcpy(name + i, "\xc3\xa9", 2);
    name[sizeof(name) - 2] = '\0';
    take(name, "verdict", payload);
    take(name, "health", payload);
    char cleaned[WATCH_LINE];
    listen_clean(line, cleaned, sizeof(cleaned));
    assert_string_equal(line, cleaned); // no character was cut apart
    assert_non_null(strstr(line, "\xc3\xa9 \xe9\x83\xa8"));
    assert_non_null(strstr(line, " NG    999999.0 ms  r, reason 0, "));
    char *text = print();
    for (char *row = strtok(text, "\n"); row; row = strtok(NULL, "\n")) {
        listen_clean(row, cleaned, sizeof(cleaned));
        assert_string_equal(row, cleaned);
    }
    free(text);
}

static void test_more_than_there_is_room_for(void **state)
{
    char name[32], payload[64];
    (void)state;
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof(name), "cam%d", i);
        snprintf(payload, sizeof(payload), "{\"result\":\"ok\",\"part_id\":\"part-%d.\"}", i);
        assert_true(take(name, "verdict", payload));
        assert_non_null(strstr(line, name));
        take(name, "health", "{\"state\":\"good\"}");
    }
    assert_int_equal(table.n_cameras, WATCH_CAMERAS);
    char *text = print();
    const char *newest = strstr(text, "part-99.");
    assert_non_null(newest);
    assert_non_null(strstr(newest, "part-88.")); // the oldest stands last
    assert_null(strstr(text, "part-87."));
    free(text);
}

static void test_clean(void **state)
{
    static const struct {
        const char *text, *want;
        size_t size;
    } cases[] = {
        {"", "", 1},
        {"abc", "", 1},
        {"abc", "ab", 3},
        {"a\tb\r\n", "a?b??", 9},
        {"\xc2\xa0", "\xc2\xa0", 9},
        {"\xc2\x80", "?", 9},
        {"\xe9\x83\xa8", "", 3},
        {"\xe9\x83", "??", 9},
        {"\xf0\x9f\x98\x80!", "\xf0\x9f\x98\x80!", 9},
        {"\xc0\xaf", "??", 9},
        {"\xed\xa0\x80", "???", 9},
        {"\xe0\x80\x80", "???", 9},
        {"\xf4\x90\x80\x80", "????", 9},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char out[10];
        listen_clean(cases[i].text, out, cases[i].size);
        assert_string_equal(out, cases[i].want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_counts, clear),
        cmocka_unit_test_setup(test_health, clear),
        cmocka_unit_test_setup(test_only_cameras_have_rows, clear),
        cmocka_unit_test_setup(test_what_is_no_verdict, clear),
        cmocka_unit_test_setup(test_hostile_text, clear),
        cmocka_unit_test_setup(test_long_text, clear),
        cmocka_unit_test_setup(test_more_than_there_is_room_for, clear),
        cmocka_unit_test(test_clean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
