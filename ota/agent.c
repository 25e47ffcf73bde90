// The state machine of an update.
#include "ota/agent.h"

#include <errno.h>
#include <string.h>

static int adopt(struct sl_agent *a, const struct sl_ota_state *next)
{
    int status = a->ports.save(a->ports.context, next);
    a->unsettled = status < 0;
    if (status == 0)
        a->state = *next;
    return status;
}

// After a save that failed the disk may hold either state, and what is done next could suit only
// one.
static int settle(struct sl_agent *a)
{
    const struct sl_ota_state current = a->state;
    return a->unsettled ? adopt(a, &current) : 0;
}

static uint64_t after(struct sl_agent *a, uint64_t ms)
{
    uint64_t now = a->ports.now_ms(a->ports.context);
    return ms < UINT64_MAX - now ? now + ms : UINT64_MAX;
}

static bool is_trial(uint8_t phase)
{
    return phase == SL_PHASE_SELF_TEST || phase == SL_PHASE_SHADOW || phase == SL_PHASE_PROBATION;
}

static enum sl_slot_name spare_slot(const struct sl_ota_state *s)
{
    return s->active == SL_SLOT_A ? SL_SLOT_B : SL_SLOT_A;
}

static void drop_pending(struct sl_ota_state *s, enum sl_result result)
{
    s->phase = SL_PHASE_IDLE;
    s->pending = SL_SLOT_NONE;
    s->result = (uint8_t)result;
    s->trying = s->crashes_left = s->unexplained_left = 0;
    s->fetched = 0;
    memset(s->pending_id, 0, sizeof s->pending_id);
    s->pending_number = (struct sl_number){0, 0};
}

static int drop_and_adopt(struct sl_agent *a, struct sl_ota_state *next, enum sl_result result,
                          enum sl_agent_action *action)
{
    enum sl_agent_action then = is_trial(a->state.phase) ? SL_ACTION_ROLL_BACK : SL_ACTION_WAIT;
    drop_pending(next, result);
    int status = adopt(a, next);
    if (status < 0)
        return status;
    a->deadline_ms = UINT64_MAX;
    *action = then;
    return 0;
}

// Ends the update at hand; the active bundle serves.
static int end_update(struct sl_agent *a, enum sl_result result, enum sl_agent_action *action)
{
    struct sl_ota_state next = a->state;
    bool deny =
        result == SL_RESULT_FAILED || result == SL_RESULT_CRASHED || result == SL_RESULT_TIMED_OUT;
    if (deny)
        sl_state_deny(&next, next.pending_id);
    if (result == SL_RESULT_PARKED)
        memcpy(next.parked_id, next.pending_id, SL_OTA_ID);
    return drop_and_adopt(a, &next, result, action);
}

// Whether `slot` holds an authentic bundle that may run: 0, -EBADMSG, or the device's errno. A read
// that failed once is tried once more, because giving a slot up is for good.
static int may_run(struct sl_agent *a, enum sl_slot_name slot, struct sl_bundle_facts *facts)
{
    int status = a->ports.authentic(a->ports.context, slot, facts);
    if (status < 0 && status != -EBADMSG)
        status = a->ports.authentic(a->ports.context, slot, facts);
    if (status < 0)
        return status;
    return sl_number_below(facts->number, sl_state_lowest(&a->state, facts->id)) ||
                   sl_number_below(facts->number, facts->floor) ||
                   sl_state_is_denied(&a->state, facts->id)
               ? -EBADMSG
               : 0;
}

static int verify_pending(struct sl_agent *a)
{
    int status = may_run(a, (enum sl_slot_name)a->state.pending, &a->facts);
    if (status == 0 && memcmp(a->facts.id, a->state.pending_id, SL_OTA_ID) != 0)
        status = -EBADMSG;
    return status;
}

static void action_of_phase(struct sl_agent *a, enum sl_agent_action *action)
{
    static const enum sl_agent_action actions[SL_PHASES] = {
        [SL_PHASE_IDLE] = SL_ACTION_WAIT,     [SL_PHASE_FETCH] = SL_ACTION_FETCH,
        [SL_PHASE_ARMED] = SL_ACTION_WAIT,    [SL_PHASE_SELF_TEST] = SL_ACTION_SELF_TEST,
        [SL_PHASE_SHADOW] = SL_ACTION_SHADOW, [SL_PHASE_PROBATION] = SL_ACTION_SWAP};
    const uint64_t limits[SL_PHASES] = {[SL_PHASE_SELF_TEST] = a->limits.self_test_ms,
                                        [SL_PHASE_SHADOW] = a->limits.shadow_ms,
                                        [SL_PHASE_PROBATION] = a->limits.probation_ms};
    uint64_t limit = limits[a->state.phase];
    a->deadline_ms = limit > 0 ? after(a, limit) : UINT64_MAX;
    *action = actions[a->state.phase];
}

// Takes both counters for a try of `phase` and saves that, then says what to do.
static int take_and_try(struct sl_agent *a, enum sl_phase phase, enum sl_agent_action *action)
{
    struct sl_ota_state next = a->state;
    if (phase != a->state.phase) {
        next.crashes_left = SL_AGENT_CRASHES;
        next.unexplained_left = SL_AGENT_UNEXPLAINED;
        next.phase = (uint8_t)phase;
    }
    next.crashes_left--;
    next.unexplained_left--;
    next.trying = 1;
    int status = adopt(a, &next);
    if (status < 0)
        return status;
    action_of_phase(a, action);
    return 0;
}

// A try whose end nobody saw was not a crash that somebody saw.
static int resume_trial(struct sl_agent *a, enum sl_agent_action *action)
{
    int status = verify_pending(a);
    if (status == -EBADMSG)
        return end_update(a, SL_RESULT_NOT_WHOLE, action);
    if (status < 0)
        return status;
    if (a->state.trying) {
        a->state.crashes_left++;
        a->state.trying = 0;
    }
    if (a->state.crashes_left == 0)
        return end_update(a, SL_RESULT_CRASHED, action);
    if (a->state.unexplained_left == 0)
        return end_update(a, SL_RESULT_PARKED, action);
    return take_and_try(a, (enum sl_phase)a->state.phase, action);
}

// The floor sinks to what the order permitted: that goes on serving when the order is over.
static void make_active(struct sl_ota_state *s, enum sl_slot_name slot,
                        const struct sl_bundle_facts *facts)
{
    s->active = (uint8_t)slot;
    memcpy(s->active_id, facts->id, SL_OTA_ID);
    if (sl_number_below(facts->number, s->floor))
        s->floor = facts->number;
}

// The slot that shall serve if the active one cannot: the other one, then the golden one; what a
// catalog revokes only if there is nothing else. `status` is why the active one cannot; what could
// not be read is not given up for nothing.
static int fall_back(struct sl_agent *a, int status)
{
    const enum sl_slot_name order[] = {spare_slot(&a->state), SL_SLOT_GOLDEN};
    struct sl_ota_state next = a->state;
    enum sl_slot_name best = SL_SLOT_NONE;
    struct sl_bundle_facts facts, best_facts = {0};
    bool revoked = true;
    for (size_t i = 0; i < sizeof order / sizeof order[0] && revoked; i++) {
        int found = may_run(a, order[i], &facts);
        if (found < 0) {
            status = found == -EBADMSG ? status : found;
            continue;
        }
        revoked = sl_state_is_revoked(&next, facts.id, facts.number);
        if (revoked && best != SL_SLOT_NONE)
            continue;
        best = order[i];
        best_facts = facts;
    }
    if (best == SL_SLOT_NONE && status != -EBADMSG)
        return status;
    drop_pending(&next, best == SL_SLOT_NONE ? SL_RESULT_NOTHING_FIT : SL_RESULT_OTHER_SLOT);
    next.active = SL_SLOT_NONE;
    next.degraded = 1;
    memset(next.active_id, 0, sizeof next.active_id);
    if (best != SL_SLOT_NONE)
        make_active(&next, best, &best_facts);
    return adopt(a, &next);
}

// No state: the newest authentic bundle, and its own floor as the floor.
static int recover(struct sl_agent *a)
{
    struct sl_ota_state next = {.active = SL_SLOT_NONE, .degraded = 1};
    struct sl_bundle_facts best = {0};
    int unreadable = 0;
    for (enum sl_slot_name slot = SL_SLOT_A; slot <= SL_SLOT_GOLDEN; slot++) {
        struct sl_bundle_facts facts;
        int status = may_run(a, slot, &facts);
        unreadable = status < 0 && status != -EBADMSG ? status : unreadable;
        if (status < 0 ||
            (next.active != SL_SLOT_NONE && !sl_number_below(best.number, facts.number)))
            continue;
        best = facts;
        next.active = (uint8_t)slot;
    }
    if (next.active == SL_SLOT_NONE && unreadable < 0)
        return unreadable;
    drop_pending(&next, next.active == SL_SLOT_NONE ? SL_RESULT_NOTHING_FIT : SL_RESULT_STATE_LOST);
    memcpy(next.active_id, best.id, SL_OTA_ID);
    next.floor = best.floor;
    next.root_version = best.root_version;
    memcpy(next.root_hash, best.root_hash, sizeof next.root_hash);
    return adopt(a, &next);
}

static int choose_active(struct sl_agent *a)
{
    struct sl_bundle_facts facts;
    int status = -EBADMSG;
    if (a->state.active != SL_SLOT_NONE)
        status = may_run(a, (enum sl_slot_name)a->state.active, &facts);
    if (status == 0 && memcmp(facts.id, a->state.active_id, SL_OTA_ID) != 0)
        status = -EBADMSG;
    return status == 0 ? 0 : fall_back(a, status);
}

int sl_agent_start(struct sl_agent *a, const struct sl_agent_ports *ports,
                   const struct sl_agent_limits *limits, enum sl_agent_action *action)
{
    *a = (struct sl_agent){.ports = *ports, .limits = *limits, .deadline_ms = UINT64_MAX};
    int status = ports->load(ports->context, &a->state);
    if (status == -ENODATA)
        status = recover(a);
    if (status < 0)
        return status;
    status = choose_active(a);
    if (status < 0)
        return status;
    if (a->state.active == SL_SLOT_NONE && a->state.phase == SL_PHASE_IDLE) {
        *action = SL_ACTION_SAFE_MODE;
        return 0;
    }
    if (is_trial(a->state.phase))
        return resume_trial(a, action);
    action_of_phase(a, action);
    return 0;
}

// Whatever serves: whether the bundle may be chosen at all.
static bool may_choose(const struct sl_ota_state *s, const struct sl_bundle_facts *f)
{
    return !sl_number_below(f->number, sl_state_lowest(s, f->id)) &&
           !sl_number_below(f->number, f->floor) && !sl_state_is_denied(s, f->id) &&
           !sl_state_is_revoked(s, f->id, f->number) && memcmp(f->id, s->parked_id, SL_OTA_ID) != 0;
}

static int on_offer(struct sl_agent *a, const struct sl_agent_event *e,
                    enum sl_agent_action *action)
{
    const struct sl_bundle_facts *f = &e->facts;
    struct sl_ota_state next = a->state;
    struct sl_bundle_facts active;
    if (sl_state_has_order(&next) && !sl_state_is_ordered(&next, f->id))
        return -EACCES;
    if (next.phase != SL_PHASE_IDLE)
        return -EBUSY;
    bool serves = next.active != SL_SLOT_NONE;
    if (!may_choose(&next, f) || (serves && memcmp(f->id, next.active_id, SL_OTA_ID) == 0))
        return -EPERM;
    if (serves && !sl_state_may_be_older(&next, f->id, f->number)) {
        int status = a->ports.authentic(a->ports.context, (enum sl_slot_name)next.active, &active);
        if (status < 0)
            return status;
        if (!sl_number_below(active.number, f->number))
            return -EPERM;
    }
    next.phase = SL_PHASE_FETCH;
    next.pending = (uint8_t)spare_slot(&next);
    next.pending_number = f->number;
    memcpy(next.pending_id, f->id, SL_OTA_ID);
    int status = adopt(a, &next);
    if (status < 0)
        return status;
    a->fetch_failures = 0;
    action_of_phase(a, action);
    return 0;
}

static int on_fetched(struct sl_agent *a, enum sl_agent_action *action)
{
    int status = a->ports.seal(a->ports.context, (enum sl_slot_name)a->state.pending);
    if (status == -EAGAIN) {
        *action = SL_ACTION_FETCH;
        return 0;
    }
    if (status == 0)
        status = verify_pending(a);
    if (status == -EBADMSG)
        return end_update(a, SL_RESULT_NOT_WHOLE, action);
    if (status < 0)
        return status;
    struct sl_ota_state next = a->state;
    next.phase = SL_PHASE_ARMED;
    status = adopt(a, &next);
    if (status == 0)
        action_of_phase(a, action);
    return status;
}

static int on_fetch_failed(struct sl_agent *a, enum sl_agent_action *action)
{
    if (a->fetch_failures + 1 >= a->limits.fetch_tries)
        return end_update(a, SL_RESULT_ABANDONED, action);
    a->fetch_failures++;
    uint64_t pause = a->limits.fetch_pause_ms;
    uint64_t spread = pause > 0 ? a->ports.random(a->ports.context) % pause : 0;
    a->deadline_ms = after(a, pause + spread);
    *action = SL_ACTION_WAIT;
    return 0;
}

static int on_gate_open(struct sl_agent *a, enum sl_agent_action *action)
{
    int status = verify_pending(a);
    if (status == -EBADMSG)
        return end_update(a, SL_RESULT_NOT_WHOLE, action);
    return status < 0 ? status : take_and_try(a, SL_PHASE_SELF_TEST, action);
}

static int commit(struct sl_agent *a, enum sl_agent_action *action)
{
    struct sl_ota_state next = a->state;
    if (sl_number_below(next.floor, a->facts.floor))
        next.floor = a->facts.floor;
    make_active(&next, (enum sl_slot_name)next.pending, &a->facts);
    if (next.root_version < a->facts.root_version) {
        next.root_version = a->facts.root_version;
        memcpy(next.root_hash, a->facts.root_hash, sizeof next.root_hash);
    }
    next.degraded = 0;
    drop_pending(&next, SL_RESULT_COMMITTED);
    int status = adopt(a, &next);
    if (status < 0)
        return status;
    a->deadline_ms = UINT64_MAX;
    *action = SL_ACTION_COMMITTED;
    return 0;
}

static int on_passed(struct sl_agent *a, enum sl_agent_action *action)
{
    if (a->state.phase == SL_PHASE_PROBATION)
        return commit(a, action);
    return take_and_try(
        a, a->state.phase == SL_PHASE_SELF_TEST ? SL_PHASE_SHADOW : SL_PHASE_PROBATION, action);
}

// The try's end was seen: it takes a crash and gives the unexplained restart back.
static int on_crashed(struct sl_agent *a, enum sl_agent_action *action)
{
    struct sl_ota_state next = a->state;
    if (next.crashes_left == 0)
        return end_update(a, SL_RESULT_CRASHED, action);
    next.trying = 0;
    next.unexplained_left++;
    int status = adopt(a, &next);
    return status < 0 ? status : take_and_try(a, (enum sl_phase)next.phase, action);
}

static int on_tick(struct sl_agent *a, enum sl_agent_action *action)
{
    *action = SL_ACTION_WAIT;
    if (a->ports.now_ms(a->ports.context) < a->deadline_ms)
        return 0;
    if (is_trial(a->state.phase))
        return end_update(a, SL_RESULT_TIMED_OUT, action);
    a->deadline_ms = UINT64_MAX;
    if (a->state.phase == SL_PHASE_FETCH)
        *action = SL_ACTION_FETCH;
    return 0;
}

// The one that is left is parked, so that its source cannot bring it back at once.
static int on_revert(struct sl_agent *a, enum sl_agent_action *action)
{
    struct sl_ota_state next = a->state;
    struct sl_bundle_facts facts;
    const enum sl_slot_name other = spare_slot(&next);
    int status = may_run(a, other, &facts);
    if (status == 0 && sl_state_is_revoked(&next, facts.id, facts.number))
        status = -EBADMSG;
    if (status < 0)
        return status == -EBADMSG ? -ENOENT : status;
    next.order.when = SL_WHEN_NEVER;
    memcpy(next.parked_id, next.active_id, SL_OTA_ID);
    make_active(&next, other, &facts);
    next.result = SL_RESULT_REVERTED;
    status = adopt(a, &next);
    if (status == 0)
        *action = SL_ACTION_ROLL_BACK;
    return status;
}

static int on_withdraw(struct sl_agent *a, enum sl_agent_action *action)
{
    struct sl_ota_state next = a->state;
    if (sl_state_is_ordered(&next, next.pending_id))
        next.order.when = SL_WHEN_NEVER;
    return drop_and_adopt(a, &next, SL_RESULT_ABANDONED, action);
}

// What is pending stays if it may.
static int adopt_rules(struct sl_agent *a, struct sl_ota_state *next, bool may_stay,
                       enum sl_agent_action *action)
{
    if (next->phase != SL_PHASE_IDLE && !may_stay)
        return drop_and_adopt(a, next, SL_RESULT_ABANDONED, action);
    int status = adopt(a, next);
    if (status == 0)
        *action = SL_ACTION_WAIT;
    return status;
}

static int on_catalog(struct sl_agent *a, const struct sl_ota_catalog *catalog,
                      enum sl_agent_action *action)
{
    struct sl_ota_state next = a->state;
    if (catalog->number <= next.catalog.number)
        return catalog->number == next.catalog.number ? -EALREADY : -ESTALE;
    next.catalog = *catalog;
    return adopt_rules(a, &next, !sl_state_is_revoked(&next, next.pending_id, next.pending_number),
                       action);
}

static bool same_order(const struct sl_ota_order *x, const struct sl_ota_order *y)
{
    return x->number == y->number && x->permits == y->permits &&
           memcmp(x->bundle, y->bundle, SL_OTA_ID) == 0;
}

// What is older than what serves is tried only while an order permits it; so what serves must be
// read, and where it cannot be, nothing shows that the pending one is newer.
static bool is_meant(struct sl_agent *a, const struct sl_ota_state *next)
{
    struct sl_bundle_facts active;
    const uint8_t *id = next->pending_id;
    const struct sl_number number = next->pending_number;
    if (!sl_state_is_ordered(next, id) || sl_number_below(number, sl_state_lowest(next, id)))
        return false;
    if (next->active == SL_SLOT_NONE || sl_state_may_be_older(next, id, number))
        return true;
    return a->ports.authentic(a->ports.context, (enum sl_slot_name)next->active, &active) == 0 &&
           sl_number_below(active.number, number);
}

static int on_order(struct sl_agent *a, const struct sl_ota_order *order,
                    enum sl_agent_action *action)
{
    struct sl_ota_state next = a->state;
    if (order->number <= next.order.number)
        return same_order(order, &next.order) ? -EALREADY : -ESTALE;
    next.order = *order;
    if (sl_state_is_ordered(&next, next.parked_id))
        memset(next.parked_id, 0, SL_OTA_ID); // once more; then it is parked for good
    return adopt_rules(a, &next, next.phase != SL_PHASE_IDLE && is_meant(a, &next), action);
}

// In which phases an event has a meaning, as bits; an offer answers for itself.
static const unsigned in_place[SL_EVENTS] = {
    [SL_EVENT_OFFER] = ~0u,
    [SL_EVENT_WITHDRAW] = ~(1u << SL_PHASE_IDLE),
    [SL_EVENT_FETCHED] = 1u << SL_PHASE_FETCH,
    [SL_EVENT_FETCH_FAILED] = 1u << SL_PHASE_FETCH,
    [SL_EVENT_GATE_OPEN] = 1u << SL_PHASE_ARMED,
    [SL_EVENT_PASSED] = 1u << SL_PHASE_SELF_TEST | 1u << SL_PHASE_SHADOW | 1u << SL_PHASE_PROBATION,
    [SL_EVENT_FAILED] = 1u << SL_PHASE_SELF_TEST | 1u << SL_PHASE_SHADOW | 1u << SL_PHASE_PROBATION,
    [SL_EVENT_CRASHED] =
        1u << SL_PHASE_SELF_TEST | 1u << SL_PHASE_SHADOW | 1u << SL_PHASE_PROBATION,
    [SL_EVENT_TICK] = ~0u,
    [SL_EVENT_REVERT] = 1u << SL_PHASE_IDLE,
    [SL_EVENT_CATALOG] = ~0u,
    [SL_EVENT_ORDER] = ~0u,
};

int sl_agent_handle(struct sl_agent *a, const struct sl_agent_event *event,
                    enum sl_agent_action *action)
{
    if ((unsigned)event->kind >= SL_EVENTS || !(in_place[event->kind] >> a->state.phase & 1))
        return -EPROTO;
    int status = settle(a);
    if (status < 0)
        return status;
    switch (event->kind) {
    case SL_EVENT_OFFER:
        return on_offer(a, event, action);
    case SL_EVENT_WITHDRAW:
        return on_withdraw(a, action);
    case SL_EVENT_CATALOG:
        return on_catalog(a, event->catalog, action);
    case SL_EVENT_ORDER:
        return on_order(a, event->order, action);
    case SL_EVENT_FETCHED:
        return on_fetched(a, action);
    case SL_EVENT_FETCH_FAILED:
        return on_fetch_failed(a, action);
    case SL_EVENT_GATE_OPEN:
        return on_gate_open(a, action);
    case SL_EVENT_PASSED:
        return on_passed(a, action);
    case SL_EVENT_FAILED:
        return end_update(a, SL_RESULT_FAILED, action);
    case SL_EVENT_CRASHED:
        return on_crashed(a, action);
    case SL_EVENT_REVERT:
        return on_revert(a, action);
    default:
        return on_tick(a, action);
    }
}
