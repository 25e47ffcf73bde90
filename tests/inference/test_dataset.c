// Both layouts of labelled pictures, and what is refused with file and line.
#include "inference/dataset.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <cmocka.h>

static char root[64];

static int make_root(void **state)
{
    (void)state;
    snprintf(root, sizeof(root), "/tmp/sl-dataset-XXXXXX");
    return mkdtemp(root) ? 0 : -1;
}

static void in_root(char path[160], const char *name)
{
    snprintf(path, 160, "%s/%s", root, name);
}

static void folder(const char *name)
{
    char path[160];
    in_root(path, name);
    assert_int_equal(mkdir(path, 0700), 0);
}

static void file(const char *name, const char *text)
{
    char path[160];
    in_root(path, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static int remove_root(void **state)
{
    (void)state;
    static const char *const names[] = {"b_test.jpg",
                                        "b_temp.jpg",
                                        "b.txt",
                                        "a10_test.jpg",
                                        "a9_test.jpg",
                                        "a9.txt",
                                        "images/x.jpg",
                                        "images/y.jpg",
                                        "labels/x.txt",
                                        "labels/p_test.jpg",
                                        "labels/p_temp.jpg",
                                        "labels/p.txt",
                                        "notes.txt",
                                        ".hidden_test.jpg",
                                        "images",
                                        "labels"};
    char path[160];
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        in_root(path, names[i]);
        remove(path);
    }
    return remove(root);
}

static void deeppcb_is_recognised(void **state)
{
    (void)state;
    struct sl_dataset d;
    file("b_test.jpg", "");
    file("b_temp.jpg", "");
    file("b.txt", "");
    file("a10_test.jpg", "");
    file("a9_test.jpg", "");
    file("notes.txt", "");
    file(".hidden_test.jpg", "");
    assert_int_equal(sl_dataset_open(root, SL_DATASET_ANY, &d, NULL), 0);
    assert_int_equal(d.count, 3);
    assert_string_equal(d.samples[0].name, "a9"); // numbers in their order
    assert_string_equal(d.samples[1].name, "a10");
    assert_string_equal(d.samples[2].name, "b");
    assert_null(d.samples[0].reference);
    assert_null(d.samples[0].labels);
    assert_non_null(strstr(d.samples[2].reference, "/b_temp.jpg"));
    assert_non_null(strstr(d.samples[2].labels, "/b.txt"));
    sl_dataset_close(&d);
    assert_int_equal(d.count, 0);
}

static void yolo_is_recognised(void **state)
{
    (void)state;
    struct sl_dataset d;
    struct sl_truth t;
    folder("images");
    folder("labels");
    file("images/x.jpg", "");
    file("images/y.jpg", "");
    file("labels/x.txt", "1 0.5 0.25 0.5 0.1\n\n0 0.5 0.5 1 1\r\n");
    assert_int_equal(sl_dataset_open(root, SL_DATASET_ANY, &d, NULL), 0);
    assert_int_equal(d.count, 2);
    assert_int_equal(sl_dataset_truth(&d, 0, NULL, 2, 200, 100, &t, NULL), 0);
    assert_int_equal(t.count, 2);
    assert_float_equal(t.rows[0].box.x1, 50, 1e-3);
    assert_float_equal(t.rows[0].box.y1, 20, 1e-3);
    assert_float_equal(t.rows[0].box.x2, 150, 1e-3);
    assert_float_equal(t.rows[0].box.y2, 30, 1e-3);
    assert_int_equal(t.rows[0].box.class_id, 1);
    assert_float_equal(t.rows[0].box.score, 1, 0);
    assert_float_equal(t.rows[1].box.x2, 200, 1e-3);
    sl_truth_free(&t);
    // In this layout a picture without labels is one without objects.
    assert_int_equal(sl_dataset_truth(&d, 1, NULL, 2, 200, 100, &t, NULL), 0);
    assert_int_equal(t.count, 0);
    sl_truth_free(&t);
    sl_dataset_close(&d);
}

// Reads one label file of the DeepPCB layout.
static int truth_of(const char *text, struct sl_truth *t, struct sl_error *error)
{
    struct sl_dataset d;
    file("b_test.jpg", "");
    file("b.txt", text);
    assert_int_equal(sl_dataset_open(root, SL_DATASET_ANY, &d, NULL), 0);
    const int status = sl_dataset_truth(&d, 0, NULL, 6, 640, 640, t, error);
    sl_dataset_close(&d);
    return status;
}

static void types_count_from_one(void **state)
{
    (void)state;
    struct sl_truth t;
    assert_int_equal(truth_of("77 315 110 373 1\n188,254,227,281,6", &t, NULL), 0);
    assert_int_equal(t.count, 2);
    assert_float_equal(t.rows[0].box.x1, 77, 0);
    assert_float_equal(t.rows[0].box.y2, 373, 0);
    assert_int_equal(t.rows[0].box.class_id, 0);
    assert_int_equal(t.rows[1].box.class_id, 5);
    sl_truth_free(&t);
}

// The layout decides, not the words in the path.
static void a_folder_called_labels_is_no_other_layout(void **state)
{
    (void)state;
    struct sl_dataset d;
    struct sl_truth t;
    char path[160];
    folder("labels");
    file("labels/p_test.jpg", "");
    file("labels/p_temp.jpg", "");
    file("labels/p.txt", "10 20 30 40 6\n");
    in_root(path, "labels");
    assert_int_equal(sl_dataset_open(path, SL_DATASET_ANY, &d, NULL), 0);
    assert_int_equal(sl_dataset_truth(&d, 0, NULL, 6, 640, 640, &t, NULL), 0);
    assert_int_equal(t.rows[0].box.class_id, 5);
    assert_float_equal(t.rows[0].box.x1, 10, 0);
    sl_truth_free(&t);
    sl_dataset_close(&d);
}

static void nonsense_is_refused_with_its_line(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "1 2 3 4",      "1 2 3 4 5 6", "one 2 3 4 5", "1 2 3 4 7",
        "1 2 3 4 0",    "1 2 3 4 1.5", "1 2 3 4 -1",  "5 2 3 4 1",
        "1 5 3 4 1",    "1 2 1 4 1",   "nan 2 3 4 1", "1 2 inf 4 1",
        "1 2 1e30 4 1", "1 2 3 4 1 x", "<html>",      "1 2 3 4 99999999999",
    };
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        char text[128];
        struct sl_error error = {""};
        struct sl_truth t = {7, NULL};
        snprintf(text, sizeof(text), "10 10 20 20 1\n\n%s\n", lines[i]);
        assert_int_equal(truth_of(text, &t, &error), -EINVAL);
        if (!strstr(error.message, "b.txt:3:") || !strstr(error.message, lines[i]))
            fail_msg("'%s' for '%s'", error.message, lines[i]);
        assert_int_equal(t.count, 7); // untouched
    }
}

static void too_many_labels_are_refused(void **state)
{
    (void)state;
    struct sl_error error = {""};
    struct sl_truth t;
    char *text = malloc(5000 * 10 + 1), *at = text;
    assert_non_null(text);
    for (int i = 0; i < 5000; i++)
        at += sprintf(at, "1 1 2 2 1\n");
    assert_int_equal(truth_of(text, &t, &error), -E2BIG);
    assert_non_null(strstr(error.message, "b.txt:4097"));
    free(text);
}

static void missing_and_empty_folders_are_refused(void **state)
{
    (void)state;
    struct sl_error error = {""};
    struct sl_dataset d = {.count = 5};
    char path[160];
    in_root(path, "absent");
    assert_int_equal(sl_dataset_open(path, SL_DATASET_ANY, &d, &error), -ENOENT);
    assert_non_null(strstr(error.message, path));
    assert_int_equal(sl_dataset_open(root, SL_DATASET_ANY, &d, &error), -ENOENT);
    assert_non_null(strstr(error.message, "_test.jpg"));
    file("notes.txt", "");
    in_root(path, "notes.txt");
    assert_int_equal(sl_dataset_open(path, SL_DATASET_ANY, &d, &error), -EINVAL);
    assert_non_null(strstr(error.message, "notes.txt:1: expected a value"));
    folder("images");
    assert_int_equal(sl_dataset_open(root, SL_DATASET_ANY, &d, &error), -ENOENT);
    assert_int_equal(d.count, 5);
}

static void files_are_read_whole_or_refused(void **state)
{
    (void)state;
    struct sl_error error = {""};
    void *bytes = NULL;
    size_t size = 0;
    char path[160];
    file("notes.txt", "12345");
    in_root(path, "notes.txt");
    assert_int_equal(sl_read_file(path, 5, &bytes, &size, &error), 0);
    assert_int_equal(size, 5);
    assert_memory_equal(bytes, "12345", 6);
    free(bytes);
    assert_int_equal(sl_read_file(path, 4, &bytes, &size, &error), -EFBIG);
    assert_non_null(strstr(error.message, path));
    assert_int_equal(sl_read_file(root, 100, &bytes, &size, &error), -EINVAL);
    in_root(path, "absent");
    assert_int_equal(sl_read_file(path, 100, &bytes, &size, &error), -ENOENT);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, make_root, remove_root)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(deeppcb_is_recognised),
        CASE(yolo_is_recognised),
        CASE(types_count_from_one),
        CASE(a_folder_called_labels_is_no_other_layout),
        CASE(nonsense_is_refused_with_its_line),
        CASE(too_many_labels_are_refused),
        CASE(missing_and_empty_folders_are_refused),
        CASE(files_are_read_whole_or_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
