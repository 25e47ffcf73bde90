// The agent's state on disk: the record's layout, two rings of records, save and load.
#include "ota/state.h"

#include "ota/sha256.h"
#include "ota/usb/bytes.h"

#include <errno.h>
#include <string.h>

#define MAGIC   "SLSTATE1"
#define VERSION 2u

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
    DENIED_AT = 204,
    HASH_AT = DENIED_AT + (int)(SL_STATE_DENIED * SL_OTA_ID),
    END = HASH_AT + 32
};

bool sl_number_below(struct sl_number a, struct sl_number b)
{
    return a.epoch != b.epoch ? a.epoch < b.epoch : a.seq < b.seq;
}

const char *sl_result_name(enum sl_result result)
{
    static const char *const names[SL_RESULTS] = {
        "none",      "committed", "failed",     "crashed",    "timed-out",  "parked",
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

static void put_number(uint8_t *p, struct sl_number number)
{
    sl_put32(p, number.epoch);
    sl_put64(p + 4, number.seq);
}

static struct sl_number get_number(const uint8_t *p)
{
    return (struct sl_number){sl_le32(p), sl_le64(p + 4)};
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
    sl_sha256(record + HASH_AT, record, HASH_AT);
}

static bool is_plausible(const struct sl_ota_state *s)
{
    bool busy = s->phase != SL_PHASE_IDLE;
    return s->phase < SL_PHASES && s->active <= SL_SLOT_NONE && s->result < SL_RESULTS &&
           s->trying <= 1 && s->degraded <= 1 && s->n_denied <= SL_STATE_DENIED &&
           s->sequence > 0 && s->sequence < UINT64_MAX &&
           (busy ? s->pending <= SL_SLOT_B && s->pending != s->active : s->pending == SL_SLOT_NONE);
}

int sl_state_decode(const uint8_t record[SL_STATE_RECORD], struct sl_ota_state *state)
{
    uint8_t hash[32];
    if (memcmp(record + MAGIC_AT, MAGIC, 8) != 0 || sl_le32(record + VERSION_AT) != VERSION)
        return -EBADMSG;
    sl_sha256(hash, record, HASH_AT);
    if (memcmp(hash, record + HASH_AT, sizeof hash) != 0 || record[END] != 0 ||
        memcmp(record + END, record + END + 1, SL_STATE_RECORD - END - 1) != 0)
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
    if (!is_plausible(&s))
        return -EBADMSG;
    memcpy(s.root_hash, record + ROOT_HASH_AT, sizeof s.root_hash);
    memcpy(s.active_id, record + ACTIVE_ID_AT, SL_OTA_ID);
    memcpy(s.pending_id, record + PENDING_ID_AT, SL_OTA_ID);
    memcpy(s.parked_id, record + PARKED_ID_AT, SL_OTA_ID);
    memcpy(s.denied, record + DENIED_AT, s.n_denied * SL_OTA_ID);
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
