// ONNX Runtime beside our engine: the same file, the same inputs, the outputs compared.
#include "inference/bench.h"

#include "accel/onnxruntime/ort.h"
#include "accel/tensor.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEEPEST = 32 };

struct bench_peer {
    const struct sl_graph *graph;
    struct sl_program *program;
    struct ort *ort;
    struct ort_session *timed, *exact;
    void **outputs; // in the order of the graph, shared by both sessions
};

// The peer's tensor of the same name, or else the one in the same place.
static uint32_t find(const struct ort_session *session, enum ort_direction direction,
                     const char *name, uint32_t place)
{
    const uint32_t count = ort_session_count(session, direction);
    for (uint32_t i = 0; name && i < count; i++)
        if (strcmp(ort_session_tensor(session, direction, i)->name, name) == 0)
            return i;
    return place;
}

static int bind(struct bench_peer *p, struct ort_session *session, struct sl_error *error)
{
    const struct sl_graph *g = p->graph;
    int status = 0;
    for (uint32_t i = 0; status == 0 && i < g->n_inputs; i++) {
        const struct sl_tensor *t = &g->tensors[g->inputs[i]];
        status = ort_session_bind(session, ORT_INPUT, find(session, ORT_INPUT, t->name, i), t,
                                  sl_program_input(p->program, i, NULL), (size_t)t->bytes, error);
    }
    for (uint32_t i = 0; status == 0 && i < g->n_outputs; i++) {
        const struct sl_tensor *t = &g->tensors[g->outputs[i]];
        status = ort_session_bind(session, ORT_OUTPUT, find(session, ORT_OUTPUT, t->name, i), t,
                                  p->outputs[i], (size_t)t->bytes, error);
    }
    return status;
}

static int open_session(struct bench_peer *p, const struct ort_options *options,
                        struct ort_session **out, struct sl_error *error)
{
    int status = ort_session_create(p->ort, p->graph->onnx, (size_t)p->graph->onnx_bytes, options,
                                    out, error);
    return status ? status : bind(p, *out, error);
}

static int make_outputs(struct bench_peer *p, struct sl_error *error)
{
    const struct sl_graph *g = p->graph;
    p->outputs = calloc(g->n_outputs, sizeof(*p->outputs));
    for (uint32_t i = 0; p->outputs && i < g->n_outputs; i++) {
        const size_t bytes = (size_t)g->tensors[g->outputs[i]].bytes;
        p->outputs[i] = aligned_alloc(64, (bytes + 63) / 64 * 64);
        if (!p->outputs[i])
            return sl_error_set(error, -ENOMEM, "no memory for %zu bytes of output", bytes);
    }
    return p->outputs ? 0 : sl_error_set(error, -ENOMEM, "no memory");
}

// A worker of the peer that went on spinning after its run would take its core from our next one.
static const struct ort_entry entries[] = {
    {"session.force_spinning_stop", "1"},
    {"session.x64quantprecision", "1"},
};

int bench_peer_open(const char *library, uint32_t threads, const struct sl_graph *graph,
                    struct sl_program *program, struct bench_peer **out, struct sl_error *error)
{
    const struct ort_options timed = {.threads = threads, .config = entries, .n_config = 1};
    const struct ort_options exact = {.threads = threads, .config = entries, .n_config = 2};
    struct bench_peer *peer = calloc(1, sizeof(*peer));
    if (!peer)
        return sl_error_set(error, -ENOMEM, "no memory");
    peer->graph = graph;
    peer->program = program;
    int status = ort_open(library, &peer->ort, error);
    if (status == 0)
        status = make_outputs(peer, error);
    if (status == 0)
        status = open_session(peer, &timed, &peer->timed, error);
    if (status == 0)
        status = open_session(peer, &exact, &peer->exact, error);
    if (status < 0)
        bench_peer_close(peer);
    else
        *out = peer;
    return status;
}

void bench_peer_close(struct bench_peer *peer)
{
    if (!peer)
        return;
    ort_session_free(peer->timed);
    ort_session_free(peer->exact);
    ort_close(peer->ort);
    for (uint32_t i = 0; peer->outputs && i < peer->graph->n_outputs; i++)
        free(peer->outputs[i]);
    free(peer->outputs);
    free(peer);
}

const char *bench_peer_version(const struct bench_peer *peer)
{
    return ort_version(peer->ort);
}

int bench_peer_run(struct bench_peer *peer, struct sl_error *error)
{
    return ort_session_run(peer->timed, error);
}

static const struct sl_node *writer(const struct sl_graph *graph, uint32_t tensor)
{
    for (uint32_t i = 0; i < graph->n_nodes; i++)
        for (uint32_t k = 0; k < graph->nodes[i].n_outputs; k++)
            if (graph->nodes[i].outputs[k] == tensor)
                return &graph->nodes[i];
    return NULL;
}

// Whether every value is a quantised one, or stands for one, and is only moved about from there.
static bool is_exact(const struct sl_graph *graph, uint32_t tensor, int depth)
{
    const struct sl_node *node = writer(graph, tensor);
    if (graph->tensors[tensor].dtype != SL_F32 || sl_is_quantised(&graph->tensors[tensor]))
        return true;
    if (!node || depth == DEEPEST)
        return !node;
    switch (node->op) {
    case SL_OP_DEQUANTIZE:
        return true;
    case SL_OP_CONCAT:
        for (uint32_t i = 0; i < node->n_inputs; i++)
            if (!is_exact(graph, node->inputs[i], depth + 1))
                return false;
        return true;
    case SL_OP_RESHAPE:
    case SL_OP_TRANSPOSE:
    case SL_OP_SLICE:
    case SL_OP_GATHER:
    case SL_OP_MAX_POOL:
        return is_exact(graph, node->inputs[0], depth + 1);
    default:
        return false;
    }
}

static double value_at(const struct sl_tensor *tensor, const void *data, int64_t i)
{
    switch (tensor->dtype) {
    case SL_F32:
        return (double)((const float *)data)[i];
    case SL_I8:
        return ((const int8_t *)data)[i];
    case SL_I32:
        return ((const int32_t *)data)[i];
    case SL_I64:
        return (double)((const int64_t *)data)[i];
    default:
        return ((const uint8_t *)data)[i];
    }
}

static double greatest(const struct sl_tensor *tensor, const void *data)
{
    double most = 0;
    const int64_t count = sl_elements(tensor);
    for (int64_t i = 0; i < count; i++)
        most = fmax(most, fabs(value_at(tensor, data, i)));
    return most;
}

static void compare_output(const struct bench_peer *peer, uint32_t index,
                           struct bench_difference *sum)
{
    const uint32_t number = peer->graph->outputs[index];
    const struct sl_tensor *tensor = &peer->graph->tensors[number];
    const unsigned char *ours = sl_program_output(peer->program, index, NULL);
    const unsigned char *theirs = peer->outputs[index];
    const bool exact = is_exact(peer->graph, number, 0);
    const double allowed = exact ? 0 : BENCH_TOLERANCE * greatest(tensor, theirs);
    const int64_t count = sl_elements(tensor);
    const size_t size = count ? (size_t)tensor->bytes / (size_t)count : 0;
    bool equal = true;
    for (int64_t i = 0; i < count; i++) {
        const size_t at = (size_t)i * size;
        if (memcmp(ours + at, theirs + at, size) == 0)
            continue;
        const double d = fabs(value_at(tensor, ours, i) - value_at(tensor, theirs, i));
        sum->differing++;
        for (size_t k = 0; k < size; k++)
            sum->differing_bytes += ours[at + k] != theirs[at + k];
        sum->max_difference = d > sum->max_difference ? d : sum->max_difference;
        equal = equal && !exact && d <= allowed; // false for NaN
    }
    sum->values += (uint64_t)count;
    if (!equal && !*sum->first)
        snprintf(sum->first, sizeof(sum->first), "%s", tensor->name ? tensor->name : "");
    sum->equal = sum->equal && equal;
}

int bench_peer_compare(struct bench_peer *peer, struct bench_difference *sum,
                       struct sl_error *error)
{
    const int status = ort_session_run(peer->exact, error);
    if (status < 0)
        return status;
    for (uint32_t i = 0; i < peer->graph->n_outputs; i++)
        compare_output(peer, i, sum);
    return 0;
}
