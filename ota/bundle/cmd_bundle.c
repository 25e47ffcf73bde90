// `sightline bundle`: makes, signs and checks model bundles. The verifier is the camera's own.
#include "ota/bundle/tool.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

static const struct action {
    const char *name, *summary;
    int (*run)(int argc, char **argv);
} actions[] = {
    {"keygen", "Make a pair of keys", bundle_keygen},
    {"rotate", "Make a root: the first one, or the next", bundle_rotate},
    {"create", "Make a bundle of a model directory", bundle_create},
    {"sign", "Add signatures to a bundle, root, catalog or order", bundle_sign},
    {"verify", "Check as a camera does", bundle_verify},
    {"show", "Show what a file says, without checking signatures", bundle_show},
    {"catalog", "Make a catalog: floor and revoked bundles", bundle_catalog},
    {"order", "Make a site's order: which bundle runs where", bundle_order},
    {"seed", "Give a bundle to cameras through the broker", bundle_seed},
};
enum { N_ACTIONS = sizeof(actions) / sizeof(actions[0]) };

static void usage(FILE *out)
{
    fprintf(out, "Usage: sightline bundle ACTION [OPTION...]\n\n");
    for (int i = 0; i < N_ACTIONS; i++)
        fprintf(out, "  %-8s %s\n", actions[i].name, actions[i].summary);
    fprintf(out, "\n`sightline bundle ACTION --help` tells more. Exit status: 0 done, 1 failed or "
                 "refused, 2 usage.\n");
}

static error_t parse_keygen(int key, char *text, struct argp_state *state)
{
    struct tool_list *names = state->input;
    switch (key) {
    case ARGP_KEY_ARG:
        tool_add(names, text, state);
        return 0;
    case ARGP_KEY_END:
        if (names->count == 0)
            argp_error(state, "expected: FILE");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

int bundle_keygen(int argc, char **argv)
{
    static const char doc[] =
        "Writes a secret key to FILE (mode 0600) and its public key to FILE.pub. Files that are "
        "there already are not touched. The secret key is not encrypted: keep it where only its "
        "owner can reach it, a root's on a machine without network.";
    static const struct argp argp = {NULL, parse_keygen, "FILE...", doc, NULL, NULL, NULL};
    struct tool_list names = {0};
    argp_parse(&argp, argc, argv, 0, NULL, &names);
    int status = 0;
    for (unsigned i = 0; i < names.count && status == 0; i++)
        status = tool_write_keys(names.at[i]);
    return status;
}

int main(int argc, char **argv)
{
    char name[64];
    if (argc < 2) {
        usage(stderr);
        return 2;
    }
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "-?")) {
        usage(stdout);
        return 0;
    }
    argp_err_exit_status = 2;
    if (sodium_init() < 0)
        return tool_fail("libsodium does not start");
    for (int i = 0; i < N_ACTIONS; i++)
        if (!strcmp(argv[1], actions[i].name)) {
            snprintf(name, sizeof(name), "sightline bundle %s", actions[i].name);
            argv[1] = name;
            return actions[i].run(argc - 1, argv + 1);
        }
    fprintf(stderr, "sightline bundle: there is no action '%.40s'\n", argv[1]);
    usage(stderr);
    return 2;
}
