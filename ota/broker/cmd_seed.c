// `sightline bundle seed`: gives a bundle to every camera that asks for it, through the broker.
#include "mqtt/connection.h"
#include "ota/sha256.h"
#include "mqtt/credentials.h"
#include "ota/broker/seed_document.h"
#include "ota/broker/seeder.h"
#include "ota/bundle/superblock.h"
#include "ota/bundle/tool.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    IN_FLIGHT = 4, // chunks that the broker has not acknowledged
    DEFAULT_PORT = 1883,
    DEFAULT_RATE_KIB = 2048,
    CHUNK_TOKEN = 1,
    FAREWELL_MS = 2000,
    REPORT_MS = 2000,
    DOCUMENT_S = 30, // how long the broker may take to take one
};

struct seed {
    const char *file, *root, *of_bundles; // the last option that a document has no use for
    struct sl_config_broker broker;
    uint32_t rate_kib, cameras, idle_s;
    bool json, takes_back;
    // the bundle
    int fd;
    struct sl_superblock super;
    uint8_t head[SL_HEAD_MAX];
    // sending
    struct sl_seeder seeder;
    struct connection connection;
    char *password, client_id[48];
    uint32_t n_announced, n_in_flight;
    bool withdraws, failed;
    uint8_t packet[SL_PACKET_MAX];
    uint64_t start_ms, busy_ms, report_ms;
};

enum {
    OPTION_USERNAME = 256,
    OPTION_PASSWORD,
    OPTION_CA,
    OPTION_CERTIFICATE,
    OPTION_KEY,
    OPTION_TOPICS,
    OPTION_RATE,
    OPTION_CAMERAS,
    OPTION_IDLE,
    OPTION_WITHDRAW
};

static const struct argp_option rows[] = {
    {"host", 'h', "NAME", 0, "Broker (127.0.0.1)", 0},
    {"port", 'p', "N", 0, "Port (1883)", 0},
    {"username", OPTION_USERNAME, "NAME", 0, "User", 0},
    {"password-file", OPTION_PASSWORD, "FILE", 0, "File with the password on one line", 0},
    {"ca-file", OPTION_CA, "FILE", 0, "Certificate authority; turns TLS on", 0},
    {"certificate-file", OPTION_CERTIFICATE, "FILE", 0, "Client certificate", 0},
    {"key-file", OPTION_KEY, "FILE", 0, "Its key", 0},
    {"topics", OPTION_TOPICS, "LEVELS", 0, "First levels of the topics (" SL_PACKET_ROOT ")", 0},
    {"rate", OPTION_RATE, "KIB", 0,
     "Most KiB per second that are sent; each camera receives as much (2048; 0: no limit)", 0},
    {"cameras", OPTION_CAMERAS, "N", 0, "End when N cameras have all of it", 0},
    {"idle", OPTION_IDLE, "SECONDS", 0, "End when nobody has asked for so long", 0},
    {"withdraw", OPTION_WITHDRAW, NULL, 0, "Take a catalog or order back from the broker", 0},
    {"json", 'j', NULL, 0, "Say at the end what was done, as one JSON object", 0},
    {0},
};

static error_t parse_broker(int key, char *text, struct argp_state *state)
{
    struct sl_config_broker *b = &((struct seed *)state->input)->broker;
    switch (key) {
    case 'h':
        b->host = text;
        return 0;
    case 'p':
        b->port = (uint16_t)tool_u32("port", text, UINT16_MAX, state);
        return 0;
    case OPTION_USERNAME:
        b->username = text;
        return 0;
    case OPTION_PASSWORD:
        b->password_file = text;
        return 0;
    case OPTION_CA:
        b->ca_file = text;
        return 0;
    case OPTION_CERTIFICATE:
        b->certificate_file = text;
        return 0;
    case OPTION_KEY:
        b->key_file = text;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static error_t parse(int key, char *text, struct argp_state *state)
{
    struct seed *s = state->input;
    switch (key) {
    case OPTION_TOPICS:
        if (!sl_packet_root_ok(text))
            argp_error(state, "--topics: expected levels of a-z, 0-9, '-', '_' and '.', found '%s'",
                       text);
        s->root = text;
        return 0;
    case OPTION_RATE:
        s->of_bundles = "rate";
        s->rate_kib = tool_u32("rate", text, UINT32_MAX, state);
        return 0;
    case OPTION_CAMERAS:
        s->of_bundles = "cameras";
        s->cameras = tool_u32("cameras", text, SL_SEEDER_CAMERAS, state);
        return 0;
    case OPTION_IDLE:
        s->of_bundles = "idle";
        s->idle_s = tool_u32("idle", text, 1000000, state);
        return 0;
    case OPTION_WITHDRAW:
        s->takes_back = true;
        return 0;
    case 'j':
        s->of_bundles = "json";
        s->json = true;
        return 0;
    case ARGP_KEY_ARG:
        if (s->file)
            argp_error(state, "unexpected argument '%s'", text);
        s->file = text;
        return 0;
    case ARGP_KEY_END:
        if (!s->file)
            argp_error(state, "expected: FILE");
        if (s->broker.port == 0)
            argp_error(state, "--port: expected 1 to 65535");
        return 0;
    default:
        return parse_broker(key, text, state);
    }
}

// --- the bundle ---------------------------------------------------------------------------------

static int read_file(const struct seed *s, uint64_t offset, void *out, size_t size)
{
    uint8_t *p = out;
    while (size > 0) {
        const ssize_t n = pread(s->fd, p, size, (off_t)offset);
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n == 0)
            return -EIO; // shorter than it was
        if (n > 0) {
            p += n;
            offset += (uint64_t)n;
            size -= (size_t)n;
        }
    }
    return 0;
}

// Signatures are the cameras' to check; a damaged file is seen here.
static int open_bundle(struct seed *s)
{
    struct sl_bundle_error error;
    s->fd = open(s->file, O_RDONLY | O_CLOEXEC);
    if (s->fd < 0)
        return tool_fail("%s: %s", s->file, strerror(errno));
    const off_t size = lseek(s->fd, 0, SEEK_END);
    int status = size < SL_PAGE ? -EIO : read_file(s, 0, s->head, SL_PAGE);
    if (status < 0)
        return tool_fail("%s: %s", s->file, size < SL_PAGE ? "not a bundle" : strerror(-status));
    if (sl_superblock_read(s->head, &s->super, &error) != SL_ACCEPTED)
        return tool_fail("%s: not a bundle (%s): %s", s->file, sl_refusal_name(error.refusal),
                         error.message);
    if ((uint64_t)size != s->super.total)
        return tool_fail("%s: %lld octets; expected %llu", s->file, (long long)size,
                         (unsigned long long)s->super.total);
    status = read_file(s, SL_PAGE, s->head + SL_PAGE, s->super.payload_at - SL_PAGE);
    return status < 0 ? tool_fail("%s: %s", s->file, strerror(-status)) : 0;
}

static uint32_t chunk_size(const struct seed *s, uint32_t index)
{
    const uint64_t left = s->super.payload - (uint64_t)index * SL_CHUNK;
    return left < SL_CHUNK ? (uint32_t)left : SL_CHUNK;
}

// --- ports of the seeder ------------------------------------------------------------------------

static int send(struct seed *s, const char *topic, size_t size, bool retain, int qos,
                uint64_t token)
{
    const struct connection_message message = {.topic = topic,
                                               .payload = size > 0 ? s->packet : NULL,
                                               .size = size,
                                               .qos = qos,
                                               .retain = retain,
                                               .token = token};
    const int status = connection_publish(&s->connection, &message);
    if (status != -EMSGSIZE)
        return status;
    s->failed = true;
    tool_fail("%s:%u: the broker does not take messages of %zu octets; its limit "
              "(max_packet_size) must be at least %d",
              s->broker.host, s->broker.port, size, SL_PACKET_MAX + SL_PACKET_TOPIC_MAX + 64);
    return status;
}

static int send_chunk(void *ctx, uint32_t index, const char *topic,
                      const uint8_t header[SL_PACKET_HEADER])
{
    struct seed *s = ctx;
    uint8_t hash[SL_HASH], *const chunk = s->packet + SL_PACKET_HEADER;
    if (s->n_in_flight >= IN_FLIGHT || !connection_has_room(&s->connection))
        return -EAGAIN;
    const uint32_t size = chunk_size(s, index);
    const int status = read_file(s, s->super.payload_at + (uint64_t)index * SL_CHUNK, chunk, size);
    if (status < 0)
        return status;
    sl_sha256(hash, chunk, size);
    if (memcmp(hash, s->head + s->super.chunk_list_at + (size_t)index * SL_HASH, SL_HASH) != 0)
        return -EBADMSG;
    memcpy(s->packet, header, SL_PACKET_HEADER);
    const int sent = send(s, topic, SL_PACKET_HEADER + size, false, 1, CHUNK_TOKEN);
    s->n_in_flight += sent == 0;
    return sent;
}

static void send_beat(void *ctx, const char *topic, const uint8_t octets[SL_PACKET_HEADER])
{
    struct seed *s = ctx;
    memcpy(s->packet, octets, SL_PACKET_HEADER);
    send(s, topic, SL_PACKET_HEADER, false, 0, 0); // one that is lost is followed by others
}

// Parts of the head, or nothing in their place, which takes them back.
static void announce(struct seed *s)
{
    const uint32_t size = s->super.payload_at;
    while (s->n_announced * SL_PACKET_PART < size && connection_has_room(&s->connection)) {
        const uint32_t at = s->n_announced * SL_PACKET_PART;
        const uint32_t part = size - at < SL_PACKET_PART ? size - at : SL_PACKET_PART;
        char topic[SL_PACKET_TOPIC_MAX];
        sl_packet_topic(topic, s->root, SL_PACKET_HEAD, s->super.id, s->n_announced, NULL);
        sl_packet_write(s->packet, SL_PACKET_HEAD, s->super.id, s->n_announced, size);
        memcpy(s->packet + SL_PACKET_HEADER, s->head + at, part);
        if (send(s, topic, s->withdraws ? 0 : SL_PACKET_HEADER + part, true, 1, 0) != 0)
            return;
        s->n_announced++;
    }
}

// --- events of the connection -------------------------------------------------------------------

static uint64_t now_ms(void)
{
    return (uint64_t)connection_now_ns() / 1000000;
}

static void on_up(void *ctx)
{
    struct seed *s = ctx;
    char filter[SL_PACKET_TOPIC_MAX];
    sl_packet_topic(filter, s->root, SL_PACKET_ASK, s->super.id, 0, NULL);
    connection_subscribe(&s->connection, filter);
    s->n_announced = s->n_in_flight = 0;
}

static void on_down(void *ctx)
{
    (void)ctx;
}

static void on_settled(void *ctx, uint64_t token, uint32_t item, bool refused)
{
    struct seed *s = ctx;
    (void)item;
    s->n_in_flight -= token == CHUNK_TOKEN && s->n_in_flight > 0;
    s->failed = s->failed || refused; // said by on_failed
}

static void on_message(void *ctx, const struct mosquitto_message *m,
                       const mosquitto_property *properties)
{
    struct seed *s = ctx;
    (void)properties;
    if (m->payloadlen > 0)
        sl_seeder_message(&s->seeder, m->topic, m->payload, (size_t)m->payloadlen, now_ms());
}

static void on_failed(void *ctx, const char *text)
{
    (void)ctx;
    tool_fail("%s", text);
}

static void on_denied(void *ctx, const char *text)
{
    struct seed *s = ctx;
    (void)text;
    s->failed = true;
}

// --- the loop -----------------------------------------------------------------------------------

static volatile sig_atomic_t stopped;

static void on_signal(int signal)
{
    (void)signal;
    stopped = 1;
}

static void report(const struct seed *s, bool json)
{
    const struct sl_seeder *d = &s->seeder;
    const double seconds = (double)(now_ms() - s->start_ms) / 1000;
    if (json)
        printf("{\"cameras\": %u, \"whole\": %u, \"chunks\": %u, \"sent\": %llu, \"octets\": %llu, "
               "\"asks\": %llu, \"ignored\": %llu, \"seconds\": %.3f}\n",
               d->n_cameras, sl_seeder_n_done(d), d->n_chunks, (unsigned long long)d->counts.chunks,
               (unsigned long long)d->counts.octets, (unsigned long long)d->counts.asks,
               (unsigned long long)d->counts.ignored, seconds);
    else
        fprintf(stderr, "%u of %u cameras have all of it; %.1f MiB sent in %.1f s\n",
                sl_seeder_n_done(d), d->n_cameras, (double)d->counts.octets / (1 << 20), seconds);
}

static bool is_over(struct seed *s)
{
    const uint64_t now = now_ms();
    if (s->seeder.n_wanted > 0 || s->n_in_flight > 0 || !s->connection.up)
        s->busy_ms = now;
    return stopped || s->failed || (s->cameras > 0 && sl_seeder_n_done(&s->seeder) >= s->cameras) ||
           (s->idle_s > 0 && now - s->busy_ms >= (uint64_t)s->idle_s * 1000);
}

static void withdraw(struct seed *s)
{
    const uint64_t end = now_ms() + FAREWELL_MS;
    s->withdraws = true;
    s->n_announced = 0;
    while (s->connection.up && now_ms() < end &&
           (s->n_announced * SL_PACKET_PART < s->super.payload_at || s->connection.n_pending > 0)) {
        announce(s);
        connection_step(&s->connection, -1, 20);
    }
    connection_close(&s->connection, true);
}

static int run(struct seed *s)
{
    int wait_ms = 0;
    s->start_ms = s->busy_ms = s->report_ms = now_ms();
    while (!is_over(s)) {
        connection_step(&s->connection, -1, wait_ms);
        wait_ms = 50;
        if (!s->connection.up)
            continue;
        announce(s);
        if (s->n_announced * SL_PACKET_PART < s->super.payload_at)
            continue;
        const int status = sl_seeder_tick(&s->seeder, now_ms());
        if (status < 0 && !s->failed) {
            s->failed = true;
            tool_fail("%s: %s", s->file,
                      status == -EBADMSG ? "damaged: a chunk is not what the chunk list says"
                                         : strerror(-status));
        }
        wait_ms = status >= 0 ? status : 0;
        if (!s->json && now_ms() - s->report_ms >= REPORT_MS) {
            report(s, false);
            s->report_ms = now_ms();
        }
    }
    withdraw(s);
    report(s, s->json);
    return s->failed || (s->cameras > 0 && sl_seeder_n_done(&s->seeder) < s->cameras);
}

static int seed_bundle(struct seed *s)
{
    static const struct connection_events events = {
        .up = on_up,
        .down = on_down,
        .settled = on_settled,
        .message = on_message,
        .failed = on_failed,
        .denied = on_denied,
    };
    const struct sigaction action = {.sa_handler = on_signal};
    const struct sl_seeder_ports ports = {s, send_chunk, send_beat};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sl_seeder_init(&s->seeder, &ports, s->root, s->super.id, s->super.payload,
                   (uint64_t)s->rate_kib << 10, now_ms());
    s->connection.events = &events;
    s->connection.ctx = s;
    const int status = run(s);
    close(s->fd);
    return status;
}

int bundle_seed(int argc, char **argv)
{
    static const char doc[] =
        "Announces the bundle FILE on the broker and sends each chunk that cameras ask for, once "
        "for all of them. Runs until it is interrupted, or as --cameras and --idle say; then the "
        "announcement is taken back. A catalog or order is left with the broker, which gives it to "
        "every camera, also to those that come later. Exit status 1 if fewer than --cameras have "
        "all of it. What a camera accepts, its keys decide: neither the broker nor this command is "
        "trusted.";
    static const struct argp argp = {rows, parse, "FILE", doc, NULL, NULL, NULL};
    static char localhost[] = "127.0.0.1";
    static struct seed s = {.root = SL_PACKET_ROOT, .rate_kib = DEFAULT_RATE_KIB};
    s.broker =
        (struct sl_config_broker){.host = localhost, .port = DEFAULT_PORT, .keepalive_s = 30};
    argp_parse(&argp, argc, argv, 0, NULL, &s);
    GError *error = NULL;
    const bool document = seed_is_document(s.file);
    if (s.takes_back && !document)
        return tool_fail("%s: --withdraw takes a catalog or an order; a bundle's announcement is "
                         "taken back at the end",
                         s.file);
    if (s.of_bundles && document)
        return tool_fail("%s: --%s is for bundles; the broker takes a catalog or an order at once "
                         "and keeps it",
                         s.file, s.of_bundles);
    if (!document && open_bundle(&s) != 0)
        return 1;
    if (!credentials_read(&s.broker, &s.password, &error)) {
        tool_fail("%s", error->message);
        g_error_free(error);
        return 1;
    }
    s.connection =
        (struct connection){.broker = &s.broker, .client_id = s.client_id, .password = s.password};
    mosquitto_lib_init();
    snprintf(s.client_id, sizeof(s.client_id), "sightline-seed-%08x", g_random_int());
    const int status = document
                           ? seed_document(&s.connection, s.root, s.file, s.takes_back, DOCUMENT_S)
                           : seed_bundle(&s);
    credentials_clear(s.password);
    mosquitto_lib_cleanup();
    return status;
}
