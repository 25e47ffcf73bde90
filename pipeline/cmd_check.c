// `sightline check`: is a configuration file right?
#include "pipeline/commands.h"

#include "config/camera.h"

#include <argp.h>
#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>

struct options {
    const char *path;
    bool json;
};

static const struct argp_option rows[] = {
    {"json", 'j', NULL, 0, "Print one JSON object", 0},
    {0},
};

static error_t parse(int key, char *text, struct argp_state *state)
{
    struct options *o = state->input;
    switch (key) {
    case 'j':
        o->json = true;
        return 0;
    case ARGP_KEY_ARG:
        if (o->path)
            argp_error(state, "unexpected argument '%s'", text);
        o->path = text;
        return 0;
    case ARGP_KEY_END:
        if (!o->path)
            argp_error(state, "name the configuration file");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static void print_json(const struct options *o, const char *problem, uint32_t cameras)
{
    cJSON *json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "file", o->path);
    cJSON_AddBoolToObject(json, "ok", problem == NULL);
    if (problem)
        cJSON_AddStringToObject(json, "error", problem);
    else
        cJSON_AddNumberToObject(json, "cameras", cameras);
    char *text = cJSON_PrintUnformatted(json);
    puts(text ? text : "{}");
    cJSON_free(text);
    cJSON_Delete(json);
}

int sl_command_check(int argc, char **argv)
{
    static const char doc[] = "Checks a configuration file without starting anything."
                              "\vExit status: 0 right, 1 wrong, 2 usage.";
    const struct argp argp = {rows, parse, "FILE", doc, NULL, NULL, NULL};
    struct options o = {NULL, false};
    struct sl_config *config = NULL;
    struct sl_yaml_error error = {""};
    argp_err_exit_status = 2;
    argp_parse(&argp, argc, argv, 0, NULL, &o);
    const int status = sl_config_load(o.path, &config, &error);
    if (o.json)
        print_json(&o, status < 0 ? error.message : NULL, config ? config->cameras_count : 0);
    else if (status < 0)
        fprintf(stderr, "%s\n", error.message);
    else
        printf("%s: ok, %u camera%s\n", o.path, config->cameras_count,
               config->cameras_count == 1 ? "" : "s");
    sl_config_free(config);
    return status < 0;
}
