// `sightline bundle sign`: adds signatures to a file of any kind.
#include "ota/bundle/tool.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct sign {
    const char *file, *output;
    struct tool_list keys;
};

static const struct argp_option rows[] = {
    {"key", 'k', "FILE", 0, "A secret key; may be repeated (needed)", 0},
    {"output", 'o', "FILE", 0, "Write here; without it FILE is replaced", 0},
    {0},
};

static error_t parse(int key, char *text, struct argp_state *state)
{
    struct sign *s = state->input;
    switch (key) {
    case 'k':
        tool_add(&s->keys, text, state);
        return 0;
    case 'o':
        s->output = text;
        return 0;
    case ARGP_KEY_ARG:
        if (s->file)
            argp_error(state, "unexpected argument '%s'", text);
        s->file = text;
        return 0;
    case ARGP_KEY_END:
        if (!s->file || s->keys.count == 0)
            argp_error(state, "expected: --key=FILE FILE");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static int sign_document(const struct sign *s, const char *prefix)
{
    uint8_t octets[SL_DOCUMENT_MAX], secret[64];
    size_t size;
    if (tool_read(s->file, octets, sizeof(octets), &size) != 0)
        return 1;
    for (unsigned i = 0; i < s->keys.count; i++) {
        if (tool_read_secret(s->keys.at[i], secret) != 0)
            return 1;
        const bool good = sl_document_sign(octets, &size, prefix, secret);
        sodium_memzero(secret, sizeof(secret));
        if (!good)
            return tool_fail("%s: not a whole document, or no room for a signature", s->file);
    }
    return tool_output_file(s->output, octets, size);
}

static int sign_head(const struct sign *s, struct sl_superblock *super, uint8_t *head)
{
    static uint8_t message[SL_PREFIX + SL_MANIFEST_MAX];
    static struct sl_manifest manifest;
    struct sl_bundle_error error;
    uint8_t secret[64];
    size_t size = super->signatures;
    const struct sl_octets octets = {head + super->manifest_at, super->manifest};
    if (sl_manifest_read(octets, &manifest, &error) != SL_ACCEPTED)
        return tool_fail("%s: %s", s->file, error.message);
    memcpy(message, SL_PREFIX_MANIFEST, SL_PREFIX);
    memcpy(message + SL_PREFIX, octets.at, octets.left);
    for (unsigned i = 0; i < s->keys.count; i++) {
        if (tool_read_secret(s->keys.at[i], secret) != 0)
            return 1;
        const bool fits =
            sl_signature_add(head + super->signatures_at, &size, SL_SIGNATURES_MAX,
                             (struct sl_octets){message, SL_PREFIX + octets.left}, secret);
        sodium_memzero(secret, sizeof(secret));
        if (!fits)
            return tool_fail("%s: no room for another signature", s->file);
    }
    super->signatures = (uint32_t)size;
    sl_superblock_write(super, head);
    return 0;
}

static int copy_payload(const struct sl_bundle_source *source, const struct sl_superblock *super,
                        struct tool_output *out)
{
    static uint8_t chunk[SL_CHUNK];
    for (uint64_t at = super->payload_at; at < super->total;) {
        const uint64_t left = super->total - at;
        const size_t n = left < sizeof(chunk) ? (size_t)left : sizeof(chunk);
        if (source->read(source->ctx, at, chunk, n) < 0)
            return tool_fail("%s: it cannot be read", out->path);
        if (tool_output_write(out, at, chunk, n) != 0)
            return 1;
        at += n;
    }
    return 0;
}

static int sign_bundle(const struct sign *s, const struct sl_bundle_source *source)
{
    static uint8_t head[SL_HEAD_MAX];
    struct sl_superblock super;
    struct sl_bundle_error error;
    struct tool_output out;
    if (source->size < SL_PAGE || source->read(source->ctx, 0, head, SL_PAGE) < 0)
        return tool_fail("%s: it cannot be read", s->file);
    if (sl_superblock_read(head, &super, &error) != SL_ACCEPTED)
        return tool_fail("%s: %s", s->file, error.message);
    if (source->size != super.total ||
        source->read(source->ctx, SL_PAGE, head + SL_PAGE, super.payload_at - SL_PAGE) < 0)
        return tool_fail("%s: it does not have the length that it states", s->file);
    if (sign_head(s, &super, head) != 0 || tool_output_open(&out, s->output) != 0)
        return 1;
    if (tool_output_write(&out, 0, head, super.payload_at) != 0 ||
        copy_payload(source, &super, &out) != 0) {
        tool_output_drop(&out);
        return 1;
    }
    return tool_output_commit(&out, 0666, false);
}

int bundle_sign(int argc, char **argv)
{
    static const char doc[] =
        "Adds a signature with each key. One that the key made before is replaced. Whether enough "
        "of the right keys signed is for `sightline bundle verify` to say.";
    static const struct argp argp = {rows, parse, "FILE", doc, NULL, NULL, NULL};
    static const char *const prefixes[] = {SL_PREFIX_ROOT, SL_PREFIX_CATALOG, SL_PREFIX_ORDER};
    struct sign s = {0};
    struct sl_bundle_source source;
    char magic[SL_PREFIX];
    int fd, status = -1;
    argp_parse(&argp, argc, argv, 0, NULL, &s);
    s.output = s.output ? s.output : s.file;
    if (tool_open_source(s.file, &source, &fd) != 0)
        return 1;
    if (source.size < SL_PREFIX || source.read(source.ctx, 0, magic, SL_PREFIX) < 0)
        status = tool_fail("%s: nothing that can be signed", s.file);
    for (unsigned i = 0; i < 3 && status < 0; i++)
        if (!memcmp(magic, prefixes[i], SL_PREFIX))
            status = sign_document(&s, prefixes[i]);
    if (status < 0)
        status = sign_bundle(&s, &source);
    close(fd);
    return status;
}
