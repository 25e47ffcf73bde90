// `sightline model convert`: the same network with its float weights in fewer bytes.
#include "inference/workshop/commands.h"

#include "inference/workshop/argument.h"
#include "inference/workshop/folder.h"
#include "inference/workshop/int4.h"

#include <argp.h>
#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct options {
    const char *path, *out, *contract, *pictures;
    int weights; // enum sl_weight_storage, or -1
    uint32_t most;
    bool json;
};

enum { LEAST_PICTURES = 8 };
enum { KEY_OUT = 256, KEY_WEIGHTS, KEY_CONTRACT, KEY_PICTURES };

static const char *const storages[] = {
    [SL_WEIGHTS_AS_THEY_ARE] = "fp32", [SL_WEIGHTS_FP16] = "fp16", [SL_WEIGHTS_INT4] = "int4"};

static const struct argp_option rows[] = {
    {"weights", KEY_WEIGHTS, "FORM", 0,
     "How float weights lie in the file: fp16 (half the size), int4 (an eighth; 15 levels for each "
     "32 weights; give pictures and check the accuracy), or fp32",
     0},
    {"calibration", 'c', "DIR", 0,
     "With int4: pictures on which the layers make up for their rounding; labels are not read", 0},
    {"pictures", KEY_PICTURES, "N", 0,
     "Take N of the pictures, evenly spread (default 64; at least 8)", 0},
    {"out", KEY_OUT, "DIR", 0, "Folder to be made for the new model", 0},
    {"contract", KEY_CONTRACT, "FILE", 0, "model.yaml for a network that has none beside it", 0},
    {"json", 'j', NULL, 0, "Print one JSON object", 0},
    {0},
};

static int storage(struct argp_state *state, const char *text)
{
    for (size_t i = 0; i < sizeof(storages) / sizeof(*storages); i++)
        if (!strcmp(text, storages[i]))
            return (int)i;
    argp_error(state, "--weights: expected fp16, int4 or fp32, found '%s'", text);
    return -1;
}

static error_t parse(int key, char *text, struct argp_state *state)
{
    struct options *o = state->input;
    switch (key) {
    case 'j':
        o->json = true;
        return 0;
    case 'c':
        o->pictures = text;
        return 0;
    case KEY_PICTURES:
        o->most = argument_number(state, "--pictures", text, LEAST_PICTURES, 4096);
        return 0;
    case KEY_OUT:
        o->out = text;
        return 0;
    case KEY_CONTRACT:
        o->contract = text;
        return 0;
    case KEY_WEIGHTS:
        o->weights = storage(state, text);
        return 0;
    case ARGP_KEY_ARG:
        if (o->path)
            argp_error(state, "unexpected argument '%s'", text);
        o->path = text;
        return 0;
    case ARGP_KEY_END:
        if (!o->path || !o->out || o->weights < 0)
            argp_error(state, "expected: MODEL --weights FORM --out DIR");
        if (o->pictures && o->weights != SL_WEIGHTS_INT4)
            argp_error(state, "--calibration goes with --weights int4");
        if (o->most && !o->pictures)
            argp_error(state, "--pictures goes with --calibration");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static void print(const struct options *o, const struct int4_report *report, size_t before,
                  size_t after)
{
    if (!o->json) {
        printf("%s: %zu bytes, was %zu (%.1f %%); float weights as %s\n", o->out, after, before,
               100 * (double)after / (double)before, storages[o->weights]);
        if (o->pictures)
            printf("  %u layers rounded, %u of them with compensation; outputs: %.1f dB signal to "
                   "noise\n",
                   report->n_layers, report->n_compensated, (double)report->output_snr_db);
        return;
    }
    cJSON *root = cJSON_CreateObject();
    cJSON_AddStringToObject(root, "out", o->out);
    cJSON_AddStringToObject(root, "weights", storages[o->weights]);
    cJSON_AddNumberToObject(root, "bytes_before", (double)before);
    cJSON_AddNumberToObject(root, "bytes", (double)after);
    if (o->pictures) {
        cJSON_AddNumberToObject(root, "layers", report->n_layers);
        cJSON_AddNumberToObject(root, "layers_compensated", report->n_compensated);
        cJSON_AddNumberToObject(root, "output_snr_db", (double)report->output_snr_db);
    }
    char *text = cJSON_PrintUnformatted(root);
    printf("%s\n", text ? text : "{}");
    cJSON_free(text);
    cJSON_Delete(root);
}

static int fit(const struct options *o, struct network *network, struct int4_report *report,
               struct sl_error *error)
{
    struct calibration calibration = {0};
    struct progress progress;
    progress_begin(&progress, o->json);
    int status = calibration_load(network->model, o->pictures, LEAST_PICTURES, o->most,
                                  progress_step, &progress, &calibration, error);
    calibration_note(&calibration, network->model, "convert");
    if (status == 0)
        status = int4_round(network, &calibration, progress_step, &progress, report, error);
    calibration_free(&calibration);
    progress_end(&progress);
    return status;
}

static int work(const struct options *o, struct network *network, struct sl_error *error)
{
    const enum sl_weight_storage weights = (enum sl_weight_storage)o->weights;
    struct int4_report report = {0};
    void *bytes = NULL;
    size_t size = 0;
    int status = o->pictures ? fit(o, network, &report, error) : 0;
    if (status == 0)
        status = network_bytes(network, weights, NULL, 0, &bytes, &size, error);
    free(bytes);
    if (status == 0)
        status = network_save(network, o->out, weights, NULL, 0, error);
    if (status == 0)
        print(o, &report, network->model->graph->onnx_bytes, size);
    return status;
}

int workshop_command_convert(int argc, char **argv)
{
    static const char doc[] =
        "Writes the same network with its float weights in fewer bytes, for a small disk or a slow "
        "link; loading gives float32 again, so it runs neither faster nor slower.\vMODEL is a "
        "model's folder, or an .onnx file with a model.yaml beside it. The new folder holds the "
        "network, model.yaml and what it names; it appears whole or not at all. The file uses "
        "operators that every runtime knows (operator set 17), not ONNX's own 4-bit type.";
    const struct argp argp = {rows, parse, "MODEL", doc, NULL, NULL, NULL};
    struct options o = {.weights = -1};
    struct sl_error error = {""};
    struct network network = {0};
    argp_err_exit_status = 2;
    argp_parse(&argp, argc, argv, 0, NULL, &o);
    int status = folder_check(o.out, &error);
    if (status == 0)
        status = network_open(o.path, o.contract, &network, &error);
    if (status == 0)
        status = work(&o, &network, &error);
    network_close(&network);
    if (status == 0)
        return 0;
    fprintf(stderr, "sightline model convert: %s\n", error.message);
    return 1;
}
