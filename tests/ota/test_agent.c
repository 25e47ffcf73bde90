// The agent's decisions, with a disk that only remembers: each refusal, each way an update ends.
#include "ota/agent.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static struct {
    struct sl_ota_state disk;
    int load, save, seal;            // what these ports return
    int authentic[3];                // the same by slot
    struct sl_bundle_facts facts[3]; // what is in the slots
    uint64_t now_ms;
    unsigned saves;
} world;

static struct sl_agent agent;
static enum sl_agent_action action;

static int load(void *context, struct sl_ota_state *state)
{
    (void)context;
    if (world.load == 0)
        *state = world.disk;
    return world.load;
}

static int save(void *context, const struct sl_ota_state *state)
{
    (void)context;
    if (world.save < 0)
        return world.save;
    world.saves++;
    world.disk = *state;
    return 0;
}

static int seal(void *context, enum sl_slot_name slot)
{
    (void)context;
    (void)slot;
    return world.seal;
}

static int authentic(void *context, enum sl_slot_name slot, struct sl_bundle_facts *facts)
{
    (void)context;
    if (world.authentic[slot] == 0)
        *facts = world.facts[slot];
    return world.authentic[slot];
}

static uint64_t now_ms(void *context)
{
    (void)context;
    return world.now_ms;
}

static uint32_t random_number(void *context)
{
    (void)context;
    return 7;
}

static struct sl_bundle_facts bundle(uint8_t name, uint32_t seq, uint32_t floor)
{
    struct sl_bundle_facts facts = {.number = {1, seq}, .floor = {1, floor}};
    memset(facts.id, name, sizeof facts.id);
    return facts;
}

static int start(void)
{
    static const struct sl_agent_ports ports = {NULL,      load,   save,         seal,
                                                authentic, now_ms, random_number};
    static const struct sl_agent_limits limits = {1000, 2000, 3000, 100, 3};
    return sl_agent_start(&agent, &ports, &limits, &action);
}

static int send(enum sl_agent_event_kind kind)
{
    return sl_agent_handle(&agent, &(struct sl_agent_event){.kind = kind}, &action);
}

static int offer(struct sl_bundle_facts facts)
{
    struct sl_agent_event event = {.kind = SL_EVENT_OFFER, .facts = facts};
    return sl_agent_handle(&agent, &event, &action);
}

static int order(uint8_t name, uint32_t number, bool permits, uint32_t lowest)
{
    struct sl_ota_order o = {number, SL_WHEN_LINE_IDLE, permits, {1, lowest}, {0}};
    memset(o.bundle, name, sizeof o.bundle);
    return sl_agent_handle(&agent, &(struct sl_agent_event){.kind = SL_EVENT_ORDER, .order = &o},
                           &action);
}

// With an order that permits older ones, down to the floor.
static int offer_ordered(struct sl_bundle_facts facts)
{
    const int status = order(facts.id[0], agent.state.order.number + 1, true, 3);
    return status < 0 ? status : offer(facts);
}

static int revoke(uint8_t name, uint32_t number, uint32_t floor)
{
    struct sl_ota_catalog c = {.number = number, .n_revoked = 1, .floor = {1, floor}};
    memset(c.revoked[0], name, sizeof c.revoked[0]);
    return sl_agent_handle(
        &agent, &(struct sl_agent_event){.kind = SL_EVENT_CATALOG, .catalog = &c}, &action);
}

// Bundle 1, number 5, floor 3 serves from slot A; the golden one is number 3.
static int set_up(void **unused)
{
    (void)unused;
    memset(&world, 0, sizeof world);
    world.facts[SL_SLOT_A] = bundle(1, 5, 3);
    world.facts[SL_SLOT_GOLDEN] = bundle(9, 3, 1);
    world.authentic[SL_SLOT_B] = -EBADMSG;
    world.disk = (struct sl_ota_state){
        .sequence = 1, .active = SL_SLOT_A, .pending = SL_SLOT_NONE, .floor = {1, 3}};
    memset(world.disk.active_id, 1, SL_OTA_ID);
    return start();
}

// Bundle 2, number 6, floor 6, up to `phase`.
static void reach(enum sl_phase phase)
{
    assert_int_equal(offer(bundle(2, 6, 6)), 0);
    assert_int_equal(action, SL_ACTION_FETCH);
    world.facts[SL_SLOT_B] = bundle(2, 6, 6);
    world.authentic[SL_SLOT_B] = 0;
    if (phase >= SL_PHASE_ARMED)
        assert_int_equal(send(SL_EVENT_FETCHED), 0);
    if (phase >= SL_PHASE_SELF_TEST)
        assert_int_equal(send(SL_EVENT_GATE_OPEN), 0);
    for (enum sl_phase p = SL_PHASE_SHADOW; p <= phase; p++)
        assert_int_equal(send(SL_EVENT_PASSED), 0);
    assert_int_equal(agent.state.phase, phase);
}

static bool denied(uint8_t name)
{
    return sl_state_is_denied(&world.disk, bundle(name, 0, 0).id);
}

static void assert_old_serves(enum sl_result result)
{
    assert_int_equal(world.disk.phase, SL_PHASE_IDLE);
    assert_int_equal(world.disk.active, SL_SLOT_A);
    assert_int_equal(world.disk.pending, SL_SLOT_NONE);
    assert_int_equal(world.disk.floor.seq, 3);
    assert_int_equal(world.disk.result, result);
}

static void a_good_bundle_is_committed_and_only_then_raises_the_floor(void **unused)
{
    (void)unused;
    reach(SL_PHASE_PROBATION);
    assert_int_equal(action, SL_ACTION_SWAP);
    assert_int_equal(world.disk.floor.seq, 3);
    assert_int_equal(world.disk.active, SL_SLOT_A);
    assert_int_equal(send(SL_EVENT_PASSED), 0);
    assert_int_equal(action, SL_ACTION_COMMITTED);
    assert_int_equal(world.disk.floor.seq, 6);
    assert_int_equal(world.disk.active, SL_SLOT_B);
    assert_int_equal(world.disk.result, SL_RESULT_COMMITTED);
}

static void the_trusted_root_advances_at_commit_and_never_goes_back(void **unused)
{
    (void)unused;
    reach(SL_PHASE_PROBATION);
    agent.facts.root_version = 2;
    agent.facts.root_hash[0] = 7;
    assert_int_equal(world.disk.root_version, 0);
    assert_int_equal(send(SL_EVENT_PASSED), 0);
    assert_int_equal(world.disk.root_version, 2);
    assert_int_equal(world.disk.root_hash[0], 7);
    assert_int_equal(offer(bundle(3, 7, 6)), 0);
    world.facts[SL_SLOT_A] = bundle(3, 7, 6);
    assert_int_equal(send(SL_EVENT_FETCHED), 0);
    assert_int_equal(send(SL_EVENT_GATE_OPEN), 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(send(SL_EVENT_PASSED), 0);
    agent.facts.root_version = 1;
    assert_int_equal(send(SL_EVENT_PASSED), 0);
    assert_int_equal(world.disk.root_version, 2);
    assert_int_equal(world.disk.root_hash[0], 7);
}

static void every_phase_resumes_after_a_restart(void **unused)
{
    static const enum sl_agent_action expected[] = {
        SL_ACTION_FETCH, SL_ACTION_WAIT, SL_ACTION_SELF_TEST, SL_ACTION_SHADOW, SL_ACTION_SWAP};
    for (enum sl_phase p = SL_PHASE_FETCH; p < SL_PHASES; p++) {
        set_up(unused);
        reach(p);
        assert_int_equal(start(), 0);
        assert_int_equal(action, expected[p - SL_PHASE_FETCH]);
        assert_int_equal(world.disk.phase, p);
    }
}

static void offers_that_may_not_run_are_refused(void **unused)
{
    (void)unused;
    assert_int_equal(offer_ordered(bundle(3, 2, 1)), -EPERM); // below the floor, order or not
    assert_int_equal(offer_ordered(bundle(3, 6, 7)), -EPERM); // would lock itself out
    assert_int_equal(order(3, 10, false, 0), 0);
    assert_int_equal(offer(bundle(3, 5, 1)), -EPERM);         // not newer
    assert_int_equal(offer_ordered(bundle(1, 9, 1)), -EPERM); // serves already
    sl_state_deny(&agent.state, bundle(4, 0, 0).id);
    assert_int_equal(offer_ordered(bundle(4, 9, 1)), -EPERM);
    assert_int_equal(world.disk.phase, SL_PHASE_IDLE);
    assert_int_equal(offer_ordered(bundle(3, 4, 1)), 0); // older, but the site wants it
    assert_int_equal(offer(bundle(3, 4, 1)), -EBUSY);
    assert_int_equal(offer(bundle(5, 9, 1)), -EACCES);
}

static void events_out_of_place_are_refused(void **unused)
{
    (void)unused;
    static const enum sl_agent_event_kind kinds[] = {
        SL_EVENT_WITHDRAW, SL_EVENT_FETCHED, SL_EVENT_FETCH_FAILED, SL_EVENT_GATE_OPEN,
        SL_EVENT_PASSED,   SL_EVENT_FAILED,  SL_EVENT_CRASHED,      SL_EVENTS};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        assert_int_equal(send(kinds[i]), -EPROTO);
    reach(SL_PHASE_ARMED);
    assert_int_equal(send(SL_EVENT_PASSED), -EPROTO);
    assert_int_equal(send(SL_EVENT_FETCHED), -EPROTO);
    assert_int_equal(world.disk.phase, SL_PHASE_ARMED);
}

static void a_slot_that_is_not_the_bundle_is_not_armed(void **unused)
{
    (void)unused;
    reach(SL_PHASE_FETCH);
    world.facts[SL_SLOT_B] = bundle(3, 8, 6); // authentic, but not what was offered
    assert_int_equal(send(SL_EVENT_FETCHED), 0);
    assert_old_serves(SL_RESULT_NOT_WHOLE);
    assert_false(denied(2) || denied(3));
    reach(SL_PHASE_FETCH);
    world.authentic[SL_SLOT_B] = -EBADMSG;
    assert_int_equal(send(SL_EVENT_FETCHED), 0);
    assert_old_serves(SL_RESULT_NOT_WHOLE);
    reach(SL_PHASE_FETCH);
    world.seal = -EAGAIN;
    assert_int_equal(send(SL_EVENT_FETCHED), 0);
    assert_int_equal(action, SL_ACTION_FETCH);
    assert_int_equal(world.disk.phase, SL_PHASE_FETCH);
}

static void a_slot_changed_after_it_was_armed_is_not_tried(void **unused)
{
    reach(SL_PHASE_ARMED);
    world.authentic[SL_SLOT_B] = -EBADMSG;
    assert_int_equal(send(SL_EVENT_GATE_OPEN), 0);
    assert_old_serves(SL_RESULT_NOT_WHOLE);
    for (enum sl_phase p = SL_PHASE_SELF_TEST; p < SL_PHASES; p++) {
        set_up(unused);
        reach(p);
        world.authentic[SL_SLOT_B] = -EBADMSG;
        assert_int_equal(start(), 0);
        assert_int_equal(action, SL_ACTION_ROLL_BACK);
        assert_old_serves(SL_RESULT_NOT_WHOLE);
        assert_false(denied(2));
    }
}

static void failure_and_time_out_deny(void **unused)
{
    for (enum sl_phase p = SL_PHASE_SELF_TEST; p < SL_PHASES; p++) {
        set_up(unused);
        reach(p);
        assert_int_equal(send(SL_EVENT_FAILED), 0);
        assert_int_equal(action, SL_ACTION_ROLL_BACK);
        assert_old_serves(SL_RESULT_FAILED);
        assert_int_equal(offer_ordered(bundle(2, 6, 6)), -EPERM);

        set_up(unused);
        reach(p);
        world.now_ms += 999;
        assert_int_equal(send(SL_EVENT_TICK), 0);
        assert_int_equal(world.disk.phase, p);
        world.now_ms += 2001;
        assert_int_equal(send(SL_EVENT_TICK), 0);
        assert_old_serves(SL_RESULT_TIMED_OUT);
        assert_true(denied(2));
    }
}

static void the_third_crash_that_was_seen_denies(void **unused)
{
    for (enum sl_phase p = SL_PHASE_SELF_TEST; p < SL_PHASES; p++) {
        set_up(unused);
        reach(p);
        for (int i = 0; i < SL_AGENT_CRASHES - 1; i++) {
            assert_int_equal(send(SL_EVENT_CRASHED), 0);
            assert_int_equal(world.disk.phase, p);
            assert_int_equal(start(), 0); // a restart is no crash
            assert_int_equal(world.disk.phase, p);
        }
        assert_int_equal(send(SL_EVENT_CRASHED), 0);
        assert_old_serves(SL_RESULT_CRASHED);
        assert_true(denied(2));
    }
}

static void the_tenth_unexplained_restart_parks(void **unused)
{
    for (enum sl_phase p = SL_PHASE_SELF_TEST; p < SL_PHASES; p++) {
        set_up(unused);
        reach(p);
        for (int i = 0; i < SL_AGENT_UNEXPLAINED - 1; i++) {
            assert_int_equal(start(), 0);
            assert_int_equal(world.disk.phase, p);
        }
        assert_int_equal(start(), 0);
        assert_old_serves(SL_RESULT_PARKED);
        assert_false(denied(2));
        assert_int_equal(offer(bundle(2, 6, 6)), -EPERM);
        assert_int_equal(offer_ordered(bundle(2, 6, 6)), 0);
        assert_int_equal(send(SL_EVENT_FETCHED), 0);
        assert_int_equal(send(SL_EVENT_GATE_OPEN), 0);
        for (int i = 0; i < SL_AGENT_UNEXPLAINED; i++)
            assert_int_equal(start(), 0);
        assert_old_serves(SL_RESULT_PARKED);
        assert_int_equal(offer(bundle(2, 6, 6)), -EPERM); // the same order does not bring it back
    }
}

static void nothing_happens_that_could_not_be_saved(void **unused)
{
    (void)unused;
    world.save = -EIO;
    assert_int_equal(offer(bundle(2, 6, 6)), -EIO);
    assert_int_equal(agent.state.phase, SL_PHASE_IDLE);
    assert_int_equal(send(SL_EVENT_TICK), -EIO); // the disk is not known yet
    world.save = 0;
    reach(SL_PHASE_PROBATION);
    world.save = -EIO;
    assert_int_equal(send(SL_EVENT_PASSED), -EIO);
    assert_int_equal(agent.state.phase, SL_PHASE_PROBATION);
    assert_int_equal(agent.state.floor.seq, 3);
    world.save = 0;
    assert_int_equal(send(SL_EVENT_PASSED), 0);
    assert_int_equal(action, SL_ACTION_COMMITTED);
}

static void a_fetch_pauses_and_is_given_up(void **unused)
{
    (void)unused;
    reach(SL_PHASE_FETCH);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(send(SL_EVENT_FETCH_FAILED), 0);
        assert_int_equal(action, SL_ACTION_WAIT);
        world.now_ms += 106;
        assert_int_equal(send(SL_EVENT_TICK), 0);
        assert_int_equal(action, SL_ACTION_WAIT);
        world.now_ms += 1;
        assert_int_equal(send(SL_EVENT_TICK), 0);
        assert_int_equal(action, SL_ACTION_FETCH);
    }
    assert_int_equal(send(SL_EVENT_FETCH_FAILED), 0);
    assert_old_serves(SL_RESULT_ABANDONED);
    assert_false(denied(2));
}

static void an_order_may_withdraw(void **unused)
{
    for (enum sl_phase p = SL_PHASE_FETCH; p < SL_PHASES; p++) {
        set_up(unused);
        reach(p);
        assert_int_equal(send(SL_EVENT_WITHDRAW), 0);
        assert_old_serves(SL_RESULT_ABANDONED);
        assert_false(denied(2));
    }
}

static void an_order_is_obeyed_once_and_no_older_one(void **unused)
{
    (void)unused;
    assert_int_equal(order(2, 7, false, 0), 0);
    assert_int_equal(world.disk.order.number, 7);
    assert_int_equal(order(2, 7, false, 0), -EALREADY);
    assert_int_equal(order(2, 7, true, 0), -ESTALE); // another one under its number
    assert_int_equal(order(3, 7, false, 0), -ESTALE);
    assert_int_equal(order(3, 6, true, 0), -ESTALE);
    assert_int_equal(start(), 0);
    assert_int_equal(order(3, 6, true, 0), -ESTALE);
    assert_int_equal(offer(bundle(3, 9, 1)), -EACCES);
    assert_int_equal(offer(bundle(2, 9, 1)), 0);
}

static void a_new_order_drops_what_it_does_not_name(void **unused)
{
    for (enum sl_phase p = SL_PHASE_FETCH; p < SL_PHASES; p++) {
        set_up(unused);
        reach(p);
        assert_int_equal(order(2, 1, false, 0), 0); // what is pending is meant
        assert_int_equal(agent.state.phase, p);
        assert_int_equal(order(3, 2, false, 0), 0);
        assert_int_equal(action, p >= SL_PHASE_SELF_TEST ? SL_ACTION_ROLL_BACK : SL_ACTION_WAIT);
        assert_old_serves(SL_RESULT_ABANDONED);
        assert_false(denied(2));
    }
}

static void a_new_order_drops_an_older_one_that_it_does_not_permit(void **unused)
{
    for (int permits = 0; permits < 2; permits++)
        for (int below_floor = 0; below_floor < 2; below_floor++) {
            set_up(unused);
            assert_int_equal(order(7, 1, true, 2), 0);
            assert_int_equal(offer(bundle(7, below_floor ? 2 : 4, 1)), 0);
            assert_int_equal(order(7, 2, permits, 2), 0);
            assert_int_equal(agent.state.phase, permits ? SL_PHASE_FETCH : SL_PHASE_IDLE);
        }
    set_up(unused);
    reach(SL_PHASE_SHADOW);
    world.authentic[SL_SLOT_A] = -EIO; // nothing shows that 6 is newer
    assert_int_equal(order(2, 1, false, 0), 0);
    assert_int_equal(action, SL_ACTION_ROLL_BACK);
    assert_old_serves(SL_RESULT_ABANDONED);
}

static void below_the_floor_only_where_the_order_permits(void **unused)
{
    (void)unused;
    assert_int_equal(order(2, 1, true, 2), 0);
    assert_int_equal(offer(bundle(2, 1, 1)), -EPERM); // below what is permitted
    assert_int_equal(revoke(7, 1, 3), 0);
    assert_int_equal(offer(bundle(2, 2, 1)), -EPERM); // below the catalog's floor
    assert_int_equal(revoke(7, 2, 1), 0);
    assert_int_equal(offer(bundle(2, 2, 1)), 0);
    world.facts[SL_SLOT_B] = bundle(2, 2, 1);
    world.authentic[SL_SLOT_B] = 0;
    assert_int_equal(send(SL_EVENT_FETCHED), 0);
    assert_int_equal(send(SL_EVENT_GATE_OPEN), 0);
    assert_int_equal(start(), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(send(SL_EVENT_PASSED), 0);
    assert_int_equal(action, SL_ACTION_COMMITTED);
    assert_int_equal(world.disk.floor.seq, 2);
    assert_int_equal(order(5, 2, false, 0), 0);
    assert_int_equal(start(), 0); // it serves without the order too
    assert_int_equal(world.disk.active, SL_SLOT_B);
}

static void what_an_operator_takes_back_ends_the_order(void **unused)
{
    (void)unused;
    assert_int_equal(order(2, 1, false, 0), 0);
    reach(SL_PHASE_SHADOW);
    assert_int_equal(send(SL_EVENT_WITHDRAW), 0);
    assert_int_equal(order(2, 1, false, 0), -EALREADY);
    assert_int_equal(offer(bundle(3, 7, 1)), 0); // no order stands
    assert_int_equal(send(SL_EVENT_WITHDRAW), 0);
    assert_int_equal(order(3, 2, false, 0), 0);
    world.facts[SL_SLOT_B] = bundle(2, 6, 3);
    assert_int_equal(send(SL_EVENT_REVERT), 0);
    assert_false(sl_state_has_order(&world.disk));
    assert_int_equal(revoke(1, 1, 0), 0);
    assert_int_equal(send(SL_EVENT_REVERT), -ENOENT);
}

static void a_catalog_drops_what_it_revokes_and_stays(void **unused)
{
    for (enum sl_phase p = SL_PHASE_FETCH; p < SL_PHASES; p++) {
        set_up(unused);
        reach(p);
        assert_int_equal(revoke(1, 3, 4), 0); // what serves goes on
        assert_int_equal(agent.state.phase, p);
        assert_int_equal(revoke(2, 2, 0), -ESTALE);
        assert_int_equal(revoke(1, 3, 4), -EALREADY);
        assert_int_equal(revoke(2, 4, 4), 0);
        assert_int_equal(action, p >= SL_PHASE_SELF_TEST ? SL_ACTION_ROLL_BACK : SL_ACTION_WAIT);
        assert_old_serves(SL_RESULT_ABANDONED);
        assert_int_equal(start(), 0);
        assert_int_equal(offer_ordered(bundle(2, 6, 6)), -EPERM); // no order helps
        assert_int_equal(world.disk.active, SL_SLOT_A);
    }
}

static void rules_that_cannot_be_saved_do_not_count(void **unused)
{
    (void)unused;
    world.save = -EIO;
    assert_int_equal(order(2, 1, false, 0), -EIO);
    assert_int_equal(revoke(2, 1, 0), -EIO);
    assert_int_equal(agent.state.order.number + agent.state.catalog.number, 0);
    world.save = 0;
    assert_int_equal(order(2, 1, false, 0), 0);
    assert_int_equal(revoke(2, 1, 0), 0);
}

static void a_damaged_active_slot_falls_back(void **unused)
{
    (void)unused;
    world.authentic[SL_SLOT_A] = -EBADMSG;
    assert_int_equal(start(), 0);
    assert_int_equal(world.disk.active, SL_SLOT_GOLDEN);
    assert_int_equal(world.disk.degraded, 1);
    set_up(unused);
    world.authentic[SL_SLOT_A] = -EBADMSG;
    world.authentic[SL_SLOT_B] = 0;
    world.facts[SL_SLOT_B] = bundle(7, 4, 1);
    assert_int_equal(start(), 0);
    assert_int_equal(world.disk.active, SL_SLOT_B);
    assert_int_equal(world.disk.result, SL_RESULT_OTHER_SLOT);
}

static void what_is_revoked_is_fallen_back_on_only_for_want_of_others(void **unused)
{
    world.authentic[SL_SLOT_B] = 0;
    world.facts[SL_SLOT_B] = bundle(7, 4, 1);
    assert_int_equal(revoke(7, 1, 1), 0);
    world.authentic[SL_SLOT_A] = -EBADMSG;
    assert_int_equal(start(), 0);
    assert_int_equal(world.disk.active, SL_SLOT_GOLDEN);
    for (int golden = 0; golden < 2; golden++) {
        set_up(unused);
        world.authentic[SL_SLOT_A] = -EBADMSG;
        world.authentic[SL_SLOT_B] = 0;
        world.facts[SL_SLOT_B] = bundle(7, 4, 1);
        world.authentic[SL_SLOT_GOLDEN] = golden ? 0 : -EIO; // all that is left is revoked
        assert_int_equal(revoke(7, 1, 9), 0);
        assert_int_equal(start(), 0);
        assert_int_equal(world.disk.active, SL_SLOT_B);
        assert_int_equal(world.disk.result, SL_RESULT_OTHER_SLOT);
    }
}

// Bundle 7, number 2, in slot B: below the floor, and order 1 permits it.
static void permit_what_the_other_slot_holds(void)
{
    world.authentic[SL_SLOT_B] = 0;
    world.facts[SL_SLOT_B] = bundle(7, 2, 1);
    assert_int_equal(order(7, 1, true, 2), 0);
}

static void assert_the_other_serves_after_restarts(enum sl_result result)
{
    for (int restarts = 0; restarts < 2; restarts++) {
        assert_int_equal(world.disk.active, SL_SLOT_B);
        assert_int_equal(world.disk.floor.seq, 2);
        assert_int_equal(world.disk.result, result);
        assert_int_equal(world.disk.degraded, result == SL_RESULT_OTHER_SLOT);
        assert_int_equal(start(), 0);
    }
}

static void what_an_order_permitted_serves_on_when_the_order_is_over(void **unused)
{
    permit_what_the_other_slot_holds();
    assert_int_equal(send(SL_EVENT_REVERT), 0);
    assert_false(sl_state_has_order(&world.disk));
    assert_the_other_serves_after_restarts(SL_RESULT_REVERTED);
    set_up(unused);
    permit_what_the_other_slot_holds();
    world.authentic[SL_SLOT_A] = -EBADMSG;
    assert_int_equal(start(), 0);
    assert_int_equal(order(5, 2, false, 0), 0);
    assert_the_other_serves_after_restarts(SL_RESULT_OTHER_SLOT);
}

static void nothing_below_the_floor_is_fallen_back_on(void **unused)
{
    (void)unused;
    world.authentic[SL_SLOT_A] = -EBADMSG;
    world.disk.floor.seq = 4; // above the golden one
    assert_int_equal(start(), 0);
    assert_int_equal(action, SL_ACTION_SAFE_MODE);
    assert_int_equal(agent.state.active, SL_SLOT_NONE);
    assert_int_equal(offer(bundle(2, 6, 6)), 0); // the way out
}

static void what_cannot_be_read_is_not_given_up(void **unused)
{
    (void)unused;
    world.authentic[SL_SLOT_A] = world.authentic[SL_SLOT_B] = world.authentic[SL_SLOT_GOLDEN] =
        -EIO;
    assert_int_equal(start(), -EIO);
    assert_int_equal(world.saves, 0);
    world.load = -ENODATA;
    assert_int_equal(start(), -EIO);
    assert_int_equal(world.saves, 0);
    world.load = -EIO;
    assert_int_equal(start(), -EIO);
}

static void lost_state_is_found_in_the_slots(void **unused)
{
    (void)unused;
    world.load = -ENODATA;
    assert_int_equal(start(), 0);
    assert_int_equal(world.disk.active, SL_SLOT_A); // 5, newer than the golden 3
    assert_int_equal(world.disk.floor.seq, 3);
    assert_int_equal(world.disk.degraded, 1);
    assert_int_equal(world.disk.result, SL_RESULT_STATE_LOST);
    world.authentic[SL_SLOT_A] = world.authentic[SL_SLOT_GOLDEN] = -EBADMSG;
    assert_int_equal(start(), 0);
    assert_int_equal(action, SL_ACTION_SAFE_MODE);
    assert_int_equal(world.disk.result, SL_RESULT_NOTHING_FIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_good_bundle_is_committed_and_only_then_raises_the_floor, set_up),
        cmocka_unit_test_setup(the_trusted_root_advances_at_commit_and_never_goes_back, set_up),
        cmocka_unit_test_setup(every_phase_resumes_after_a_restart, set_up),
        cmocka_unit_test_setup(offers_that_may_not_run_are_refused, set_up),
        cmocka_unit_test_setup(events_out_of_place_are_refused, set_up),
        cmocka_unit_test_setup(a_slot_that_is_not_the_bundle_is_not_armed, set_up),
        cmocka_unit_test_setup(a_slot_changed_after_it_was_armed_is_not_tried, set_up),
        cmocka_unit_test_setup(failure_and_time_out_deny, set_up),
        cmocka_unit_test_setup(the_third_crash_that_was_seen_denies, set_up),
        cmocka_unit_test_setup(the_tenth_unexplained_restart_parks, set_up),
        cmocka_unit_test_setup(nothing_happens_that_could_not_be_saved, set_up),
        cmocka_unit_test_setup(a_fetch_pauses_and_is_given_up, set_up),
        cmocka_unit_test_setup(an_order_may_withdraw, set_up),
        cmocka_unit_test_setup(an_order_is_obeyed_once_and_no_older_one, set_up),
        cmocka_unit_test_setup(a_new_order_drops_what_it_does_not_name, set_up),
        cmocka_unit_test_setup(a_new_order_drops_an_older_one_that_it_does_not_permit, set_up),
        cmocka_unit_test_setup(below_the_floor_only_where_the_order_permits, set_up),
        cmocka_unit_test_setup(what_an_operator_takes_back_ends_the_order, set_up),
        cmocka_unit_test_setup(a_catalog_drops_what_it_revokes_and_stays, set_up),
        cmocka_unit_test_setup(rules_that_cannot_be_saved_do_not_count, set_up),
        cmocka_unit_test_setup(a_damaged_active_slot_falls_back, set_up),
        cmocka_unit_test_setup(what_is_revoked_is_fallen_back_on_only_for_want_of_others, set_up),
        cmocka_unit_test_setup(what_an_order_permitted_serves_on_when_the_order_is_over, set_up),
        cmocka_unit_test_setup(nothing_below_the_floor_is_fallen_back_on, set_up),
        cmocka_unit_test_setup(what_cannot_be_read_is_not_given_up, set_up),
        cmocka_unit_test_setup(lost_state_is_found_in_the_slots, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
