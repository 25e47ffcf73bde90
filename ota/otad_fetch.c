// What sources offer is judged, and chunks go into the slot.
#include "ota/otad.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct head {
    const uint8_t *octets;
    size_t size;
};

static int read_head(void *ctx, uint64_t offset, void *out, size_t size)
{
    const struct head *head = ctx;
    if (offset > head->size || size > head->size - offset)
        return -EIO;
    memcpy(out, head->octets + offset, size);
    return 0;
}

static enum sl_refusal verify(struct otad *o, const uint8_t *octets, size_t size,
                              struct sl_bundle_error *error)
{
    const struct sl_settings *s = o->settings;
    const struct sl_ota_state *state = &o->agent.state;
    struct head head = {octets, size};
    const struct sl_bundle_source source = {read_head, &head, UINT64_MAX / 2, false};
    const struct sl_trust trust = otad_trust(o);
    const struct sl_bundle_policy any = {0};
    enum sl_refusal refusal = sl_bundle_verify(&o->scratch, &source, &trust, &any, error);
    if (refusal != SL_ACCEPTED)
        return refusal;
    if (o->scratch.super.payload_at != size)
        return sl_refuse(error, SL_REFUSED_OVERSIZED, "octets after the head");
    const struct sl_bundle_facts facts = sl_storage_facts(&o->scratch);
    if (sl_state_is_revoked(state, facts.id, facts.number))
        return sl_refuse(error, SL_REFUSED_DENIED, "revoked by catalog %u, or below its floor",
                         state->catalog.number);
    const struct sl_number lowest = sl_state_lowest(state, facts.id);
    const struct sl_bundle_policy policy = {.product = s->product,
                                            .hardware = s->hardware,
                                            .tensor = o->tensor.rank ? &o->tensor : NULL,
                                            .floor = {lowest.epoch, lowest.seq},
                                            .denied = state->denied,
                                            .n_denied = state->n_denied};
    return sl_bundle_check_policy(&o->scratch, &policy, error);
}

static void refuse(struct otad *o, const struct sl_source *source, const uint8_t *head,
                   const char *word, const char *why)
{
    char hex[2 * SL_OTA_ID + 1];
    uint8_t id[SL_OTA_ID];
    memcpy(id, head + SL_SUPER_ID_AT, sizeof(id));
    if (!otad_is_news(o, id))
        return;
    otad_hex(id, hex);
    otad_say(o, "bundle %.16s from the %s refused: %s: %s", hex, source->ops->name, word, why);
}

static bool is_pending(const struct otad *o, const uint8_t id[SL_OTA_ID])
{
    return o->agent.state.phase == SL_PHASE_FETCH &&
           !memcmp(id, o->agent.state.pending_id, SL_OTA_ID);
}

static bool is_newer(const struct otad *o, const struct sl_bundle_facts *facts)
{
    const struct sl_ota_state *s = &o->agent.state;
    return s->active == SL_SLOT_NONE || !o->slots[s->active].known ||
           sl_number_below(o->slots[s->active].number, facts->number) ||
           sl_state_may_be_older(s, facts->id, facts->number);
}

static void take_candidate(struct otad *o, struct sl_source *source)
{
    if (!o->writing)
        o->candidate = o->scratch;
    o->from = source;
}

// A newer bundle takes the place of one whose source has gone.
static int offer(struct otad *o, const struct sl_agent_event *event)
{
    const struct sl_ota_state *s = &o->agent.state;
    int status = otad_handle(o, event);
    if (status != -EBUSY || s->phase != SL_PHASE_FETCH || o->from ||
        !sl_number_below(s->pending_number, event->facts.number))
        return status;
    snprintf(o->why, sizeof(o->why), "a newer bundle is to be had");
    status = otad_event(o, SL_EVENT_WITHDRAW);
    return status < 0 ? status : otad_handle(o, event);
}

static void on_offer(void *context, struct sl_source *source, const uint8_t *head, size_t size)
{
    struct otad *o = context;
    struct sl_bundle_error error;
    char hex[2 * SL_OTA_ID + 1], why[64];
    if (size < SL_PAGE)
        return;
    const enum sl_refusal refusal = verify(o, head, size, &error);
    if (refusal != SL_ACCEPTED) {
        refuse(o, source, head, sl_refusal_name(refusal), error.message);
        return;
    }
    const struct sl_agent_event event = {.kind = SL_EVENT_OFFER,
                                         .facts = sl_storage_facts(&o->scratch)};
    if (is_pending(o, event.facts.id)) {
        if (!o->from) {
            take_candidate(o, source);
            otad_fetch(o);
        }
        return;
    }
    if (!memcmp(event.facts.id, o->withdrawn, SL_OTA_ID) ||
        !memcmp(event.facts.id, o->agent.state.active_id, SL_OTA_ID) ||
        !memcmp(event.facts.id, o->agent.state.pending_id, SL_OTA_ID))
        return;
    if (o->agent.state.phase != SL_PHASE_IDLE && o->from)
        return;
    if (otad_order_forbids(o, event.facts.id, why, sizeof(why))) {
        refuse(o, source, head, "order", why);
        return;
    }
    if (!is_newer(o, &event.facts)) { // before the state machine verifies all that serves
        refuse(o, source, head, "old", "not newer than what serves, and no order permits it");
        return;
    }
    otad_fetch_stop(o);
    take_candidate(o, source);
    const int status = offer(o, &event);
    if (status == 0) {
        otad_hex(event.facts.id, hex);
        otad_say(o, "bundle %.16s '%s' from the %s: fetching", hex, o->candidate.manifest.version,
                 source->ops->name);
        return;
    }
    o->from = o->writing ? o->from : NULL;
    if (status == -EPERM)
        refuse(o, source, head, "old", "put aside before");
}

static void fetch_failed(struct otad *o, const char *why)
{
    struct sl_source *from = o->from;
    o->from = NULL;
    snprintf(o->why, sizeof(o->why), "%s", why);
    otad_say(o, "fetch interrupted: %s", why);
    if (from)
        from->ops->want(from, NULL);
    otad_event(o, SL_EVENT_FETCH_FAILED);
}

static int on_chunk(void *context, struct sl_source *source, const uint8_t id[SL_SOURCE_ID],
                    uint32_t index, const uint8_t *octets, size_t size)
{
    struct otad *o = context;
    (void)source;
    if (!o->writing || !is_pending(o, id))
        return -ENOENT;
    const int status = sl_slot_put(&o->writer, index, octets, size);
    if (status == -EBADMSG || status == -EINVAL)
        return status;
    if (status < 0) {
        o->writing = false;
        fetch_failed(o, strerror(-status));
        return status;
    }
    if (o->writer.n_have == o->writer.n_chunks) {
        const int ended = otad_event(o, SL_EVENT_FETCHED);
        if (ended < 0) {
            o->writing = false;
            fetch_failed(o, strerror(-ended));
        }
    }
    return 0;
}

static void on_ended(void *context, struct sl_source *source, const uint8_t id[SL_SOURCE_ID],
                     const char *reason)
{
    struct otad *o = context;
    if (source == o->from && is_pending(o, id)) {
        o->from = NULL;
        fetch_failed(o, reason);
    }
}

const struct sl_source_sink otad_sink_ops = {NULL, on_offer, otad_document, on_chunk, on_ended};

void otad_fetch(struct otad *o)
{
    const struct sl_ota_state *s = &o->agent.state;
    struct sl_source_want want;
    if (!o->from || memcmp(o->candidate.super.id, s->pending_id, SL_OTA_ID) != 0)
        return; // until a source offers it
    if (!o->writing) {
        const struct sl_slot_image image = {.head = o->candidate.head,
                                            .head_size = o->candidate.super.payload_at,
                                            .chunk_size = SL_CHUNK,
                                            .payload = o->candidate.super.payload,
                                            .hashes = o->candidate.head +
                                                      o->candidate.super.chunk_list_at};
        const int status = sl_slot_begin(&o->writer, &o->storage.slot[s->pending].device, &image,
                                         o->room, sizeof(o->room));
        if (status < 0) {
            fetch_failed(o, status == -ENOSPC ? "the slot is too small" : strerror(-status));
            return;
        }
        o->writing = true;
    }
    want.n_chunks = o->writer.n_chunks;
    want.have = o->writer.have;
    memcpy(want.id, s->pending_id, sizeof(want.id));
    o->why[0] = '\0'; // what interrupted it is over
    if (o->writer.n_have == o->writer.n_chunks)
        otad_event(o, SL_EVENT_FETCHED);
    else
        o->from->ops->want(o->from, &want);
}

void otad_fetch_stop(struct otad *o)
{
    struct sl_source *from = o->from;
    o->from = NULL;
    o->writing = false;
    if (from)
        from->ops->want(from, NULL);
}
