// The plant's broker as a source of bundles.
#include "ota/broker/source.h"

#include "mqtt/connection.h"
#include "mqtt/credentials.h"
#include "ota/broker/receiver.h"
#include "ota/bundle/superblock.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { OFFERS = SL_RECEIVER_JUDGED, GIVE_UP_MS = 120000 };

struct broker_source {
    struct sl_source source; // first
    struct sl_receiver receiver;
    struct connection connection;
    struct sl_source_broker_options options;
    char *root, *camera, *password, *psk, *client_id;
    // Bundles that were offered: how long their payload is, by a head that only the agent verifies.
    struct {
        uint8_t id[SL_SOURCE_ID];
        uint64_t payload;
    } offers[OFFERS];
    unsigned n_offers;
    const struct sl_source_want *want; // while the receiver copies its bitmap
    uint8_t unknown[SL_SOURCE_ID];     // wanted, and was not offered here
    bool has_unknown;
};

static struct broker_source *of(struct sl_source *source)
{
    return (struct broker_source *)source;
}

static uint64_t now_ms(void)
{
    return (uint64_t)connection_now_ns() / 1000000;
}

// --- what the connection says -------------------------------------------------------------------

static void on_up(void *ctx)
{
    sl_receiver_up(&((struct broker_source *)ctx)->receiver, now_ms());
}

static void on_down(void *ctx)
{
    sl_receiver_down(&((struct broker_source *)ctx)->receiver);
}

static void on_settled(void *ctx, uint64_t token, uint32_t item, bool refused)
{
    (void)ctx;
    (void)token;
    (void)item;
    (void)refused;
}

static void on_message(void *ctx, const struct mosquitto_message *m,
                       const mosquitto_property *properties)
{
    struct broker_source *s = ctx;
    (void)properties;
    if (m->payloadlen > 0) // an empty one takes a retained one back
        sl_receiver_message(&s->receiver, m->topic, m->payload, (size_t)m->payloadlen, now_ms());
}

static void on_failed(void *ctx, const char *text)
{
    struct broker_source *s = ctx;
    if (s->options.trouble)
        s->options.trouble(s->options.context, text);
}

static const struct connection_events events = {
    .up = on_up,
    .down = on_down,
    .settled = on_settled,
    .message = on_message,
    .failed = on_failed,
    .denied = on_failed,
};

// --- what the receiver wants --------------------------------------------------------------------

static bool is_retained(const char *filter)
{
    return strstr(filter, "/+/head/") || strstr(filter, "/+/document");
}

// A chunk that is lost is asked for again; what the broker keeps must come.
static void receiver_subscribe(void *ctx, const char *filter, bool on)
{
    struct broker_source *s = ctx;
    if (!on)
        connection_unsubscribe(&s->connection, filter);
    else
        connection_subscribe_retained(&s->connection, filter, is_retained(filter) ? 1 : 0);
}

static void receiver_publish(void *ctx, const char *topic, const uint8_t *octets, size_t size)
{
    struct broker_source *s = ctx;
    const struct connection_message message = {.topic = topic, .payload = octets, .size = size};
    connection_publish(&s->connection, &message); // what does not go is asked for later
}

static void receiver_offer(void *ctx, const uint8_t *head, uint32_t size)
{
    struct broker_source *s = ctx;
    struct sl_superblock super;
    if (sl_superblock_read(head, &super, NULL) != SL_ACCEPTED || super.payload_at != size)
        return;
    const unsigned i = s->n_offers++ % OFFERS;
    memcpy(s->offers[i].id, super.id, SL_SOURCE_ID);
    s->offers[i].payload = super.payload;
    s->source.sink->offer(s->source.sink->context, &s->source, head, size);
}

static void receiver_document(void *ctx, const uint8_t *octets, size_t size)
{
    struct broker_source *s = ctx;
    s->source.sink->document(s->source.sink->context, &s->source, octets, size);
}

static int receiver_chunk(void *ctx, uint32_t index, const uint8_t *octets, size_t size)
{
    struct broker_source *s = ctx;
    return s->source.sink->chunk(s->source.sink->context, &s->source, s->receiver.id, index, octets,
                                 size);
}

static uint32_t receiver_random(void *ctx)
{
    (void)ctx;
    return g_random_int();
}

static bool receiver_has(void *ctx, uint32_t index)
{
    return sl_source_has(((struct broker_source *)ctx)->want, index);
}

// --- the source ---------------------------------------------------------------------------------

static size_t source_poll(struct sl_source *source, struct pollfd fds[SL_SOURCE_FDS],
                          int64_t *due_ms)
{
    struct broker_source *s = of(source);
    const uint64_t now = now_ms();
    int wait_ms = s->has_unknown ? 0 : (int)sl_receiver_tick(&s->receiver, now);
    fds[0] = connection_prepare(&s->connection, &wait_ms);
    *due_ms = (int64_t)now + wait_ms;
    return fds[0].fd >= 0 ? 1 : 0;
}

static void end(struct broker_source *s, const uint8_t id[SL_SOURCE_ID], const char *reason)
{
    s->source.sink->ended(s->source.sink->context, &s->source, id, reason);
}

static void source_step(struct sl_source *source, const struct pollfd *fds, size_t n, int64_t now)
{
    struct broker_source *s = of(source);
    const uint32_t give_up_ms = s->options.give_up_ms ? s->options.give_up_ms : GIVE_UP_MS;
    connection_dispatch(&s->connection, n > 0 ? fds[0].revents : 0);
    if (s->has_unknown) {
        s->has_unknown = false;
        end(s, s->unknown, "the broker does not announce it");
    }
    if (s->receiver.fetching && !sl_receiver_is_whole(&s->receiver) &&
        sl_receiver_idle_ms(&s->receiver, (uint64_t)now) > give_up_ms) {
        uint8_t id[SL_SOURCE_ID];
        memcpy(id, s->receiver.id, sizeof(id));
        sl_receiver_stop(&s->receiver);
        end(s, id, "nobody sends it");
    }
}

static uint64_t payload_of(const struct broker_source *s, const uint8_t *id)
{
    for (unsigned i = 0; i < OFFERS; i++)
        if (s->offers[i].payload > 0 && !memcmp(s->offers[i].id, id, SL_SOURCE_ID))
            return s->offers[i].payload;
    return 0;
}

static void source_want(struct sl_source *source, const struct sl_source_want *want)
{
    struct broker_source *s = of(source);
    s->has_unknown = false;
    // After the last chunk the want is taken back, and the seeder is still to hear of it.
    if (!want && sl_receiver_is_whole(&s->receiver))
        return;
    if (!want) {
        sl_receiver_stop(&s->receiver);
        return;
    }
    const uint64_t payload = payload_of(s, want->id);
    if (payload == 0 || (payload - 1) / SL_CHUNK + 1 != want->n_chunks) {
        sl_receiver_stop(&s->receiver);
        memcpy(s->unknown, want->id, sizeof(s->unknown));
        s->has_unknown = true;
        return;
    }
    s->want = want;
    sl_receiver_fetch(&s->receiver, want->id, payload, receiver_has, now_ms());
    s->want = NULL;
}

static void source_again(struct sl_source *source)
{
    sl_receiver_again(&of(source)->receiver, now_ms());
}

static void source_free(struct sl_source *source)
{
    struct broker_source *s = of(source);
    connection_close(&s->connection, true);
    credentials_clear(s->password);
    credentials_clear(s->psk);
    g_free(s->root);
    g_free(s->camera);
    g_free(s->client_id);
    g_free(s);
    mosquitto_lib_cleanup();
}

static const struct sl_source_ops ops = {"broker",    source_poll,  source_step,
                                         source_want, source_again, source_free};

struct sl_source *sl_source_broker_new(const struct sl_source_broker_options *options,
                                       const struct sl_source_sink *sink, GError **error)
{
    char *password = NULL, *psk = NULL;
    if (!sl_packet_root_ok(options->root) || !sl_packet_name_ok(options->camera)) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL,
                    "updates from the broker: expected first levels of topics and a name of a-z, "
                    "0-9, '-', '_' and '.', found '%s' and '%s'",
                    options->root, options->camera);
        return NULL;
    }
    if (!credentials_read(options->broker, &password, error))
        return NULL;
    if (!credentials_read_psk(options->broker, &psk, error)) {
        credentials_clear(password);
        return NULL;
    }
    mosquitto_lib_init();
    struct broker_source *s = g_new0(struct broker_source, 1);
    const struct sl_receiver_ports ports = {s,
                                            receiver_subscribe,
                                            receiver_publish,
                                            receiver_offer,
                                            receiver_chunk,
                                            receiver_random,
                                            receiver_document};
    s->source = (struct sl_source){&ops, sink};
    s->options = *options;
    s->password = password;
    s->psk = psk;
    s->root = g_strdup(options->root);
    s->camera = g_strdup(options->camera);
    s->client_id = g_strdup_printf("sightline-update-%s", options->camera);
    sl_receiver_init(&s->receiver, &ports, s->root, s->camera);
    s->connection = (struct connection){.broker = options->broker,
                                        .client_id = s->client_id,
                                        .password = s->password,
                                        .psk = s->psk,
                                        .events = &events,
                                        .ctx = s};
    return &s->source;
}

const struct sl_receiver_counts *sl_source_broker_counts(const struct sl_source *source)
{
    return &((const struct broker_source *)source)->receiver.counts;
}
