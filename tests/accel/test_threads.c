// The threads of the `cpu` back end: where they run, and that they rest.
#include "accel/cpu/threads.h"

#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define THREADS 3

static size_t first_processor(void)
{
    cpu_set_t usable;
    assert_int_equal(sched_getaffinity(0, sizeof(usable), &usable), 0);
    for (size_t i = 0; i < CPU_SETSIZE; i++)
        if (CPU_ISSET(i, &usable))
            return i;
    return CPU_SETSIZE;
}

struct places {
    atomic_uint arrived;
    cpu_set_t allowed[THREADS];
};

// Waits until all threads have come, so that none does another's piece.
static int note_place(void *ctx, uint32_t thread, uint32_t first, uint32_t end,
                      struct sl_error *error)
{
    struct places *places = ctx;
    const struct timespec moment = {0, 1000 * 1000};
    (void)error;
    atomic_fetch_add(&places->arrived, end - first);
    for (int i = 0; i < 60 * 1000 && atomic_load(&places->arrived) < THREADS; i++)
        nanosleep(&moment, NULL);
    return -sched_getaffinity(0, sizeof(cpu_set_t), &places->allowed[thread]);
}

static void test_affinity(void **state)
{
    (void)state;
    struct cpu_affinity affinity = {.limited = true};
    size_t processor = first_processor();
    CPU_ZERO(&affinity.processors);
    CPU_SET(processor, &affinity.processors);
    cpu_set_t own;
    assert_int_equal(sched_getaffinity(0, sizeof(own), &own), 0);
    struct cpu_threads *threads;
    assert_int_equal(cpu_threads_start(THREADS, &affinity, &threads, NULL), 0);
    struct places places = {0};
    assert_int_equal(cpu_threads_run(threads, THREADS, note_place, &places, NULL), 0);
    assert_true(CPU_EQUAL(&places.allowed[0], &own));
    for (int i = 1; i < THREADS; i++)
        assert_true(CPU_EQUAL(&places.allowed[i], &affinity.processors));
    cpu_threads_stop(threads);
}

static void test_lists(void **state)
{
    (void)state;
    struct cpu_affinity affinity;
    cpu_set_t own;
    char text[64];
    size_t first = first_processor();
    assert_int_equal(sched_getaffinity(0, sizeof(own), &own), 0);
    snprintf(text, sizeof(text), "%zu+%zu-%zu", first, first, first);
    assert_int_equal(cpu_affinity_parse(text, &affinity, NULL), 0);
    assert_true(affinity.limited);
    assert_int_equal(CPU_COUNT(&affinity.processors), 1);
    assert_true(CPU_ISSET(first, &affinity.processors));
}

static int64_t used_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return t.tv_sec * 1000000000ll + t.tv_nsec;
}

// Threads that wait for work look for it for microseconds, then sleep.
static void test_rest(void **state)
{
    (void)state;
    const struct cpu_affinity anywhere = {.limited = false};
    struct cpu_threads *threads;
    assert_int_equal(cpu_threads_start(THREADS, &anywhere, &threads, NULL), 0);
    struct places places = {0};
    assert_int_equal(cpu_threads_run(threads, THREADS, note_place, &places, NULL), 0);
    const struct timespec pause = {0, 300 * 1000 * 1000};
    int64_t before = used_ns();
    nanosleep(&pause, NULL);
    assert_true(used_ns() - before < 30 * 1000 * 1000); // a tenth of one processor
    cpu_threads_stop(threads);
}

static int fail_from_one(void *ctx, uint32_t thread, uint32_t first, uint32_t end,
                         struct sl_error *error)
{
    (void)ctx;
    (void)thread;
    const uint32_t lowest = first ? first : 1;
    return lowest < end ? sl_error_set(error, -(int)(100 + lowest), "piece %u", lowest) : 0;
}

static void test_lowest_failure_is_told(void **state)
{
    (void)state;
    const struct cpu_affinity anywhere = {.limited = false};
    struct cpu_threads *threads;
    struct sl_error error = {""};
    assert_int_equal(cpu_threads_start(THREADS, &anywhere, &threads, NULL), 0);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(cpu_threads_run(threads, 20, fail_from_one, NULL, &error), -101);
        assert_string_equal(error.message, "piece 1");
    }
    cpu_threads_stop(threads);
}

enum { MOST_PIECES = 1000 };

struct pieces {
    atomic_uint done[MOST_PIECES], inside[THREADS];
    bool one_is_stuck;
    uint32_t count;
};

static bool all_but_one(struct pieces *p)
{
    uint32_t done = 0;
    for (uint32_t i = 0; i < p->count; i++)
        done += atomic_load(&p->done[i]);
    return done + 1 >= p->count;
}

// Thread 0 stands still with its first pieces until the others have done the rest.
static int count_pieces(void *ctx, uint32_t thread, uint32_t first, uint32_t end,
                        struct sl_error *error)
{
    struct pieces *p = ctx;
    const struct timespec moment = {0, 100 * 1000};
    if (atomic_fetch_add(&p->inside[thread], 1) != 0)
        return sl_error_set(error, -EBUSY, "thread %u is there twice", thread);
    for (uint32_t i = first + 1; i < end; i++)
        atomic_fetch_add(&p->done[i], 1);
    for (int i = 0; p->one_is_stuck && thread == 0 && i < 600 * 1000 && !all_but_one(p); i++)
        nanosleep(&moment, NULL);
    const bool in_time = !p->one_is_stuck || thread != 0 || all_but_one(p);
    atomic_fetch_add(&p->done[first], 1);
    atomic_fetch_sub(&p->inside[thread], 1);
    return in_time ? 0 : sl_error_set(error, -ETIME, "the others did not do the rest");
}

static void check_pieces(struct cpu_threads *threads, uint32_t count, bool one_is_stuck)
{
    static struct pieces p;
    struct sl_error error = {""};
    memset(&p, 0, sizeof(p));
    p.count = count;
    p.one_is_stuck = one_is_stuck;
    assert_int_equal(cpu_threads_run(threads, count, count_pieces, &p, &error), 0);
    for (uint32_t i = 0; i < count; i++)
        assert_int_equal(atomic_load(&p.done[i]), 1);
}

static void test_each_piece_once(void **state)
{
    (void)state;
    const struct cpu_affinity anywhere = {.limited = false};
    struct cpu_threads *threads;
    assert_int_equal(cpu_threads_start(THREADS, &anywhere, &threads, NULL), 0);
    for (uint32_t count = 0; count <= MOST_PIECES; count += 1 + count / 8)
        for (int i = 0; i < 50; i++)
            check_pieces(threads, count, false);
    cpu_threads_stop(threads);
    check_pieces(NULL, MOST_PIECES, false);
}

static void test_others_do_what_one_cannot(void **state)
{
    (void)state;
    const struct cpu_affinity anywhere = {.limited = false};
    struct cpu_threads *threads;
    assert_int_equal(cpu_threads_start(THREADS, &anywhere, &threads, NULL), 0);
    for (uint32_t count = 2; count <= 64; count += count)
        check_pieces(threads, count, true);
    cpu_threads_stop(threads);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_affinity),
        cmocka_unit_test(test_lists),
        cmocka_unit_test(test_rest),
        cmocka_unit_test(test_lowest_failure_is_told),
        cmocka_unit_test(test_each_piece_once),
        cmocka_unit_test(test_others_do_what_one_cannot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
