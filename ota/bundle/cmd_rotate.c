// `sightline bundle rotate`: a root, the first or the next.
#include "ota/bundle/tool.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROLES = 3, OPTION_KEY = 256, OPTION_THRESHOLD = 260 };

struct rotate {
    const char *previous, *output;
    struct tool_list keys, role_keys[ROLES];
    uint32_t thresholds[ROLES];
};

static const struct argp_option rows[] = {
    {"output", 'o', "FILE", 0, "The root (needed)", 0},
    {"previous", 'P', "ROOT", 0, "The root before it, whose keys stay where none are given", 0},
    {"key", 'k', "FILE", 0,
     "Sign with this secret key, of the old root or the new; may be repeated", 0},
    {"root-key", OPTION_KEY, "FILE.pub", 0, "A root key; may be repeated", 1},
    {"root-threshold", OPTION_THRESHOLD, "N", 0, "How many of them must sign (2)", 1},
    {"release-key", OPTION_KEY + 1, "FILE.pub", 0, "A release key; may be repeated", 1},
    {"release-threshold", OPTION_THRESHOLD + 1, "N", 0, "How many of them must sign (1)", 1},
    {"site-key", OPTION_KEY + 2, "FILE.pub", 0, "A key of the plant; may be repeated", 1},
    {"site-threshold", OPTION_THRESHOLD + 2, "N", 0, "How many of them must sign (1)", 1},
    {0},
};

static error_t parse(int key, char *text, struct argp_state *state)
{
    struct rotate *r = state->input;
    if (key >= OPTION_KEY && key < OPTION_KEY + ROLES) {
        tool_add(&r->role_keys[key - OPTION_KEY], text, state);
        return 0;
    }
    if (key >= OPTION_THRESHOLD && key < OPTION_THRESHOLD + ROLES) {
        r->thresholds[key - OPTION_THRESHOLD] =
            tool_u32("…-threshold", text, SL_ROLE_KEYS_MAX, state);
        return 0;
    }
    switch (key) {
    case 'o':
        r->output = text;
        return 0;
    case 'P':
        r->previous = text;
        return 0;
    case 'k':
        tool_add(&r->keys, text, state);
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "unexpected argument '%s'", text);
        return 0;
    case ARGP_KEY_END:
        if (!r->output)
            argp_error(state, "--output is needed");
        if (!r->previous && (r->role_keys[0].count == 0 || r->role_keys[1].count == 0))
            argp_error(state, "without --previous, --root-key and --release-key are needed");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static int compare(const void *a, const void *b)
{
    return memcmp(a, b, SL_KEY);
}

static int fill_role(const struct tool_list *keys, uint32_t threshold, uint8_t usual,
                     struct sl_role *role)
{
    if (keys->count > SL_ROLE_KEYS_MAX)
        return tool_fail("more than %d keys of one role", SL_ROLE_KEYS_MAX);
    if (keys->count > 0) {
        role->count = (uint8_t)keys->count;
        role->threshold = usual;
    }
    for (unsigned i = 0; i < keys->count; i++)
        if (tool_read_public(keys->at[i], role->keys[i]) != 0)
            return 1;
    if (threshold > 0)
        role->threshold = (uint8_t)threshold;
    qsort(role->keys, role->count, SL_KEY, compare);
    return 0;
}

static int read_previous(const char *path, struct sl_root *root)
{
    uint8_t octets[SL_DOCUMENT_MAX];
    size_t size;
    struct sl_document document;
    struct sl_bundle_error error;
    if (tool_read(path, octets, sizeof(octets), &size) != 0)
        return 1;
    if (sl_document_read((struct sl_octets){octets, size}, SL_PREFIX_ROOT, &document, &error) !=
            SL_ACCEPTED ||
        sl_root_read(&document, root, &error) != SL_ACCEPTED)
        return tool_fail("%s: %s", path, error.message);
    return root->version == UINT32_MAX ? tool_fail("%s: no version is left", path) : 0;
}

int bundle_rotate(int argc, char **argv)
{
    static const char doc[] =
        "Makes a root: the keys that may sign the next root, bundles and catalogs, and orders. "
        "With --previous it is the next one, and needs the signatures of both: of enough keys of "
        "the root before it and of enough of its own. They can be added with "
        "`sightline bundle sign`, one person after the other.";
    static const struct argp argp = {rows, parse, NULL, doc, NULL, NULL, NULL};
    static struct sl_root root;
    struct rotate r = {0};
    uint8_t octets[SL_DOCUMENT_MAX], secret[64];
    argp_parse(&argp, argc, argv, 0, NULL, &r);
    if (r.previous && read_previous(r.previous, &root) != 0)
        return 1;
    root.version++;
    struct sl_role *const roles[ROLES] = {&root.root, &root.release, &root.site};
    for (unsigned i = 0; i < ROLES; i++)
        if (fill_role(&r.role_keys[i], r.thresholds[i], i == 0 ? 2 : 1, roles[i]) != 0)
            return 1;
    size_t size = sl_root_write(&root, octets);
    if (size == 0)
        return tool_fail("these keys make no root: each once, thresholds not above the number of "
                         "keys, that of the root at least 2");
    for (unsigned i = 0; i < r.keys.count; i++) {
        if (tool_read_secret(r.keys.at[i], secret) != 0)
            return 1;
        const bool good = sl_document_sign(octets, &size, SL_PREFIX_ROOT, secret);
        sodium_memzero(secret, sizeof(secret));
        if (!good)
            return tool_fail("no room for another signature");
    }
    return tool_output_file(r.output, octets, size);
}
