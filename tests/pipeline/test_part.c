// Part logic: its rules one by one, then thousands of random orders of events against a small model
// of what a line may rely on: every part gets exactly one verdict, and gets it in time.
#include "pipeline/part.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define MS INT64_C(1000000)

enum { DEADLINE_MS = 100, MOST = 4096 };

static const char *const classes[] = {"open", "short"};

struct line {
    struct sl_part_logic *logic;
    struct sl_part_settings settings;
    int64_t now;
    uint32_t count;
    struct sl_verdict verdicts[MOST];
    int64_t emitted[MOST]; // when
};

static struct line line;

static void take(void *ctx, const struct sl_verdict *verdict)
{
    struct line *l = ctx;
    assert_true(l->count < MOST);
    l->emitted[l->count] = l->now;
    l->verdicts[l->count++] = *verdict;
}

static void start(bool trigger, uint32_t frames, bool majority)
{
    sl_part_logic_free(line.logic);
    line.settings =
        (struct sl_part_settings){trigger, frames, majority, DEADLINE_MS * MS, classes, 2};
    line.now = 1000 * MS;
    line.count = 0;
    line.logic = sl_part_logic_new(&line.settings, take, &line);
    assert_non_null(line.logic);
}

static int stop(void **state)
{
    (void)state;
    sl_part_logic_free(line.logic);
    line.logic = NULL;
    return 0;
}

static struct sl_detect_result found(uint32_t defects)
{
    struct sl_detect_result r;
    memset(&r, 0, sizeof(r));
    r.count = defects;
    for (uint32_t i = 0; i < defects; i++)
        r.detections[i] = (struct sl_detection){1, 2, 3, 4, 0.9f, i % 2};
    return r;
}

// `defects` < 0: the frame could not be judged.
static void frame_at(int64_t capture, int defects, const char *id)
{
    const struct sl_detect_result r = found(defects > 0 ? (uint32_t)defects : 0);
    struct sl_part_frame f = {.capture_ns = capture,
                              .part_id = id,
                              .status = defects < 0 ? -EBADMSG : 0,
                              .message = "broken JPEG",
                              .result = defects < 0 ? NULL : &r,
                              .width = 640,
                              .height = 480,
                              .truth_defects = -1,
                              .truth_found = -1,
                              .truth_false = -1};
    sl_part_logic_frame(line.logic, &f, line.now);
}

static void frame(int defects)
{
    frame_at(line.now, defects, NULL);
}

static void pass_ms(int64_t ms)
{
    line.now += ms * MS;
}

static void tick(void)
{
    sl_part_logic_tick(line.logic, line.now);
}

static const struct sl_verdict *last(uint32_t count, enum sl_result result)
{
    assert_int_equal(line.count, count);
    assert_int_equal(line.verdicts[count - 1].result, result);
    return &line.verdicts[count - 1];
}

static void every_frame_is_a_part_in_free_run(void **state)
{
    (void)state;
    start(false, 1, false);
    frame(0);
    last(1, SL_RESULT_OK);
    pass_ms(10);
    frame(3);
    const struct sl_verdict *v = last(2, SL_RESULT_NG);
    assert_int_equal(v->defects_total, 3);
    assert_int_equal(v->n_reasons, 2);
    assert_string_equal(v->reasons[0], "open: 2");
    assert_string_equal(v->reasons[1], "short: 1");
    assert_int_equal(v->picture_width, 640);
    frame(-1);
    assert_string_equal(last(3, SL_RESULT_ERROR)->reasons[0], "broken JPEG");
    assert_string_not_equal(line.verdicts[0].part_id, line.verdicts[1].part_id);
    assert_true(sl_part_logic_next_ns(line.logic) == INT64_MAX);
}

static void a_part_may_take_several_frames(void **state)
{
    (void)state;
    start(false, 3, false);
    frame(0);
    frame(1);
    assert_int_equal(line.count, 0);
    frame(0);
    assert_int_equal(last(1, SL_RESULT_NG)->frames, 3);
    start(false, 3, true); // most frames decide
    frame(0);
    frame(1);
    frame(0);
    last(1, SL_RESULT_OK);
    frame(1);
    frame(0);
    frame(1);
    last(2, SL_RESULT_NG);
    frame(0);
    frame(-1); // one that cannot be judged spoils the part
    frame(0);
    last(3, SL_RESULT_ERROR);
}

static void a_trigger_opens_the_part(void **state)
{
    (void)state;
    start(true, 1, false);
    frame(0);
    assert_int_equal(line.count, 0); // nobody asked
    assert_int_equal(sl_part_logic_trigger(line.logic, "A-7", line.now), 0);
    assert_int_equal(sl_part_logic_trigger(line.logic, "A-8", line.now), -EBUSY);
    frame_at(line.now - 1, 1, NULL); // was under way before
    assert_int_equal(line.count, 0);
    pass_ms(5);
    frame(0);
    assert_string_equal(last(1, SL_RESULT_OK)->part_id, "A-7");
    assert_float_equal(line.verdicts[0].latency_ms, 5, 1e-3);
    frame(1);
    assert_int_equal(line.count, 1);
    start(false, 1, false);
    assert_int_equal(sl_part_logic_trigger(line.logic, "x", line.now), -ENOTSUP);
}

static void a_late_part_is_an_error(void **state)
{
    (void)state;
    start(true, 2, false);
    assert_int_equal(sl_part_logic_trigger(line.logic, "A", line.now), 0);
    assert_true(sl_part_logic_next_ns(line.logic) == line.now + DEADLINE_MS * MS);
    frame(0);
    pass_ms(DEADLINE_MS - 1);
    tick();
    assert_int_equal(line.count, 0);
    pass_ms(1);
    tick();
    assert_string_equal(last(1, SL_RESULT_ERROR)->reasons[0], "late");
    frame(0); // too late
    assert_int_equal(line.count, 1);
    assert_int_equal(sl_part_logic_trigger(line.logic, "B", line.now), 0);
    pass_ms(DEADLINE_MS);
    tick();
    assert_string_equal(last(2, SL_RESULT_ERROR)->reasons[0], "no frame before the deadline");
    // Nobody ticked: the next event closes what is late before it is served.
    assert_int_equal(sl_part_logic_trigger(line.logic, "C", line.now), 0);
    pass_ms(5 * DEADLINE_MS);
    assert_int_equal(sl_part_logic_trigger(line.logic, "D", line.now), 0);
    assert_string_equal(last(3, SL_RESULT_ERROR)->part_id, "C");
}

// A frame that took too long from capture to here is no good news.
static void an_old_frame_is_late(void **state)
{
    (void)state;
    start(false, 1, false);
    frame_at(line.now - DEADLINE_MS * MS, 0, "7");
    assert_string_equal(last(1, SL_RESULT_ERROR)->reasons[0], "late");
    assert_string_equal(line.verdicts[0].part_id, "7");
}

static void a_lost_camera_is_said_at_once(void **state)
{
    (void)state;
    start(true, 1, false);
    assert_int_equal(sl_part_logic_trigger(line.logic, "A", line.now), 0);
    sl_part_logic_camera(line.logic, false, "unplugged", line.now);
    assert_string_equal(last(1, SL_RESULT_ERROR)->reasons[0], "camera lost: unplugged");
    assert_int_equal(sl_part_logic_trigger(line.logic, "B", line.now), 0);
    assert_string_equal(last(2, SL_RESULT_ERROR)->part_id, "B");
    sl_part_logic_camera(line.logic, true, NULL, line.now);
    assert_int_equal(sl_part_logic_trigger(line.logic, "C", line.now), 0);
    frame(0);
    last(3, SL_RESULT_OK);
}

static void free_run_keeps_answering_without_a_camera(void **state)
{
    (void)state;
    start(false, 1, false);
    sl_part_logic_camera(line.logic, false, "stalled", line.now);
    for (uint32_t i = 1; i <= 5; i++) {
        assert_true(sl_part_logic_next_ns(line.logic) <= line.now);
        tick();
        tick(); // once per period, however often it is asked
        last(i, SL_RESULT_ERROR);
        assert_true(sl_part_logic_next_ns(line.logic) == line.now + DEADLINE_MS * MS);
        pass_ms(DEADLINE_MS);
    }
    sl_part_logic_camera(line.logic, true, NULL, line.now);
    tick();
    assert_int_equal(line.count, 5);
    assert_true(sl_part_logic_next_ns(line.logic) == INT64_MAX);
}

// A part that a straggling frame opened after the camera was lost is not overwritten by the next
// ERROR: it gets its own.
static void a_straggler_gets_its_verdict(void **state)
{
    (void)state;
    start(false, 2, false);
    sl_part_logic_camera(line.logic, false, "unplugged", line.now);
    tick();
    last(1, SL_RESULT_ERROR);
    pass_ms(DEADLINE_MS - 10);
    frame_at(line.now, 0, "straggler");
    pass_ms(10);
    tick();
    uint32_t named = 0;
    for (uint32_t i = 0; i < line.count; i++)
        named += !strcmp(line.verdicts[i].part_id, "straggler");
    assert_int_equal(named, 1);
}

static void too_many_defects_are_cut_and_counted(void **state)
{
    (void)state;
    start(false, 1, false);
    frame(SL_MAX_DETECTIONS);
    const struct sl_verdict *v = last(1, SL_RESULT_NG);
    assert_int_equal(v->n_defects, SL_VERDICT_MAX_DEFECTS);
    assert_int_equal(v->defects_total, SL_MAX_DETECTIONS);
}

static void long_names_are_cut(void **state)
{
    (void)state;
    char name[1000];
    memset(name, 'x', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    start(true, 1, false);
    assert_int_equal(sl_part_logic_trigger(line.logic, name, line.now), 0);
    sl_part_logic_camera(line.logic, false, name, line.now);
    last(1, SL_RESULT_ERROR);
    assert_true(strlen(line.verdicts[0].part_id) < sizeof(line.verdicts[0].part_id));
    assert_true(strlen(line.verdicts[0].reasons[0]) < sizeof(line.verdicts[0].reasons[0]));
}

// --- random orders of events

static uint32_t next(uint32_t *seed, uint32_t below)
{
    *seed = *seed * 1664525u + 1013904223u;
    return (*seed >> 8) % below;
}

struct expected { // what the random events promise
    char ids[MOST][16];
    uint32_t accepted; // triggers
    uint32_t frames;   // handed in, in free run
};

static struct expected expected;

// As the daemon does it: never past the time at which the logic wants to be called.
static void advance(int64_t ns)
{
    const int64_t to = line.now + ns;
    int64_t due;
    while ((due = sl_part_logic_next_ns(line.logic)) <= to) {
        if (due > line.now)
            line.now = due;
        tick();
        assert_true(sl_part_logic_next_ns(line.logic) > line.now);
    }
    line.now = to;
}

static void random_event(uint32_t *seed)
{
    char id[16];
    switch (next(seed, 8)) {
    case 0:
    case 1:
        snprintf(id, sizeof(id), "t%u", expected.accepted);
        const int status = sl_part_logic_trigger(line.logic, id, line.now);
        if (!line.settings.trigger) {
            assert_int_equal(status, -ENOTSUP);
        } else if (status == 0) {
            strcpy(expected.ids[expected.accepted++], id);
        } else {
            assert_int_equal(status, -EBUSY);
            assert_int_equal(line.count + 1, expected.accepted); // one is open
        }
        return;
    case 2:
        sl_part_logic_camera(line.logic, next(seed, 3) > 0, "random", line.now);
        return;
    case 3:
        advance((int64_t)next(seed, 3 * DEADLINE_MS) * MS);
        return;
    default:
        frame((int)next(seed, 4) - 1);
        expected.frames++;
        advance((int64_t)next(seed, 20) * MS);
    }
}

static void check_verdict(const struct sl_verdict *v, int64_t when)
{
    const bool full = v->frames == line.settings.frames;
    assert_true(v->frames <= line.settings.frames);
    assert_true(v->result >= SL_RESULT_OK && v->result <= SL_RESULT_ERROR);
    assert_true(when <= v->ts_mono_ns + line.settings.deadline_ns); // never late
    if (v->result == SL_RESULT_OK) {
        assert_true(full);
        assert_int_equal(v->n_reasons, 0);
        assert_true(line.settings.majority || v->defects_total == 0);
    } else {
        assert_true(v->n_reasons > 0);
        assert_true(v->result == SL_RESULT_ERROR || (full && v->defects_total > 0));
    }
}

static void one_random_run(uint32_t seed)
{
    const bool trigger = next(&seed, 2);
    start(trigger, 1 + next(&seed, 4), next(&seed, 2));
    memset(&expected, 0, sizeof(expected));
    for (int i = 0; i < 300; i++)
        random_event(&seed);
    sl_part_logic_camera(line.logic, true, NULL, line.now);
    advance(2 * DEADLINE_MS * MS); // whatever was open is over now
    uint32_t frames = 0;
    for (uint32_t i = 0; i < line.count; i++) {
        check_verdict(&line.verdicts[i], line.emitted[i]);
        frames += line.verdicts[i].frames;
    }
    if (trigger) { // each accepted part once, in order, and no other
        assert_int_equal(line.count, expected.accepted);
        for (uint32_t i = 0; i < line.count; i++)
            assert_string_equal(line.verdicts[i].part_id, expected.ids[i]);
    } else { // no frame is lost or counted twice
        assert_int_equal(frames, expected.frames);
    }
}

static void any_order_of_events_keeps_the_promises(void **state)
{
    (void)state;
    for (uint32_t seed = 1; seed <= 3000; seed++) {
        const char *before = getenv("SL_PART_SEED");
        if (!before || (uint32_t)strtoul(before, NULL, 10) == seed)
            one_random_run(seed * 2654435761u);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_frame_is_a_part_in_free_run),
        cmocka_unit_test(a_part_may_take_several_frames),
        cmocka_unit_test(a_trigger_opens_the_part),
        cmocka_unit_test(a_late_part_is_an_error),
        cmocka_unit_test(an_old_frame_is_late),
        cmocka_unit_test(a_lost_camera_is_said_at_once),
        cmocka_unit_test(free_run_keeps_answering_without_a_camera),
        cmocka_unit_test(a_straggler_gets_its_verdict),
        cmocka_unit_test(too_many_defects_are_cut_and_counted),
        cmocka_unit_test(long_names_are_cut),
        cmocka_unit_test(any_order_of_events_keeps_the_promises),
    };
    return cmocka_run_group_tests(tests, NULL, stop);
}
