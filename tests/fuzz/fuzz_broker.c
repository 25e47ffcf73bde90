// Fuzz target: bytes are a conversation on the broker, right and wrong messages and time that
// passes, with a camera's receiver and with a seeder.
#include "ota/broker/receiver.h"
#include "ota/broker/seeder.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

enum { CHUNKS = 19, PAYLOAD = CHUNKS * SL_CHUNK - SL_PAGE };

static struct sl_receiver receiver;
static struct sl_seeder seeder;
static uint8_t id[SL_HASH] = {7, 1, 9}, packet[SL_PACKET_MAX + 256];
static uint64_t now_ms;
static unsigned n_filters;

struct input {
    const uint8_t *at;
    size_t left;
};

static uint32_t take(struct input *in, size_t n)
{
    uint32_t value = 0;
    for (; n > 0 && in->left > 0; n--, in->at++, in->left--)
        value = value << 8 | *in->at;
    return value;
}

static void on_subscribe(void *ctx, const char *filter, bool on)
{
    (void)ctx;
    if (strlen(filter) >= SL_PACKET_TOPIC_MAX)
        abort();
    n_filters += on ? 1u : 0u;
}

static void on_publish(void *ctx, const char *topic, const uint8_t *octets, size_t size)
{
    (void)ctx;
    sl_seeder_message(&seeder, topic, octets, size, now_ms); // must be understood
}

static void on_offer(void *ctx, const uint8_t *head, uint32_t size)
{
    (void)ctx;
    if (size <= SL_PAGE || size > SL_HEAD_MAX)
        abort();
    if (head[0] % 2)
        sl_receiver_fetch(&receiver, id, PAYLOAD, NULL, now_ms);
}

static void on_document(void *ctx, const uint8_t *octets, size_t size)
{
    (void)ctx;
    if (octets[0] + size < SL_DOCUMENT_BODY_AT || size > SL_DOCUMENT_MAX)
        abort();
}

static int on_chunk(void *ctx, uint32_t index, const uint8_t *octets, size_t size)
{
    (void)ctx;
    if (index >= CHUNKS || size != (index == CHUNKS - 1 ? SL_CHUNK - SL_PAGE : SL_CHUNK))
        abort();
    return octets[size - 1] % 4 ? 0 : -EBADMSG;
}

static uint32_t on_random(void *ctx)
{
    (void)ctx;
    return (uint32_t)now_ms * 2654435761u;
}

static int on_send(void *ctx, uint32_t index, const char *topic,
                   const uint8_t header[SL_PACKET_HEADER])
{
    (void)ctx;
    if (index >= CHUNKS || now_ms % 5 == 0)
        return -EAGAIN;
    memcpy(packet, header, SL_PACKET_HEADER);
    memset(packet + SL_PACKET_HEADER, 1, SL_CHUNK);
    sl_receiver_message(&receiver, topic, packet,
                        SL_PACKET_HEADER + (index == CHUNKS - 1 ? SL_CHUNK - SL_PAGE : SL_CHUNK),
                        now_ms);
    return 0;
}

static void on_beat(void *ctx, const char *topic, const uint8_t octets[SL_PACKET_HEADER])
{
    (void)ctx;
    sl_receiver_message(&receiver, topic, octets, SL_PACKET_HEADER, now_ms);
}

// A message that is right but for what the input says.
static void tell(struct input *in)
{
    char topic[SL_PACKET_TOPIC_MAX];
    const enum sl_packet_kind kind = SL_PACKET_HEAD + take(in, 1) % 5;
    const uint32_t a = take(in, kind == SL_PACKET_ASK ? 1 : 2) % (CHUNKS + 2), b = take(in, 2);
    static const size_t sizes[] = {SL_PACKET_PART, SL_CHUNK, 0, (CHUNKS + 7) / 8, 200};
    size_t size = SL_PACKET_HEADER + sizes[kind - SL_PACKET_HEAD];
    memset(packet + SL_PACKET_HEADER, (int)take(in, 1), SL_PACKET_MAX - SL_PACKET_HEADER);
    sl_packet_write(packet, kind, id, a, kind == SL_PACKET_HEAD ? b + SL_PACKET_PART : b);
    sl_packet_topic(topic, SL_PACKET_ROOT, kind, id, a, "cam");
    const uint32_t wrong = take(in, 1);
    if (wrong & 1)
        packet[take(in, 1) % SL_PACKET_HEADER] ^= (uint8_t)take(in, 1);
    if (wrong & 2)
        size = take(in, 3) % sizeof(packet);
    if (wrong & 4)
        topic[take(in, 1) % strlen(topic)] = (char)(1 + take(in, 1) % 127);
    if (wrong & 8)
        packet[SL_PACKET_HEADER + take(in, 1)] ^= (uint8_t)take(in, 1);
    sl_receiver_message(&receiver, topic, packet, size, now_ms);
    sl_seeder_message(&seeder, topic, packet, size, now_ms);
}

static void tell_anything(struct input *in)
{
    char topic[64] = "";
    const size_t length = take(in, 1) % sizeof(topic);
    for (size_t i = 0; i < length; i++)
        topic[i] = (char)take(in, 1);
    topic[sizeof(topic) - 1] = '\0';
    sl_receiver_message(&receiver, topic, in->at, in->left, now_ms);
    sl_seeder_message(&seeder, topic, in->at, in->left, now_ms);
}

static void pass_time(struct input *in)
{
    now_ms += 1 + take(in, 1) * 16;
    sl_receiver_tick(&receiver, now_ms);
    if (sl_seeder_tick(&seeder, now_ms) < 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    const struct sl_receiver_ports camera = {NULL,     on_subscribe, on_publish, on_offer,
                                             on_chunk, on_random,    on_document};
    const struct sl_seeder_ports ports = {NULL, on_send, on_beat};
    struct input in = {bytes, size < 4096 ? size : 4096};
    now_ms = 1000;
    sl_receiver_init(&receiver, &camera, SL_PACKET_ROOT, "cam");
    sl_seeder_init(&seeder, &ports, SL_PACKET_ROOT, id, PAYLOAD, take(&in, 3), now_ms);
    sl_receiver_up(&receiver, now_ms);
    sl_receiver_fetch(&receiver, id, PAYLOAD, NULL, now_ms);
    for (unsigned i = 0; in.left > 0 && i < 200; i++) {
        const uint32_t what = take(&in, 1) % 16;
        if (what < 8)
            tell(&in);
        else if (what < 14)
            pass_time(&in);
        else if (what == 14)
            tell_anything(&in);
        else
            (take(&in, 1) % 2 ? sl_receiver_down(&receiver) : sl_receiver_up(&receiver, now_ms));
        if (receiver.n_have > receiver.n_chunks || receiver.n_filters > SL_RECEIVER_FILTERS ||
            seeder.n_wanted > CHUNKS)
            abort();
    }
    return 0;
}
