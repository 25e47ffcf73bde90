// Every read, write and flush of an update failing, by index: once, and from then on. Afterwards
// the disk is sound again and the camera starts: it must serve something genuine at or above the
// floor, and nothing may be half done.
#include "life.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include <sodium.h>

static struct life life;

// The same life, faults apart: two good bundles and one that crashes.
static void begin(void)
{
    life_begin(&life, 12);
    life.script[0] = BUNDLE_GOOD;
    life.script[1] = BUNDLE_CRASHES;
    life.script[2] = BUNDLE_BETTER;
    life.papers[0] = (struct life_paper){.at = 0, .bundle = BUNDLE_OLD, .number = 2};
    life.papers[1] =
        (struct life_paper){.is_order = true, .at = 2, .bundle = BUNDLE_BETTER, .number = 4};
    life.n_papers = 2;
    life.slot[0].flip_in = life.slot[1].flip_in = 0;
    life.faults = (struct fault_plan){0};
    life.newer = true;
}

// The update goes on with a sound disk, and has to end as if nothing had been.
static void finish_sound(uint64_t at)
{
    life.faults.at = 0;
    life.has_faults = false;
    life.power.out = true; // and a power cut, for good measure
    life_cut(&life);
    life.steps = 0;
    while (!life_boot(&life))
        life_cut(&life);
    life_check_end(&life);
    if (life.wrong != WRONG_NOTHING)
        fail_msg("operation %llu: %s", (unsigned long long)at, life_wrong_name(life.wrong));
}

static void fail_at(enum fault_kind kind, uint64_t at, bool for_ever)
{
    begin();
    life.has_faults = true;
    life.faults.kind = kind;
    life.faults.at = at;
    life.faults.for_ever = for_ever;
    life_boot(&life);
    if (life.wrong != WRONG_NOTHING)
        fail_msg("operation %llu failed: %s", (unsigned long long)at, life_wrong_name(life.wrong));
    finish_sound(at);
}

static void fail_each(enum fault_kind kind)
{
    begin();
    assert_true(life_boot(&life));
    assert_int_equal(life.wrong, WRONG_NOTHING);
    assert_int_equal(life.commits, 2);
    uint64_t n = life.faults.seen[kind];
    assert_true(n > 20);
    for (uint64_t at = 1; at <= n; at++) {
        fail_at(kind, at, false);
        fail_at(kind, at, true);
    }
    print_message("%llu operations, each failed once and for ever\n", (unsigned long long)n);
}

static void each_read_fails(void **state)
{
    (void)state;
    fail_each(FAULT_READ);
}

static void each_write_fails(void **state)
{
    (void)state;
    fail_each(FAULT_WRITE);
}

static void each_flush_fails(void **state)
{
    (void)state;
    fail_each(FAULT_FLUSH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_read_fails),
                                       cmocka_unit_test(each_write_fails),
                                       cmocka_unit_test(each_flush_fails)};
    if (sodium_init() < 0)
        return 1;
    life_make_bundles(1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
