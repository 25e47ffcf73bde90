// What handing over a verdict costs: no allocation, and no waiting for a broker, there or not.
#include "mqtt/publisher.h"

#include "mqtt/broker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#endif

#ifndef SANITIZED
// In front of glibc's, counting this thread's calls.
static _Thread_local unsigned long allocations;

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *block, size_t size);

__attribute__((visibility("default"))) void *malloc(size_t size)
{
    allocations++;
    return __libc_malloc(size);
}

__attribute__((visibility("default"))) void *calloc(size_t count, size_t size)
{
    allocations++;
    return __libc_calloc(count, size);
}

__attribute__((visibility("default"))) void *realloc(void *block, size_t size)
{
    allocations++;
    return __libc_realloc(block, size);
}
#endif

#define VERDICTS 2000

static struct broker broker;
static char host[] = "127.0.0.1", app[] = "app", root[] = "r", client[] = "c", password[128];

static struct sl_publisher *start(void)
{
    static char name[] = "cam1", ledger[128];
    static struct sl_config_camera camera = {.name = name};
    static unsigned runs; // none inherits what another left
    char folder[32];
    snprintf(folder, sizeof(folder), "ledger-%u", ++runs);
    broker_path(&broker, folder, ledger);
    broker_path(&broker, "password", password);
    const struct sl_config config = {
        .broker = {.host = host,
                   .port = broker.port,
                   .username = app,
                   .password_file = password,
                   .root = root,
                   .client_id = client,
                   .keepalive_s = 5,
                   .queue = VERDICTS},
        .ledger = {.path = ledger, .max_mb = 64, .max_records = 100000, .history_rate = 10000},
        .cameras = &camera,
        .cameras_count = 1,
    };
    struct sl_publisher *p = sl_publisher_new(&config, NULL, 0, NULL, NULL);
    assert_non_null(p);
    return p;
}

static double now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec * 1e-3;
}

static int compare(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static void hand_over(struct sl_publisher *p, const char *what)
{
    static double took[VERDICTS];
    const struct sl_verdict v = {.camera = "cam1", .part_id = "p", .n_defects = 2};
#ifndef SANITIZED
    unsigned long before = allocations;
#endif
    for (int i = 0; i < VERDICTS; i++) {
        double start_us = now_us();
        sl_publisher_verdict(p, &v);
        took[i] = now_us() - start_us;
    }
#ifndef SANITIZED
    assert_int_equal(allocations, before);
#endif
    qsort(took, VERDICTS, sizeof(took[0]), compare);
    print_message("%s: median %.1f, 99 %% %.1f, longest %.1f µs\n", what, took[VERDICTS / 2],
                  took[VERDICTS * 99 / 100], took[VERDICTS - 1]);
    assert_true(took[VERDICTS / 2] < 1000);
}

static void counts_allocations_at_all(void **state)
{
    (void)state;
#ifdef SANITIZED
    skip();
#else
    unsigned long before = allocations;
    void *volatile block = malloc(10);
    free(block);
    assert_int_equal(allocations, before + 1);
#endif
}

static void costs_little_without_a_broker(void **state)
{
    (void)state;
    struct sl_publisher *p = start();
    hand_over(p, "no broker");
    sl_publisher_free(p, 0);
}

static void costs_little_with_a_broker(void **state)
{
    (void)state;
    broker_start(&broker);
    struct sl_publisher *p = start();
    struct sl_publisher_stats stats = {0};
    double start_us = now_us();
    hand_over(p, "with a broker");
    while (stats.acknowledged + stats.dropped < VERDICTS && now_us() - start_us < 60e6) {
        g_usleep(1000);
        sl_publisher_stats(p, &stats);
    }
    assert_int_equal(stats.acknowledged, VERDICTS);
    print_message("%d verdicts with 2 defects each acknowledged in %.0f ms\n", VERDICTS,
                  (now_us() - start_us) / 1000);
    double sum = 0;
    for (uint64_t i = 1; i <= 200; i++) {
        const struct sl_verdict v = {.camera = "cam1", .part_id = "p"};
        start_us = now_us();
        sl_publisher_verdict(p, &v);
        while (stats.acknowledged < VERDICTS + i && now_us() - start_us < 5e6) {
            g_usleep(20);
            sl_publisher_stats(p, &stats);
        }
        sum += now_us() - start_us;
    }
    assert_int_equal(stats.acknowledged, VERDICTS + 200);
    print_message("hand-over to acknowledgement, one at a time: mean %.0f µs\n", sum / 200);
    sl_publisher_free(p, 1000);
}

static int prepare(void **state)
{
    (void)state;
    broker_prepare(&broker);
    return 0;
}

static int clean(void **state)
{
    (void)state;
    broker_remove(&broker);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_allocations_at_all),
        cmocka_unit_test(costs_little_without_a_broker),
        cmocka_unit_test(costs_little_with_a_broker),
    };
    return cmocka_run_group_tests(tests, prepare, clean);
}
