// A camera's receiver on a connection to the broker.
#include "ota/broker/link.h"

#include <stdio.h>
#include <string.h>

uint64_t sl_link_now_ms(void)
{
    return (uint64_t)connection_now_ns() / 1000000;
}

static void on_up(void *ctx)
{
    struct sl_link *link = ctx;
    sl_receiver_up(&link->receiver, sl_link_now_ms());
}

static void on_down(void *ctx)
{
    struct sl_link *link = ctx;
    sl_receiver_down(&link->receiver);
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
    (void)properties;
    struct sl_link *link = ctx;
    if (m->payloadlen > 0) // an empty one takes a retained one back
        sl_receiver_message(&link->receiver, m->topic, m->payload, (size_t)m->payloadlen,
                            sl_link_now_ms());
}

static void on_failed(void *ctx, const char *text)
{
    struct sl_link *link = ctx;
    if (link->ports.trouble)
        link->ports.trouble(link->ports.ctx, text);
}

static const struct connection_events events = {
    .up = on_up,
    .down = on_down,
    .settled = on_settled,
    .message = on_message,
    .failed = on_failed,
    .denied = on_failed,
};

// A chunk that is lost is asked for again; a head must come.
static void receiver_subscribe(void *ctx, const char *filter, bool on)
{
    struct sl_link *link = ctx;
    if (!on)
        connection_unsubscribe(&link->connection, filter);
    else
        connection_subscribe_retained(&link->connection, filter, strstr(filter, "/head/") ? 1 : 0);
}

static void receiver_publish(void *ctx, const char *topic, const uint8_t *octets, size_t size)
{
    struct sl_link *link = ctx;
    const struct connection_message message = {.topic = topic, .payload = octets, .size = size};
    connection_publish(&link->connection, &message); // what does not go is asked for later
}

static void receiver_offer(void *ctx, const uint8_t *head, uint32_t size)
{
    struct sl_link *link = ctx;
    link->ports.offer(link->ports.ctx, head, size);
}

static int receiver_chunk(void *ctx, uint32_t index, const uint8_t *octets, size_t size)
{
    struct sl_link *link = ctx;
    return link->ports.chunk(link->ports.ctx, index, octets, size);
}

static uint32_t receiver_random(void *ctx)
{
    (void)ctx;
    return g_random_int();
}

bool sl_link_open(struct sl_link *link, const struct sl_config_broker *broker, const char *root,
                  const char *camera, const struct sl_link_ports *ports, GError **error)
{
    const struct sl_receiver_ports receiver = {link,           receiver_subscribe, receiver_publish,
                                               receiver_offer, receiver_chunk,     receiver_random};
    if (!sl_packet_root_ok(root) || !sl_packet_name_ok(camera)) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL,
                    "updates from the broker: expected a root and a name of a-z, 0-9, '-', '_' and "
                    "'.', found '%s' and '%s'",
                    root, camera);
        return false;
    }
    memset(link, 0, sizeof(*link));
    if (!credentials_read(broker, &link->password, error))
        return false;
    mosquitto_lib_init();
    link->ports = *ports;
    sl_receiver_init(&link->receiver, &receiver, root, camera);
    snprintf(link->client_id, sizeof(link->client_id), "sightline-update-%s", camera);
    link->connection = (struct connection){.broker = broker,
                                           .client_id = link->client_id,
                                           .password = link->password,
                                           .events = &events,
                                           .ctx = link};
    return true;
}

void sl_link_close(struct sl_link *link)
{
    connection_close(&link->connection, true);
    credentials_clear(link->password);
    link->password = NULL;
    mosquitto_lib_cleanup();
}

struct pollfd sl_link_prepare(struct sl_link *link, int *timeout_ms)
{
    const uint32_t due = sl_receiver_tick(&link->receiver, sl_link_now_ms());
    if (due < (uint32_t)*timeout_ms)
        *timeout_ms = (int)due;
    return connection_prepare(&link->connection, timeout_ms);
}

void sl_link_dispatch(struct sl_link *link, short revents)
{
    connection_dispatch(&link->connection, revents);
}
