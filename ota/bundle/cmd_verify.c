// `sightline bundle verify` and `show`.
#include "ota/bundle/encryption.h"
#include "ota/bundle/key_file.h"
#include "ota/bundle/load.h"
#include "ota/bundle/tool.h"
#include "ota/bundle/tool_print.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { OPTION_DENY = 256, OPTION_CAMERA, OPTION_DEVICE };

struct check {
    const char *file, *root, *device;
    struct tool_list chain, catalogs;
    struct sl_bundle_policy policy;
    char product[SL_TEXT_MAX + 1], hardware[SL_TEXT_MAX + 1], camera[SL_TEXT_MAX + 1];
    struct sl_tensor_abi tensor;
    uint8_t denied[SL_TOOL_LIST + SL_REVOKED_MAX][SL_HASH];
    bool json;
    // what is trusted
    uint8_t root_octets[SL_DOCUMENT_MAX], chain_octets[SL_KEY_CHAIN_MAX];
    size_t chain_size;
    struct sl_trust trust;
    struct sl_root newest;
};

static const struct argp_option verify_rows[] = {
    {"root", 'r', "ROOT", 0, "The root that is trusted (needed)", 0},
    {"chain", 'c', "ROOT", 0, "Roots after it, oldest first; may be repeated", 0},
    {"catalog", 'C', "FILE", 0, "Apply the floor and the revoked ids of this catalog", 0},
    {"product", 'p', "NAME", 0, "What this camera inspects", 0},
    {"hardware", 'h', "NAME", 0, "What this camera is", 0},
    {"camera", OPTION_CAMERA, "NAME", 0, "Name of this camera, for orders", 0},
    {"tensor", 't', "TYPE:LAYOUT:DIMS", 0, "Input tensor of this line", 0},
    {"floor", 'f', "EPOCH.SEQ", 0, "Floor of this camera", 0},
    {"deny", OPTION_DENY, "ID", 0, "A bundle id that is refused; may be repeated", 0},
    {"device-key", OPTION_DEVICE, "FILE", 0,
     "Also check that the camera with this secret key can decrypt it", 0},
    {"json", 'j', NULL, 0, "Print one JSON object", 0},
    {0},
};

static void deny(struct check *c, const char *text, struct argp_state *state)
{
    if (c->policy.n_denied == SL_TOOL_LIST)
        argp_error(state, "--deny: at most %d", SL_TOOL_LIST);
    tool_id(text, c->denied[c->policy.n_denied++], state);
}

static error_t parse_policy(int key, char *text, struct argp_state *state)
{
    struct check *c = state->input;
    switch (key) {
    case 'p':
        tool_text("product", text, c->product, sizeof(c->product), state);
        c->policy.product = c->product;
        return 0;
    case 'h':
        tool_text("hardware", text, c->hardware, sizeof(c->hardware), state);
        c->policy.hardware = c->hardware;
        return 0;
    case OPTION_CAMERA:
        tool_text("camera", text, c->camera, sizeof(c->camera), state);
        return 0;
    case 't':
        c->tensor = tool_tensor(text, state);
        c->policy.tensor = &c->tensor;
        return 0;
    case 'f':
        c->policy.floor = tool_number(text, state);
        return 0;
    case OPTION_DENY:
        deny(c, text, state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static error_t parse_verify(int key, char *text, struct argp_state *state)
{
    struct check *c = state->input;
    switch (key) {
    case 'r':
        c->root = text;
        return 0;
    case 'c':
        tool_add(&c->chain, text, state);
        return 0;
    case OPTION_DEVICE:
        c->device = text;
        return 0;
    case 'C':
        tool_add(&c->catalogs, text, state);
        return 0;
    case 'j':
        c->json = true;
        return 0;
    case ARGP_KEY_ARG:
        if (c->file)
            argp_error(state, "unexpected argument '%s'", text);
        c->file = text;
        return 0;
    case ARGP_KEY_END:
        if (!c->file || !c->root)
            argp_error(state, "expected: --root=ROOT FILE");
        if (c->catalogs.count > 1)
            argp_error(state, "--catalog: at most one");
        return 0;
    default:
        return parse_policy(key, text, state);
    }
}

static int refused(const struct check *c, const char *file, const struct sl_bundle_error *error)
{
    if (c->json)
        tool_print_refusal(error);
    else
        tool_fail("%s: refused (%s): %s", file, sl_refusal_name(error->refusal), error->message);
    return 1;
}

static int read_trust(struct check *c)
{
    static struct sl_root next;
    struct sl_bundle_error error;
    size_t size;
    if (tool_read(c->root, c->root_octets, sizeof(c->root_octets), &size) != 0)
        return 1;
    if (sl_trust_document((struct sl_octets){c->root_octets, size}, &c->trust, &error) !=
        SL_ACCEPTED)
        return refused(c, c->root, &error);
    for (unsigned i = 0; i < c->chain.count; i++) {
        if (tool_read(c->chain.at[i], c->chain_octets + c->chain_size,
                      sizeof(c->chain_octets) - c->chain_size, &size) != 0)
            return 1;
        c->chain_size += size;
    }
    const struct sl_octets chain = {c->chain_octets, c->chain_size};
    if (sl_keychain_walk(&c->trust, chain, &c->newest, &next, &error) != SL_ACCEPTED)
        return refused(c, c->root, &error);
    // From here on the newest is trusted; its document is the last of the chain.
    struct sl_document document;
    struct sl_octets rest = chain;
    while (rest.left > 0) {
        const struct sl_octets at = rest;
        sl_document_take(&rest, SL_PREFIX_ROOT, &document, NULL); // the walk has taken it too
        if (document.number == c->newest.version)
            c->trust.document = (struct sl_octets){at.at, at.left - rest.left};
    }
    c->trust.version = c->newest.version;
    memcpy(c->trust.hash, c->newest.hash, SL_HASH);
    return 0;
}

static int apply_catalog(struct check *c)
{
    static struct sl_catalog catalog;
    uint8_t octets[SL_DOCUMENT_MAX];
    struct sl_bundle_error error;
    size_t size;
    if (c->catalogs.count == 0)
        return 0;
    if (tool_read(c->catalogs.at[0], octets, sizeof(octets), &size) != 0)
        return 1;
    if (sl_catalog_verify((struct sl_octets){octets, size}, &c->newest, c->policy.product, &catalog,
                          &error) != SL_ACCEPTED)
        return refused(c, c->catalogs.at[0], &error);
    if (sl_bundle_number_compare(catalog.floor, c->policy.floor) > 0)
        c->policy.floor = catalog.floor;
    for (uint16_t i = 0; i < catalog.n_revoked; i++)
        memcpy(c->denied[c->policy.n_denied++], catalog.revoked[i], SL_HASH);
    return 0;
}

// On a terminal, from the second second on.
static void progress(void *ctx, uint32_t done, uint32_t total)
{
    const time_t *start = ctx;
    if (isatty(STDERR_FILENO) && time(NULL) - *start >= 2)
        fprintf(stderr, "\r%3u %%%s", (unsigned)((uint64_t)done * 100 / total),
                done == total ? "\n" : "");
}

// What is not encrypted every camera can read.
static enum sl_refusal check_device(const struct check *c, const struct sl_encryption *encryption,
                                    struct sl_bundle_error *error)
{
    uint8_t device[64], key[SL_KEY];
    if (!c->device || encryption->cipher == SL_CIPHER_NONE)
        return SL_ACCEPTED;
    enum sl_refusal refusal = sl_key_file_secret(c->device, device, error);
    if (refusal == SL_ACCEPTED)
        refusal = sl_content_key_open(encryption, device, key, error);
    sodium_memzero(device, sizeof(device));
    sodium_memzero(key, sizeof(key));
    return refusal;
}

static int verify_bundle(struct check *c, const struct sl_bundle_source *source)
{
    static struct sl_bundle bundle;
    struct sl_bundle_error error;
    time_t start = time(NULL);
    c->policy.denied = (const uint8_t(*)[SL_HASH])c->denied;
    if (sl_bundle_verify(&bundle, source, &c->trust, &c->policy, &error) != SL_ACCEPTED ||
        sl_bundle_verify_payload(&bundle, source, progress, &start, &error) != SL_ACCEPTED ||
        check_device(c, &bundle.manifest.encryption, &error) != SL_ACCEPTED)
        return refused(c, c->file, &error);
    tool_print_bundle(&bundle.super, &bundle.manifest, &bundle.root, c->json);
    return 0;
}

static int verify_document(struct check *c, struct sl_octets octets)
{
    static struct sl_root next;
    static struct sl_catalog catalog;
    static struct sl_order order;
    struct sl_bundle_error error;
    if (!memcmp(octets.at, SL_PREFIX_ROOT, SL_PREFIX)) {
        if (sl_keychain_walk(&c->trust, octets, &c->newest, &next, &error) != SL_ACCEPTED)
            return refused(c, c->file, &error);
        tool_print_root(&c->newest, true, c->json);
    } else if (!memcmp(octets.at, SL_PREFIX_CATALOG, SL_PREFIX)) {
        if (sl_catalog_verify(octets, &c->newest, c->policy.product, &catalog, &error) !=
            SL_ACCEPTED)
            return refused(c, c->file, &error);
        tool_print_catalog(&catalog, true, c->json);
    } else {
        if (sl_order_verify(octets, &c->newest, c->policy.product, *c->camera ? c->camera : NULL,
                            &order, &error) != SL_ACCEPTED)
            return refused(c, c->file, &error);
        tool_print_order(&order, true, c->json);
    }
    return 0;
}

// Roots, catalogs and orders are small and start with their prefix. -1: it is none.
static int read_document(const char *file, const struct sl_bundle_source *source, uint8_t *octets,
                         struct sl_octets *out)
{
    static const char *const prefixes[] = {SL_PREFIX_ROOT, SL_PREFIX_CATALOG, SL_PREFIX_ORDER};
    bool known = false;
    size_t size;
    if (source->size < SL_PREFIX || source->read(source->ctx, 0, octets, SL_PREFIX) < 0)
        return -1;
    for (int i = 0; i < 3; i++)
        known = known || !memcmp(octets, prefixes[i], SL_PREFIX);
    if (!known)
        return -1;
    if (tool_read(file, octets, SL_DOCUMENT_MAX, &size) != 0)
        return 1;
    *out = (struct sl_octets){octets, size};
    return 0;
}

int bundle_verify(int argc, char **argv)
{
    static const char doc[] =
        "Checks a bundle, root, catalog or order against a trusted root with the code that a "
        "camera runs. Without an option of the policy, that part of it is not checked.";
    static const struct argp argp = {verify_rows, parse_verify, "FILE", doc, NULL, NULL, NULL};
    static struct check c;
    static uint8_t octets[SL_DOCUMENT_MAX];
    struct sl_bundle_source source;
    struct sl_octets document;
    int fd;
    argp_parse(&argp, argc, argv, 0, NULL, &c);
    if (read_trust(&c) != 0 || apply_catalog(&c) != 0 || tool_open_source(c.file, &source, &fd))
        return 1;
    int status = read_document(c.file, &source, octets, &document);
    if (status == 0)
        status = verify_document(&c, document);
    else if (status < 0)
        status = verify_bundle(&c, &source);
    close(fd);
    return status;
}

struct show {
    const char *file;
    bool json;
};

static const struct argp_option show_rows[] = {
    {"json", 'j', NULL, 0, "Print one JSON object", 0},
    {0},
};

static error_t parse_show(int key, char *text, struct argp_state *state)
{
    struct show *s = state->input;
    switch (key) {
    case 'j':
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
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static enum sl_refusal show_document(const struct show *s, struct sl_octets octets,
                                     struct sl_bundle_error *error)
{
    static struct sl_root root;
    static struct sl_catalog catalog;
    static struct sl_order order;
    struct sl_document d;
    char prefix[SL_PREFIX + 1] = "";
    memcpy(prefix, octets.at, SL_PREFIX);
    enum sl_refusal refusal = sl_document_read(octets, prefix, &d, error);
    if (refusal != SL_ACCEPTED)
        return refusal;
    if (!strcmp(prefix, SL_PREFIX_ROOT)) {
        refusal = sl_root_read(&d, &root, error);
        if (refusal == SL_ACCEPTED || refusal == SL_REFUSED_THRESHOLD) // not signed yet
            tool_print_root(&root, false, s->json);
        return refusal == SL_REFUSED_THRESHOLD ? SL_ACCEPTED : refusal;
    }
    if (!strcmp(prefix, SL_PREFIX_CATALOG)) {
        refusal = sl_catalog_read(&d, &catalog, error);
        if (refusal == SL_ACCEPTED)
            tool_print_catalog(&catalog, false, s->json);
        return refusal;
    }
    refusal = sl_order_read(&d, &order, error);
    if (refusal == SL_ACCEPTED)
        tool_print_order(&order, false, s->json);
    return refusal;
}

static enum sl_refusal show_bundle(const struct show *s, const struct sl_bundle_source *source,
                                   struct sl_bundle_error *error)
{
    static uint8_t page[SL_PAGE], octets[SL_MANIFEST_MAX];
    static struct sl_manifest manifest;
    struct sl_superblock super;
    if (source->size < SL_PAGE || source->read(source->ctx, 0, page, SL_PAGE) < 0)
        return sl_refuse(error, SL_REFUSED_TRUNCATED, "%llu octets; a bundle has more",
                         (unsigned long long)source->size);
    enum sl_refusal refusal = sl_superblock_read(page, &super, error);
    if (refusal != SL_ACCEPTED)
        return refusal;
    if (source->size < super.total ||
        source->read(source->ctx, super.manifest_at, octets, super.manifest) < 0)
        return sl_refuse(error, SL_REFUSED_TRUNCATED, "shorter than it says");
    refusal = sl_manifest_read((struct sl_octets){octets, super.manifest}, &manifest, error);
    if (refusal == SL_ACCEPTED)
        tool_print_bundle(&super, &manifest, NULL, s->json);
    return refusal;
}

int bundle_show(int argc, char **argv)
{
    static const char doc[] =
        "Shows what a bundle, root, catalog or order says. Signatures and hashes are not checked: "
        "that is what `sightline bundle verify` is for.";
    static const struct argp argp = {show_rows, parse_show, "FILE", doc, NULL, NULL, NULL};
    static uint8_t octets[SL_DOCUMENT_MAX];
    struct show s = {0};
    struct sl_bundle_source source;
    struct sl_octets document;
    struct sl_bundle_error error;
    int fd;
    argp_parse(&argp, argc, argv, 0, NULL, &s);
    if (tool_open_source(s.file, &source, &fd) != 0)
        return 1;
    const int status = read_document(s.file, &source, octets, &document);
    enum sl_refusal refusal = SL_ACCEPTED;
    if (status <= 0)
        refusal =
            status == 0 ? show_document(&s, document, &error) : show_bundle(&s, &source, &error);
    close(fd);
    if (refusal != SL_ACCEPTED)
        tool_fail("%s: %s", s.file, error.message);
    return status > 0 || refusal != SL_ACCEPTED;
}
