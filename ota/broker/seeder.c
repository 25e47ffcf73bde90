// The seeder's side of a model update through the broker.
#include "ota/broker/seeder.h"

#include <errno.h>
#include <string.h>

enum {
    WINDOW = 32,          // chunks that a camera may be behind
    BEAT_EVERY = 8,       // chunks
    BEAT_WAIT_MS = 100,   // a beat while the window is full
    BEAT_MIN_MS = 250,    // when all is sent, and a camera that was heard lacks something
    BEAT_MAX_MS = 5000,   // when none does
    GATHER_MS = 250,      // from the first ask until sending begins
    ASK_MIN_MS = 50,      // between two asks of one camera
    ON_THE_WAY_MS = 1000, // what was sent so lately need not be sent again
    ABSENT_MS = 3000,     // without a report: not waited for
    STUCK_MS = 2000,      // without progress: not waited for
    BUDGET_TIMES = 8,     // of the bundle that a camera may ask for …
    BUDGET_MS = 600000,   // … and once more every so often
    BURST_MS = 50,        // of the rate that may come at once
};

void sl_seeder_init(struct sl_seeder *s, const struct sl_seeder_ports *ports, const char *root,
                    const uint8_t id[SL_HASH], uint64_t payload, uint64_t rate, uint64_t now_ms)
{
    memset(s, 0, sizeof(*s));
    s->ports = *ports;
    s->root = root;
    memcpy(s->id, id, SL_HASH);
    s->payload = payload;
    s->rate = rate;
    s->n_chunks = (uint32_t)((payload + SL_CHUNK - 1) / SL_CHUNK);
    s->allowed_ms = now_ms;
    s->told_idle = true;
}

// --- cameras ------------------------------------------------------------------------------------

// A new one takes the place of the one that was not heard for longest.
static struct sl_seeder_camera *camera_of(struct sl_seeder *s, const char *name, uint64_t now_ms)
{
    struct sl_seeder_camera *oldest = &s->cameras[0];
    for (uint32_t i = 0; i < s->n_cameras; i++) {
        if (!strcmp(s->cameras[i].name, name))
            return &s->cameras[i];
        if (s->cameras[i].heard_ms < oldest->heard_ms)
            oldest = &s->cameras[i];
    }
    if (s->n_cameras < SL_SEEDER_CAMERAS)
        oldest = &s->cameras[s->n_cameras++];
    *oldest = (struct sl_seeder_camera){.moved_ms = now_ms,
                                        .budget = (uint64_t)BUDGET_TIMES * s->n_chunks};
    memcpy(oldest->name, name, strlen(name) + 1);
    return oldest;
}

static void refill(struct sl_seeder *s, struct sl_seeder_camera *c, uint64_t now_ms)
{
    const uint64_t most = (uint64_t)BUDGET_TIMES * s->n_chunks;
    const uint64_t quiet_ms = now_ms - c->heard_ms;
    const uint64_t more = quiet_ms < BUDGET_MS ? quiet_ms * s->n_chunks / BUDGET_MS : s->n_chunks;
    c->budget = c->budget + more < most ? c->budget + more : most;
}

// What was sent after the last that the camera has seen may still be on its way to it.
static bool is_on_the_way(const struct sl_seeder *s, const struct sl_seeder_camera *c, uint32_t i,
                          uint64_t now_ms)
{
    return s->sent[i] > c->seen && now_ms - s->sent_ms[i] < ON_THE_WAY_MS;
}

static void want(struct sl_seeder *s, struct sl_seeder_camera *c, const uint8_t *bits,
                 uint64_t now_ms)
{
    const bool was_idle = s->n_wanted == 0;
    for (uint32_t i = 0; i < s->n_chunks && c->budget > 0; i++) {
        if (!sl_bit(bits, i) || sl_bit(s->wanted, i) || is_on_the_way(s, c, i, now_ms))
            continue;
        sl_bit_set(s->wanted, i, true);
        s->n_wanted++;
        c->budget--;
    }
    if (was_idle && s->n_wanted > 0) {
        s->start_ms = now_ms + GATHER_MS;
        s->told_idle = false;
    }
}

static bool bits_fit(const struct sl_seeder *s, const uint8_t *bits, size_t size)
{
    if (size != (s->n_chunks + 7) / 8)
        return false;
    return s->n_chunks % 8 == 0 || bits[size - 1] >> s->n_chunks % 8 == 0;
}

void sl_seeder_message(struct sl_seeder *s, const char *topic, const uint8_t *octets, size_t size,
                       uint64_t now_ms)
{
    struct sl_packet p;
    if (!sl_packet_read(s->root, topic, octets, size, &p) || p.kind != SL_PACKET_ASK ||
        memcmp(p.id, s->id, SL_HASH) != 0 || p.a > s->sequence || p.b > s->n_chunks ||
        (p.size > 0 && !bits_fit(s, p.data, p.size))) {
        s->counts.ignored++;
        return;
    }
    struct sl_seeder_camera *const c = camera_of(s, p.camera, now_ms);
    if (p.a > c->seen || p.b > c->have || p.a == s->sequence)
        c->moved_ms = now_ms;
    refill(s, c, now_ms);
    c->heard_ms = now_ms;
    c->seen = p.a;
    c->have = p.b;
    if (p.size == 0)
        return;
    s->counts.asks++;
    if (c->asked_ms > 0 && now_ms - c->asked_ms < ASK_MIN_MS) {
        s->counts.ignored++;
        return;
    }
    c->asked_ms = now_ms;
    want(s, c, p.data, now_ms);
}

uint32_t sl_seeder_n_done(const struct sl_seeder *s)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->n_cameras; i++)
        n += s->cameras[i].have == s->n_chunks;
    return n;
}

// --- sending ------------------------------------------------------------------------------------

static bool window_is_open(const struct sl_seeder *s, uint64_t now_ms)
{
    for (uint32_t i = 0; i < s->n_cameras; i++) {
        const struct sl_seeder_camera *c = &s->cameras[i];
        if (c->have < s->n_chunks && now_ms - c->heard_ms < ABSENT_MS &&
            now_ms - c->moved_ms < STUCK_MS && s->sequence - c->seen >= WINDOW)
            return false;
    }
    return true;
}

static uint32_t chunk_size(const struct sl_seeder *s, uint32_t index)
{
    const uint64_t left = s->payload - (uint64_t)index * SL_CHUNK;
    return left < SL_CHUNK ? (uint32_t)left : SL_CHUNK;
}

static bool rate_allows(struct sl_seeder *s, uint64_t now_ms)
{
    if (s->rate == 0)
        return true;
    const uint64_t burst = s->rate * BURST_MS / 1000 + SL_CHUNK;
    s->allowed += s->rate * (now_ms - s->allowed_ms) / 1000;
    s->allowed = s->allowed < burst ? s->allowed : burst;
    s->allowed_ms = now_ms;
    return s->allowed >= SL_CHUNK;
}

static int send_chunk(struct sl_seeder *s, uint32_t index, uint64_t now_ms)
{
    uint8_t header[SL_PACKET_HEADER];
    char topic[SL_PACKET_TOPIC_MAX];
    sl_packet_write(header, SL_PACKET_CHUNK, s->id, index, s->sequence + 1);
    sl_packet_topic(topic, s->root, SL_PACKET_CHUNK, s->id, index, NULL);
    const int status = s->ports.chunk(s->ports.ctx, index, topic, header);
    if (status < 0)
        return status;
    const uint32_t size = chunk_size(s, index);
    s->sequence++;
    s->since_beat++;
    s->sent[index] = s->sequence;
    s->sent_ms[index] = now_ms;
    sl_bit_set(s->wanted, index, false);
    s->n_wanted--;
    s->allowed -= s->rate ? size : 0;
    s->counts.chunks++;
    s->counts.octets += size;
    return 0;
}

static void send_beat(struct sl_seeder *s, uint64_t now_ms)
{
    uint8_t octets[SL_PACKET_HEADER];
    char topic[SL_PACKET_TOPIC_MAX];
    sl_packet_write(octets, SL_PACKET_BEAT, s->id, s->n_wanted == 0, s->sequence);
    sl_packet_topic(topic, s->root, SL_PACKET_BEAT, s->id, 0, NULL);
    s->ports.beat(s->ports.ctx, topic, octets);
    s->beat_ms = now_ms;
    s->since_beat = 0;
}

static bool somebody_lacks(const struct sl_seeder *s, uint64_t now_ms)
{
    for (uint32_t i = 0; i < s->n_cameras; i++)
        if (s->cameras[i].have < s->n_chunks && now_ms - s->cameras[i].heard_ms < BEAT_MAX_MS)
            return true;
    return false;
}

static void beat_when_due(struct sl_seeder *s, uint64_t now_ms)
{
    if (s->n_wanted > 0) {
        if (s->since_beat >= BEAT_EVERY ||
            (now_ms >= s->start_ms && now_ms - s->beat_ms >= BEAT_WAIT_MS))
            send_beat(s, now_ms);
    } else if (!s->told_idle ||
               now_ms - s->beat_ms >= (somebody_lacks(s, now_ms) ? BEAT_MIN_MS : BEAT_MAX_MS)) {
        s->told_idle = true;
        send_beat(s, now_ms);
    }
}

int sl_seeder_tick(struct sl_seeder *s, uint64_t now_ms)
{
    enum { SOON_MS = 5, IDLE_MS = 50 };
    int status = 0;
    while (s->n_wanted > 0 && now_ms >= s->start_ms && rate_allows(s, now_ms) &&
           window_is_open(s, now_ms)) {
        while (!sl_bit(s->wanted, s->cursor))
            s->cursor = (s->cursor + 1) % s->n_chunks;
        status = send_chunk(s, s->cursor, now_ms);
        if (status < 0)
            break;
        if (s->since_beat >= BEAT_EVERY)
            send_beat(s, now_ms);
    }
    if (status < 0 && status != -EAGAIN)
        return status;
    beat_when_due(s, now_ms);
    return s->n_wanted > 0 ? SOON_MS : IDLE_MS;
}
