// The agent's state on disk: the record's layout, two rings of records, save and load.
#include "ota/state.h"

#include "ota/sha256.h"
#include "ota/usb/bytes.h"

#include <errno.h>
#include <string.h>

#define MAGIC   "SLSTATE1"
#define VERSION 3u

// Little-endian, one after the other; the SHA-256 of all of it follows, then zeros.
enum {
    MAGIC_AT = 0,
    VERSION_AT = 8,
    DENIED_COUNT_AT = 12,
    SEQUENCE_AT = 16,
    CLAIM_AT = 24, // the sequence number inverted: shows that a torn record used this number
    SMALL_AT = 32, // phase … degraded, one byte each
    FLOOR_AT = 40,
    PENDING_NUMBER_AT = 52,
    FETCHED_AT = 64,
    ROOT_VERSION_AT = 72,
    ROOT_HASH_AT = 76,
    ACTIVE_ID_AT = 108,
    PENDING_ID_AT = 140,
    PARKED_ID_AT = 172,
    ORDER_AT = 204,   // number, when, permits, two of zero, lowest, bundle
    CATALOG_AT = 256, // number, count, floor
    DENIED_AT = 276,
    REVOKED_AT = DENIED_AT + (int)(SL_STATE_DENIED * SL_OTA_ID),
    HASH_AT = REVOKED_AT + (int)(SL_STATE_REVOKED * SL_OTA_ID),
    // version 2
    OLD_VERSION = 2,
    OLD_DENIED_AT = 204,
    OLD_HASH_AT = OLD_DENIED_AT + (int)(SL_STATE_DENIED * SL_OTA_ID),
};
_Static_assert(HASH_AT + 32 < SL_STATE_RECORD, "the record has room");

bool sl_number_below(struct sl_number a, struct sl_number b)
{
    return a.epoch != b.epoch ? a.epoch < b.epoch : a.seq < b.seq;
}

const char *sl_result_name(enum sl_result result)
{
    static const char *const names[SL_RESULTS] = {
        "none",      "committed", "failed",     "crashed",    "timed-out",   "parked",
        "not-whole", "abandoned", "other-slot", "state-lost", "nothing-fit", "reverted"};
    return (unsigned)result < SL_RESULTS ? names[result] : "unknown";
}

bool sl_state_is_denied(const struct sl_ota_state *state, const uint8_t id[SL_OTA_ID])
{
    for (uint32_t i = 0; i < state->n_denied; i++)
        if (memcmp(state->denied[i], id, SL_OTA_ID) == 0)
            return true;
    return false;
}

void sl_state_deny(struct sl_ota_state *state, const uint8_t id[SL_OTA_ID])
{
    if (sl_state_is_denied(state, id))
        return;
    if (state->n_denied == SL_STATE_DENIED) {
        memmove(state->denied[0], state->denied[1], (SL_STATE_DENIED - 1) * SL_OTA_ID);
        state->n_denied--;
    }
    memcpy(state->denied[state->n_denied++], id, SL_OTA_ID);
}

bool sl_state_is_revoked(const struct sl_ota_state *state, const uint8_t id[SL_OTA_ID],
                         struct sl_number number)
{
    const struct sl_ota_catalog *c = &state->catalog;
    for (uint32_t i = 0; i < c->n_revoked; i++)
        if (memcmp(c->revoked[i], id, SL_OTA_ID) == 0)
            return true;
    return sl_number_below(number, c->floor);
}

bool sl_state_has_order(const struct sl_ota_state *state)
{
    return state->order.when != SL_WHEN_NEVER;
}

bool sl_state_is_ordered(const struct sl_ota_state *state, const uint8_t id[SL_OTA_ID])
{
    return sl_state_has_order(state) && memcmp(state->order.bundle, id, SL_OTA_ID) == 0;
}

bool sl_state_may_be_older(const struct sl_ota_state *state, const uint8_t id[SL_OTA_ID],
                           struct sl_number number)
{
    return sl_state_is_ordered(state, id) && state->order.permits &&
           !sl_number_below(number, state->order.lowest);
}

struct sl_number sl_state_lowest(const struct sl_ota_state *state, const uint8_t id[SL_OTA_ID])
{
    const bool lower = sl_state_is_ordered(state, id) && state->order.permits &&
                       sl_number_below(state->order.lowest, state->floor);
    return lower ? state->order.lowest : state->floor;
}

static void put_number(uint8_t *p, struct sl_number number)
{
    sl_put32(p, number.epoch);
    sl_put64(p + 4, number.seq);
}

static struct sl_number get_number(const uint8_t *p)
{
    return (struct sl_number){sl_le32(p), sl_le64(p + 4)};
}

static void put_order(uint8_t *p, const struct sl_ota_order *order)
{
    sl_put32(p, order->number);
    p[4] = order->when;
    p[5] = order->permits;
    put_number(p + 8, order->lowest);
    memcpy(p + 20, order->bundle, SL_OTA_ID);
}

static void get_order(const uint8_t *p, struct sl_ota_order *order)
{
    order->number = sl_le32(p);
    order->when = p[4];
    order->permits = p[5];
    order->lowest = get_number(p + 8);
    memcpy(order->bundle, p + 20, SL_OTA_ID);
}

static void put_catalog(uint8_t *record, const struct sl_ota_catalog *catalog)
{
    sl_put32(record + CATALOG_AT, catalog->number);
    sl_put32(record + CATALOG_AT + 4, catalog->n_revoked);
    put_number(record + CATALOG_AT + 8, catalog->floor);
    memcpy(record + REVOKED_AT, catalog->revoked, catalog->n_revoked * SL_OTA_ID);
}

// False: more ids than there are.
static bool get_catalog(const uint8_t *record, struct sl_ota_catalog *catalog)
{
    catalog->number = sl_le32(record + CATALOG_AT);
    catalog->n_revoked = sl_le32(record + CATALOG_AT + 4);
    catalog->floor = get_number(record + CATALOG_AT + 8);
    if (catalog->n_revoked > SL_STATE_REVOKED)
        return false;
    memcpy(catalog->revoked, record + REVOKED_AT, catalog->n_revoked * SL_OTA_ID);
    return true;
}

void sl_state_encode(const struct sl_ota_state *s, uint8_t record[SL_STATE_RECORD])
{
    const uint8_t small[8] = {s->phase,        s->active,           s->pending, s->result,
                              s->crashes_left, s->unexplained_left, s->trying,  s->degraded};
    memset(record, 0, SL_STATE_RECORD);
    memcpy(record + MAGIC_AT, MAGIC, 8);
    sl_put32(record + VERSION_AT, VERSION);
    sl_put32(record + DENIED_COUNT_AT, s->n_denied);
    sl_put64(record + SEQUENCE_AT, s->sequence);
    sl_put64(record + CLAIM_AT, ~s->sequence);
    memcpy(record + SMALL_AT, small, sizeof small);
    put_number(record + FLOOR_AT, s->floor);
    sl_put64(record + FETCHED_AT, s->fetched);
    sl_put32(record + ROOT_VERSION_AT, s->root_version);
    put_number(record + PENDING_NUMBER_AT, s->pending_number);
    memcpy(record + ROOT_HASH_AT, s->root_hash, sizeof s->root_hash);
    memcpy(record + ACTIVE_ID_AT, s->active_id, SL_OTA_ID);
    memcpy(record + PENDING_ID_AT, s->pending_id, SL_OTA_ID);
    memcpy(record + PARKED_ID_AT, s->parked_id, SL_OTA_ID);
    memcpy(record + DENIED_AT, s->denied, s->n_denied * SL_OTA_ID);
    put_order(record + ORDER_AT, &s->order);
    put_catalog(record, &s->catalog);
    sl_sha256(record + HASH_AT, record, HASH_AT);
}

static bool is_plausible(const struct sl_ota_state *s)
{
    bool busy = s->phase != SL_PHASE_IDLE;
    return s->phase < SL_PHASES && s->active <= SL_SLOT_NONE && s->result < SL_RESULTS &&
           s->trying <= 1 && s->degraded <= 1 && s->n_denied <= SL_STATE_DENIED &&
           s->order.when < SL_WHENS && s->order.permits <= 1 &&
           (s->order.number > 0 || s->order.when == SL_WHEN_NEVER) &&
           s->catalog.n_revoked <= SL_STATE_REVOKED && s->sequence > 0 &&
           s->sequence < UINT64_MAX &&
           (busy ? s->pending <= SL_SLOT_B && s->pending != s->active : s->pending == SL_SLOT_NONE);
}

// The hash over all before it, and zeros after.
static bool is_whole(const uint8_t *record, size_t hash_at)
{
    uint8_t hash[32];
    const size_t end = hash_at + sizeof hash;
    sl_sha256(hash, record, hash_at);
    return memcmp(hash, record + hash_at, sizeof hash) == 0 && record[end] == 0 &&
           memcmp(record + end, record + end + 1, SL_STATE_RECORD - end - 1) == 0;
}

int sl_state_decode(const uint8_t record[SL_STATE_RECORD], struct sl_ota_state *state)
{
    const uint32_t version = sl_le32(record + VERSION_AT);
    const bool old = version == OLD_VERSION;
    if (memcmp(record + MAGIC_AT, MAGIC, 8) != 0 || (version != VERSION && !old) ||
        !is_whole(record, old ? OLD_HASH_AT : HASH_AT))
        return -EBADMSG;
    const uint8_t *small = record + SMALL_AT;
    struct sl_ota_state s = {
        .sequence = sl_le64(record + SEQUENCE_AT),
        .phase = small[0],
        .active = small[1],
        .pending = small[2],
        .result = small[3],
        .crashes_left = small[4],
        .unexplained_left = small[5],
        .trying = small[6],
        .degraded = small[7],
        .floor = get_number(record + FLOOR_AT),
        .root_version = sl_le32(record + ROOT_VERSION_AT),
        .fetched = sl_le64(record + FETCHED_AT),
        .pending_number = get_number(record + PENDING_NUMBER_AT),
        .n_denied = sl_le32(record + DENIED_COUNT_AT),
    };
    if (!old && !get_catalog(record, &s.catalog))
        return -EBADMSG;
    if (!old)
        get_order(record + ORDER_AT, &s.order);
    if (!is_plausible(&s))
        return -EBADMSG;
    memcpy(s.root_hash, record + ROOT_HASH_AT, sizeof s.root_hash);
    memcpy(s.active_id, record + ACTIVE_ID_AT, SL_OTA_ID);
    memcpy(s.pending_id, record + PENDING_ID_AT, SL_OTA_ID);
    memcpy(s.parked_id, record + PARKED_ID_AT, SL_OTA_ID);
    memcpy(s.denied, record + (old ? OLD_DENIED_AT : DENIED_AT), s.n_denied * SL_OTA_ID);
    *state = s;
    return 0;
}

int sl_state_open(struct sl_state_store *store, struct sl_ota_device *first,
                  struct sl_ota_device *second)
{
    struct sl_ota_device *const areas[2] = {first, second};
    for (int i = 0; i < 2; i++)
        if (areas[i]->size % SL_STATE_RECORD || areas[i]->size < 2 * SL_STATE_RECORD)
            return -EINVAL;
    if (first == second)
        return -EINVAL;
    *store = (struct sl_state_store){.area = {first, second}};
    return 0;
}

// A number that was given to a record, even to one that is torn, must not be given to another one:
// sectors of both could make one of them whole when nobody expects it any more.
static void note_claim(struct sl_state_store *store)
{
    uint64_t sequence = sl_le64(store->record + SEQUENCE_AT);
    if (sequence == ~sl_le64(store->record + CLAIM_AT) && sequence > store->sequence)
        store->sequence = sequence;
}

// The newest record of one area into *state if it is newer than that; its sequence into *newest.
static int load_area(struct sl_state_store *store, unsigned which, struct sl_ota_state *state,
                     uint64_t *newest)
{
    struct sl_ota_device *area = store->area[which];
    int worst = 0;
    for (uint64_t at = 0; at < area->size; at += SL_STATE_RECORD) {
        int status = sl_device_read(area, at, store->record, SL_STATE_RECORD);
        if (status < 0) {
            worst = status;
            continue;
        }
        note_claim(store);
        struct sl_ota_state found;
        if (sl_le64(store->record + SEQUENCE_AT) <= *newest ||
            sl_state_decode(store->record, &found) < 0)
            continue;
        *newest = found.sequence;
        if (found.sequence > state->sequence)
            *state = found;
    }
    return worst;
}

int sl_state_load(struct sl_state_store *store, struct sl_ota_state *state)
{
    struct sl_ota_state found = {0};
    uint64_t newest[2] = {0, 0};
    int worst = 0;
    for (unsigned i = 0; i < 2; i++) {
        int status = load_area(store, i, &found, &newest[i]);
        worst = status < 0 ? status : worst;
    }
    if (found.sequence == 0)
        return worst < 0 ? worst : -ENODATA;
    store->newest = newest[1] > newest[0];
    *state = found;
    if (newest[0] != newest[1] && sl_state_save(store, state) == 0)
        state->sequence = store->sequence;
    return 0;
}

static int write_record(struct sl_state_store *store, struct sl_ota_device *area)
{
    uint64_t place = store->sequence % (area->size / SL_STATE_RECORD);
    int status = sl_device_write(area, place * SL_STATE_RECORD, store->record, SL_STATE_RECORD);
    return status < 0 ? status : sl_device_flush(area);
}

int sl_state_save(struct sl_state_store *store, const struct sl_ota_state *state)
{
    if (store->sequence >= UINT64_MAX - 1)
        return -EOVERFLOW;
    struct sl_ota_state next = *state;
    next.sequence = ++store->sequence; // not used again even if this save fails
    if (!is_plausible(&next))
        return -EINVAL;
    sl_state_encode(&next, store->record);
    unsigned first = !store->newest;
    int status = write_record(store, store->area[first]);
    if (status < 0)
        return status;
    store->newest = first;
    return write_record(store, store->area[!first]);
}
