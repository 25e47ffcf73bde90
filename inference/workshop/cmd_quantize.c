// `sightline model quantize`: a float model becomes one in 8 bits.
#include "inference/workshop/commands.h"

#include "inference/workshop/argument.h"
#include "inference/workshop/folder.h"
#include "inference/workshop/progress.h"
#include "inference/workshop/quantize.h"

#include <argp.h>
#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LEAST_PICTURES = 8 };

struct options {
    const char *path, *pictures, *out, *contract;
    uint32_t most;
    bool json;
    struct quantize_options how;
};

enum { KEY_OUT = 256, KEY_KEEP, KEY_METHOD, KEY_PICTURES, KEY_CONTRACT };

static const struct argp_option rows[] = {
    {"calibration", 'c', "DIR", 0,
     "Pictures such as the camera will take: a folder of JPEG files, or a dataset (labels are not "
     "read)",
     0},
    {"out", KEY_OUT, "DIR", 0, "Folder to be made for the new model", 0},
    {"pictures", KEY_PICTURES, "N", 0,
     "Take N of the pictures, evenly spread (default 64; at least 8)", 0},
    {"keep-float", KEY_KEEP, "WHICH", 0,
     "Layers that stay in float: auto (default: the few that cause far more than their share of "
     "the "
     "error), a number of layers (0: none), or NAME,NAME…",
     0},
    {"method", KEY_METHOD, "METHOD", 0,
     "best (default), or minmax: ranges from min to max and nearest rounding, for comparison", 0},
    {"contract", KEY_CONTRACT, "FILE", 0, "model.yaml for a network that has none beside it", 0},
    {"json", 'j', NULL, 0, "Print one JSON object", 0},
    {0},
};

static error_t parse(int key, char *text, struct argp_state *state)
{
    struct options *o = state->input;
    switch (key) {
    case 'c':
        o->pictures = text;
        return 0;
    case 'j':
        o->json = true;
        return 0;
    case KEY_OUT:
        o->out = text;
        return 0;
    case KEY_KEEP:
        o->how.keep_float = text;
        return 0;
    case KEY_CONTRACT:
        o->contract = text;
        return 0;
    case KEY_PICTURES:
        o->most = argument_number(state, "--pictures", text, LEAST_PICTURES, 4096);
        return 0;
    case KEY_METHOD:
        if (strcmp(text, "best") != 0 && strcmp(text, "minmax") != 0)
            argp_error(state, "--method: expected best or minmax, found '%s'", text);
        o->how.method = strcmp(text, "best") ? QUANTIZE_MINMAX : QUANTIZE_BEST;
        return 0;
    case ARGP_KEY_ARG:
        if (o->path)
            argp_error(state, "unexpected argument '%s'", text);
        o->path = text;
        return 0;
    case ARGP_KEY_END:
        if (!o->how.keep_float && o->how.method == QUANTIZE_BEST)
            o->how.keep_float = "auto";
        if (!o->path || !o->pictures || !o->out)
            argp_error(state, "expected: MODEL --calibration DIR --out DIR");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static void print_table(const struct options *o, const struct quantize_report *r, uint32_t pictures,
                        size_t before, size_t after, double seconds)
{
    printf("%-36s %9s %-14s %-12s %-9s %8s\n", "layer", "MMAC", "input range", "rounding",
           "equalised", "SNR dB");
    for (uint32_t i = 0; i < r->n_layers; i++) {
        const struct quantize_layer *l = &r->layers[i];
        const size_t length = strlen(l->name);
        printf("%-36s %9.2f %-14s %-12s %-9s %8.1f\n", l->name + (length > 36 ? length - 36 : 0),
               (double)l->macs / 1e6, l->range,
               l->kept                              ? "float"
               : l->rounding == ROUNDED_COMPENSATED ? "compensated"
                                                    : "nearest",
               l->equalised ? "yes" : "", (double)l->snr_db);
    }
    printf("%s: %u of %u layers in 8 bits, %u activations with a scale; %u pictures\n", o->out,
           r->n_layers - r->n_kept, r->n_layers, r->n_tensors, pictures);
    printf("  detections: %.1f %% of what the float network finds is moved, lost or added, on "
           "pictures held "
           "out%s\n",
           100 * r->detection_error,
           r->method != o->how.method ? "; min-max was better than --method best and was taken"
                                      : "");
    printf("  outputs: %.1f dB signal to noise; file %.2f MB, was %.2f MB; %.1f s\n",
           (double)r->output_snr_db, (double)after / 1e6, (double)before / 1e6, seconds);
}

static void print_json(const struct options *o, const struct quantize_report *r, uint32_t pictures,
                       size_t before, size_t after, double seconds)
{
    cJSON *root = cJSON_CreateObject(), *layers = cJSON_AddArrayToObject(root, "layers");
    cJSON_AddStringToObject(root, "out", o->out);
    cJSON_AddNumberToObject(root, "pictures", pictures);
    cJSON_AddNumberToObject(root, "layers_int8", r->n_layers - r->n_kept);
    cJSON_AddNumberToObject(root, "layers_float", r->n_kept);
    cJSON_AddNumberToObject(root, "output_snr_db", (double)r->output_snr_db);
    cJSON_AddNumberToObject(root, "detection_error", r->detection_error);
    cJSON_AddStringToObject(root, "method", r->method == QUANTIZE_BEST ? "best" : "minmax");
    cJSON_AddNumberToObject(root, "bytes_before", (double)before);
    cJSON_AddNumberToObject(root, "bytes", (double)after);
    cJSON_AddNumberToObject(root, "seconds", seconds);
    for (uint32_t i = 0; i < r->n_layers; i++) {
        const struct quantize_layer *l = &r->layers[i];
        cJSON *row = cJSON_CreateObject();
        cJSON_AddStringToObject(row, "name", l->name);
        cJSON_AddNumberToObject(row, "macs", (double)l->macs);
        cJSON_AddBoolToObject(row, "float", l->kept);
        cJSON_AddStringToObject(row, "input_range", l->range);
        cJSON_AddStringToObject(row, "rounding",
                                l->rounding == ROUNDED_COMPENSATED ? "compensated" : "nearest");
        cJSON_AddBoolToObject(row, "equalised", l->equalised);
        cJSON_AddNumberToObject(row, "snr_db", (double)l->snr_db);
        if (o->how.keep_float)
            cJSON_AddNumberToObject(row, "error_share", (double)l->sensitivity);
        cJSON_AddItemToArray(layers, row);
    }
    char *text = cJSON_PrintUnformatted(root);
    printf("%s\n", text ? text : "{}");
    cJSON_free(text);
    cJSON_Delete(root);
}

static int work(const struct options *o, struct network *network, struct progress *progress,
                struct sl_error *error)
{
    struct calibration calibration = {0};
    struct quantize_report report = {0};
    void *bytes = NULL;
    size_t size = 0;
    uint32_t pictures = 0;
    int status = 0;
    if (quantize_is_done(network)) {
        fprintf(o->json ? stderr : stdout, "%s is quantised already: it is taken over as it is\n",
                o->path);
    } else {
        status = calibration_load(network->model, o->pictures, LEAST_PICTURES, o->most,
                                  progress_step, progress, &calibration, error);
        calibration_note(&calibration, network->model, "quantize");
        if (status == 0)
            status = quantize_network(network, &calibration, &o->how, &report, error);
        pictures = calibration.count;
        calibration_free(&calibration);
    }
    if (status == 0)
        status = network_save(network, o->out, SL_WEIGHTS_AS_THEY_ARE, NULL, 0, error);
    const double seconds = progress_end(progress);
    if (status == 0)
        status = network_bytes(network, SL_WEIGHTS_AS_THEY_ARE, NULL, 0, &bytes, &size, error);
    const size_t was = network->model->graph->onnx_bytes;
    if (status == 0 && o->json)
        print_json(o, &report, pictures, was, size, seconds);
    else if (status == 0 && report.n_layers)
        print_table(o, &report, pictures, was, size, seconds);
    free(bytes);
    quantize_report_free(&report);
    return status;
}

int workshop_command_quantize(int argc, char **argv)
{
    static const char doc[] =
        "Makes an INT8 model of a float one: weights with one scale per channel, activations with "
        "one scale per tensor, in the QDQ form of ONNX.\vMODEL is a model's folder, or an .onnx "
        "file with a model.yaml beside it. The new folder holds the network, model.yaml and what "
        "it names; it appears whole or not at all.";
    const struct argp argp = {rows, parse, "MODEL", doc, NULL, NULL, NULL};
    struct options o = {0};
    struct sl_error error = {""};
    struct network network = {0};
    struct progress progress;
    argp_err_exit_status = 2;
    argp_parse(&argp, argc, argv, 0, NULL, &o);
    progress_begin(&progress, o.json);
    o.how.progress = progress_step;
    o.how.ctx = &progress;
    int status = folder_check(o.out, &error);
    if (status == 0)
        status = network_open(o.path, o.contract, &network, &error);
    if (status == 0)
        status = work(&o, &network, &progress, &error);
    network_close(&network);
    if (status == 0)
        return 0;
    progress_end(&progress);
    fprintf(stderr, "sightline model quantize: %s\n", error.message);
    return 1;
}
