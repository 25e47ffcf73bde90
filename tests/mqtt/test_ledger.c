// The ledger: what is on disk after restarts, damage, a full quota and a full disk.
#include "mqtt/ledger/ledger.h"

#include "mqtt/ledger/store.h"

#include <errno.h>
#include <ftw.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[64], file[128];
static const char *const cameras[] = {"cam1", "cam2"};

static struct sl_ledger *try_open(uint32_t max_records, uint32_t queue, GError **error)
{
    const struct sl_config_ledger config = {
        .path = folder, .max_mb = 64, .max_records = max_records, .history_rate = 1};
    const struct sl_ledger_options options = {
        .config = &config, .cameras = cameras, .n_cameras = 2, .queue = queue, .boot_id = "boot"};
    return sl_ledger_new(&options, error);
}

static struct sl_ledger *open_ledger(uint32_t max_records)
{
    GError *error = NULL;
    struct sl_ledger *l = try_open(max_records, 1000, &error);
    assert_null(error);
    assert_non_null(l);
    return l;
}

static struct sl_ledger_stats stats_of(struct sl_ledger *l)
{
    struct sl_ledger_stats stats;
    sl_ledger_stats(l, &stats);
    return stats;
}

static void append(struct sl_ledger *l, const char *camera, unsigned n)
{
    struct sl_verdict v = {.part_id = "p", .result = SL_RESULT_NG, .n_defects = 1};
    g_strlcpy(v.camera, camera, sizeof(v.camera));
    strcpy(v.defects[0].class_name, "short");
    for (unsigned i = 0; i < n; i++) {
        assert_true(sl_ledger_append(l, &v) > 0);
    }
}

static void wait_for_disk(struct sl_ledger *l)
{
    for (int i = 0; i < 5000 && stats_of(l).waiting > 0; i++) {
        g_usleep(1000);
    }
    assert_int_equal(stats_of(l).waiting, 0);
}

static int prepare(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/sl-ledger-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(file, sizeof(file), "%s/" STORE_FILE, folder);
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *where)
{
    (void)st;
    (void)type;
    (void)where;
    return remove(path);
}

static int clean(void **state)
{
    (void)state;
    return nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static sqlite3 *open_file(void)
{
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(file, &db), SQLITE_OK);
    return db;
}

static void sql(const char *text)
{
    sqlite3 *db = open_file();
    assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static int64_t number(const char *text)
{
    sqlite3 *db = open_file();
    sqlite3_stmt *q = NULL;
    assert_int_equal(sqlite3_prepare_v2(db, text, -1, &q, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(q), SQLITE_ROW);
    const int64_t value = sqlite3_column_int64(q, 0);
    sqlite3_finalize(q);
    sqlite3_close(db);
    return value;
}

static int verify(int64_t *count, struct store_error *error)
{
    sqlite3 *db = open_file();
    const int status = store_verify(db, count, error);
    sqlite3_close(db);
    return status;
}

static void assert_whole(int64_t expected)
{
    struct store_error error = {""};
    int64_t count = 0;
    if (verify(&count, &error)) {
        fail_msg("%s", error.text);
    }
    assert_int_equal(count, expected);
}

static void goes_on_after_a_restart(void **state)
{
    (void)state;
    struct sl_ledger *l = open_ledger(1000);
    append(l, "cam1", 50);
    append(l, "cam2", 3);
    sl_ledger_free(l);
    l = open_ledger(1000);
    assert_int_equal(stats_of(l).queued, 53);
    const struct sl_verdict one = {.camera = "cam1"}, two = {.camera = "cam2"};
    assert_int_equal(sl_ledger_append(l, &one), 51);
    assert_int_equal(sl_ledger_append(l, &two), 4);
    wait_for_disk(l);
    assert_true(sl_ledger_settle(l, 1, true, false));
    assert_true(sl_ledger_settle(l, 2, true, true));
    sl_ledger_free(l);
    assert_int_equal(number("SELECT count(*) FROM record WHERE state = 0"), 53);
    assert_int_equal(number("SELECT state FROM record WHERE id = 2"), STORE_PARKED);
    assert_whole(55);
}

static void keeps_the_newest_of_a_full_queue_and_tells(void **state)
{
    (void)state;
    GError *error = NULL;
    struct sl_ledger *l = try_open(100000, 2, &error);
    assert_non_null(l);
    append(l, "cam1", 5000); // faster than any disk
    wait_for_disk(l);
    const struct sl_ledger_stats stats = stats_of(l);
    assert_true(stats.dropped > 0);
    assert_int_equal(stats.accepted, stats.dropped + stats.queued);
    sl_ledger_free(l);
    assert_int_equal(number("SELECT max(seq) FROM record WHERE kind = 1"), 5000);
    assert_int_equal(number("SELECT count(*) FROM record WHERE kind = 1"),
                     (int64_t)(5000 - stats.dropped));
    // Verdicts and gaps together cover every number once.
    assert_int_equal(number("SELECT sum(CASE kind WHEN 1 THEN 1 ELSE json_extract(body,'$.to_seq')"
                            " - json_extract(body,'$.from_seq') + 1 END) FROM record"),
                     5000);
}

static void drops_the_oldest_at_the_quota(void **state)
{
    (void)state;
    struct sl_ledger *l = open_ledger(200);
    for (int i = 0; i < 100; i++) {
        append(l, "cam1", 20);
        wait_for_disk(l);
    }
    const struct sl_ledger_stats stats = stats_of(l);
    sl_ledger_free(l);
    const int64_t rows = number("SELECT count(*) FROM record");
    assert_true(rows < 1200);
    assert_true(stats.dropped > 0);
    assert_int_equal(number("SELECT max(seq) FROM record"), 2000);
    assert_true(number("SELECT count(*) FROM record WHERE kind = 2") > 0);
    assert_whole(rows);
}

static void takes_no_gap_for_what_was_sent(void **state)
{
    (void)state;
    struct sl_ledger *l = open_ledger(100);
    for (int i = 1; i <= 1000; i++) {
        append(l, "cam1", 1);
        wait_for_disk(l);
        assert_true(sl_ledger_settle(l, i, true, false));
    }
    assert_int_equal(stats_of(l).dropped, 0);
    sl_ledger_free(l);
    assert_int_equal(number("SELECT count(*) FROM record WHERE kind = 2"), 0);
}

static void shows_every_kind_of_tampering(void **state)
{
    (void)state;
    static const char *const edits[] = {
        "UPDATE record SET result = 1 WHERE id = 5",
        "UPDATE record SET body = replace(body, '\"ng\"', '\"ok\"') WHERE id = 5",
        "UPDATE record SET part = 'q' WHERE id = 10",
        "UPDATE record SET camera = 'cam2' WHERE id = 1",
        "DELETE FROM record WHERE id = 5",
        "DELETE FROM record WHERE id = 1",
        "DELETE FROM record WHERE id = 10",
        "UPDATE record SET prev = zeroblob(32) WHERE id = 7",
        "INSERT INTO record SELECT 11,1,0,'cam1',11,0,'p',1,'',1,'{}',zeroblob(32)",
    };
    for (size_t i = 0; i < G_N_ELEMENTS(edits); i++) {
        if (i) {
            clean(NULL);
            prepare(NULL);
        }
        struct sl_ledger *l = open_ledger(1000);
        append(l, "cam1", 10);
        sl_ledger_free(l);
        assert_whole(10);
        sql(edits[i]);
        struct store_error error = {""};
        int64_t count;
        if (verify(&count, &error) != -EBADMSG || !error.text[0]) {
            fail_msg("not noticed: %s", edits[i]);
        }
    }
}

static void damage_file(const char *bytes, size_t size, long offset)
{
    FILE *f = fopen(file, "r+");
    assert_non_null(f);
    assert_int_equal(fseek(f, offset, SEEK_SET), 0);
    assert_int_equal(fwrite(bytes, 1, size, f), size);
    fclose(f);
}

static bool was_moved_aside(void)
{
    GDir *dir = g_dir_open(folder, 0, NULL);
    bool found = false;
    for (const char *name; (name = g_dir_read_name(dir));) {
        found = found || g_str_has_prefix(name, STORE_FILE ".damaged-");
    }
    g_dir_close(dir);
    return found;
}

static void begins_anew_after_damage(void **state)
{
    (void)state;
    static char noise[8192];
    memset(noise, 0xa5, sizeof(noise));
    static const struct {
        size_t size;
        long offset;
    } damages[] = {{16, 0}, {sizeof(noise), 0}, {4096, 4096}, {100, 8192}};
    for (size_t i = 0; i < G_N_ELEMENTS(damages); i++) {
        if (i) {
            clean(NULL);
            prepare(NULL);
        }
        struct sl_ledger *l = open_ledger(1000);
        append(l, "cam1", 40);
        sl_ledger_free(l);
        damage_file(noise, damages[i].size, damages[i].offset);
        l = open_ledger(1000);
        append(l, "cam1", 1);
        sl_ledger_free(l);
        if (!was_moved_aside()) {
            fail_msg("damage %zu was not noticed", i);
        }
        assert_int_equal(number("SELECT count(*) FROM record WHERE kind = 2"), 2);
        assert_whole(3);
    }
}

static void keeps_feedback_beside_the_verdicts(void **state)
{
    (void)state;
    struct sl_ledger *l = open_ledger(1000);
    append(l, "cam1", 1);
    wait_for_disk(l);
    assert_true(sl_ledger_feedback(l, "cam1", "p", "{\"verdict\":\"ok\"}"));
    append(l, "cam1", 1);
    sl_ledger_free(l);
    assert_int_equal(number("SELECT count(*) FROM record WHERE kind = 3 AND part = 'p'"), 1);
    assert_int_equal(number("SELECT count(*) FROM record WHERE state = 0"), 2); // it is not sent
    assert_whole(3);
}

static void lets_nobody_else_in(void **state)
{
    (void)state;
    struct sl_ledger *l = open_ledger(1000);
    g_autoptr(GError) error = NULL;
    assert_null(try_open(1000, 10, &error));
    assert_non_null(strstr(error->message, "another process writes there"));
    sl_ledger_free(l);
}

static void goes_on_in_memory_without_a_folder(void **state)
{
    (void)state;
    char kept[64];
    strcpy(kept, folder);
    strcpy(folder, "/proc/no/such/place");
    struct sl_ledger *l = try_open(1000, 100, NULL);
    assert_non_null(l);
    assert_non_null(strstr(stats_of(l).problem, "kept in memory"));
    append(l, "cam1", 10);
    wait_for_disk(l);
    append(l, "cam1", 10);
    wait_for_disk(l);
    assert_non_null(strstr(stats_of(l).problem, "kept in memory"));
    g_autofree char *memory = g_strdup(sl_ledger_folder(l));
    sl_ledger_free(l);
    strcpy(folder, memory);
    clean(NULL);
    strcpy(folder, kept);
}

static void refuses_a_database_of_another_version(void **state)
{
    (void)state;
    sl_ledger_free(open_ledger(1000));
    sql("PRAGMA user_version = 9");
    g_autoptr(GError) error = NULL;
    assert_null(try_open(1000, 10, &error));
    assert_non_null(strstr(error->message, "expected version 1 of the database, found 9"));
    assert_false(was_moved_aside());
}

// In a child: files may not grow, as on a full disk.
static void write_with_a_full_disk(void)
{
    struct sl_ledger *l = open_ledger(100000);
    append(l, "cam1", 900);
    wait_for_disk(l);
    signal(SIGXFSZ, SIG_IGN);
    const struct rlimit none = {4096, RLIM_INFINITY};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
    for (int i = 0; i < 30; i++) {
        append(l, "cam1", 100); // returns at once, whatever the disk does
        g_usleep(20000);
    }
    const struct sl_ledger_stats full = stats_of(l);
    assert_true(full.problem[0] && full.dropped > 0);
    assert_int_equal(full.accepted, full.queued + full.dropped);
    const struct rlimit all = {RLIM_INFINITY, RLIM_INFINITY};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &all), 0);
    for (int i = 0; i < 5000 && (stats_of(l).waiting || stats_of(l).problem[0]); i++) {
        g_usleep(1000);
    }
    assert_string_equal(stats_of(l).problem, "");
    append(l, "cam1", 1);
    sl_ledger_free(l);
}

static void outlives_a_full_disk(void **state)
{
    (void)state;
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        write_with_a_full_disk();
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(number("SELECT max(seq) FROM record"), 3901);
    assert_int_equal(number("SELECT sum(CASE kind WHEN 1 THEN 1 ELSE json_extract(body,'$.to_seq')"
                            " - json_extract(body,'$.from_seq') + 1 END) FROM record"),
                     3901);
    assert_whole(number("SELECT count(*) FROM record"));
}

// In a child that tells every number it was given, and whose disk takes nothing any more.
static void judge_until_killed(int told)
{
    struct sl_ledger *l = open_ledger(100000);
    append(l, "cam1", 5);
    wait_for_disk(l);
    signal(SIGXFSZ, SIG_IGN);
    const struct rlimit none = {4096, RLIM_INFINITY};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
    for (;;) {
        const struct sl_verdict v = {.camera = "cam1"};
        const uint64_t seq = sl_ledger_append(l, &v);
        if (write(told, &seq, sizeof(seq)) != sizeof(seq)) {
            _exit(1);
        }
        g_usleep(100);
    }
}

static void loses_nothing_when_it_is_killed(void **state)
{
    (void)state;
    int told[2];
    assert_int_equal(pipe(told), 0);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        judge_until_killed(told[1]);
    }
    close(told[1]);
    uint64_t last = 0, seq = 0;
    while (last < 300 && read(told[0], &seq, sizeof(seq)) == sizeof(seq)) {
        last = seq;
    }
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    while (read(told[0], &seq, sizeof(seq)) == sizeof(seq)) {
        last = seq;
    }
    close(told[0]);
    struct sl_ledger *l = open_ledger(100000);
    const struct sl_verdict v = {.camera = "cam1"};
    const uint64_t next = sl_ledger_append(l, &v);
    assert_true(next == last + 1 || next == last + 2); // the child may not have told its last
    sl_ledger_free(l);
    assert_int_equal(number("SELECT count(DISTINCT seq) FROM record WHERE kind = 1"),
                     (int64_t)next);
    assert_int_equal(number("SELECT count(*) FROM record"), (int64_t)next);
    assert_whole((int64_t)next);
}

// The database is lost with what was in it; what was only in memory keeps its numbers.
static void goes_on_under_its_numbers_in_a_new_database(void **state)
{
    (void)state;
    int told[2];
    uint64_t seq = 0;
    assert_int_equal(pipe(told), 0);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        judge_until_killed(told[1]);
    }
    close(told[1]);
    while (seq < 50 && read(told[0], &seq, sizeof(seq)) == sizeof(seq)) {
    }
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    close(told[0]);
    static char noise[8192];
    memset(noise, 0xa5, sizeof(noise));
    damage_file(noise, sizeof(noise), 0);
    g_autofree char *wal = g_strconcat(file, "-wal", NULL);
    unlink(wal); // it would mend the damage
    struct sl_ledger *l = open_ledger(1000);
    wait_for_disk(l);
    sl_ledger_free(l);
    assert_true(was_moved_aside());
    assert_int_equal(number("SELECT min(seq) FROM record WHERE kind = 1"), 6);
    assert_true(number("SELECT max(seq) FROM record WHERE kind = 1") >= 50);
    assert_int_equal(number("SELECT count(*) FROM record WHERE kind = 2"), 2);
}

#define LEDGER_TEST(test) cmocka_unit_test_setup_teardown(test, prepare, clean)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LEDGER_TEST(goes_on_after_a_restart),
        LEDGER_TEST(keeps_the_newest_of_a_full_queue_and_tells),
        LEDGER_TEST(drops_the_oldest_at_the_quota),
        LEDGER_TEST(takes_no_gap_for_what_was_sent),
        LEDGER_TEST(shows_every_kind_of_tampering),
        LEDGER_TEST(begins_anew_after_damage),
        LEDGER_TEST(keeps_feedback_beside_the_verdicts),
        LEDGER_TEST(lets_nobody_else_in),
        LEDGER_TEST(goes_on_in_memory_without_a_folder),
        LEDGER_TEST(refuses_a_database_of_another_version),
        LEDGER_TEST(outlives_a_full_disk),
        LEDGER_TEST(loses_nothing_when_it_is_killed),
        LEDGER_TEST(goes_on_under_its_numbers_in_a_new_database),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
