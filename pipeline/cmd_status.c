// `sightline status`: the health of every camera, from what the broker retains.
//
// A name without `info` and `health` has said nothing but whether it is there.
#include "pipeline/commands.h"

#include "pipeline/listen.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_CAMERAS = 64, GOOD = 0, DEGRADED = 3, FAULT = 4 };

struct camera {
    char name[64];
    bool offline, has_info;
    cJSON *health;
};

struct status {
    struct listen_options listen;
    bool json;
    unsigned count;
    struct camera cameras[MOST_CAMERAS];
};

static const struct argp_option rows[] = {
    {"json", 'j', NULL, 0, "Print one JSON object", 0},
    {0},
};
static const struct argp_child children[] = {{&listen_argp, 0, "Broker:", 10}, {0}};

static error_t parse(int key, char *text, struct argp_state *state)
{
    struct status *s = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &s->listen;
        return 0;
    case 'j':
        s->json = true;
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "unexpected argument '%s'", text);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static struct camera *camera_of(struct status *s, const char *name)
{
    char clean[64];
    listen_clean(name, clean, sizeof(clean));
    for (unsigned i = 0; i < s->count; i++)
        if (!strcmp(s->cameras[i].name, clean))
            return &s->cameras[i];
    if (s->count == MOST_CAMERAS)
        return NULL;
    snprintf(s->cameras[s->count].name, sizeof(s->cameras[0].name), "%s", clean);
    return &s->cameras[s->count++];
}

// Retained messages come at once; the time-out ends the wait.
static bool on_message(void *ctx, const char *name, const char *leaf, const char *payload,
                       size_t size, bool retained)
{
    struct status *s = ctx;
    struct camera *camera = camera_of(s, name);
    (void)retained;
    if (camera && !strcmp(leaf, "status"))
        camera->offline = !strcmp(payload, "offline");
    if (camera && !strcmp(leaf, "info"))
        camera->has_info = true;
    if (camera && !strcmp(leaf, "health")) {
        cJSON_Delete(camera->health);
        camera->health = cJSON_ParseWithLength(payload, size);
    }
    return true;
}

static bool is_silent(const struct camera *camera)
{
    return !camera->has_info && !camera->health;
}

static int state_of(const struct camera *camera)
{
    if (is_silent(camera))
        return camera->offline ? FAULT : GOOD;

    const cJSON *state = cJSON_GetObjectItemCaseSensitive(camera->health, "state");
    if (camera->offline || !cJSON_IsString(state))
        return FAULT;
    return !strcmp(state->valuestring, "good")       ? GOOD
           : !strcmp(state->valuestring, "degraded") ? DEGRADED
                                                     : FAULT;
}

static const char *state_name(const struct camera *camera, int state)
{
    return camera->offline     ? "offline"
           : is_silent(camera) ? "online"
           : state == GOOD     ? "good"
           : state == DEGRADED ? "degraded"
                               : "fault";
}

static void print_camera(const struct camera *camera, int state)
{
    const cJSON *item;
    char text[200];
    printf("%-20s %-9s", camera->name, state_name(camera, state));
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(camera->health, "reasons"))
    {
        listen_clean(cJSON_IsString(item) ? item->valuestring : "", text, sizeof(text));
        printf("%s%s", item->prev && item->prev->next ? "; " : " ", text);
    }
    printf("\n");
}

static void print_json(struct status *s)
{
    cJSON *all = cJSON_CreateObject();
    for (unsigned i = 0; i < s->count; i++) {
        cJSON *one = cJSON_AddObjectToObject(all, s->cameras[i].name);
        cJSON_AddStringToObject(one, "state", state_name(&s->cameras[i], state_of(&s->cameras[i])));
        if (s->cameras[i].health)
            cJSON_AddItemReferenceToObject(one, "health", s->cameras[i].health);
    }
    char *text = cJSON_PrintUnformatted(all);
    listen_print_json(text ? text : "{}");
    cJSON_free(text);
    cJSON_Delete(all);
}

static int report(struct status *s)
{
    int worst = GOOD;
    if (s->json)
        print_json(s);
    for (unsigned i = 0; i < s->count; i++) {
        const int state = state_of(&s->cameras[i]);
        worst = state > worst ? state : worst;
        if (!s->json)
            print_camera(&s->cameras[i], state);
    }
    return worst;
}

int sl_command_status(int argc, char **argv)
{
    static const char doc[] = "Shows the health of every camera that the broker knows."
                              "\vExit status: 0 all good, 3 degraded, 4 fault or offline, 1 broker "
                              "unreachable or no camera "
                              "known, 2 usage.";
    static const char *const leaves[] = {"status", "info", "health", NULL};
    const struct argp argp = {rows, parse, NULL, doc, children, NULL, NULL};
    struct status *s = calloc(1, sizeof(*s));
    int status = 1;
    if (!s)
        return 1;
    s->listen = (struct listen_options)LISTEN_DEFAULTS;
    s->listen.timeout_s = 1;
    argp_err_exit_status = 2;
    argp_parse(&argp, argc, argv, 0, NULL, s);
    const enum listen_result result = listen_run(&s->listen, "status", leaves, on_message, NULL, s);
    if (result != LISTEN_FAILED && s->count == 0)
        fprintf(stderr, "sightline status: no camera below '%s' on %s:%d\n", s->listen.root,
                s->listen.host, s->listen.port);
    else if (result != LISTEN_FAILED)
        status = report(s);
    for (unsigned i = 0; i < s->count; i++)
        cJSON_Delete(s->cameras[i].health);
    free(s);
    return status;
}
