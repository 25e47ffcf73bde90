// The threads of the `cpu` back end: where they run, and that they rest.
#include "accel/cpu/threads.h"

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
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
    cpu_set_t allowed[THREADS];
};

static int note_place(void *ctx, uint32_t part, uint32_t parts, struct sl_error *error)
{
    struct places *places = ctx;
    (void)parts;
    (void)error;
    return -sched_getaffinity(0, sizeof(cpu_set_t), &places->allowed[part]);
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
    struct places places;
    assert_int_equal(cpu_threads_run(threads, note_place, &places, NULL), 0);
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
    struct places places;
    assert_int_equal(cpu_threads_run(threads, note_place, &places, NULL), 0);
    const struct timespec pause = {0, 300 * 1000 * 1000};
    int64_t before = used_ns();
    nanosleep(&pause, NULL);
    assert_true(used_ns() - before < 30 * 1000 * 1000); // a tenth of one processor
    cpu_threads_stop(threads);
}

static int fail_from_one(void *ctx, uint32_t part, uint32_t parts, struct sl_error *error)
{
    (void)ctx;
    (void)parts;
    return part ? sl_error_set(error, -(int)(100 + part), "part %u", part) : 0;
}

static void test_lowest_failure_is_told(void **state)
{
    (void)state;
    const struct cpu_affinity anywhere = {.limited = false};
    struct cpu_threads *threads;
    struct sl_error error = {""};
    assert_int_equal(cpu_threads_start(THREADS, &anywhere, &threads, NULL), 0);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(cpu_threads_run(threads, fail_from_one, NULL, &error), -101);
        assert_string_equal(error.message, "part 1");
    }
    cpu_threads_stop(threads);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_affinity),
        cmocka_unit_test(test_lists),
        cmocka_unit_test(test_rest),
        cmocka_unit_test(test_lowest_failure_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
