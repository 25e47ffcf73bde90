// `sightline bundle create`: a model directory becomes one file.
#include "ota/bundle/encryption.h"
#include "ota/bundle/tool.h"

#include "ota/sha256.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <stdbool.h>
#include <unistd.h>

struct create {
    const char *directory, *output;
    struct tool_list chain, keys, devices;
    struct sl_manifest manifest;
    bool has_number, has_tensor;
    // the file
    struct sl_superblock super;
    uint8_t head[SL_HEAD_MAX];
    uint8_t chunk[SL_CHUNK];
    uint32_t filled; // octets in the chunk
    uint8_t content_key[SL_KEY], recipients[SL_RECIPIENTS_MAX * SL_RECIPIENT];
    struct tool_output out;
};

enum {
    OPTION_OVERLAP = 256,
    OPTION_SCORE,
    OPTION_SHADOW,
    OPTION_PROBATION,
    OPTION_LATENCY,
    OPTION_MEMORY,
    OPTION_VERSION,
    OPTION_ENCRYPT,
};

static const struct argp_option rows[] = {
    {"output", 'o', "FILE", 0, "The bundle (needed)", 0},
    {"number", 'n', "EPOCH.SEQ", 0, "Order among bundles (needed)", 0},
    {"hardware", 'h', "NAME", 0, "A camera that can run it; may be repeated (needed)", 0},
    {"chain", 'c', "ROOT", 0, "Roots to carry, oldest first; may be repeated", 0},
    {"key", 'k', "FILE", 0, "Sign with this secret key; may be repeated", 0},
    {"product", 'p', "NAME", 0, "What is inspected; the model's name if not given", 0},
    {"model-version", OPTION_VERSION, "TEXT", 0, "Version for people; the model's if not given", 0},
    {"floor", 'f', "EPOCH.SEQ", 0, "Once committed nothing below runs (0.0)", 0},
    {"tensor", 't', "TYPE:LAYOUT:DIMS", 0,
     "Input tensor; float32:nchw:1xCHANNELSxHEIGHTxWIDTH of model.yaml if not given", 0},
    {"encrypt-for", OPTION_ENCRYPT, "FILE.pub", 0,
     "Encrypt, and let the camera with this device key read it; may be repeated", 0},
    {0, 0, 0, 0, "Acceptance:", 5},
    {"overlap", OPTION_OVERLAP, "SHARE", 0, "Least overlap with a golden box (0.8)", 5},
    {"score", OPTION_SCORE, "SHARE", 0, "Most difference of a golden score (0.05)", 5},
    {"shadow", OPTION_SHADOW, "FRAMES", 0, "Frames beside the old model (300)", 5},
    {"probation", OPTION_PROBATION, "FRAMES", 0, "Frames until it is committed (1000)", 5},
    {0, 0, 0, 0, "Claims:", 6},
    {"latency-ms", OPTION_LATENCY, "MS", 0, "99th percentile of one frame (0: no claim)", 6},
    {"memory-mib", OPTION_MEMORY, "MIB", 0, "Memory (0: no claim)", 6},
    {0},
};

static uint32_t share(const char *option, const char *text, struct argp_state *state)
{
    char *end = NULL;
    const double value = strtod(text, &end);
    if (!*text || *end || !(value >= 0 && value <= 1))
        argp_error(state, "--%s: expected a number between 0 and 1, found '%s'", option, text);
    return (uint32_t)lround(value * 1e6);
}

static error_t parse_limits(int key, const char *text, struct argp_state *state,
                            struct sl_manifest *m)
{
    switch (key) {
    case OPTION_OVERLAP:
        m->limits.overlap_ppm = share("overlap", text, state);
        return 0;
    case OPTION_SCORE:
        m->limits.score_ppm = share("score", text, state);
        return 0;
    case OPTION_SHADOW:
        m->limits.shadow_frames = tool_u32("shadow", text, UINT32_MAX, state);
        return 0;
    case OPTION_PROBATION:
        m->limits.probation_frames = tool_u32("probation", text, UINT32_MAX, state);
        return 0;
    case OPTION_LATENCY:
        m->claims.latency_us = 1000 * tool_u32("latency-ms", text, UINT32_MAX / 1000, state);
        return 0;
    case OPTION_MEMORY:
        m->claims.memory = (uint64_t)tool_u32("memory-mib", text, UINT32_MAX, state) << 20;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static error_t parse_end(const struct create *c, struct argp_state *state)
{
    const struct {
        bool given;
        const char *name;
    } needed[] = {{c->directory, "DIRECTORY"},
                  {c->output, "--output"},
                  {c->has_number, "--number"},
                  {c->manifest.n_hardware, "--hardware"}};
    for (unsigned i = 0; i < sizeof(needed) / sizeof(needed[0]); i++)
        if (!needed[i].given)
            argp_error(state, "%s is needed", needed[i].name);
    if (sl_bundle_number_compare(c->manifest.floor, c->manifest.number) > 0)
        argp_error(state, "--floor is above --number");
    return 0;
}

static error_t parse(int key, char *text, struct argp_state *state)
{
    struct create *c = state->input;
    struct sl_manifest *m = &c->manifest;
    switch (key) {
    case 'o':
        c->output = text;
        return 0;
    case 'n':
        m->number = tool_number(text, state);
        c->has_number = true;
        return 0;
    case 'h':
        if (m->n_hardware == SL_HARDWARE_MAX)
            argp_error(state, "--hardware: at most %d", SL_HARDWARE_MAX);
        tool_text("hardware", text, m->hardware[m->n_hardware++], sizeof(m->hardware[0]), state);
        return 0;
    case 'c':
        tool_add(&c->chain, text, state);
        return 0;
    case 'k':
        tool_add(&c->keys, text, state);
        return 0;
    case 'p':
        tool_text("product", text, m->product, sizeof(m->product), state);
        return 0;
    case OPTION_ENCRYPT:
        tool_add(&c->devices, text, state);
        return 0;
    case OPTION_VERSION:
        tool_text("model-version", text, m->version, sizeof(m->version), state);
        return 0;
    case 'f':
        m->floor = tool_number(text, state);
        return 0;
    case 't':
        m->tensor = tool_tensor(text, state);
        c->has_tensor = true;
        return 0;
    case ARGP_KEY_ARG:
        if (c->directory)
            argp_error(state, "unexpected argument '%s'", text);
        c->directory = text;
        return 0;
    case ARGP_KEY_END:
        return parse_end(c, state);
    default:
        return parse_limits(key, text, state, m);
    }
}

static int read_chain(struct create *c)
{
    static struct sl_root newest, next;
    struct sl_trust trust;
    struct sl_bundle_error error;
    uint8_t *const start = c->head + SL_PAGE;
    size_t used = 0, size, first = 0;
    for (unsigned i = 0; i < c->chain.count; i++) {
        const size_t room = SL_KEY_CHAIN_MAX - used;
        if (tool_read(c->chain.at[i], start + used, room, &size) != 0)
            return 1;
        used += size;
        first = i == 0 ? size : first;
    }
    c->super.key_chain = (uint32_t)used;
    if (used == 0)
        return 0;
    // What does not hold here, from the first root on, holds nowhere.
    if (sl_trust_document((struct sl_octets){start, first}, &trust, &error) != SL_ACCEPTED ||
        sl_keychain_walk(&trust, (struct sl_octets){start, used}, &newest, &next, &error) !=
            SL_ACCEPTED)
        return tool_fail("--chain: %s", error.message);
    return 0;
}

static int compare_ids(const void *a, const void *b)
{
    return memcmp(a, b, SL_HASH);
}

// A key for this bundle alone, sealed for each camera.
static int plan_encryption(struct create *c)
{
    struct sl_encryption *e = &c->manifest.encryption;
    if (c->devices.count == 0)
        return 0;
    randombytes_buf(c->content_key, sizeof(c->content_key));
    for (unsigned i = 0; i < c->devices.count; i++) {
        uint8_t public[SL_KEY], *const recipient = c->recipients + (size_t)i * SL_RECIPIENT;
        if (tool_read_public(c->devices.at[i], public) != 0)
            return 1;
        sl_key_id(public, recipient);
        if (!sl_content_key_seal(c->content_key, public, recipient + SL_HASH))
            return tool_fail("%s: not a key that something can be sealed for", c->devices.at[i]);
    }
    qsort(c->recipients, c->devices.count, SL_RECIPIENT, compare_ids);
    for (unsigned i = 1; i < c->devices.count; i++)
        if (!compare_ids(c->recipients + (size_t)(i - 1) * SL_RECIPIENT,
                         c->recipients + (size_t)i * SL_RECIPIENT))
            return tool_fail("--encrypt-for: the same key twice");
    *e = (struct sl_encryption){.cipher = SL_CIPHER_XCHACHA20,
                                .n_recipients = (uint16_t)c->devices.count,
                                .recipients = c->recipients};
    sl_content_key_check(c->content_key, e->check);
    return 0;
}

// Names and lengths are enough to know how long the manifest is, and so where the payload starts.
static int plan(struct create *c, const struct tool_model *model)
{
    struct sl_manifest *m = &c->manifest;
    char path[PATH_MAX];
    struct stat info;
    for (unsigned i = 0; i < model->count; i++) {
        struct sl_component *component = &m->components[m->n_components++];
        snprintf(path, sizeof(path), "%s/%s", c->directory, model->components[i]);
        if (stat(path, &info) < 0)
            return tool_fail("%s: %s", path, strerror(errno));
        if (!S_ISREG(info.st_mode) || info.st_size == 0)
            return tool_fail("%s: expected a file that is not empty", path);
        snprintf(component->name, sizeof(component->name), "%s", model->components[i]);
        component->offset = m->payload;
        component->length = (uint64_t)info.st_size;
        if (component->length > SL_PAYLOAD_MAX - m->payload)
            return tool_fail("%s: the bundle would hold more than 2 GiB", path);
        m->payload += sl_page_up(component->length);
    }
    c->super.payload = m->payload;
    c->super.chunk_list = (uint32_t)((m->payload + SL_CHUNK - 1) / SL_CHUNK * SL_HASH);
    c->super.manifest = (uint32_t)sl_manifest_write(m, c->chunk, sizeof(c->chunk));
    if (c->super.manifest == 0 || c->super.manifest > SL_MANIFEST_MAX)
        return tool_fail("%s: this does not fit into a manifest", c->directory);
    uint8_t page[SL_PAGE];
    sl_superblock_write(&c->super, page); // for the offsets
    return 0;
}

static int flush_chunk(struct create *c, uint64_t end)
{
    const uint64_t start = end - c->filled;
    const uint64_t index = start / SL_CHUNK;
    sl_sha256(c->head + c->super.chunk_list_at + index * SL_HASH, c->chunk, c->filled);
    const int status = tool_output_write(&c->out, c->super.payload_at + start, c->chunk, c->filled);
    c->filled = 0;
    return status;
}

static int read_all(int fd, const char *path, uint8_t *out, uint64_t size)
{
    while (size > 0) {
        const ssize_t n = read(fd, out, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return tool_fail("%s: %s", path, n < 0 ? strerror(errno) : "became shorter");
        out += n;
        size -= (uint64_t)n;
    }
    return 0;
}

static int copy_component(struct create *c, uint16_t index, int fd, const char *path)
{
    struct sl_component *const component = &c->manifest.components[index];
    const uint64_t padded = sl_page_up(component->length);
    struct sha256_ctx hash;
    sha256_init(&hash);
    for (uint64_t at = 0; at < padded;) {
        uint8_t *const to = c->chunk + c->filled;
        uint64_t n = SL_CHUNK - c->filled;
        if (at < component->length) {
            n = n < component->length - at ? n : component->length - at;
            if (read_all(fd, path, to, n) != 0)
                return 1;
            if (c->manifest.encryption.cipher) // hashes are of what stands in the file
                sl_content_xor(c->content_key, index, at, to, n);
            sha256_update(&hash, n, to);
        } else {
            n = n < padded - at ? n : padded - at;
            memset(to, 0, n);
        }
        at += n;
        c->filled += (uint32_t)n;
        if ((c->filled == SL_CHUNK || component->offset + at == c->super.payload) &&
            flush_chunk(c, component->offset + at) != 0)
            return 1;
    }
    sha256_digest(&hash, SL_HASH, component->hash);
    return 0;
}

static int write_payload(struct create *c)
{
    char path[PATH_MAX];
    for (uint16_t i = 0; i < c->manifest.n_components; i++) {
        snprintf(path, sizeof(path), "%s/%s", c->directory, c->manifest.components[i].name);
        const int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            return tool_fail("%s: %s", path, strerror(errno));
        const int status = copy_component(c, i, fd, path);
        close(fd);
        if (status != 0)
            return status;
    }
    return 0;
}

static int write_head(struct create *c)
{
    static uint8_t message[SL_PREFIX + SL_MANIFEST_MAX];
    uint8_t *const manifest = c->head + c->super.manifest_at;
    size_t signatures = 0;
    sl_sha256(c->manifest.chunk_list_hash, c->head + c->super.chunk_list_at, c->super.chunk_list);
    if (sl_manifest_write(&c->manifest, manifest, SL_MANIFEST_MAX) != c->super.manifest)
        return tool_fail("%s: this does not fit into a manifest", c->directory);
    sl_sha256(c->super.id, manifest, c->super.manifest);
    memcpy(message, SL_PREFIX_MANIFEST, SL_PREFIX);
    memcpy(message + SL_PREFIX, manifest, c->super.manifest);
    for (unsigned i = 0; i < c->keys.count; i++) {
        uint8_t secret[64];
        if (tool_read_secret(c->keys.at[i], secret) != 0)
            return 1;
        const bool fits =
            sl_signature_add(c->head + c->super.signatures_at, &signatures, SL_SIGNATURES_MAX,
                             (struct sl_octets){message, SL_PREFIX + c->super.manifest}, secret);
        sodium_memzero(secret, sizeof(secret));
        if (!fits)
            return tool_fail("too many signatures");
    }
    c->super.signatures = (uint32_t)signatures;
    sl_superblock_write(&c->super, c->head);
    return tool_output_write(&c->out, 0, c->head, c->super.payload_at);
}

static int fill_in(struct create *c)
{
    static struct tool_model model;
    struct sl_manifest *m = &c->manifest;
    if (tool_read_model(c->directory, &model) != 0)
        return 1;
    if (!*m->product)
        snprintf(m->product, sizeof(m->product), "%s", model.name);
    if (!*m->version)
        snprintf(m->version, sizeof(m->version), "%s", model.version);
    if (!c->has_tensor)
        m->tensor = (struct sl_tensor_abi){
            SL_ELEMENT_FLOAT32, SL_LAYOUT_NCHW, 4, {1, model.channels, model.height, model.width}};
    return plan(c, &model);
}

int bundle_create(int argc, char **argv)
{
    static const char doc[] =
        "Makes a bundle of model.yaml in DIRECTORY and the files that it names. The file takes its "
        "name only when it is complete.";
    static const struct argp argp = {rows, parse, "DIRECTORY", doc, NULL, NULL, NULL};
    static struct create c = {
        .manifest = {.limits = {800000, 50000, 300, 1000}}, // what inference/selftest.h allows
    };
    argp_parse(&argp, argc, argv, 0, NULL, &c);
    if (read_chain(&c) != 0 || plan_encryption(&c) != 0 || fill_in(&c) != 0 ||
        tool_output_open(&c.out, c.output) != 0)
        return 1;
    const bool written = write_payload(&c) == 0 && write_head(&c) == 0;
    sodium_memzero(c.content_key, sizeof(c.content_key));
    if (!written) {
        tool_output_drop(&c.out);
        return 1;
    }
    if (tool_output_commit(&c.out, 0666, false) != 0)
        return 1;
    char id[2 * SL_HASH + 1];
    tool_hex(c.super.id, SL_HASH, id);
    printf("%s\n", id);
    return 0;
}
