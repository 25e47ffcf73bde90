// One camera for broker32: verifies the announced head with the camera's own verifier, takes each
// chunk whose hash is right, and says at the end what was delivered.
//
//     broker_camera PORT NAME PASSWORD-FILE ROOT-DOCUMENT LOSE-PERCENT [SLOT-FILE]
#include "ota/broker/link.h"
#include "ota/storage.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TIMEOUT_MS = 120000, LINGER_MS = 300 };

static struct sl_link the_link;
static struct sl_bundle bundle;
static struct sl_trust trust;
static struct sl_device_file slot;
static struct sl_slot_writer writer;
static const struct connection_events *inner;
static unsigned lose_percent;
static uint64_t delivered, lost, refused;
static bool has_slot;

struct memory {
    const uint8_t *at;
    uint32_t size;
};

static int read_memory(void *ctx, uint64_t offset, void *out, size_t size)
{
    const struct memory *m = ctx;
    if (offset > m->size || size > m->size - offset)
        return -EIO;
    memcpy(out, m->at + offset, size);
    return 0;
}

static bool has_chunk(void *ctx, uint32_t index)
{
    (void)ctx;
    return has_slot && sl_slot_has(&writer, index);
}

static int begin_slot(void)
{
    static uint8_t room[SL_CHUNK];
    const struct sl_slot_image image = {bundle.head, bundle.super.payload_at, SL_CHUNK,
                                        bundle.super.payload,
                                        bundle.head + bundle.super.chunk_list_at};
    return has_slot ? sl_slot_begin(&writer, &slot.device, &image, room, sizeof(room)) : 0;
}

static void on_offer(void *ctx, const uint8_t *head, uint32_t size)
{
    struct memory memory = {head, size};
    const struct sl_bundle_source source = {read_memory, &memory, UINT64_MAX, false};
    const struct sl_bundle_policy any = {0};
    struct sl_bundle_error error;
    (void)ctx;
    if (the_link.receiver.fetching)
        return;
    if (sl_bundle_verify(&bundle, &source, &trust, &any, &error) != SL_ACCEPTED) {
        fprintf(stderr, "%s: %s\n", the_link.receiver.camera, error.message);
        refused++;
    } else if (bundle.super.payload_at == size && begin_slot() == 0) {
        sl_receiver_fetch(&the_link.receiver, bundle.super.id, bundle.super.payload, has_chunk,
                          sl_link_now_ms());
    }
}

static int on_chunk(void *ctx, uint32_t index, const uint8_t *octets, size_t size)
{
    (void)ctx;
    if (has_slot)
        return sl_slot_put(&writer, index, octets, size);
    return sl_bundle_check_chunk(&bundle, index, octets, NULL) == SL_ACCEPTED ? 0 : -EBADMSG;
}

static void on_trouble(void *ctx, const char *text)
{
    (void)ctx;
    fprintf(stderr, "%s: %s\n", the_link.receiver.camera, text);
}

static void on_message(void *ctx, const struct mosquitto_message *m,
                       const mosquitto_property *properties)
{
    const bool chunk = strstr(m->topic, "/chunk/") != NULL;
    if (chunk)
        delivered += (uint64_t)m->payloadlen;
    if (!strstr(m->topic, "/head/") && g_random_int_range(0, 100) < (int)lose_percent) {
        lost += chunk ? (uint64_t)m->payloadlen : 0;
        return;
    }
    inner->message(ctx, m, properties);
}

static bool run(void)
{
    const uint64_t start = sl_link_now_ms();
    uint64_t whole_ms = 0;
    while (sl_link_now_ms() - start < TIMEOUT_MS) {
        int wait_ms = 100;
        struct pollfd fd = sl_link_prepare(&the_link, &wait_ms);
        if (poll(&fd, 1, wait_ms) < 0)
            fd.revents = 0;
        sl_link_dispatch(&the_link, fd.revents);
        if (whole_ms == 0 && sl_receiver_is_whole(&the_link.receiver)) {
            if (has_slot && sl_slot_finish(&writer) != 0)
                return false;
            whole_ms = sl_link_now_ms();
        }
        if (whole_ms > 0 && sl_link_now_ms() - whole_ms > LINGER_MS)
            break;
    }
    const struct sl_receiver_counts *c = &the_link.receiver.counts;
    printf("{\"whole_ms\": %llu, \"delivered\": %llu, \"lost\": %llu, \"taken\": %llu, "
           "\"repeated\": %llu, \"lies\": %llu, \"foreign\": %llu, \"refused\": %llu}\n",
           (unsigned long long)whole_ms, (unsigned long long)delivered, (unsigned long long)lost,
           (unsigned long long)c->chunks, (unsigned long long)c->repeated,
           (unsigned long long)c->lies, (unsigned long long)c->foreign,
           (unsigned long long)refused);
    return whole_ms > 0;
}

static bool read_trust(const char *path)
{
    static uint8_t document[SL_DOCUMENT_MAX];
    FILE *file = fopen(path, "rb");
    if (!file)
        return false;
    const size_t size = fread(document, 1, sizeof(document), file);
    fclose(file);
    return sl_trust_document((struct sl_octets){document, size}, &trust, NULL) == SL_ACCEPTED;
}

int main(int argc, char **argv)
{
    static char host[] = "127.0.0.1";
    static struct connection_events events;
    GError *error = NULL;
    if (argc < 6 || sodium_init() < 0 || !read_trust(argv[4]))
        return 2;
    const struct sl_config_broker broker = {.host = host,
                                            .port = (uint16_t)atoi(argv[1]),
                                            .username = argv[2],
                                            .password_file = argv[3],
                                            .keepalive_s = 30};
    const struct sl_link_ports ports = {NULL, on_offer, on_chunk, on_trouble};
    lose_percent = (unsigned)atoi(argv[5]);
    has_slot = argc > 6;
    if (has_slot && sl_device_file_open(&slot, argv[6], true) != 0)
        return 2;
    if (!sl_link_open(&the_link, &broker, SL_PACKET_ROOT, argv[2], &ports, &error)) {
        fprintf(stderr, "%s\n", error->message);
        return 2;
    }
    inner = the_link.connection.events;
    events = *inner;
    events.message = on_message;
    the_link.connection.events = &events;
    const bool good = run();
    sl_link_close(&the_link);
    return good ? 0 : 1;
}
