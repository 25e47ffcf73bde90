// The ring between caller and disk: what a killed process leaves, and files that are not ours.
#include "mqtt/ledger/queue.h"

#include <fcntl.h>
#include <ftw.h>
#include <glib.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[64];

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *where)
{
    (void)st;
    (void)type;
    (void)where;
    return remove(path);
}

static int prepare(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/sl-queue-XXXXXX");
    assert_non_null(mkdtemp(folder));
    assert_int_equal(setenv("RUNTIME_DIRECTORY", folder, 1), 0);
    return 0;
}

static int clean(void **state)
{
    (void)state;
    unsetenv("RUNTIME_DIRECTORY");
    return nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static struct queue open_queue(uint32_t capacity)
{
    struct queue q;
    assert_int_equal(queue_open(&q, "ledger", capacity), 0);
    return q;
}

static void push(struct queue *q, uint64_t from, uint64_t to)
{
    for (uint64_t seq = from; seq <= to; seq++) {
        struct sl_verdict v = {.camera = "cam1"};
        snprintf(v.part_id, sizeof(v.part_id), "part-%lu", (unsigned long)seq);
        queue_push(q, &v, seq);
    }
}

static void assert_holds(const struct queue *q, uint64_t from, uint64_t to)
{
    assert_int_equal(queue_length(q), to - from + 1);
    for (uint64_t at = q->head; at < q->tail; at++) {
        const struct sl_verdict *v = queue_at(q, at);
        char part[64];
        snprintf(part, sizeof(part), "part-%lu", (unsigned long)(from + at - q->head));
        assert_int_equal(v->seq, from + at - q->head);
        assert_string_equal(v->part_id, part);
        assert_string_equal(v->camera, "cam1");
    }
}

// Lets go of the mapping as a killed process does.
static void abandon(struct queue *q)
{
    munmap(q->ring, q->size);
    g_free(q->path);
}

static char *only_file(void)
{
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    const char *name = g_dir_read_name(dir);
    return name ? g_build_filename(folder, name, NULL) : NULL;
}

static void loses_its_oldest_when_full(void **state)
{
    (void)state;
    struct queue q = open_queue(3);
    push(&q, 1, 3);
    assert_false(queue_push(&q, &(struct sl_verdict){.camera = "cam1", .part_id = "part-4"}, 4));
    assert_holds(&q, 2, 4);
    queue_forget(&q, q.head + 2);
    assert_holds(&q, 4, 4);
    queue_forget(&q, q.tail);
    queue_close(&q);
}

static void keeps_what_a_process_left(void **state)
{
    (void)state;
    struct queue q = open_queue(8);
    push(&q, 1, 6);
    queue_forget(&q, q.head + 2);
    abandon(&q);
    q = open_queue(8);
    assert_holds(&q, 3, 6);
    push(&q, 7, 9);
    abandon(&q);
    q = open_queue(3); // another capacity
    assert_holds(&q, 7, 9);
    queue_close(&q); // not empty: it stays
    q = open_queue(20);
    assert_holds(&q, 7, 9);
    queue_forget(&q, q.tail);
    queue_close(&q);
    assert_null(only_file());
}

// However a process is killed, a number it has told to others is there, and all are whole.
static void is_whole_at_any_kill(void **state)
{
    (void)state;
    uint64_t first = 1;
    for (int round = 0; round < 20; round++) {
        int told[2];
        assert_int_equal(pipe(told), 0);
        const pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            struct queue q = open_queue(50);
            for (uint64_t seq = first;; seq++) {
                push(&q, seq, seq);
                if (write(told[1], &seq, sizeof(seq)) != sizeof(seq)) {
                    _exit(1);
                }
            }
        }
        close(told[1]);
        uint64_t last = 0, seq;
        while (last < first + (uint64_t)round * 7 && read(told[0], &seq, sizeof(seq)) > 0) {
            last = seq;
        }
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        while (read(told[0], &seq, sizeof(seq)) > 0) {
            last = seq;
        }
        close(told[0]);
        struct queue q = open_queue(50);
        const uint64_t newest = queue_at(&q, q.tail - 1)->seq;
        assert_true(newest == last || newest == last + 1);
        assert_holds(&q, newest + 1 - queue_length(&q), newest);
        first = newest + 1;
        abandon(&q);
    }
}

static void ignores_a_ring_that_is_not_sound(void **state)
{
    (void)state;
    static const struct {
        off_t offset;
        uint64_t value;
        size_t size;
    } damages[] = {
        {0, 0, 1},  {8, 99, 4},          {12, 17, 4},   {16, 0, 4},
        {16, 9, 4}, {16, UINT32_MAX, 4}, {24, 1000, 8}, {32, 1ull << 60, 8},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(damages); i++) {
        struct queue q = open_queue(8);
        push(&q, 1, 5);
        abandon(&q);
        g_autofree char *path = only_file();
        const int fd = open(path, O_RDWR);
        assert_int_equal(pwrite(fd, &damages[i].value, damages[i].size, damages[i].offset),
                         (ssize_t)damages[i].size);
        close(fd);
        q = open_queue(8);
        if (queue_length(&q)) {
            fail_msg("damage %zu was not noticed", i);
        }
        queue_close(&q);
    }
    struct queue q = open_queue(8);
    push(&q, 1, 5);
    abandon(&q);
    g_autofree char *path = only_file();
    assert_int_equal(truncate(path, 100), 0);
    q = open_queue(8);
    assert_int_equal(queue_length(&q), 0);
    queue_close(&q);
}

static void takes_no_file_that_others_can_write(void **state)
{
    (void)state;
    struct queue q = open_queue(8);
    push(&q, 1, 5);
    abandon(&q);
    g_autofree char *path = only_file();
    assert_int_equal(chmod(path, 0666), 0);
    q = open_queue(8);
    assert_int_equal(queue_length(&q), 0);
    push(&q, 1, 5);
    abandon(&q);
    g_autofree char *elsewhere = g_build_filename(folder, "elsewhere", NULL);
    assert_int_equal(rename(path, elsewhere), 0);
    assert_int_equal(symlink(elsewhere, path), 0);
    q = open_queue(8);
    assert_int_equal(queue_length(&q), 0);
    queue_close(&q);
}

static void goes_on_without_a_place_for_the_file(void **state)
{
    (void)state;
    setenv("RUNTIME_DIRECTORY", "/proc/no/such/place", 1);
    struct queue q = open_queue(3);
    assert_null(q.path);
    push(&q, 1, 5);
    assert_holds(&q, 3, 5);
    queue_close(&q);
}

#define QUEUE_TEST(test) cmocka_unit_test_setup_teardown(test, prepare, clean)

int main(void)
{
    const struct CMUnitTest tests[] = {
        QUEUE_TEST(loses_its_oldest_when_full),
        QUEUE_TEST(keeps_what_a_process_left),
        QUEUE_TEST(is_whole_at_any_kill),
        QUEUE_TEST(ignores_a_ring_that_is_not_sound),
        QUEUE_TEST(takes_no_file_that_others_can_write),
        QUEUE_TEST(goes_on_without_a_place_for_the_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
