// A broker, a seeder and cameras in one thread.
#include "broker_sim.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct message {
    unsigned uses;
    char topic[SL_PACKET_TOPIC_MAX];
    size_t size;
    uint8_t octets[];
};

struct delivery {
    uint64_t at_ms;
    unsigned to; // SIM_CAMERAS: the seeder
    struct message *message;
};

static struct sim_broker *the;
static struct delivery queue[SIM_QUEUE];
static unsigned first, n_queued;
static uint8_t *storage;

static uint32_t random32(void)
{
    // xorshift64*, G. Marsaglia and S. Vigna
    the->random ^= the->random >> 12;
    the->random ^= the->random << 25;
    the->random ^= the->random >> 27;
    return (uint32_t)(the->random * UINT64_C(0x2545F4914F6CDD1D) >> 32);
}

static bool matches(const char *filter, const char *topic)
{
    while (*filter && *topic) {
        if (*filter == '+') {
            filter++;
            topic += strcspn(topic, "/");
        } else if (*filter++ != *topic++) {
            return false;
        }
    }
    return !*filter && !*topic;
}

static struct message *message_new(const char *topic, const uint8_t *a, size_t a_size,
                                   const uint8_t *b, size_t b_size)
{
    struct message *m = malloc(sizeof(*m) + a_size + b_size);
    if (!m)
        abort();
    m->uses = 1;
    m->size = a_size + b_size;
    snprintf(m->topic, sizeof(m->topic), "%s", topic);
    memcpy(m->octets, a, a_size);
    if (b_size > 0)
        memcpy(m->octets + a_size, b, b_size);
    return m;
}

static void message_drop(struct message *m)
{
    if (--m->uses == 0)
        free(m);
}

static void deliver_later(struct message *m, unsigned to, bool may_be_lost)
{
    if (may_be_lost && random32() % 100 < the->loss_percent)
        return;
    if (n_queued == SIM_QUEUE)
        abort();
    m->uses++;
    queue[(first + n_queued++) % SIM_QUEUE] = (struct delivery){the->now_ms + SIM_DELAY_MS, to, m};
}

static bool hears(const struct sim_camera *c, const char *topic)
{
    for (unsigned i = 0; c->connected && i < c->n_filters; i++)
        if (matches(c->filters[i], topic))
            return true;
    return false;
}

static void publish_to_cameras(struct message *m)
{
    for (unsigned i = 0; i < the->n_cameras; i++)
        if (hears(&the->cameras[i], m->topic))
            deliver_later(m, i, true);
    message_drop(m);
}

static unsigned number_of(const struct sim_camera *c)
{
    return (unsigned)(c - the->cameras);
}

static void deliver_retained(struct sim_camera *c, const char *filter)
{
    for (uint32_t i = 0; the->seeds && i * SL_PACKET_PART < the->head_size; i++) {
        uint8_t header[SL_PACKET_HEADER];
        char topic[SL_PACKET_TOPIC_MAX];
        const uint32_t left = the->head_size - i * SL_PACKET_PART;
        sl_packet_topic(topic, SL_PACKET_ROOT, SL_PACKET_HEAD, the->id, i, NULL);
        if (!matches(filter, topic))
            continue;
        sl_packet_write(header, SL_PACKET_HEAD, the->id, i, the->head_size);
        struct message *m =
            message_new(topic, header, sizeof(header), the->head + i * SL_PACKET_PART,
                        left < SL_PACKET_PART ? left : SL_PACKET_PART);
        deliver_later(m, number_of(c), false);
        message_drop(m);
    }
}

static void camera_subscribe(void *ctx, const char *filter, bool on)
{
    struct sim_camera *c = ctx;
    unsigned i = 0;
    while (i < c->n_filters && strcmp(c->filters[i], filter))
        i++;
    if (on && i == c->n_filters) {
        if (i == SIM_FILTERS)
            abort();
        snprintf(c->filters[c->n_filters++], SL_PACKET_TOPIC_MAX, "%s", filter);
    } else if (!on && i < c->n_filters) {
        memmove(c->filters[i], c->filters[c->n_filters - 1], SL_PACKET_TOPIC_MAX);
        c->n_filters--;
    }
    if (on)
        deliver_retained(c, filter);
}

static void camera_publish(void *ctx, const char *topic, const uint8_t *octets, size_t size)
{
    (void)ctx;
    struct message *m = message_new(topic, octets, size, NULL, 0);
    if (the->seeds)
        deliver_later(m, SIM_CAMERAS, true);
    message_drop(m);
}

static void camera_offer(void *ctx, const uint8_t *head, uint32_t size)
{
    struct sim_camera *c = ctx;
    c->offers++;
    // Where a camera verifies signatures, the simulation compares.
    if (c->wants && !c->receiver.fetching && size == the->head_size &&
        !memcmp(head, the->head, size))
        sl_receiver_fetch(&c->receiver, the->id, the->size, NULL, the->now_ms);
}

static void camera_document(void *ctx, const uint8_t *octets, size_t size)
{
    (void)octets;
    ((struct sim_camera *)ctx)->documents += size > 0;
}

static int camera_chunk(void *ctx, uint32_t index, const uint8_t *octets, size_t size)
{
    struct sim_camera *c = ctx;
    const size_t at = (size_t)index * SL_CHUNK;
    if (memcmp(the->payload + at, octets, size) != 0)
        return -EBADMSG;
    memcpy(c->slot + at, octets, size);
    return 0;
}

static uint32_t camera_random(void *ctx)
{
    (void)ctx;
    return random32();
}

static int seeder_chunk(void *ctx, uint32_t index, const char *topic,
                        const uint8_t header[SL_PACKET_HEADER])
{
    (void)ctx;
    const uint64_t at = (uint64_t)index * SL_CHUNK, left = the->size - at;
    static uint64_t last_ms; // a chunk in each millisecond
    if (the->now_ms == last_ms)
        return -EAGAIN;
    last_ms = the->now_ms;
    struct message *m = message_new(topic, header, SL_PACKET_HEADER, the->payload + at,
                                    left < SL_CHUNK ? left : SL_CHUNK);
    if (index == the->lie_about)
        m->octets[SL_PACKET_HEADER] ^= 1;
    publish_to_cameras(m);
    return 0;
}

static void seeder_beat(void *ctx, const char *topic, const uint8_t octets[SL_PACKET_HEADER])
{
    (void)ctx;
    publish_to_cameras(message_new(topic, octets, SL_PACKET_HEADER, NULL, 0));
}

void sim_begin(struct sim_broker *sim, unsigned cameras, uint32_t chunks, unsigned loss_percent)
{
    const struct sl_seeder_ports ports = {NULL, seeder_chunk, seeder_beat};
    memset(sim, 0, sizeof(*sim));
    the = sim;
    first = n_queued = 0;
    sim->random = 0x9E3779B97F4A7C15u + chunks;
    sim->now_ms = 1000;
    sim->loss_percent = loss_percent;
    sim->lie_about = UINT32_MAX;
    sim->n_cameras = cameras;
    sim->n_chunks = chunks;
    sim->size = (uint64_t)chunks * SL_CHUNK - SL_PAGE; // the last one is shorter
    sim->head_size = SL_PACKET_PART + SL_PAGE;
    sim->payload = malloc(sim->size);
    sim->head = malloc(sim->head_size);
    storage = malloc((cameras + 1) * sim->size);
    if (!sim->payload || !sim->head || !storage)
        abort();
    for (uint64_t i = 0; i < sim->size; i++)
        sim->payload[i] = (uint8_t)(i ^ i >> 8 ^ i >> 18);
    for (uint32_t i = 0; i < sim->head_size; i++)
        sim->head[i] = (uint8_t)(i * 3);
    memset(storage, 0xee, (cameras + 1) * sim->size);
    for (unsigned i = 0; i < SL_HASH; i++)
        sim->id[i] = (uint8_t)(i * 11 + 1);
    sl_seeder_init(&sim->seeder, &ports, SL_PACKET_ROOT, sim->id, sim->size, 0, sim->now_ms);
    sim->seeds = true;
    for (unsigned i = 0; i < cameras; i++) {
        struct sim_camera *c = &sim->cameras[i];
        const struct sl_receiver_ports camera = {c,
                                                 camera_subscribe,
                                                 camera_publish,
                                                 camera_offer,
                                                 camera_chunk,
                                                 camera_random,
                                                 camera_document};
        snprintf(c->name, sizeof(c->name), "cam%u", i);
        c->wants = true;
        c->slot = storage + i * sim->size;
        sl_receiver_init(&c->receiver, &camera, SL_PACKET_ROOT, c->name);
    }
}

void sim_end(struct sim_broker *sim)
{
    for (; n_queued > 0; n_queued--, first = (first + 1) % SIM_QUEUE)
        message_drop(queue[first].message);
    free(sim->payload);
    free(sim->head);
    free(storage);
}

void sim_connect(struct sim_broker *sim, unsigned camera)
{
    sim->cameras[camera].connected = true;
    sl_receiver_up(&sim->cameras[camera].receiver, sim->now_ms);
}

void sim_disconnect(struct sim_broker *sim, unsigned camera)
{
    sim->cameras[camera].connected = false;
    sim->cameras[camera].n_filters = 0;
    sl_receiver_down(&sim->cameras[camera].receiver);
}

static void deliver_due(struct sim_broker *sim)
{
    while (n_queued > 0 && queue[first].at_ms <= sim->now_ms) {
        const struct delivery d = queue[first];
        first = (first + 1) % SIM_QUEUE;
        n_queued--;
        struct sim_camera *c = d.to < SIM_CAMERAS ? &sim->cameras[d.to] : NULL;
        if (!c) {
            sl_seeder_message(&sim->seeder, d.message->topic, d.message->octets, d.message->size,
                              sim->now_ms);
        } else if (c->connected) {
            c->chunk_octets += d.message->size > 2 * SL_PACKET_PART ? d.message->size : 0;
            sl_receiver_message(&c->receiver, d.message->topic, d.message->octets, d.message->size,
                                sim->now_ms);
        }
        message_drop(d.message);
    }
}

void sim_run(struct sim_broker *sim, uint64_t ms)
{
    for (const uint64_t end = sim->now_ms + ms; sim->now_ms < end; sim->now_ms++) {
        deliver_due(sim);
        for (unsigned i = 0; i < sim->n_cameras; i++)
            sl_receiver_tick(&sim->cameras[i].receiver, sim->now_ms);
        if (sim->seeds)
            sl_seeder_tick(&sim->seeder, sim->now_ms);
    }
}

bool sim_all_whole(const struct sim_broker *sim)
{
    for (unsigned i = 0; i < sim->n_cameras; i++)
        if (!sl_receiver_is_whole(&sim->cameras[i].receiver) ||
            memcmp(sim->cameras[i].slot, sim->payload, sim->size) != 0)
            return false;
    return true;
}

bool sim_run_until_whole(struct sim_broker *sim, uint64_t most_ms)
{
    for (uint64_t ms = 0; ms < most_ms; ms += 50) {
        unsigned whole = 0;
        for (unsigned i = 0; i < sim->n_cameras; i++)
            whole += sl_receiver_is_whole(&sim->cameras[i].receiver);
        if (whole == sim->n_cameras)
            return sim_all_whole(sim);
        sim_run(sim, 50);
    }
    return sim_all_whole(sim);
}

uint64_t sim_delivered(const struct sim_broker *sim)
{
    uint64_t octets = 0;
    for (unsigned i = 0; i < sim->n_cameras; i++)
        octets += sim->cameras[i].chunk_octets;
    return octets;
}
