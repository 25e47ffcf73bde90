// The queue of verdicts: order, what leaves when, and what is sent again after a lost connection.
#include "mqtt/verdict_queue.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct verdict_queue queue;

static int setup(void **state)
{
    (void)state;
    return verdict_queue_init(&queue, 3);
}

static int teardown(void **state)
{
    (void)state;
    verdict_queue_clear(&queue);
    return 0;
}

static bool push(uint64_t seq, uint32_t n_defects)
{
    const struct sl_verdict verdict = {.seq = seq, .n_defects = n_defects};
    return verdict_queue_push(&queue, &verdict);
}

// Sends the next item, which must be this one; returns the verdict's number.
static uint64_t send(uint64_t seq, uint32_t item)
{
    uint64_t number = 0;
    uint32_t found = 0;
    const struct sl_verdict *verdict = NULL;
    assert_true(verdict_queue_peek(&queue, &number, &found, &verdict));
    assert_int_equal(verdict->seq, seq);
    assert_int_equal(found, item);
    verdict_queue_sent(&queue, number, item);
    return number;
}

static void assert_nothing_to_send(void)
{
    uint64_t number = 0;
    uint32_t item = 0;
    const struct sl_verdict *verdict = NULL;
    assert_false(verdict_queue_peek(&queue, &number, &item, &verdict));
}

static void assert_left(struct verdict_left left, uint32_t acknowledged, uint32_t refused)
{
    assert_int_equal(left.acknowledged, acknowledged);
    assert_int_equal(left.refused, refused);
}

static void sends_a_verdict_and_its_defects_in_order(void **state)
{
    (void)state;
    assert_nothing_to_send();
    assert_false(push(1, 2));
    assert_false(push(2, 0));
    uint64_t first = send(1, 0);
    send(1, 1);
    send(1, 2);
    uint64_t second = send(2, 0);
    assert_nothing_to_send();
    assert_left(verdict_queue_settle(&queue, first, 0, false), 0, 0);
    assert_left(verdict_queue_settle(&queue, first, 1, false), 0, 0);
    assert_int_equal(verdict_queue_length(&queue), 2);
    assert_left(verdict_queue_settle(&queue, first, 2, true), 1, 0); // a defect does not count
    assert_left(verdict_queue_settle(&queue, second, 0, true), 0, 1);
    assert_int_equal(verdict_queue_length(&queue), 0);
}

static void goes_on_after_what_was_answered(void **state)
{
    (void)state;
    push(1, 2);
    push(2, 0);
    uint64_t first = send(1, 0);
    send(1, 1);
    send(1, 2);
    send(2, 0);
    verdict_queue_settle(&queue, first, 0, false);
    verdict_queue_rewind(&queue);
    send(1, 1);
    send(1, 2);
    send(2, 0);
    assert_nothing_to_send();
    verdict_queue_rewind(&queue);
    verdict_queue_rewind(&queue);
    send(1, 1);
}

static void does_not_repeat_what_was_answered_out_of_order(void **state)
{
    (void)state;
    push(1, 0);
    push(2, 0);
    uint64_t first = send(1, 0);
    uint64_t second = send(2, 0);
    assert_left(verdict_queue_settle(&queue, second, 0, false), 0, 0);
    verdict_queue_rewind(&queue);
    assert_int_equal(send(1, 0), first);
    assert_nothing_to_send();
    assert_left(verdict_queue_settle(&queue, first, 0, false), 2, 0);
}

static void drops_the_oldest_when_full(void **state)
{
    (void)state;
    push(1, 1);
    uint64_t first = send(1, 0);
    push(2, 0);
    push(3, 0);
    assert_true(push(4, 0));
    assert_int_equal(verdict_queue_length(&queue), 3);
    verdict_queue_sent(&queue, first, 1); // it was on its way when it was dropped
    assert_left(verdict_queue_settle(&queue, first, 0, false), 0, 0);
    uint64_t second = send(2, 0);
    assert_left(verdict_queue_settle(&queue, second, 0, false), 1, 0);
    send(3, 0);
    send(4, 0);
    assert_nothing_to_send();
}

static void ignores_answers_to_nothing(void **state)
{
    (void)state;
    assert_left(verdict_queue_settle(&queue, 0, 0, false), 0, 0);
    assert_left(verdict_queue_settle(&queue, UINT64_MAX, 0, true), 0, 0);
    verdict_queue_sent(&queue, 0, 0);
    verdict_queue_rewind(&queue);
    push(1, 0);
    verdict_queue_sent(&queue, 7, 0);
    assert_left(verdict_queue_settle(&queue, 7, 0, false), 0, 0);
    send(1, 0);
}

static void bounds_the_number_of_defects(void **state)
{
    (void)state;
    push(1, UINT32_MAX);
    uint64_t number = 0;
    for (uint32_t item = 0; item <= SL_VERDICT_MAX_DEFECTS; item++) {
        number = send(1, item);
    }
    assert_nothing_to_send();
    for (uint32_t item = 0; item < SL_VERDICT_MAX_DEFECTS; item++) {
        assert_left(verdict_queue_settle(&queue, number, item, false), 0, 0);
    }
    assert_left(verdict_queue_settle(&queue, number, SL_VERDICT_MAX_DEFECTS, false), 1, 0);
}

static void keeps_order_round_and_round(void **state)
{
    (void)state;
    uint64_t seen = 0;
    for (uint64_t seq = 1; seq <= 100; seq++) {
        push(seq, 0);
        if (seq % 3 != 0) {
            continue;
        }
        for (int i = 0; i < 3; i++) {
            verdict_queue_settle(&queue, send(++seen, 0), 0, false);
        }
    }
    assert_int_equal(seen, 99);
    assert_int_equal(verdict_queue_length(&queue), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(sends_a_verdict_and_its_defects_in_order),
        TEST(goes_on_after_what_was_answered),
        TEST(does_not_repeat_what_was_answered_out_of_order),
        TEST(drops_the_oldest_when_full),
        TEST(ignores_answers_to_nothing),
        TEST(bounds_the_number_of_defects),
        TEST(keeps_order_round_and_round),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
