// One camera for broker32: verifies the announced head with the camera's own verifier, takes each
// chunk whose hash is right, and says at the end what was delivered.
//
//     broker_camera PORT NAME PASSWORD-FILE ROOT-DOCUMENT LOSE-PERCENT [SLOT-FILE]
//
// Lost deliveries are those of chunks, dropped where the agent would write them, and as many of
// everything else that is no head.
#include "ota/broker/receiver.h"
#include "ota/broker/source.h"
#include "ota/storage.h"

#include <errno.h>
#include <mosquitto.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { TIMEOUT_MS = 120000, LINGER_MS = 300 };

static struct sl_bundle bundle;
static struct sl_trust trust;
static struct sl_device_file slot;
static struct sl_slot_writer writer;
static uint8_t have[SL_CHUNKS_MAX / 8];
static uint32_t n_have;
static unsigned lose_percent;
static uint64_t delivered, lost, refused;
static bool has_slot, wants;

struct memory {
    const uint8_t *at;
    size_t size;
};

static int read_memory(void *ctx, uint64_t offset, void *out, size_t size)
{
    const struct memory *m = ctx;
    if (offset > m->size || size > m->size - offset)
        return -EIO;
    memcpy(out, m->at + offset, size);
    return 0;
}

static int begin_slot(void)
{
    static uint8_t room[SL_CHUNK];
    const struct sl_slot_image image = {bundle.head, bundle.super.payload_at, SL_CHUNK,
                                        bundle.super.payload,
                                        bundle.head + bundle.super.chunk_list_at};
    return has_slot ? sl_slot_begin(&writer, &slot.device, &image, room, sizeof(room)) : 0;
}

static void on_offer(void *ctx, struct sl_source *source, const uint8_t *head, size_t size)
{
    struct memory memory = {head, size};
    const struct sl_bundle_source from = {read_memory, &memory, UINT64_MAX, false};
    const struct sl_bundle_policy any = {0};
    struct sl_bundle_error error;
    (void)ctx;
    if (wants)
        return;
    if (sl_bundle_verify(&bundle, &from, &trust, &any, &error) != SL_ACCEPTED) {
        fprintf(stderr, "%s\n", error.message);
        refused++;
    } else if (begin_slot() == 0) {
        struct sl_source_want want = {.n_chunks = sl_bundle_n_chunks(&bundle), .have = have};
        memcpy(want.id, bundle.super.id, sizeof(want.id));
        wants = true;
        source->ops->want(source, &want);
    }
}

static void on_document(void *ctx, struct sl_source *source, const uint8_t *octets, size_t size)
{
    (void)ctx;
    (void)source;
    (void)octets;
    (void)size;
}

static int take(uint32_t index, const uint8_t *octets, size_t size)
{
    if (has_slot)
        return sl_slot_put(&writer, index, octets, size);
    return sl_bundle_check_chunk(&bundle, index, octets, NULL) == SL_ACCEPTED ? 0 : -EBADMSG;
}

static int on_chunk(void *ctx, struct sl_source *source, const uint8_t id[SL_SOURCE_ID],
                    uint32_t index, const uint8_t *octets, size_t size)
{
    (void)ctx;
    (void)id;
    const int status = take(index, octets, size);
    n_have += status == 0;
    if (status == 0 && n_have == sl_bundle_n_chunks(&bundle))
        source->ops->want(source, NULL);
    return status;
}

static void on_ended(void *ctx, struct sl_source *source, const uint8_t id[SL_SOURCE_ID],
                     const char *reason)
{
    (void)ctx;
    (void)source;
    (void)id;
    fprintf(stderr, "%s\n", reason);
}

static void on_trouble(void *ctx, const char *text)
{
    fprintf(stderr, "%s: %s\n", (const char *)ctx, text);
}

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

// In front of the library's delivery: the network loses something here.
void __wrap_sl_receiver_message(struct sl_receiver *r, const char *topic, const uint8_t *octets,
                                size_t size, uint64_t ms);
void __real_sl_receiver_message(struct sl_receiver *r, const char *topic, const uint8_t *octets,
                                size_t size, uint64_t ms);

void __wrap_sl_receiver_message(struct sl_receiver *r, const char *topic, const uint8_t *octets,
                                size_t size, uint64_t ms)
{
    const bool chunk = strstr(topic, "/chunk/") != NULL;
    delivered += chunk ? size : 0;
    if (!strstr(topic, "/head/") && g_random_int_range(0, 100) < (int)lose_percent) {
        lost += chunk ? size : 0;
        return;
    }
    __real_sl_receiver_message(r, topic, octets, size, ms);
}

static uint64_t run(struct sl_source *source)
{
    const uint64_t start = now_ms();
    uint64_t whole_ms = 0;
    while (now_ms() - start < TIMEOUT_MS && (whole_ms == 0 || now_ms() - whole_ms < LINGER_MS)) {
        struct pollfd fds[SL_SOURCE_FDS];
        int64_t due_ms;
        const size_t n = source->ops->poll(source, fds, &due_ms);
        const int64_t wait_ms = due_ms - (int64_t)now_ms();
        if (poll(fds, n, wait_ms < 0 ? 0 : wait_ms > 100 ? 100 : (int)wait_ms) < 0)
            fds[0].revents = 0;
        source->ops->step(source, fds, n, (int64_t)now_ms());
        if (whole_ms == 0 && wants && n_have == sl_bundle_n_chunks(&bundle)) {
            if (has_slot && sl_slot_finish(&writer) != 0)
                return 0;
            whole_ms = now_ms();
        }
    }
    return whole_ms;
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
    const struct sl_source_sink sink = {NULL, on_offer, on_document, on_chunk, on_ended};
    GError *error = NULL;
    if (argc < 6 || sodium_init() < 0 || !read_trust(argv[4]))
        return 2;
    const struct sl_config_broker broker = {.host = host,
                                            .port = (uint16_t)atoi(argv[1]),
                                            .username = argv[2],
                                            .password_file = argv[3],
                                            .keepalive_s = 30};
    const struct sl_source_broker_options options = {.broker = &broker,
                                                     .root = SL_PACKET_ROOT,
                                                     .camera = argv[2],
                                                     .trouble = on_trouble,
                                                     .context = argv[2]};
    lose_percent = (unsigned)atoi(argv[5]);
    has_slot = argc > 6;
    if (has_slot && sl_device_file_open(&slot, argv[6], true) != 0)
        return 2;
    struct sl_source *source = sl_source_broker_new(&options, &sink, &error);
    if (!source) {
        fprintf(stderr, "%s\n", error->message);
        return 2;
    }
    const uint64_t whole_ms = run(source);
    const struct sl_receiver_counts *c = sl_source_broker_counts(source);
    printf("{\"whole_ms\": %llu, \"delivered\": %llu, \"lost\": %llu, \"taken\": %llu, "
           "\"repeated\": %llu, \"lies\": %llu, \"foreign\": %llu, \"refused\": %llu}\n",
           (unsigned long long)whole_ms, (unsigned long long)delivered, (unsigned long long)lost,
           (unsigned long long)c->chunks, (unsigned long long)c->repeated,
           (unsigned long long)c->lies, (unsigned long long)c->foreign,
           (unsigned long long)refused);
    source->ops->free(source);
    return whole_ms > 0 ? 0 : 1;
}
