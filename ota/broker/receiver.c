// A camera's side of a model update through the broker.
#include "ota/broker/receiver.h"

#include "ota/sha256.h"

#include <errno.h>
#include <string.h>

enum {
    SPREAD_MS = 200,   // the random wait before an ask
    SILENCE_MS = 1000, // without a chunk; doubles with each ask that brings nothing
    SILENCE_MAX_MS = 30000,
    REPORT_MS = 20,       // least time between two reports
    HEAD_STALE_MS = 2000, // a head of which no part came: another one may take its place
    JUDGED_MS = 60000,    // a head is not looked at again for so long
    LISTEN_MS = 60000,    // how often retained heads and documents are asked for again
    WRONG_MAX = 16,       // chunks with the wrong hash in a row, then a pause
    PAUSE_MS = 1000,
    PAUSE_MAX_MS = 60000,
    DOCUMENTS_MAX = 64, // new ones, and known ones, that are passed on between two of these
};

#define NEVER UINT64_MAX

void sl_receiver_init(struct sl_receiver *r, const struct sl_receiver_ports *ports,
                      const char *root, const char *camera)
{
    memset(r, 0, sizeof(*r));
    r->ports = *ports;
    r->root = root;
    r->camera = camera;
    r->ask_ms = NEVER;
}

static void subscribe(struct sl_receiver *r, enum sl_packet_kind kind, const uint8_t *id,
                      uint32_t index, bool on)
{
    char filter[SL_PACKET_TOPIC_MAX];
    sl_packet_topic(filter, r->root, kind, id, index, NULL);
    r->ports.subscribe(r->ports.ctx, filter, on);
}

// --- what is heard ------------------------------------------------------------------------------

static void hear_one(struct sl_receiver *r, uint32_t index, bool on)
{
    if (sl_bit(r->heard, index) == on)
        return;
    sl_bit_set(r->heard, index, on);
    r->n_filters += on ? 1u : ~0u;
    subscribe(r, SL_PACKET_CHUNK, r->id, index, on);
}

static void hear_all(struct sl_receiver *r, bool on)
{
    if (r->hears_all != on)
        subscribe(r, SL_PACKET_CHUNK, r->id, UINT32_MAX, on);
    r->hears_all = on;
}

static void hear_nothing(struct sl_receiver *r)
{
    hear_all(r, false);
    for (uint32_t i = 0; i < r->n_chunks && r->n_filters > 0; i++)
        hear_one(r, i, false);
}

static void hear_what_is_missing(struct sl_receiver *r)
{
    const uint32_t missing = r->n_chunks - r->n_have;
    if (missing > r->n_chunks / 2 && missing > 1) {
        hear_all(r, true);
        return;
    }
    hear_all(r, false); // first: what both filters match would come twice
    for (uint32_t i = 0; i < r->n_chunks && r->n_filters < SL_RECEIVER_FILTERS; i++)
        if (!sl_bit(r->have, i))
            hear_one(r, i, true);
}

// --- asking -------------------------------------------------------------------------------------

static void publish_ask(struct sl_receiver *r, bool with_bitmap, uint64_t now_ms)
{
    uint8_t octets[SL_PACKET_HEADER + SL_PACKET_BITMAP_MAX];
    char topic[SL_PACKET_TOPIC_MAX];
    const uint32_t size = with_bitmap ? (r->n_chunks + 7) / 8 : 0;
    sl_packet_write(octets, SL_PACKET_ASK, r->id, r->seen, r->n_have);
    memset(octets + SL_PACKET_HEADER, 0, size);
    for (uint32_t i = 0; with_bitmap && i < r->n_chunks; i++)
        if (!sl_bit(r->have, i) && (r->hears_all || sl_bit(r->heard, i)))
            sl_bit_set(octets + SL_PACKET_HEADER, i, true);
    sl_packet_topic(topic, r->root, SL_PACKET_ASK, r->id, 0, r->camera);
    r->ports.publish(r->ports.ctx, topic, octets, SL_PACKET_HEADER + size);
    r->report_ms = now_ms;
    r->counts.asks += with_bitmap;
}

static void plan_ask(struct sl_receiver *r, uint64_t now_ms)
{
    const uint64_t due = now_ms + r->ports.random(r->ports.ctx) % SPREAD_MS;
    if (due < r->ask_ms)
        r->ask_ms = due;
}

static void ask(struct sl_receiver *r, uint64_t now_ms)
{
    hear_what_is_missing(r);
    publish_ask(r, true, now_ms);
    r->ask_ms = now_ms + r->silence_ms + r->ports.random(r->ports.ctx) % SPREAD_MS;
    r->silence_ms = r->silence_ms < SILENCE_MAX_MS / 2 ? r->silence_ms * 2 : SILENCE_MAX_MS;
}

// --- the connection -----------------------------------------------------------------------------

static void forget_subscriptions(struct sl_receiver *r)
{
    r->hears_all = false;
    r->n_filters = 0;
    memset(r->heard, 0, sizeof(r->heard));
}

static void listen(struct sl_receiver *r, uint64_t now_ms)
{
    subscribe(r, SL_PACKET_HEAD, NULL, UINT32_MAX, true);
    if (r->ports.document && now_ms >= r->documents_ms) {
        subscribe(r, SL_PACKET_DOCUMENT, NULL, 0, true);
        r->documents_ms = now_ms + LISTEN_MS;
        r->n_documents = r->n_repeated = 0;
    }
    r->listen_ms = now_ms + LISTEN_MS;
    r->missed_head = false;
}

static void begin_hearing(struct sl_receiver *r, uint64_t now_ms)
{
    if (!r->up || r->paused || sl_receiver_is_whole(r))
        return;
    subscribe(r, SL_PACKET_BEAT, r->id, 0, true);
    hear_what_is_missing(r);
    plan_ask(r, now_ms);
}

void sl_receiver_up(struct sl_receiver *r, uint64_t now_ms)
{
    forget_subscriptions(r);
    r->up = true;
    r->documents_ms = 0;
    listen(r, now_ms);
    if (r->fetching)
        begin_hearing(r, now_ms);
}

void sl_receiver_down(struct sl_receiver *r)
{
    r->up = false;
    r->ask_ms = NEVER;
    forget_subscriptions(r);
}

// --- the fetch ----------------------------------------------------------------------------------

void sl_receiver_fetch(struct sl_receiver *r, const uint8_t id[SL_HASH], uint64_t payload,
                       bool (*have)(void *ctx, uint32_t index), uint64_t now_ms)
{
    sl_receiver_stop(r);
    r->fetching = true;
    memcpy(r->id, id, SL_HASH);
    r->payload = payload;
    r->n_chunks = (uint32_t)((payload + SL_CHUNK - 1) / SL_CHUNK);
    r->n_have = r->seen = r->last_index = r->wrong_in_a_row = 0;
    memset(r->have, 0, sizeof(r->have));
    for (uint32_t i = 0; have && i < r->n_chunks; i++)
        if (have(r->ports.ctx, i)) {
            sl_bit_set(r->have, i, true);
            r->n_have++;
        }
    r->progress_ms = now_ms;
    r->silence_ms = SILENCE_MS;
    r->pause_ms = PAUSE_MS;
    begin_hearing(r, now_ms);
}

void sl_receiver_stop(struct sl_receiver *r)
{
    if (!r->fetching)
        return;
    if (r->up) {
        hear_nothing(r);
        subscribe(r, SL_PACKET_BEAT, r->id, 0, false);
    }
    r->fetching = r->paused = false;
    r->ask_ms = NEVER;
}

bool sl_receiver_is_whole(const struct sl_receiver *r)
{
    return r->fetching && r->n_have == r->n_chunks;
}

uint64_t sl_receiver_idle_ms(const struct sl_receiver *r, uint64_t now_ms)
{
    return now_ms > r->progress_ms ? now_ms - r->progress_ms : 0;
}

static void pause_hearing(struct sl_receiver *r, uint64_t now_ms)
{
    hear_nothing(r);
    r->paused = true;
    r->ask_ms = NEVER;
    r->resume_ms = now_ms + r->pause_ms + r->ports.random(r->ports.ctx) % r->pause_ms;
    r->pause_ms = r->pause_ms < PAUSE_MAX_MS / 2 ? r->pause_ms * 2 : PAUSE_MAX_MS;
    r->wrong_in_a_row = 0;
    r->counts.pauses++;
}

static void took_chunk(struct sl_receiver *r, uint32_t index, uint64_t now_ms)
{
    sl_bit_set(r->have, index, true);
    r->n_have++;
    r->counts.chunks++;
    r->wrong_in_a_row = 0;
    r->progress_ms = now_ms;
    r->silence_ms = SILENCE_MS;
    r->pause_ms = PAUSE_MS;
    hear_one(r, index, false);
    if (r->n_have == r->n_chunks) {
        hear_nothing(r);
        publish_ask(r, false, now_ms); // the seeder counts who is done
        r->ask_ms = NEVER;
    } else {
        r->ask_ms = now_ms + SILENCE_MS + r->ports.random(r->ports.ctx) % SPREAD_MS;
    }
}

static uint64_t chunk_size(const struct sl_receiver *r, uint32_t index)
{
    const uint64_t left = r->payload - (uint64_t)index * SL_CHUNK;
    return left < SL_CHUNK ? left : SL_CHUNK;
}

static void on_chunk(struct sl_receiver *r, const struct sl_packet *p, uint64_t now_ms)
{
    if (r->paused || p->a >= r->n_chunks || p->size != chunk_size(r, p->a)) {
        r->counts.foreign++;
        return;
    }
    r->seen = p->b;
    const bool again = r->hears_all && p->a < r->last_index; // the seeder began from the front
    r->last_index = p->a;
    if (sl_bit(r->have, p->a)) {
        r->counts.repeated++;
        hear_what_is_missing(r); // this was sent for somebody else
        return;
    }
    if (again)
        hear_what_is_missing(r);
    const int status = r->ports.chunk(r->ports.ctx, p->a, p->data, p->size);
    if (status == 0) {
        took_chunk(r, p->a, now_ms);
        return;
    }
    r->counts.lies += status == -EBADMSG;
    if (++r->wrong_in_a_row >= WRONG_MAX)
        pause_hearing(r, now_ms);
}

static void on_beat(struct sl_receiver *r, const struct sl_packet *p, uint64_t now_ms)
{
    r->seen = p->b;
    if (r->paused)
        return;
    if (p->a == 1 && !sl_receiver_is_whole(r)) {
        hear_what_is_missing(r);
        plan_ask(r, now_ms);
    } else if (now_ms - r->report_ms >= REPORT_MS) {
        publish_ask(r, false, now_ms);
    }
}

// --- heads --------------------------------------------------------------------------------------

static bool was_judged(const struct sl_receiver *r, const uint8_t *id, uint64_t now_ms)
{
    for (unsigned i = 0; i < SL_RECEIVER_JUDGED; i++)
        if (r->judged[i].until_ms > now_ms && !memcmp(r->judged[i].id, id, SL_HASH))
            return true;
    return false;
}

static void judge(struct sl_receiver *r, uint64_t now_ms)
{
    const unsigned i = r->n_judged++ % SL_RECEIVER_JUDGED;
    const uint32_t size = r->head_size;
    memcpy(r->judged[i].id, r->head_id, SL_HASH);
    r->judged[i].until_ms = now_ms + JUDGED_MS;
    r->head_size = 0;
    r->ports.offer(r->ports.ctx, r->head, size);
}

static void on_head(struct sl_receiver *r, const struct sl_packet *p, uint64_t now_ms)
{
    if (was_judged(r, p->id, now_ms)) {
        r->counts.foreign++;
        return;
    }
    const bool same = r->head_size == p->b && !memcmp(r->head_id, p->id, SL_HASH);
    if (!same && r->head_size > 0 && now_ms - r->head_ms < HEAD_STALE_MS) {
        r->counts.busy++;
        r->missed_head = true;
        return;
    }
    if (!same) {
        memcpy(r->head_id, p->id, SL_HASH);
        r->head_size = p->b;
        r->head_parts = 0;
    }
    r->head_ms = now_ms;
    memcpy(r->head + (size_t)p->a * SL_PACKET_PART, p->data, p->size);
    r->head_parts |= 1u << p->a;
    if (r->head_parts == (1u << ((r->head_size - 1) / SL_PACKET_PART + 1)) - 1)
        judge(r, now_ms);
}

static bool was_passed_on(const struct sl_receiver *r, const uint8_t hash[SL_HASH])
{
    for (unsigned i = 0; i < r->n_passed_on && i < SL_RECEIVER_DOCUMENTS; i++)
        if (!memcmp(r->passed_on[i], hash, SL_HASH))
            return true;
    return false;
}

// A broker sends what it keeps in the same order each time: the first ones, known by now, must not
// use up what the others need. The id in the header is only somebody's word.
static void on_document(struct sl_receiver *r, const struct sl_packet *p)
{
    uint8_t hash[SL_HASH];
    sl_sha256(hash, p->data, p->size);
    const bool known = was_passed_on(r, hash);
    unsigned *n = known ? &r->n_repeated : &r->n_documents;
    if (!r->ports.document || *n >= DOCUMENTS_MAX) {
        r->counts.busy++;
        return;
    }
    ++*n;
    if (!known)
        memcpy(r->passed_on[r->n_passed_on++ % SL_RECEIVER_DOCUMENTS], hash, SL_HASH);
    r->ports.document(r->ports.ctx, p->data, p->size);
}

void sl_receiver_again(struct sl_receiver *r, uint64_t now_ms)
{
    memset(r->judged, 0, sizeof(r->judged));
    r->n_passed_on = 0;
    r->listen_ms = now_ms;
}

void sl_receiver_message(struct sl_receiver *r, const char *topic, const uint8_t *octets,
                         size_t size, uint64_t now_ms)
{
    struct sl_packet p;
    r->counts.messages++;
    r->counts.octets += size;
    if (!sl_packet_read(r->root, topic, octets, size, &p)) {
        r->counts.foreign++;
        return;
    }
    if (p.kind == SL_PACKET_HEAD) {
        on_head(r, &p, now_ms);
    } else if (p.kind == SL_PACKET_DOCUMENT) {
        on_document(r, &p);
    } else if (!r->fetching || p.kind == SL_PACKET_ASK || memcmp(p.id, r->id, SL_HASH) != 0) {
        r->counts.foreign++;
    } else if (p.kind == SL_PACKET_CHUNK) {
        on_chunk(r, &p, now_ms);
    } else {
        on_beat(r, &p, now_ms);
    }
}

// --- time ---------------------------------------------------------------------------------------

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint32_t sl_receiver_tick(struct sl_receiver *r, uint64_t now_ms)
{
    enum { LONGEST_MS = 1000 };
    if (!r->up)
        return LONGEST_MS;
    // What another offer displaced, or a retained message that was lost, comes again.
    const bool stale = r->head_size > 0 && now_ms - r->head_ms >= HEAD_STALE_MS;
    if (now_ms >= r->listen_ms || stale || (r->missed_head && r->head_size == 0)) {
        r->head_size = 0;
        listen(r, now_ms);
    }
    if (r->paused && now_ms >= r->resume_ms) {
        r->paused = false;
        begin_hearing(r, now_ms);
    }
    if (r->fetching && !r->paused && now_ms >= r->ask_ms)
        ask(r, now_ms);
    const uint64_t due = earlier(r->ask_ms, r->paused ? r->resume_ms : NEVER);
    const uint64_t wait = due <= now_ms ? 1 : due - now_ms;
    return (uint32_t)earlier(wait, LONGEST_MS);
}
