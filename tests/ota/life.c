// One life of a camera in front of sl_agent.
#include "life.h"

#include "ota/sha256.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    CHUNK = 1024,
    CHUNKS = 8,
    HEAD = 4096 + 512,
    TOTAL = HEAD + CHUNKS * CHUNK,
    SLOT_SIZE = 4096 + 12288,
    AREA_SIZE = 2 * 4096,
    HASHES_AT = 4096 + 128,
    STEPS_MAX = 600
};

static uint8_t images[BUNDLES][TOTAL];
static const struct sl_number numbers[BUNDLES] = {{1, 2}, {1, 5}, {1, 6}, {1, 7}, {1, 7},
                                                  {1, 7}, {1, 9}, {1, 3}, {2, 1}};
static const struct sl_number floors[BUNDLES] = {{1, 1}, {1, 4}, {1, 6}, {1, 7}, {1, 7},
                                                 {1, 7}, {1, 9}, {1, 1}, {1, 7}};

const char *life_wrong_name(enum wrong wrong)
{
    static const char *const names[WRONGS] = {"nothing",
                                              "brick",
                                              "unverified load",
                                              "good bundle denied",
                                              "state lost",
                                              "state back",
                                              "half a slot",
                                              "half armed",
                                              "endless tries",
                                              "bad bundle kept",
                                              "good bundle not committed",
                                              "catalog or order lost",
                                              "revoked bundle chosen",
                                              "stuck"};
    return names[wrong];
}

static void note(struct life *life, enum wrong wrong)
{
    if (life->wrong == WRONG_NOTHING)
        life->wrong = wrong;
}

// All is random, the id is in front; the superblock is zero from its second sector on.
void life_make_bundles(uint64_t seed)
{
    struct sim_power random = {.random = seed | 1};
    for (unsigned b = 0; b < BUNDLES; b++) {
        for (size_t i = 0; i < TOTAL; i++)
            images[b][i] = (uint8_t)sim_random(&random);
        for (size_t i = 0; i < CHUNKS; i++)
            sl_sha256(images[b] + HASHES_AT + i * 32, images[b] + HEAD + i * CHUNK, CHUNK);
        sl_sha256(images[b], images[b] + 4096, HEAD - 4096);
        memset(images[b] + SIM_SECTOR, 0, 4096 - SIM_SECTOR);
    }
}

static struct sl_bundle_facts facts_of(unsigned bundle)
{
    struct sl_bundle_facts facts = {.number = numbers[bundle], .floor = floors[bundle]};
    memcpy(facts.id, images[bundle], SL_OTA_ID);
    return facts;
}

static unsigned bundle_of(const uint8_t *id)
{
    unsigned b = 0;
    while (b < BUNDLES && memcmp(images[b], id, SL_OTA_ID) != 0)
        b++;
    return b;
}

// The bundle that a slot's bytes are, whole; BUNDLES if none.
static unsigned bundle_in(const uint8_t *bytes)
{
    unsigned b = bundle_of(bytes);
    return b < BUNDLES && memcmp(bytes, images[b], TOTAL) == 0 ? b : BUNDLES;
}

static bool is_good(unsigned bundle)
{
    return bundle == BUNDLE_GOOD || bundle == BUNDLE_BETTER;
}

// --- ports --------------------------------------------------------------------------------------

_Static_assert(sizeof(struct sl_ota_order) == 8 + 16 + 32 &&
                   sizeof(struct sl_ota_catalog) == 8 + 16 + SL_STATE_REVOKED * 32 &&
                   sizeof(struct sl_ota_state) == 8 + 8 + 2 * 16 + 8 + 4 * 32 + 8 + 32 * 32 +
                                                      sizeof(struct sl_ota_order) +
                                                      sizeof(struct sl_ota_catalog),
               "nothing that is not compared");

static bool same_number(struct sl_number a, struct sl_number b)
{
    return a.epoch == b.epoch && a.seq == b.seq;
}

static bool same_papers(const struct sl_ota_state *x, const struct sl_ota_state *y)
{
    const struct sl_ota_order *o = &x->order, *p = &y->order;
    const struct sl_ota_catalog *c = &x->catalog, *d = &y->catalog;
    return o->number == p->number && o->when == p->when && o->permits == p->permits &&
           same_number(o->lowest, p->lowest) && memcmp(o->bundle, p->bundle, SL_OTA_ID) == 0 &&
           c->number == d->number && c->n_revoked == d->n_revoked &&
           same_number(c->floor, d->floor) &&
           memcmp(c->revoked, d->revoked, c->n_revoked * SL_OTA_ID) == 0;
}

// Equal in all but the sequence number; not by memcmp, because there is padding.
static bool same_state(const struct sl_ota_state *x, const struct sl_ota_state *y)
{
    const size_t middle =
        offsetof(struct sl_ota_state, pending_number) - offsetof(struct sl_ota_state, fetched);
    return memcmp(&x->phase, &y->phase, 8) == 0 && same_number(x->floor, y->floor) &&
           memcmp(&x->fetched, &y->fetched, middle) == 0 &&
           same_number(x->pending_number, y->pending_number) &&
           memcmp(x->denied, y->denied, sizeof x->denied) == 0 && same_papers(x, y);
}

// What was given to saves that failed: any of it may be found, until one succeeds.
static struct sl_ota_state unsure[64];

static void check_loaded(struct life *life, const struct sl_ota_state *s)
{
    bool known = same_state(s, &life->acked);
    for (unsigned i = 0; i < life->n_unsure; i++)
        known = known || same_state(s, &unsure[i]);
    if (!known)
        note(life, WRONG_STATE_BACK);
    life->acked = *s;
    life->n_unsure = 0;
    if (s->phase < SL_PHASE_ARMED || life->tampered[s->pending])
        return;
    unsigned found = bundle_in(life->slot[s->pending].cache);
    if (found == BUNDLES || found == BUNDLE_FORGED ||
        memcmp(images[found], s->pending_id, SL_OTA_ID) != 0)
        note(life, WRONG_HALF_ARMED);
}

static int port_load(void *context, struct sl_ota_state *state)
{
    struct life *life = context;
    int status = sl_state_load(&life->store, state);
    if (life->power.out)
        return -ENODEV;
    if (status == 0)
        check_loaded(life, state);
    if (status == -ENODATA)
        note(life, WRONG_STATE_LOST);
    return status;
}

static int port_save(void *context, const struct sl_ota_state *state)
{
    struct life *life = context;
    if (life->power.out)
        return -ENODEV;
    life->tried = *state;
    if (life->n_unsure < sizeof unsure / sizeof unsure[0])
        unsure[life->n_unsure++] = *state;
    int status = sl_state_save(&life->store, state);
    if (status == 0) {
        life->acked = *state;
        life->n_unsure = 0;
    }
    return status;
}

static int port_seal(void *context, enum sl_slot_name slot)
{
    struct life *life = context;
    (void)slot;
    return sl_slot_finish(&life->writer);
}

// A perfect verifier: compares with what the factory signed.
static int port_authentic(void *context, enum sl_slot_name slot, struct sl_bundle_facts *facts)
{
    struct life *life = context;
    uint8_t bytes[TOTAL];
    for (size_t at = 0; at < TOTAL; at += 4096) {
        size_t n = TOTAL - at < 4096 ? TOTAL - at : 4096;
        int status = sl_device_read(&life->fault[2 + slot].device, at, bytes + at, n);
        if (status < 0)
            return status;
    }
    unsigned bundle = bundle_in(bytes);
    if (bundle == BUNDLES || bundle == BUNDLE_FORGED)
        return -EBADMSG;
    *facts = facts_of(bundle);
    return 0;
}

static uint64_t port_now(void *context)
{
    return ((struct life *)context)->now_ms;
}

static uint32_t port_random(void *context)
{
    return (uint32_t)sim_random(&((struct life *)context)->power);
}

// --- what is done with actions ------------------------------------------------------------------

static unsigned offered(const struct life *life)
{
    return life->script[life->at];
}

static bool is_permitted(const struct life *life, unsigned bundle)
{
    for (unsigned i = 0; i < life->n_papers; i++)
        if (life->papers[i].is_order && life->papers[i].permits && life->papers[i].bundle == bundle)
            return true;
    return false;
}

static void check_loadable(struct life *life, unsigned slot, enum wrong wrong)
{
    unsigned found = slot <= SL_SLOT_GOLDEN ? bundle_in(life->slot[slot].cache) : BUNDLES;
    // Safe mode is no brick as long as nothing can be read.
    if (slot == SL_SLOT_NONE && life->has_faults)
        return;
    if (found == BUNDLES || found == BUNDLE_FORGED ||
        (sl_number_below(numbers[found], life->floor) && !is_permitted(life, found)))
        note(life, wrong);
}

static int fetch(struct life *life)
{
    const uint8_t *bytes = images[bundle_of(life->agent.state.pending_id) % BUNDLES];
    static uint8_t room[4096];
    struct sl_slot_image image = {.head = bytes,
                                  .head_size = HEAD,
                                  .chunk_size = CHUNK,
                                  .payload = (uint64_t)CHUNKS * CHUNK,
                                  .hashes = bytes + HASHES_AT};
    unsigned slot = life->agent.state.pending;
    int status =
        sl_slot_begin(&life->writer, &life->fault[2 + slot].device, &image, room, sizeof room);
    if (status == 0)
        life->tampered[slot] = false;
    unsigned start = (unsigned)(sim_random(&life->power) % CHUNKS);
    for (unsigned i = 0; status == 0 && i < CHUNKS; i++) {
        uint32_t c = (start + i) % CHUNKS;
        if (!sl_slot_has(&life->writer, c))
            status = sl_slot_put(&life->writer, c, bytes + HEAD + c * CHUNK, CHUNK);
    }
    return status;
}

// A try of the pending bundle: which event its end is.
static enum sl_agent_event_kind try_pending(struct life *life)
{
    unsigned bundle = bundle_of(life->agent.state.pending_id);
    check_loadable(life, life->agent.state.pending, WRONG_UNVERIFIED);
    bool phase_of_failure = life->agent.state.phase == SL_PHASE_SELF_TEST + life->fails_in;
    if (!phase_of_failure)
        return SL_EVENT_PASSED;
    life->tries++;
    if (bundle == BUNDLE_KILLS)
        life->power.out = true;
    // Crashes that were seen, restarts that were not, and power cuts in between.
    if (life->tries >
        (bundle == BUNDLE_KILLS ? SL_AGENT_UNEXPLAINED : SL_AGENT_CRASHES + LIFE_CUTS))
        note(life, WRONG_ENDLESS);
    return bundle == BUNDLE_CRASHES ? SL_EVENT_CRASHED
           : bundle == BUNDLE_FAILS ? SL_EVENT_FAILED
                                    : SL_EVENT_PASSED;
}

// The newest paper of its kind that was taken; NULL: none.
static const struct life_paper *standing(const struct life *life, bool is_order)
{
    const struct life_paper *newest = NULL;
    for (unsigned i = 0; i < life->n_papers; i++)
        if (life->papers[i].taken && life->papers[i].is_order == is_order)
            newest = &life->papers[i];
    return newest;
}

static bool is_revoked(const struct life *life, unsigned bundle)
{
    const struct life_paper *catalog = standing(life, false);
    return catalog && catalog->bundle == bundle;
}

static void check_item(struct life *life)
{
    const struct sl_ota_state *s = &life->agent.state;
    unsigned bundle = offered(life);
    const struct life_paper *order = standing(life, true);
    const uint8_t *id = images[bundle];
    bool active = memcmp(s->active_id, id, SL_OTA_ID) == 0;
    bool denied = sl_state_is_denied(s, id);
    if (life->has_faults)
        return;
    if (order && order->bundle == bundle && order->permits && !is_revoked(life, bundle))
        note(life, active ? WRONG_NOTHING : WRONG_NOT_COMMITTED);
    else if ((order && order->bundle != bundle) || is_revoked(life, bundle))
        note(life, active == life->was_active || life->may_serve ? WRONG_NOTHING : WRONG_BAD_KEPT);
    else if (!life->newer)
        note(life, active == life->was_active ? WRONG_NOTHING : WRONG_BAD_KEPT);
    else if (is_good(bundle))
        note(life, active ? WRONG_NOTHING : WRONG_NOT_COMMITTED);
    else if (bundle == BUNDLE_FAILS || bundle == BUNDLE_CRASHES)
        note(life, denied && !active ? WRONG_NOTHING : WRONG_BAD_KEPT);
    else if (bundle == BUNDLE_KILLS)
        note(life,
             memcmp(s->parked_id, id, SL_OTA_ID) == 0 && !denied ? WRONG_NOTHING : WRONG_BAD_KEPT);
    else
        note(life, active ? WRONG_BAD_KEPT : WRONG_NOTHING);
}

// What should become of the offer at hand, judged by what is active before it.
static void begin_item(struct life *life, unsigned active)
{
    unsigned bundle = life->at < LIFE_OFFERS ? offered(life) : BUNDLES;
    life->newer =
        bundle < BUNDLES && active < BUNDLES && sl_number_below(numbers[active], numbers[bundle]);
    life->was_active = bundle == active;
    life->tries = 0;
    life->fails_in = (unsigned)(sim_random(&life->power) % 3);
}

static void next_item(struct life *life)
{
    check_item(life);
    life->at++;
    begin_item(life, bundle_of(life->agent.state.active_id));
}

// Idle: the offer at hand is over, or is made (again).
static int idle(struct life *life, enum sl_agent_action *action)
{
    const struct sl_ota_state *s = &life->agent.state;
    unsigned bundle = offered(life);
    struct sl_agent_event event = {.kind = SL_EVENT_OFFER, .facts = facts_of(bundle)};
    *action = SL_ACTION_WAIT;
    if (bundle == BUNDLE_FORGED && s->result == SL_RESULT_NOT_WHOLE && life->tries++ > 1) {
        next_item(life);
        return 0;
    }
    int status = sl_agent_handle(&life->agent, &event, action);
    if (status != -EPERM && status != -EACCES)
        return status;
    next_item(life);
    return 0;
}

static struct sl_agent_event event_after(struct life *life, enum sl_agent_action action)
{
    struct sl_agent_event event = {.kind = SL_EVENT_TICK};
    int status;
    switch (action) {
    case SL_ACTION_FETCH:
        status = fetch(life);
        event.kind = status < 0 ? SL_EVENT_FETCH_FAILED : SL_EVENT_FETCHED;
        break;
    case SL_ACTION_SELF_TEST:
    case SL_ACTION_SHADOW:
    case SL_ACTION_SWAP:
        event.kind = try_pending(life);
        break;
    default:
        if (life->agent.state.phase == SL_PHASE_ARMED)
            event.kind = SL_EVENT_GATE_OPEN;
        life->now_ms += 1000;
    }
    return event;
}

static void after_commit(struct life *life)
{
    unsigned active = bundle_of(life->agent.state.active_id);
    if (active < BUNDLES && sl_number_below(life->floor, floors[active]))
        life->floor = floors[active];
    if (active < BUNDLES && is_permitted(life, active) &&
        sl_number_below(numbers[active], life->floor))
        life->floor = numbers[active];
    life->commits++;
    check_loadable(life, life->agent.state.active, WRONG_UNVERIFIED);
}

static void check_denied(struct life *life)
{
    for (unsigned b = 0; b < BUNDLES; b++)
        if ((is_good(b) || b == BUNDLE_BASE || b == BUNDLE_GOLDEN) &&
            sl_state_is_denied(&life->agent.state, images[b]))
            note(life, WRONG_DENIED_GOOD);
}

// --- catalogs and orders ------------------------------------------------------------------------

static int give(struct life *life, const struct life_paper *paper, enum sl_agent_action *action)
{
    struct sl_ota_order order = {
        paper->number, SL_WHEN_AT_ONCE, paper->permits, {0, paper->permits}, {0}};
    struct sl_ota_catalog catalog = {.number = paper->number, .n_revoked = 1};
    const struct sl_agent_event event = {.kind =
                                             paper->is_order ? SL_EVENT_ORDER : SL_EVENT_CATALOG,
                                         .order = &order,
                                         .catalog = &catalog};
    memcpy(order.bundle, images[paper->bundle], SL_OTA_ID);
    memcpy(catalog.revoked[0], images[paper->bundle], SL_OTA_ID);
    return sl_agent_handle(&life->agent, &event, action);
}

// What is acknowledged counts from here on; what an unfinished save has left counts too.
static void take(struct life *life, struct life_paper *paper)
{
    paper->taken = true;
    if (!paper->is_order)
        life->may_serve =
            memcmp(life->agent.state.active_id, images[paper->bundle], SL_OTA_ID) == 0;
}

// Each is given when its offer is at hand or later; during a trial perhaps not at once.
static int give_papers(struct life *life, enum sl_agent_action *action)
{
    const bool idle = life->agent.state.phase == SL_PHASE_IDLE;
    for (unsigned i = 0; i < life->n_papers; i++) {
        struct life_paper *paper = &life->papers[i];
        enum sl_agent_action then = *action;
        if (paper->taken || life->at < paper->at || (!idle && sim_random(&life->power) % 4 != 0))
            continue;
        int status = give(life, paper, &then);
        if (status < 0)
            return status;
        take(life, paper);
        if (life->agent.state.phase == SL_PHASE_IDLE)
            *action = then;
        return 0;
    }
    return 0;
}

// What was acknowledged is in the state, and an older one of its kind is refused.
static void check_papers(struct life *life)
{
    const struct sl_ota_state *s = &life->agent.state;
    for (unsigned i = 0; i < life->n_papers; i++) {
        struct life_paper *paper = &life->papers[i];
        const uint32_t known = paper->is_order ? s->order.number : s->catalog.number;
        if (paper->taken && known < paper->number)
            note(life, WRONG_PAPER_LOST);
        else if (!paper->taken && known >= paper->number)
            take(life, paper);
    }
    for (unsigned kind = 0; kind < 2; kind++) {
        const struct life_paper *paper = standing(life, kind);
        enum sl_agent_action action;
        struct life_paper older = {.is_order = kind,
                                   .bundle = BUNDLE_OLD,
                                   .number = paper ? paper->number - 1 : 0,
                                   .permits = true};
        if (paper && older.number > 0 && give(life, &older, &action) != -ESTALE &&
            !life->has_faults)
            note(life, WRONG_PAPER_LOST);
    }
}

static void check_revoked(struct life *life)
{
    const struct life_paper *catalog = standing(life, false);
    if (catalog && !life->may_serve &&
        memcmp(life->agent.state.active_id, images[catalog->bundle], SL_OTA_ID) == 0)
        note(life, WRONG_REVOKED);
}

static int step(struct life *life, enum sl_agent_action *action)
{
    const uint8_t phase = life->agent.state.phase;
    int status = give_papers(life, action);
    if (status < 0 || (phase != SL_PHASE_IDLE && life->agent.state.phase == SL_PHASE_IDLE))
        return status; // what was pending was dropped
    if (life->agent.state.phase == SL_PHASE_IDLE) {
        status = idle(life, action);
    } else {
        struct sl_agent_event event = life->refused ? life->again : event_after(life, *action);
        if (life->power.out)
            return -ENODEV;
        status = sl_agent_handle(&life->agent, &event, action);
        life->refused = status < 0 && status != -EPROTO;
        life->again = event;
    }
    if (status == 0 && *action == SL_ACTION_COMMITTED)
        after_commit(life);
    if (status < 0)
        *action = SL_ACTION_WAIT;
    check_denied(life);
    check_revoked(life);
    return status;
}

static int start(struct life *life, enum sl_agent_action *action)
{
    const struct sl_agent_ports ports = {life,           port_load, port_save,  port_seal,
                                         port_authentic, port_now,  port_random};
    const struct sl_agent_limits limits = {100000, 100000, 100000, 500, 5};
    int status = sl_state_open(&life->store, &life->fault[0].device, &life->fault[1].device);
    if (status == 0)
        status = sl_agent_start(&life->agent, &ports, &limits, action);
    if (life->power.out)
        return -ENODEV;
    if (status == 0)
        check_loadable(life, life->agent.state.active, WRONG_BRICK);
    else if (!life->has_faults)
        note(life, WRONG_BRICK);
    return status;
}

bool life_boot(struct life *life)
{
    enum sl_agent_action action = SL_ACTION_WAIT;
    life->boots++;
    life->power.ops = 0;
    life->refused = false;
    int status = start(life, &action);
    if (status == 0) {
        check_denied(life);
        check_papers(life);
        check_revoked(life);
    }
    while (status >= 0 && life->at < LIFE_OFFERS && life->wrong == WRONG_NOTHING) {
        status = step(life, &action);
        if (++life->steps > STEPS_MAX && !life->has_faults)
            note(life, WRONG_STUCK);
        if (life->power.out || (life->steps > STEPS_MAX && life->has_faults))
            break;
        status = 0;
    }
    return !life->power.out || life->wrong != WRONG_NOTHING;
}

// Somebody edits the slot that is armed while the camera is off; not one that a commit, which the
// disk may hold already, has made the only one.
static void tamper(struct life *life)
{
    const struct sl_ota_state *s = &life->agent.state;
    if (s->phase < SL_PHASE_ARMED || life->tried.phase < SL_PHASE_ARMED ||
        sim_random(&life->power) % 16 != 0)
        return;
    size_t at = sim_random(&life->power) % TOTAL;
    life->slot[s->pending].medium[at] ^= 1;
    life->slot[s->pending].cache[at] ^= 1;
    life->tampered[s->pending] = true;
    life->tries = 0;
}

void life_cut(struct life *life)
{
    sim_device_cut(&life->area[0]);
    sim_device_cut(&life->area[1]);
    for (unsigned i = 0; i < 2; i++) {
        struct sim_device *slot = &life->slot[i];
        sim_device_cut(slot);
        unsigned bundle = bundle_of(slot->medium);
        if (bundle < BUNDLES && memcmp(slot->medium, images[bundle], 4096) == 0 &&
            bundle_in(slot->medium) == BUNDLES && !life->tampered[i])
            note(life, WRONG_HALF_SLOT);
    }
    tamper(life);
    life->power.out = false;
    life->power.cut_at = 0;
}

static void install(struct sim_device *slot, unsigned bundle)
{
    memcpy(slot->medium, images[bundle], TOTAL);
    memcpy(slot->cache, images[bundle], TOTAL);
}

// The life's first state, as production leaves it.
static void first_state(struct life *life)
{
    struct sl_ota_state state = {.active = SL_SLOT_A, .pending = SL_SLOT_NONE};
    state.floor = floors[BUNDLE_BASE];
    memcpy(state.active_id, images[BUNDLE_BASE], SL_OTA_ID);
    life->floor = state.floor;
    life->acked = life->tried = state;
    sl_state_open(&life->store, &life->area[0].device, &life->area[1].device);
    sl_state_save(&life->store, &state);
    sl_device_flush(&life->area[0].device);
    sl_device_flush(&life->area[1].device);
}

static void plan(struct life *life, bool is_order, unsigned at, unsigned bundle, bool permits)
{
    life->papers[life->n_papers] = (struct life_paper){.is_order = is_order,
                                                       .at = at,
                                                       .bundle = bundle,
                                                       .number = 2 + 2 * life->n_papers,
                                                       .permits = permits};
    life->n_papers++;
}

// Every second life has none; the old bundle comes back where the plant permits it.
static void plan_papers(struct life *life)
{
    const uint64_t chance = sim_random(&life->power);
    const unsigned at = (unsigned)(chance >> 8) % LIFE_OFFERS;
    if (chance % 2 == 0)
        return;
    if (chance >> 1 & 1)
        plan(life, false, at, life->script[at], false);
    if (chance >> 2 & 1 && life->script[1] == BUNDLE_OLD)
        plan(life, true, 1, BUNDLE_OLD, true);
    if (chance >> 3 & 1)
        plan(life, true, 2, life->script[2], false);
}

void life_begin(struct life *life, uint64_t seed)
{
    static const unsigned kinds[] = {BUNDLE_GOOD,  BUNDLE_FAILS,  BUNDLE_CRASHES,
                                     BUNDLE_KILLS, BUNDLE_FORGED, BUNDLE_BETTER};
    // All but the devices, which are as large as everything else together and set up anew.
    memset(&life->fault, 0, sizeof *life - offsetof(struct life, fault));
    life->power = (struct sim_power){.random = seed * UINT64_C(0x9E3779B97F4A7C15) | 1};
    for (int i = 0; i < 5; i++)
        sim_random(&life->power);
    for (unsigned i = 0; i < 5; i++) {
        struct sim_device *sim = i < 2 ? &life->area[i] : &life->slot[i - 2];
        sim_device_init(sim, &life->power, i < 2 ? AREA_SIZE : SLOT_SIZE, i < 2);
        fault_device_init(&life->fault[i], &sim->device, &life->faults);
    }
    install(&life->slot[SL_SLOT_A], BUNDLE_BASE);
    install(&life->slot[SL_SLOT_GOLDEN], BUNDLE_GOLDEN);
    first_state(life);
    for (unsigned i = 0; i < LIFE_OFFERS; i++)
        life->script[i] = kinds[sim_random(&life->power) % (sizeof kinds / sizeof kinds[0])];
    if (sim_random(&life->power) % 4 == 0) {
        life->script[0] = BUNDLE_GOOD;
        life->script[1] = BUNDLE_OLD;
    }
    plan_papers(life);
    begin_item(life, BUNDLE_BASE);
    if (sim_random(&life->power) % 8 == 0)
        for (unsigned i = 0; i < 2; i++)
            life->slot[i].flip_in = 1 + (uint32_t)(sim_random(&life->power) % 14);
}

void life_check_end(struct life *life)
{
    if (life->at < LIFE_OFFERS && !life->has_faults)
        note(life, WRONG_STUCK);
    check_loadable(life, life->agent.state.active, WRONG_BRICK);
}
