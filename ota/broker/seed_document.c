// Gives a catalog or an order to every camera, through the broker.
#include "ota/broker/seed_document.h"

#include "ota/broker/packet.h"
#include "ota/bundle/document.h"
#include "ota/bundle/tool.h"
#include "ota/sha256.h"

#include <stdio.h>
#include <string.h>

enum { TOKEN = 1 };

struct seed_document {
    struct connection *connection;
    char topic[SL_PACKET_TOPIC_MAX];
    uint8_t packet[SL_PACKET_HEADER + SL_DOCUMENT_MAX];
    size_t size; // 0: the retained one is taken back
    bool sent, done, failed;
};

static bool has_prefix(const uint8_t *octets, size_t size)
{
    return size >= SL_PREFIX && (!memcmp(octets, SL_PREFIX_CATALOG, SL_PREFIX) ||
                                 !memcmp(octets, SL_PREFIX_ORDER, SL_PREFIX));
}

bool seed_is_document(const char *path)
{
    uint8_t prefix[SL_PREFIX];
    FILE *file = fopen(path, "re");
    const size_t size = file ? fread(prefix, 1, sizeof(prefix), file) : 0;
    if (file)
        fclose(file);
    return has_prefix(prefix, size);
}

// Signatures are the cameras' to check; half a file is seen here.
static int read_document(struct seed_document *s, const char *root, const char *path)
{
    struct sl_document document;
    struct sl_bundle_error error;
    uint8_t id[SL_HASH], *const octets = s->packet + SL_PACKET_HEADER;
    size_t size = 0;
    if (tool_read(path, octets, SL_DOCUMENT_MAX, &size) != 0)
        return 1;
    const char *prefix =
        !memcmp(octets, SL_PREFIX_ORDER, SL_PREFIX) ? SL_PREFIX_ORDER : SL_PREFIX_CATALOG;
    if (sl_document_read((struct sl_octets){octets, size}, prefix, &document, &error) !=
        SL_ACCEPTED)
        return tool_fail("%s: %s: %s", path, sl_refusal_name(error.refusal), error.message);
    sl_sha256(id, octets, size);
    sl_packet_write(s->packet, SL_PACKET_DOCUMENT, id, 0, 0);
    sl_packet_topic(s->topic, root, SL_PACKET_DOCUMENT, id, 0, NULL);
    s->size = SL_PACKET_HEADER + size;
    return 0;
}

static void on_up(void *ctx)
{
    ((struct seed_document *)ctx)->sent = false;
}

static void on_down(void *ctx)
{
    (void)ctx;
}

static void on_settled(void *ctx, uint64_t token, uint32_t item, bool refused)
{
    struct seed_document *s = ctx;
    (void)item;
    s->done = s->done || token == TOKEN;
    s->failed = s->failed || refused; // said by on_failed
}

static void on_message(void *ctx, const struct mosquitto_message *m,
                       const mosquitto_property *properties)
{
    (void)ctx;
    (void)m;
    (void)properties;
}

static void on_failed(void *ctx, const char *text)
{
    (void)ctx;
    tool_fail("%s", text);
}

static void send(struct seed_document *s)
{
    const struct connection_message message = {.topic = s->topic,
                                               .payload = s->size ? s->packet : NULL,
                                               .size = s->size,
                                               .qos = 1,
                                               .retain = true,
                                               .token = TOKEN};
    if (!s->sent && connection_has_room(s->connection))
        s->sent = connection_publish(s->connection, &message) == 0;
}

int seed_document(struct connection *connection, const char *root, const char *path, bool withdraw,
                  uint32_t wait_s)
{
    static const struct connection_events events = {.up = on_up,
                                                    .down = on_down,
                                                    .settled = on_settled,
                                                    .message = on_message,
                                                    .failed = on_failed};
    static struct seed_document s;
    if (read_document(&s, root, path) != 0)
        return 1;
    s.size = withdraw ? 0 : s.size;
    s.connection = connection;
    connection->events = &events;
    connection->ctx = &s;
    const int64_t end = connection_now_ns() + (int64_t)wait_s * 1000000000;
    while (!s.done && connection_now_ns() < end) {
        connection_step(connection, -1, 50);
        send(&s);
    }
    connection_close(connection, true);
    if (!s.done)
        return tool_fail("%s: the broker %s:%u did not take it within %u s", path,
                         connection->broker->host, connection->broker->port, wait_s);
    return s.failed;
}
