// `sightline model`: its actions, and `info`: what a model is made of.
#include "inference/commands.h"

#include "accel/accel.h"
#include "accel/reference.h"
#include "inference/model.h"
#include "inference/workshop/commands.h"

#include <argp.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
            argp_error(state, "expected: DIR");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

// Channels before pruning, as the recipe wrote them beside the network; 0 if it did not.
static void unpruned(const struct sl_onnx *onnx, const char *node, int64_t *out, int64_t *in)
{
    uint32_t count;
    char key[256];
    const struct sl_onnx_metadata *metadata = sl_onnx_metadata(onnx, &count);
    snprintf(key, sizeof(key), "sightline.unpruned.%s", node);
    *out = *in = 0;
    for (uint32_t i = 0; i < count; i++)
        if (!strcmp(metadata[i].key, key))
            sscanf(metadata[i].value, "%" SCNd64 ",%" SCNd64, out, in);
}

static int64_t unpruned_total(const struct sl_model *model)
{
    uint32_t count;
    const struct sl_onnx_metadata *metadata = sl_onnx_metadata(model->onnx, &count);
    for (uint32_t i = 0; i < count; i++)
        if (!strcmp(metadata[i].key, "sightline.unpruned_macs"))
            return strtoll(metadata[i].value, NULL, 10);
    return model->unpruned_macs;
}

static bool is_quantised(const struct sl_graph *graph, const struct sl_node *node)
{
    return graph->tensors[node->inputs[0]].quant.count > 0;
}

static void shape_text(const struct sl_tensor *t, char *out, size_t size)
{
    size_t used = 0;
    out[0] = '\0';
    for (uint32_t i = 0; i < t->rank && used < size; i++)
        used += (size_t)snprintf(out + used, size - used, "%s%" PRId64, i ? "x" : "", t->dims[i]);
}

struct layer {
    const struct sl_node *node;
    struct sl_macs macs;
    int64_t out, in, before_out, before_in;
    int64_t removed; // weights that pruning took away
    char shape[64];
};

static bool describe(const struct sl_model *model, const struct sl_node *node, struct layer *out)
{
    const struct sl_graph *g = model->graph;
    *out = (struct layer){.node = node, .macs = sl_node_macs(g, node)};
    if (out->macs.dense == 0)
        return false;
    const struct sl_tensor *w = &g->tensors[node->inputs[1]];
    out->out = w->dims[0];
    out->in = w->rank > 1 ? w->dims[1] : 1;
    shape_text(&g->tensors[node->outputs[0]], out->shape, sizeof(out->shape));
    unpruned(model->onnx, node->name, &out->before_out, &out->before_in);
    int64_t each = 1;
    for (uint32_t i = 2; i < w->rank; i++)
        each *= w->dims[i];
    if (out->before_out)
        out->removed = (out->before_out * out->before_in - out->out * out->in) * each;
    return true;
}

static double zero_share(const struct sl_macs *m)
{
    return m->dense ? 100.0 * (double)(m->dense - m->nonzero) / (double)m->dense : 0;
}

static double gone_share(const struct sl_model *model, const struct sl_macs *total)
{
    const int64_t before = unpruned_total(model);
    return before > 0 ? 1 - (double)total->nonzero / (double)before : 0;
}

static void print_table(const struct sl_model *model)
{
    const struct sl_graph *g = model->graph;
    const struct sl_macs total = sl_graph_macs(g);
    printf("%s %s: %s\n", model->name, model->version, model->description);
    printf("  input %u x %u, %u channels; %u classes; %" PRIu64 " bytes; licence: %s\n",
           model->input.width, model->input.height, model->input.n_channels, model->n_classes,
           g->onnx_bytes, *model->licence ? model->licence : "not stated");
    printf("  %-16s %-8s %-5s %-14s %9s %8s %13s %16s\n", "layer", "operator", "type", "output",
           "MMAC", "zero %", "channels", "weights removed");
    for (uint32_t i = 0; i < g->n_nodes; i++) {
        struct layer l;
        char channels[48] = "", before[24] = "";
        if (!describe(model, &g->nodes[i], &l))
            continue;
        if (l.before_out)
            snprintf(before, sizeof(before), " (%" PRId64 ")", l.before_out);
        snprintf(channels, sizeof(channels), "%" PRId64 "%s", l.out, before);
        printf("  %-16.16s %-8.8s %-5s %-14s %9.2f %8.1f %13s %16" PRId64 "\n", l.node->name,
               sl_op_name(l.node->op), is_quantised(g, l.node) ? "int8" : "float", l.shape,
               (double)l.macs.dense / 1e6, zero_share(&l.macs), channels, l.removed);
    }
    printf("  total %.1f MMAC, %.1f with weights that are not zero", (double)total.dense / 1e6,
           (double)total.nonzero / 1e6);
    if (unpruned_total(model) > 0)
        printf("; %.1f before pruning: %.1f %% gone", (double)unpruned_total(model) / 1e6,
               100 * gone_share(model, &total));
    printf("\n");
}

static void print_json(const struct sl_model *model)
{
    const struct sl_graph *g = model->graph;
    const struct sl_macs total = sl_graph_macs(g);
    const char *comma = "";
    printf("{\"name\":\"%s\",\"version\":\"%s\",\"bytes\":%" PRIu64 ",\"macs\":%" PRId64
           ",\"macs_nonzero\":%" PRId64 ",\"unpruned_macs\":%" PRId64 ",\"pruned_share\":%.6f,"
           "\"layers\":[",
           model->name, model->version, g->onnx_bytes, total.dense, total.nonzero,
           unpruned_total(model), gone_share(model, &total));
    for (uint32_t i = 0; i < g->n_nodes; i++) {
        struct layer l;
        if (!describe(model, &g->nodes[i], &l))
            continue;
        printf(
            "%s{\"name\":\"%s\",\"operator\":\"%s\",\"int8\":%s,\"output\":\"%s\",\"macs\":%" PRId64
            ",\"zero_share\":%.6f,\"channels\":%" PRId64 ",\"channels_before\":%" PRId64
            ",\"weights_removed\":%" PRId64 "}",
            comma, l.node->name, sl_op_name(l.node->op), is_quantised(g, l.node) ? "true" : "false",
            l.shape, l.macs.dense, zero_share(&l.macs) / 100, l.out, l.before_out, l.removed);
        comma = ",";
    }
    printf("]}\n");
}

// What the engine need not compute here: zero weights, in the units of this machine's kernels.
static void print_left_out(const struct sl_model *model)
{
    struct sl_error error;
    struct sl_accel *accel = NULL;
    struct sl_program *program = NULL;
    int status = sl_accel_open("cpu", &accel, &error);
    if (status == 0)
        status = sl_accel_load(accel, model->graph, &program, &error);
    if (status == 0) {
        const struct sl_footprint f = sl_program_footprint(program);
        printf(
            "  engine: %.1f of %.1f MMAC are left out on this machine, their weights are zero in "
            "whole granules\n",
            (double)f.left_out / 1e6, (double)f.macs / 1e6);
    } else {
        printf("  engine: cannot run it: %s\n", error.message);
    }
    sl_accel_unload(program);
    sl_accel_close(accel);
}

static int info(int argc, char **argv)
{
    static const char doc[] =
        "Shows what a model is made of: layers, multiply-accumulates, what pruning removed.";
    const struct argp argp = {rows, parse, "DIR", doc, NULL, NULL, NULL};
    struct options o = {NULL, false};
    struct sl_error error = {""};
    struct sl_model_source *source;
    const struct sl_model *model = NULL;
    argp_err_exit_status = 2;
    argp_parse(&argp, argc, argv, 0, NULL, &o);
    int status = sl_model_source_directory(o.path, &source, &error);
    if (status == 0)
        status = sl_model_load(source, &model, &error);
    if (status < 0) {
        fprintf(stderr, "sightline model: %s: %s\n", o.path, error.message);
        return 1;
    }
    if (o.json) {
        print_json(model);
    } else {
        print_table(model);
        print_left_out(model);
    }
    sl_model_unref(model);
    return 0;
}

static const struct {
    const char *name, *what;
    int (*run)(int argc, char **argv);
} actions[] = {
    {"info", "Show what a model is made of", info},
    {"report", "Show models side by side", workshop_command_report},
#ifdef SIGHTLINE_WORKSHOP
    {"convert", "Store weights in fewer bytes", workshop_command_convert},
    {"prune", "Take channels out of a model, or make its weights sparse", workshop_command_prune},
    {"quantize", "Make an INT8 model of a float one", workshop_command_quantize},
#endif
};

static void print_actions(FILE *stream)
{
    fputs("Usage: sightline model ACTION [OPTION...]\n\n", stream);
    for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++)
        fprintf(stream, "  %-10s %s\n", actions[i].name, actions[i].what);
    fputs("\n`sightline model ACTION --help` lists the options of one.\n", stream);
}

int sl_command_model(int argc, char **argv)
{
    char name[64];
    const char *action = argc > 1 ? argv[1] : "";
    if (!strcmp(action, "--help") || !strcmp(action, "-?") || !strcmp(action, "--usage")) {
        print_actions(stdout);
        return 0;
    }
    for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++) {
        if (strcmp(action, actions[i].name) != 0)
            continue;
        snprintf(name, sizeof(name), "sightline model %s", action);
        argv[1] = name;
        return actions[i].run(argc - 1, argv + 1);
    }
    if (*action)
        fprintf(stderr, "sightline model: unknown action '%s'\n", action);
    print_actions(stderr);
    return 2;
}
