// `sightline watch`: verdicts as they come.
#include "pipeline/commands.h"

#include "pipeline/listen.h"

#include <cjson/cJSON.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { MOST_CAMERAS = 16, LINES = 12, WIDTH = 120 };

struct camera {
    char name[64], health[24], reason[80];
    unsigned long parts, ok, ng, error;
    double latency_ms;
};

struct watch {
    struct listen_options listen;
    long count;
    bool json, table;
    unsigned long seen;
    unsigned n_cameras, next_line;
    struct camera cameras[MOST_CAMERAS];
    char lines[LINES][WIDTH];
    bool changed;
    struct timespec drawn;
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

static struct camera *camera_of(struct watch *w, const char *name)
{
    char clean[64];
    listen_clean(name, clean, sizeof(clean));
    for (unsigned i = 0; i < w->n_cameras; i++)
        if (!strcmp(w->cameras[i].name, clean))
            return &w->cameras[i];
    if (w->n_cameras == MOST_CAMERAS)
        return NULL;
    struct camera *camera = &w->cameras[w->n_cameras++];
    snprintf(camera->name, sizeof(camera->name), "%s", clean);
    snprintf(camera->health, sizeof(camera->health), "unknown");
    return camera;
}

static void text_of(const cJSON *json, const char *key, char *out, size_t size)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, key);
    listen_clean(cJSON_IsString(item) ? item->valuestring : "", out, size);
}

static double number_of(const cJSON *json, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, key);
    return cJSON_IsNumber(item) ? item->valuedouble : 0;
}

static void first_reasons(const cJSON *json, char *out, size_t size)
{
    const cJSON *item;
    size_t used = 0;
    out[0] = '\0';
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(json, "reasons"))
    {
        char reason[80];
        listen_clean(cJSON_IsString(item) ? item->valuestring : "", reason, sizeof(reason));
        const int n = snprintf(out + used, size - used, "%s%s", used ? ", " : "", reason);
        used += n > 0 && (size_t)n < size - used ? (size_t)n : 0;
    }
}

static void add_verdict(struct watch *w, struct camera *camera, const cJSON *json)
{
    char result[12], part[32], reasons[64], line[WIDTH];
    text_of(json, "result", result, sizeof(result));
    text_of(json, "part_id", part, sizeof(part));
    first_reasons(json, reasons, sizeof(reasons));
    camera->parts++;
    camera->ok += !strcmp(result, "ok");
    camera->ng += !strcmp(result, "ng");
    camera->error += !strcmp(result, "error");
    camera->latency_ms = number_of(json, "latency_ms");
    snprintf(line, sizeof(line), "%-12.12s %-20.20s %-5s %6.1f ms  %.60s", camera->name, part,
             !strcmp(result, "ok")   ? "OK"
             : !strcmp(result, "ng") ? "NG"
                                     : "ERROR",
             camera->latency_ms, reasons);
    if (w->table)
        memcpy(w->lines[w->next_line++ % LINES], line, sizeof(line));
    else
        printf("%s\n", line);
}

static void draw(struct watch *w)
{
    printf("\033[H\033[2J%-12s %8s %8s %8s %8s %10s  %s\n", "camera", "parts", "OK", "NG", "ERROR",
           "latency", "health");
    for (unsigned i = 0; i < w->n_cameras; i++) {
        const struct camera *c = &w->cameras[i];
        printf("%-12.12s %8lu %8lu %8lu %8lu %7.1f ms  %s %.60s\n", c->name, c->parts, c->ok, c->ng,
               c->error, c->latency_ms, c->health, c->reason);
    }
    printf("\n");
    const unsigned shown = w->next_line < LINES ? w->next_line : LINES;
    for (unsigned i = 1; i <= shown; i++)
        printf("%s\n", w->lines[(w->next_line - i) % LINES]);
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
    if (!w->table || !w->changed || since < 100)
        return;
    w->drawn = now;
    w->changed = false;
    draw(w);
}

// One payload is one line: between JSON's tokens a control character is as good as a space, and
// within its strings only C1 controls (two bytes of UTF-8) may stand, which have an escape too.
static void print_payload(const char *payload)
{
    for (const unsigned char *c = (const unsigned char *)payload; *c; c++) {
        if (c[0] == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0)
            printf("\\u00%02x", *++c);
        else
            putchar(*c < 0x20 || *c == 0x7f ? ' ' : *c);
    }
    putchar('\n');
}

static bool on_message(void *ctx, const char *name, const char *leaf, const char *payload,
                       size_t size, bool retained)
{
    struct watch *w = ctx;
    const bool verdict = !strcmp(leaf, "verdict");
    (void)retained;
    if (verdict && w->json)
        print_payload(payload);
    const bool offline = !strcmp(leaf, "status") && !strcmp(payload, "offline");
    // A daemon's own `status` is no camera.
    struct camera *camera = offline || strcmp(leaf, "status") ? camera_of(w, name) : NULL;
    cJSON *json = camera && !w->json ? cJSON_ParseWithLength(payload, size) : NULL;
    if (json && verdict)
        add_verdict(w, camera, json);
    if (json && !strcmp(leaf, "health")) {
        text_of(json, "state", camera->health, sizeof(camera->health));
        first_reasons(json, camera->reason, sizeof(camera->reason));
    }
    if (camera && offline)
        snprintf(camera->health, sizeof(camera->health), "offline");
    cJSON_Delete(json);
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
    w->table = !w->json && isatty(STDOUT_FILENO);
    const enum listen_result result = listen_run(&w->listen, "watch", leaves, on_message, idle, w);
    if (w->table && result != LISTEN_FAILED)
        draw(w);
    free(w);
    return result != LISTEN_STOPPED;
}
