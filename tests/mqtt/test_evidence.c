// Pictures beside the ledger: whole or not there, within their quota, and found again.
#include "mqtt/ledger/evidence.h"

#include <glib/gstdio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char block[200000];

static char *make_folder(void)
{
    char *folder = g_dir_make_tmp("sl-evidence-XXXXXX", NULL);
    assert_non_null(folder);
    return folder;
}

static void remove_folder(char *folder)
{
    g_autofree char *command = g_strdup_printf("chmod -R u+rwx '%s'; rm -rf '%s'", folder, folder);
    assert_int_equal(system(command), 0);
    g_free(folder);
}

static bool add(struct sl_evidence *e, const char *name, int64_t ts, size_t size)
{
    return sl_evidence_add(e, &(struct sl_evidence_picture){.name = name,
                                                            .camera = "cam1",
                                                            .part_id = "p",
                                                            .result = 2,
                                                            .ts_ms = ts,
                                                            .jpeg = block,
                                                            .size = size});
}

static bool is_there(const char *folder, const char *name, size_t size)
{
    g_autofree char *path = sl_evidence_path(folder, name);
    struct stat st;
    return stat(path, &st) == 0 && (size_t)st.st_size == size;
}

static void test_kept_and_found_again(void **state)
{
    char *folder = make_folder();
    struct sl_evidence_stats stats;
    (void)state;
    struct sl_evidence *e = sl_evidence_new(folder, 1, NULL);
    assert_true(add(e, "01abc", 1, 5000));
    assert_true(add(e, "01abd", 2, 6000));
    sl_evidence_free(e);
    assert_true(is_there(folder, "01abc", 5000) && is_there(folder, "01abd", 6000));
    e = sl_evidence_new(folder, 1, NULL);
    sl_evidence_stats(e, &stats);
    assert_int_equal(stats.files, 2);
    assert_int_equal(stats.bytes, 11000);
    sl_evidence_free(e);
    remove_folder(folder);
}

static void test_the_oldest_go_first(void **state)
{
    char *folder = make_folder();
    struct sl_evidence_stats stats;
    struct sl_evidence *e = sl_evidence_new(folder, 1, NULL); // 1,048,576 bytes: ten of 100,000
    (void)state;
    for (int i = 0; i < 25; i++) {
        g_autofree char *name = g_strdup_printf("n%02d", i);
        assert_true(add(e, name, i, 100000));
    }
    sl_evidence_stats(e, &stats);
    assert_int_equal(stats.files, 10);
    assert_int_equal(stats.removed, 15);
    assert_true(stats.bytes <= 1048576);
    assert_false(is_there(folder, "n14", 100000));
    assert_true(is_there(folder, "n15", 100000) && is_there(folder, "n24", 100000));
    sl_evidence_free(e);
    remove_folder(folder);
}

static void test_names_and_sizes_are_checked(void **state)
{
    char *folder = make_folder();
    struct sl_evidence *e = sl_evidence_new(folder, 1, NULL);
    static const char *const bad[] = {"",   "a",      "../x",  "ab/cd",
                                      "AB", "ab.jpg", "ab cd", "abcdefghijklmnopqrstuvwx"};
    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        assert_false(add(e, bad[i], 1, 10));
        assert_null(sl_evidence_path(folder, bad[i]));
    }
    assert_false(add(e, "empty", 1, 0));
    assert_false(add(e, "large", 1, 2000000)); // more than the quota
    assert_true(add(e, "abcdefghijklmnopqrstuvw", 1, 10));
    sl_evidence_free(e);
    remove_folder(folder);
}

static void test_a_damaged_database_is_made_anew_from_the_files(void **state)
{
    char *folder = make_folder();
    g_autofree char *database = g_build_filename(folder, "pictures.db", NULL);
    struct sl_evidence_stats stats;
    (void)state;
    struct sl_evidence *e = sl_evidence_new(folder, 1, NULL);
    assert_true(add(e, "one", 1, 1000) && add(e, "two", 2, 2000));
    sl_evidence_free(e);
    assert_true(g_file_set_contents(database, block, sizeof(block), NULL));
    e = sl_evidence_new(folder, 1, NULL);
    assert_non_null(e);
    sl_evidence_stats(e, &stats);
    assert_int_equal(stats.files, 2);
    assert_int_equal(stats.bytes, 3000);
    assert_non_null(strstr(stats.problem, "damaged"));
    sl_evidence_free(e);
    remove_folder(folder);
}

static void test_a_file_left_half_written_goes(void **state)
{
    char *folder = make_folder();
    (void)state;
    struct sl_evidence *e = sl_evidence_new(folder, 1, NULL);
    assert_true(add(e, "xyz", 1, 1000));
    sl_evidence_free(e);
    g_autofree char *part = g_build_filename(folder, "pictures/yz/other.jpg.part", NULL);
    g_autofree char *database = g_build_filename(folder, "pictures.db", NULL);
    assert_true(g_file_set_contents(part, "half", 4, NULL));
    assert_int_equal(unlink(database), 0); // so that the files are looked at
    e = sl_evidence_new(folder, 1, NULL);
    assert_int_not_equal(access(part, F_OK), 0);
    assert_true(is_there(folder, "xyz", 1000));
    sl_evidence_free(e);
    remove_folder(folder);
}

static void test_a_folder_that_cannot_be_used(void **state)
{
    char *folder = make_folder();
    g_autofree char *file = g_build_filename(folder, "file", NULL);
    g_autoptr(GError) error = NULL;
    (void)state;
    assert_true(g_file_set_contents(file, "", 0, NULL));
    assert_null(sl_evidence_new(file, 1, &error));
    assert_non_null(strstr(error->message, "file/pictures: expected a folder"));
    remove_folder(folder);
}

static void test_what_cannot_be_written_is_counted(void **state)
{
    char *folder = make_folder();
    struct sl_evidence_stats stats;
    struct sl_evidence *e = sl_evidence_new(folder, 1, NULL);
    g_autofree char *place = g_build_filename(folder, "pictures/bc", NULL);
    (void)state;
    assert_true(g_file_set_contents(place, "in the way", -1, NULL));
    assert_false(add(e, "abc", 1, 1000));
    sl_evidence_stats(e, &stats);
    assert_int_equal(stats.failed, 1);
    assert_int_equal(stats.files, 0);
    assert_non_null(strstr(stats.problem, "pictures/bc"));
    assert_true(add(e, "abd", 1, 1000));
    sl_evidence_stats(e, &stats);
    assert_string_equal(stats.problem, "");
    sl_evidence_free(e);
    remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kept_and_found_again),
        cmocka_unit_test(test_the_oldest_go_first),
        cmocka_unit_test(test_names_and_sizes_are_checked),
        cmocka_unit_test(test_a_damaged_database_is_made_anew_from_the_files),
        cmocka_unit_test(test_a_file_left_half_written_goes),
        cmocka_unit_test(test_a_folder_that_cannot_be_used),
        cmocka_unit_test(test_what_cannot_be_written_is_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
