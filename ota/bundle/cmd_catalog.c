// `sightline bundle catalog` and `order`: small documents.
#include "ota/bundle/tool.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct common {
    const char *output;
    struct tool_list keys;
};

#define OUTPUT_ROW                                                                                 \
    {                                                                                              \
        "output", 'o', "FILE", 0, "The file (needed)", 0                                           \
    }
#define KEY_ROW                                                                                    \
    {                                                                                              \
        "key", 'k', "FILE", 0, "Sign with this secret key; may be repeated", 0                     \
    }
#define NUMBER_ROW                                                                                 \
    {                                                                                              \
        "number", 'n', "N", 0, "Serial number; higher than those before (needed)", 0               \
    }

static int finish(const struct common *c, const char *prefix, uint8_t *octets, size_t size)
{
    uint8_t secret[64];
    if (size == 0)
        return tool_fail("%s: too long, or a list that is not valid", c->output);
    for (unsigned i = 0; i < c->keys.count; i++) {
        if (tool_read_secret(c->keys.at[i], secret) != 0)
            return 1;
        const bool good = sl_document_sign(octets, &size, prefix, secret);
        sodium_memzero(secret, sizeof(secret));
        if (!good)
            return tool_fail("%s: no room for a signature", c->output);
    }
    return tool_output_file(c->output, octets, size);
}

static error_t parse_common(int key, char *text, struct argp_state *state, struct common *c)
{
    switch (key) {
    case 'o':
        c->output = text;
        return 0;
    case 'k':
        tool_add(&c->keys, text, state);
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "unexpected argument '%s'", text);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

struct catalog {
    struct common common;
    struct sl_catalog content;
};

static const struct argp_option catalog_rows[] = {
    OUTPUT_ROW,
    NUMBER_ROW,
    {"product", 'p', "NAME", 0, "What is inspected (needed)", 0},
    {"floor", 'f', "EPOCH.SEQ", 0, "Nothing below runs (0.0)", 0},
    {"revoke", 'r', "ID", 0, "Id of a bundle that must not run; may be repeated", 0},
    KEY_ROW,
    {0},
};

static error_t parse_catalog(int key, char *text, struct argp_state *state)
{
    struct catalog *c = state->input;
    struct sl_catalog *content = &c->content;
    switch (key) {
    case 'n':
        content->number = tool_u32("number", text, UINT32_MAX, state);
        return 0;
    case 'p':
        tool_text("product", text, content->product, sizeof(content->product), state);
        return 0;
    case 'f':
        content->floor = tool_number(text, state);
        return 0;
    case 'r':
        if (content->n_revoked == SL_REVOKED_MAX)
            argp_error(state, "--revoke: at most %d", SL_REVOKED_MAX);
        tool_id(text, content->revoked[content->n_revoked++], state);
        return 0;
    case ARGP_KEY_END:
        if (!c->common.output || !*content->product || content->number == 0)
            argp_error(state, "--output, --product and --number (from 1) are needed");
        return 0;
    default:
        return parse_common(key, text, state, &c->common);
    }
}

static int compare(const void *a, const void *b)
{
    return memcmp(a, b, SL_HASH);
}

int bundle_catalog(int argc, char **argv)
{
    static const char doc[] = "Makes a catalog (.slc): the floor, and bundles that are revoked. "
                              "Release keys sign it; it travels on every stick.";
    static const struct argp argp = {catalog_rows, parse_catalog, NULL, doc, NULL, NULL, NULL};
    static struct catalog c;
    uint8_t octets[SL_DOCUMENT_MAX];
    argp_parse(&argp, argc, argv, 0, NULL, &c);
    qsort(c.content.revoked, c.content.n_revoked, SL_HASH, compare);
    const size_t size = sl_catalog_write(&c.content, octets);
    return finish(&c.common, SL_PREFIX_CATALOG, octets, size);
}

struct order {
    struct common common;
    struct sl_order content;
    bool has_bundle;
};

static const struct argp_option order_rows[] = {
    OUTPUT_ROW,
    NUMBER_ROW,
    {"product", 'p', "NAME", 0, "What is inspected (needed)", 0},
    {"bundle", 'b', "ID", 0, "Id of the bundle that should run (needed)", 0},
    {"camera", 'c', "NAME", 0, "A camera it is for; may be repeated; every one if not given", 0},
    {"when", 'w', "WHEN", 0, "at-once, line-idle, next-start or on-demand (line-idle)", 0},
    {"downgrade", 'd', "EPOCH.SEQ", 0,
     "Permit a bundle that is older than what serves, down to this, even below the floor", 0},
    KEY_ROW,
    {0},
};

static uint8_t parse_when(const char *text, struct argp_state *state)
{
    static const char *const names[] = {"at-once", "line-idle", "next-start", "on-demand"};
    for (uint8_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (!strcmp(text, names[i]))
            return (uint8_t)(i + 1);
    argp_error(state, "--when: expected at-once, line-idle, next-start or on-demand, found '%s'",
               text);
    return 0;
}

static error_t parse_order(int key, char *text, struct argp_state *state)
{
    struct order *o = state->input;
    struct sl_order *content = &o->content;
    switch (key) {
    case 'n':
        content->number = tool_u32("number", text, UINT32_MAX, state);
        return 0;
    case 'p':
        tool_text("product", text, content->product, sizeof(content->product), state);
        return 0;
    case 'b':
        tool_id(text, content->bundle, state);
        o->has_bundle = true;
        return 0;
    case 'c':
        if (content->n_cameras == SL_CAMERAS_MAX)
            argp_error(state, "--camera: at most %d", SL_CAMERAS_MAX);
        tool_text("camera", text, content->cameras[content->n_cameras++],
                  sizeof(content->cameras[0]), state);
        return 0;
    case 'w':
        content->when = parse_when(text, state);
        return 0;
    case 'd':
        content->downgrade = tool_number(text, state);
        content->permits_downgrade = true;
        return 0;
    case ARGP_KEY_END:
        if (!o->common.output || !*content->product || content->number == 0 || !o->has_bundle)
            argp_error(state, "--output, --product, --bundle and --number (from 1) are needed");
        return 0;
    default:
        return parse_common(key, text, state, &o->common);
    }
}

int bundle_order(int argc, char **argv)
{
    static const char doc[] =
        "Makes an order of the plant: which bundle runs on which cameras, "
        "from when on, and whether it may be an older one. Site keys sign it.";
    static const struct argp argp = {order_rows, parse_order, NULL, doc, NULL, NULL, NULL};
    static struct order o = {.content = {.when = SL_ORDER_LINE_IDLE}};
    uint8_t octets[SL_DOCUMENT_MAX];
    argp_parse(&argp, argc, argv, 0, NULL, &o);
    const size_t size = sl_order_write(&o.content, octets);
    return finish(&o.common, SL_PREFIX_ORDER, octets, size);
}
