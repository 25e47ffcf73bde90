// `sightline model prune`: a float model loses channels, and what remains makes up for them.
#include "inference/workshop/commands.h"

#include "inference/workshop/argument.h"
#include "inference/dataset.h"
#include "inference/workshop/folder.h"
#include "inference/workshop/progress.h"
#include "inference/workshop/prune.h"

#include <argp.h>
#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LEAST_PICTURES = 8, PROFILE_LIMIT = 16 << 20, USUAL_STEPS = 8000, USUAL_PICTURES = 256 };

struct options {
    const char *path, *pictures, *out, *contract, *profile;
    uint32_t most;
    bool json, by_time;
    struct prune_options how;
    const char *sparse; // pattern, or NULL: channels go
    double sparsity;
};

enum {
    KEY_OUT = 256,
    KEY_TARGET,
    KEY_TIME,
    KEY_GRANULE,
    KEY_PROFILE,
    KEY_IMPORTANCE,
    KEY_NO_REFIT,
    KEY_SPARSE,
    KEY_SPARSITY,
    KEY_STEPS,
    KEY_PICTURES,
    KEY_CONTRACT
};

static const struct argp_option rows[] = {
    {"calibration", 'c', "DIR", 0,
     "Pictures such as the camera will take: a folder of JPEG files, or a dataset (labels are not "
     "read)",
     0},
    {"out", KEY_OUT, "DIR", 0, "Folder to be made for the new model", 0},
    {"target-macs", KEY_TARGET, "SHARE", 0,
     "How much of the multiply-accumulates shall remain, for example 50%", 0},
    {"target-time", KEY_TIME, "SHARE", 0, "How much of the time shall remain; needs --profile", 0},
    {"profile", KEY_PROFILE, "FILE", 0,
     "Time of each layer, from `sightline bench --model MODEL --profile --json`", 0},
    {"granule", KEY_GRANULE, "N", 0,
     "Channels that go together: 16 (default; what the kernels of x86 and ARM take), 8, 4 or 1", 0},
    {"importance", KEY_IMPORTANCE, "HOW", 0,
     "error (default): least squared error after refitting; magnitude: the weights' squares, for "
     "comparison",
     0},
    {"no-refit", KEY_NO_REFIT, NULL, 0, "Leave the other weights as they are, for comparison", 0},
    {"sparse", KEY_SPARSE, "PATTERN", 0,
     "Make weights zero instead of taking channels out: unstructured, or blocks of "
     "OUTPUTSxINPUTS channels, such as 4x1, 16x4, 16x8; needs --sparsity",
     0},
    {"sparsity", KEY_SPARSITY, "SHARE", 0,
     "With --sparse: multiply-accumulates whose weight shall be zero, for example 50%", 0},
    {"steps", KEY_STEPS, "N", 0,
     "Steps of tuning all layers together towards the whole network's answers, on the calibration "
     "pictures and without labels (default 8000; 0: refit only)",
     0},
    {"pictures", KEY_PICTURES, "N", 0,
     "Take N of the pictures, evenly spread (default 256; at least 8)", 0},
    {"contract", KEY_CONTRACT, "FILE", 0, "model.yaml for a network that has none beside it", 0},
    {"json", 'j', NULL, 0, "Print one JSON object", 0},
    {0},
};

// "50%" or "0.5": what shall remain.
static double share(struct argp_state *state, const char *option, const char *text)
{
    char *end;
    double value = strtod(text, &end);
    if (end != text && !strcmp(end, "%"))
        value /= 100, end++;
    if (end == text || *end || !(value > 0 && value < 1))
        argp_error(state, "%s: expected a share between 0%% and 100%%, found '%s'", option, text);
    return value;
}

static void check_sparse(struct argp_state *state, const struct options *o)
{
    struct sparse_pattern pattern;
    struct sl_error error;
    if (!o->path || !o->pictures || !o->out || !o->sparse || o->sparsity <= 0)
        argp_error(state, "expected: MODEL --sparse PATTERN --sparsity SHARE --calibration DIR "
                          "--out DIR");
    if (o->how.remove > 0 || o->profile || o->how.granule || !o->how.refit)
        argp_error(state, "--sparse and --sparsity do not go with options that choose channels");
    if (sparse_pattern_parse(o->sparse, &pattern, &error) < 0)
        argp_error(state, "--sparse: %s", error.message);
}

static void check(struct argp_state *state, const struct options *o)
{
    if (o->sparse || o->sparsity > 0) {
        check_sparse(state, o);
        return;
    }
    if (!o->path || !o->pictures || !o->out || o->how.remove <= 0)
        argp_error(state, "expected: MODEL --target-macs SHARE --calibration DIR --out DIR");
    if (o->by_time != (o->profile != NULL))
        argp_error(state, "--target-time and --profile go together");
}

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
    case KEY_CONTRACT:
        o->contract = text;
        return 0;
    case KEY_PROFILE:
        o->profile = text;
        return 0;
    case KEY_TARGET:
        o->how.remove = 1 - share(state, "--target-macs", text);
        return 0;
    case KEY_TIME:
        o->how.remove = 1 - share(state, "--target-time", text);
        o->by_time = true;
        return 0;
    case KEY_SPARSE:
        o->sparse = text;
        return 0;
    case KEY_SPARSITY:
        o->sparsity = share(state, "--sparsity", text);
        return 0;
    case KEY_GRANULE:
        o->how.granule = argument_number(state, "--granule", text, 1, 64);
        return 0;
    case KEY_PICTURES:
        o->most = argument_number(state, "--pictures", text, LEAST_PICTURES, 4096);
        return 0;
    case KEY_STEPS:
        o->how.steps = argument_number(state, "--steps", text, 0, 1000000);
        return 0;
    case KEY_NO_REFIT:
        o->how.refit = false;
        return 0;
    case KEY_IMPORTANCE:
        if (strcmp(text, "error") != 0 && strcmp(text, "magnitude") != 0)
            argp_error(state, "--importance: expected error or magnitude, found '%s'", text);
        o->how.importance = strcmp(text, "error") ? PRUNE_BY_MAGNITUDE : PRUNE_BY_ERROR;
        return 0;
    case ARGP_KEY_ARG:
        if (o->path)
            argp_error(state, "unexpected argument '%s'", text);
        o->path = text;
        return 0;
    case ARGP_KEY_END:
        check(state, o);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

// The rows {"node": NAME, "us": TIME} of a profile, wherever they stand in the file.
static uint32_t collect_times(const cJSON *item, struct prune_time *out)
{
    uint32_t count = 0;
    const cJSON *child;
    const cJSON *node = cJSON_GetObjectItemCaseSensitive(item, "node");
    const cJSON *us = cJSON_GetObjectItemCaseSensitive(item, "us");
    if (cJSON_IsString(node) && cJSON_IsNumber(us)) {
        if (out) {
            snprintf(out->name, sizeof(out->name), "%s", node->valuestring);
            out->us = us->valuedouble > 0 && us->valuedouble < 1e12 ? us->valuedouble : 0;
        }
        return 1;
    }
    cJSON_ArrayForEach(child, item) count += collect_times(child, out ? out + count : NULL);
    return count;
}

static int read_profile(const char *path, struct prune_options *how, struct sl_error *error)
{
    void *bytes;
    size_t size;
    int status = sl_read_file(path, PROFILE_LIMIT, &bytes, &size, error);
    if (status < 0)
        return status;
    cJSON *json = cJSON_ParseWithLength(bytes, size);
    how->n_times = json ? collect_times(json, NULL) : 0;
    struct prune_time *times = calloc(how->n_times + 1ull, sizeof(*times));
    if (!times)
        status = sl_error_set(error, -ENOMEM, "out of memory");
    else if (how->n_times == 0)
        status =
            sl_error_set(error, -EINVAL,
                         "%s: expected the output of `sightline bench --profile --json`, found "
                         "no times of nodes",
                         path);
    else
        collect_times(json, times);
    cJSON_Delete(json);
    free(bytes);
    how->times = times;
    return status;
}

struct result {
    const struct options *options;
    const struct prune_report *report;
    uint32_t pictures;
    struct sl_macs before, after;
    double seconds;
};

static void print_table(const struct result *r)
{
    const struct prune_report *p = r->report;
    const bool time = r->options->how.times;
    printf("%-36s %10s %10s %13s %13s %7s\n", "layer", time ? "us before" : "MMAC before", "now",
           "inputs", "outputs", "SNR dB");
    for (uint32_t i = 0; i < p->n_layers; i++) {
        const struct prune_layer *l = &p->layers[i];
        const double unit = time ? 1 : 1e6;
        const size_t length = strlen(l->name);
        char in[32] = "", out[32];
        if (l->in_before)
            snprintf(in, sizeof(in), "%u of %u", l->in, l->in_before);
        snprintf(out, sizeof(out), "%u of %u", l->out, l->out_before);
        printf("%-36s %10.2f %10.2f %13s %13s %7.1f", l->name + (length > 36 ? length - 36 : 0),
               l->cost_before / unit, l->cost / unit, in, out, (double)l->snr_db);
        if (*l->whole)
            printf("  stays whole for %s", l->whole);
        printf("\n");
    }
    printf("%s: %.1f of %.1f MMAC remain (%.1f %%)", r->options->out, (double)r->after.dense / 1e6,
           (double)r->before.dense / 1e6, 100 * (double)r->after.dense / (double)r->before.dense);
    if (time)
        printf(", %.0f of %.0f us by the profile (%.1f %%)", p->cost, p->cost_before,
               100 * p->cost / p->cost_before);
    printf("; granules of %u channel%s; %u pictures\n", p->granule, p->granule == 1 ? "" : "s",
           r->pictures);
    printf("  outputs after the refit: %.1f dB signal to noise; %.1f s\n", (double)p->output_snr_db,
           r->seconds);
    if (*p->tuned.why)
        printf("  not tuned: %s\n", p->tuned.why);
    else if (r->options->how.steps)
        printf("  tuned in %u steps: loss on held out pictures %.4f, was %.4f%s\n",
               r->options->how.steps, (double)p->tuned.after, (double)p->tuned.before,
               p->tuned.done ? "" : "; not better, so left as it was");
}

static void print_json(const struct result *r)
{
    const struct prune_report *p = r->report;
    cJSON *root = cJSON_CreateObject(), *layers = cJSON_AddArrayToObject(root, "layers");
    cJSON_AddStringToObject(root, "out", r->options->out);
    cJSON_AddNumberToObject(root, "pictures", r->pictures);
    cJSON_AddNumberToObject(root, "granule", p->granule);
    cJSON_AddNumberToObject(root, "macs_before", (double)r->before.dense);
    cJSON_AddNumberToObject(root, "macs", (double)r->after.dense);
    if (r->options->how.times) {
        cJSON_AddNumberToObject(root, "us_before", p->cost_before);
        cJSON_AddNumberToObject(root, "us", p->cost);
    }
    cJSON_AddNumberToObject(root, "output_snr_db", (double)p->output_snr_db);
    cJSON_AddBoolToObject(root, "tuned", p->tuned.done);
    cJSON_AddNumberToObject(root, "held_out_loss_before", (double)p->tuned.before);
    cJSON_AddNumberToObject(root, "held_out_loss", (double)p->tuned.after);
    cJSON_AddNumberToObject(root, "seconds", r->seconds);
    for (uint32_t i = 0; i < p->n_layers; i++) {
        const struct prune_layer *l = &p->layers[i];
        cJSON *row = cJSON_CreateObject();
        cJSON_AddStringToObject(row, "name", l->name);
        cJSON_AddNumberToObject(row, "outputs_before", l->out_before);
        cJSON_AddNumberToObject(row, "outputs", l->out);
        cJSON_AddNumberToObject(row, "inputs_before", l->in_before);
        cJSON_AddNumberToObject(row, "inputs", l->in);
        cJSON_AddNumberToObject(row, "cost_before", l->cost_before);
        cJSON_AddNumberToObject(row, "cost", l->cost);
        cJSON_AddNumberToObject(row, "snr_db", (double)l->snr_db);
        if (*l->whole)
            cJSON_AddStringToObject(row, "whole_for", l->whole);
        cJSON_AddItemToArray(layers, row);
    }
    char *text = cJSON_PrintUnformatted(root);
    printf("%s\n", text ? text : "{}");
    cJSON_free(text);
    cJSON_Delete(root);
}

static struct sl_macs macs_of(const struct graph *graph)
{
    const struct sl_graph view = {.n_tensors = graph->n_tensors,
                                  .tensors = graph->tensors,
                                  .n_nodes = graph->n_nodes,
                                  .nodes = graph->nodes};
    return sl_graph_macs(&view);
}

// What the layers were before, beside the network: `sightline model info` shows it.
struct history {
    struct sl_onnx_metadata *rows;
    uint32_t count;
    struct history_text {
        char *key, value[64];
    } * texts;
};

static bool has_history(const struct network *network)
{
    uint32_t count;
    const struct sl_onnx_metadata *old = sl_onnx_metadata(network->model->onnx, &count);
    for (uint32_t i = 0; i < count; i++)
        if (!strcmp(old[i].key, "sightline.unpruned_macs"))
            return true;
    return false;
}

static void history_free(struct history *history)
{
    for (uint32_t i = 0; i < history->count; i++)
        free(history->texts[i].key);
    free(history->rows);
    free(history->texts);
}

static bool is_noted(const struct history *history, const char *key)
{
    for (uint32_t i = 0; i < history->count; i++)
        if (!strcmp(history->rows[i].key, key))
            return true;
    return false;
}

static int note_history(const struct network *network, struct history *out, struct sl_error *error)
{
    const struct graph *g = &network->graph;
    if (has_history(network)) // pruned once more: the first network counts
        return 0;
    out->rows = calloc(g->n_nodes + 1ull, sizeof(*out->rows));
    out->texts = calloc(g->n_nodes + 1ull, sizeof(*out->texts));
    if (!out->rows || !out->texts)
        return sl_error_set(error, -ENOMEM, "out of memory");
    for (uint32_t n = 0; n <= g->n_nodes; n++) {
        struct history_text *text = &out->texts[out->count];
        if (n == g->n_nodes) {
            text->key = strdup("sightline.unpruned_macs");
            snprintf(text->value, sizeof(text->value), "%lld", (long long)macs_of(g).dense);
        } else if (g->nodes[n].op == SL_OP_CONV) {
            const struct sl_tensor *w = &g->tensors[g->nodes[n].inputs[1]];
            if (asprintf(&text->key, "sightline.unpruned.%s", g->nodes[n].name) < 0)
                text->key = NULL;
            snprintf(text->value, sizeof(text->value), "%lld,%lld", (long long)w->dims[0],
                     (long long)w->dims[1]);
        } else {
            continue;
        }
        if (!text->key)
            return sl_error_set(error, -ENOMEM, "out of memory");
        if (is_noted(out, text->key)) { // nodes may share a name
            free(text->key);
            text->key = NULL;
            continue;
        }
        out->rows[out->count++] = (struct sl_onnx_metadata){text->key, text->value};
    }
    return 0;
}

static int work(struct options *o, struct network *network, struct progress *progress,
                struct sl_error *error)
{
    struct calibration calibration = {0};
    struct prune_report report = {0};
    struct history history = {0};
    struct result result = {.options = o, .report = &report, .before = macs_of(&network->graph)};
    int status = o->profile ? read_profile(o->profile, &o->how, error) : 0;
    if (status == 0)
        status = note_history(network, &history, error);
    if (status == 0)
        status = calibration_load(network->model, o->pictures, LEAST_PICTURES, o->most,
                                  progress_step, progress, &calibration, error);
    calibration_note(&calibration, network->model, "prune");
    if (status == 0)
        status = prune_network(network, &calibration, &o->how, &report, error);
    result.pictures = calibration.count;
    calibration_free(&calibration);
    if (status == 0)
        status = network_save(network, o->out, SL_WEIGHTS_AS_THEY_ARE, history.rows, history.count,
                              error);
    result.seconds = progress_end(progress);
    if (status == 0) {
        result.after = macs_of(&network->graph);
        (o->json ? print_json : print_table)(&result);
    }
    history_free(&history);
    free((void *)(uintptr_t)o->how.times);
    prune_report_free(&report);
    return status;
}

static int work_sparse(const struct options *o, struct network *network, struct progress *progress,
                       struct sl_error *error)
{
    struct sparse_request request = {.pictures = o->pictures,
                                     .out = o->out,
                                     .pattern = o->sparse,
                                     .least = LEAST_PICTURES,
                                     .most = o->most,
                                     .json = o->json,
                                     .how = {.sparsity = o->sparsity,
                                             .magnitude = o->how.importance == PRUNE_BY_MAGNITUDE,
                                             .progress = progress_step,
                                             .ctx = progress}};
    const int status = sparse_pattern_parse(o->sparse, &request.how.pattern, error);
    return status < 0 ? status : sparse_work(&request, network, progress, error);
}

int workshop_command_prune(int argc, char **argv)
{
    static const char doc[] =
        "Makes a smaller float model: whole channels go, and the layers that remain are refitted "
        "on "
        "calibration pictures, without labels.\vMODEL is a model's folder, or an .onnx "
        "file with a model.yaml beside it. The new folder holds the network, model.yaml and what "
        "it names; it appears whole or not at all. Prune first, then quantize. The engine leaves "
        "out "
        "8-bit weights that are zero in whole blocks; `sightline model info` says how many on this "
        "machine.";
    const struct argp argp = {rows, parse, "MODEL", doc, NULL, NULL, NULL};
    struct options o = {.most = USUAL_PICTURES, .how = {.refit = true, .steps = USUAL_STEPS}};
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
        status = (o.sparse ? work_sparse(&o, &network, &progress, &error)
                           : work(&o, &network, &progress, &error));
    network_close(&network);
    if (status == 0)
        return 0;
    progress_end(&progress);
    fprintf(stderr, "sightline model prune: %s\n", error.message);
    return 1;
}
