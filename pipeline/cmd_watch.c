// `sightline watch`: verdicts as they come.
#include "pipeline/commands.h"

#include "pipeline/listen.h"
#include "pipeline/watch_table.h"

#include <cjson/cJSON.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

struct watch {
    struct listen_options listen;
    long count;
    bool json, terminal, changed;
    unsigned long seen;
    struct timespec drawn;
    struct watch_table table;
};

static const struct argp_option rows[] = {
    {"count", 'n', "N", 0, "Stop after N verdicts", 0},
    {"json", 'j', NULL, 0, "One verdict as JSON per line", 0},
    {0},
};
static const struct argp_child children[] = {{&listen_argp, 0, "Broker:", 10}, {0}};

static error_t parse(int key, char *text, struct argp_state *state)
{
    struct watch *w = state->input;
    char *end = NULL;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &w->listen;
        return 0;
    case 'n':
        w->count = strtol(text, &end, 10);
        if (*end || w->count < 1)
            argp_error(state, "--count: expected a number above 0, found '%s'", text);
        return 0;
    case 'j':
        w->json = true;
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "unexpected argument '%s'", text);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static void draw(struct watch *w)
{
    printf("\033[H\033[2J");
    watch_table_print(&w->table, stdout);
    fflush(stdout);
}

// Redraws at most ten times a second.
static void idle(void *ctx)
{
    struct watch *w = ctx;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    const int64_t since =
        (int64_t)(now.tv_sec - w->drawn.tv_sec) * 1000 + (now.tv_nsec - w->drawn.tv_nsec) / 1000000;
    if (!w->terminal || !w->changed || since < 100)
        return;
    w->drawn = now;
    w->changed = false;
    draw(w);
}

static bool is_object(const char *payload)
{
    cJSON *json = cJSON_ParseWithOpts(payload, NULL, true);
    const bool object = cJSON_IsObject(json);
    cJSON_Delete(json);
    return object;
}

static bool on_message(void *ctx, const char *camera, const char *leaf, const char *payload,
                       size_t size, bool retained)
{
    struct watch *w = ctx;
    char line[WATCH_LINE];
    (void)retained;
    // Who reads JSON gets nothing else, and nothing else counts.
    const bool verdict = watch_table_take(&w->table, camera, leaf, payload, size, line) &&
                         (!w->json || is_object(payload));
    if (verdict && w->json)
        listen_print_json(payload);
    else if (verdict && !w->terminal)
        printf("%s\n", line);
    w->changed = true;
    w->seen += verdict;
    fflush(stdout);
    return w->count == 0 || w->seen < (unsigned long)w->count;
}

int sl_command_watch(int argc, char **argv)
{
    static const char doc[] =
        "Shows verdicts live: a table on a terminal, a line per verdict elsewhere."
        "\vExit status: 0 stopped or N seen, 1 unreachable or timed out, 2 usage.";
    static const char *const leaves[] = {"verdict", "health", "status", NULL};
    const struct argp argp = {rows, parse, NULL, doc, children, NULL, NULL};
    struct watch *w = calloc(1, sizeof(*w));
    if (!w)
        return 1;
    w->listen = (struct listen_options)LISTEN_DEFAULTS;
    argp_err_exit_status = 2;
    argp_parse(&argp, argc, argv, 0, NULL, w);
    w->listen.reconnect = true;
    w->terminal = !w->json && isatty(STDOUT_FILENO);
    const enum listen_result result = listen_run(&w->listen, "watch", leaves, on_message, idle, w);
    if (w->terminal && result != LISTEN_FAILED)
        draw(w);
    free(w);
    return result != LISTEN_STOPPED;
}
