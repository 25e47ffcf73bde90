// Two networks on the same pictures, their layers' outputs compared.
#include "inference/workshop/noise.h"

#include "accel/accel.h"
#include "accel/tensor.h"
#include "inference/workshop/network.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

// A network whose outputs are the tensors that are compared.
struct probe {
    struct pool pool;
    struct sl_graph graph;
    struct sl_accel *accel;
    struct sl_program *program;
};

struct pair {
    uint32_t layer; // which of the nodes asked for
    uint32_t a, b;  // tensors
    uint32_t channels;
    double *sums; // per channel: a a, a b, b b
};

struct job {
    struct probe a, b;
    struct pair *pairs;
    uint32_t n_pairs;
};

static int open_probe(const struct graph *graph, const uint32_t *tensors, uint32_t count,
                      struct probe *out, struct sl_error *error)
{
    pool_init(&out->pool, 8ull << 30);
    int status = network_cut(graph, tensors, count, &out->pool, &out->graph, error);
    if (status == 0)
        status = sl_accel_open("cpu", &out->accel, error);
    if (status == 0)
        status = sl_accel_load(out->accel, &out->graph, &out->program, error);
    return status;
}

static void close_probe(struct probe *probe)
{
    sl_accel_unload(probe->program);
    sl_accel_close(probe->accel);
    pool_free(&probe->pool);
}

static uint32_t node_of_name(const struct graph *graph, const char *name)
{
    for (uint32_t i = graph->n_nodes; i-- > 0;)
        if (graph->nodes[i].op != SL_OP_NONE && graph->nodes[i].n_outputs > 0 &&
            !strcmp(graph->nodes[i].name, name))
            return i;
    return UINT32_MAX;
}

static bool comparable(const struct sl_tensor *t)
{
    return t->dtype == SL_F32 ||
           (sl_is_quantised(t) && t->quant.count == 1 && (t->dtype == SL_I8 || t->dtype == SL_U8));
}

static bool same_dims(const struct sl_tensor *a, const struct sl_tensor *b)
{
    bool same = a->rank == b->rank && a->rank >= 1;
    for (uint32_t i = 0; same && i < a->rank; i++)
        same = a->dims[i] == b->dims[i];
    return same;
}

static bool has_tensor(const struct job *job, uint32_t tensor)
{
    for (uint32_t i = 0; i < job->n_pairs; i++)
        if (job->pairs[i].b == tensor)
            return true;
    return false;
}

static int find_pairs(struct job *job, const struct graph *a, const struct graph *b,
                      const uint32_t *nodes, uint32_t count, struct sl_error *error)
{
    job->pairs = calloc(count + 1, sizeof(*job->pairs));
    if (!job->pairs)
        return sl_error_set(error, -ENOMEM, "out of memory");
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t other = node_of_name(b, a->nodes[nodes[i]].name);
        if (other == UINT32_MAX)
            continue;
        const uint32_t at = a->nodes[nodes[i]].outputs[0], bt = b->nodes[other].outputs[0];
        const struct sl_tensor *x = &a->tensors[at], *y = &b->tensors[bt];
        if (!comparable(x) || !comparable(y) || !same_dims(x, y) || has_tensor(job, bt))
            continue;
        struct pair *p = &job->pairs[job->n_pairs];
        *p = (struct pair){i, at, bt, x->rank > 1 ? (uint32_t)x->dims[1] : 1, NULL};
        p->sums = calloc(p->channels, 3 * sizeof(double));
        if (!p->sums)
            return sl_error_set(error, -ENOMEM, "out of memory");
        job->n_pairs++;
    }
    return 0;
}

static int open_probes(struct job *job, const struct graph *a, const struct graph *b,
                       struct sl_error *error)
{
    uint32_t *tensors = calloc(job->n_pairs + 1, sizeof(*tensors));
    if (!tensors)
        return sl_error_set(error, -ENOMEM, "out of memory");
    for (uint32_t i = 0; i < job->n_pairs; i++)
        tensors[i] = job->pairs[i].a;
    int status = open_probe(a, tensors, job->n_pairs, &job->a, error);
    for (uint32_t i = 0; i < job->n_pairs; i++)
        tensors[i] = job->pairs[i].b;
    if (status == 0)
        status = open_probe(b, tensors, job->n_pairs, &job->b, error);
    free(tensors);
    return status;
}

static double value_at(const struct sl_tensor *t, const void *data, uint64_t i)
{
    if (t->dtype == SL_F32)
        return (double)((const float *)data)[i];
    const int32_t q = t->dtype == SL_I8 ? ((const int8_t *)data)[i] : ((const uint8_t *)data)[i];
    const int32_t zero = t->quant.zero_point ? t->quant.zero_point[0] : 0;
    return (double)t->quant.scale[0] * (q - zero);
}

static void add_picture(const struct job *job, uint32_t number)
{
    const struct pair *p = &job->pairs[number];
    const struct sl_tensor *x = &job->a.graph.tensors[job->a.graph.outputs[number]];
    const struct sl_tensor *y = &job->b.graph.tensors[job->b.graph.outputs[number]];
    const void *a = sl_program_output(job->a.program, number, NULL);
    const void *b = sl_program_output(job->b.program, number, NULL);
    const uint64_t count = (uint64_t)sl_elements(x);
    uint64_t inner = 1;
    for (uint32_t i = 2; i < x->rank; i++)
        inner *= (uint64_t)x->dims[i];
    for (uint64_t i = 0; i < count; i++) {
        double *sums = p->sums + 3 * (i / inner % p->channels);
        const double u = value_at(x, a, i), v = value_at(y, b, i);
        sums[0] += u * u;
        sums[1] += u * v;
        sums[2] += v * v;
    }
}

// What is left of the signal when every channel of b is multiplied by the gain that fits it best.
static double ratio_db(const struct pair *p)
{
    double signal = 0, noise = 0;
    for (uint32_t c = 0; c < p->channels; c++) {
        const double *s = p->sums + 3 * c;
        signal += s[0];
        noise += fmax(0, s[0] - (s[2] > 0 ? s[1] * s[1] / s[2] : 0));
    }
    if (signal <= 0)
        return NAN;
    return noise <= signal * 1e-13 ? INFINITY : 10 * log10(signal / noise);
}

static int run(const struct job *job, const struct calibration *c, workshop_progress progress,
               void *ctx, struct sl_error *error)
{
    int status = 0;
    for (uint32_t i = 0; i < c->count && status == 0; i++) {
        const size_t bytes = c->elements * sizeof(float);
        memcpy(sl_program_input(job->a.program, 0, NULL), c->inputs[i], bytes);
        memcpy(sl_program_input(job->b.program, 0, NULL), c->inputs[i], bytes);
        status = sl_program_run(job->a.program, SL_NO_DEADLINE, error);
        if (status == 0)
            status = sl_program_run(job->b.program, SL_NO_DEADLINE, error);
        for (uint32_t k = 0; k < job->n_pairs && status == 0; k++)
            add_picture(job, k);
        if (progress)
            progress(ctx, "layers", i + 1, c->count);
    }
    return status;
}

int noise_measure(const struct graph *a, const struct graph *b, const uint32_t *nodes,
                  uint32_t count, const struct calibration *calibration, workshop_progress progress,
                  void *ctx, double *snr_db, struct sl_error *error)
{
    struct job job = {0};
    for (uint32_t i = 0; i < count; i++)
        snr_db[i] = NAN;
    int status = find_pairs(&job, a, b, nodes, count, error);
    if (status == 0 && job.n_pairs) {
        status = open_probes(&job, a, b, error);
        if (status == 0)
            status = run(&job, calibration, progress, ctx, error);
        close_probe(&job.a);
        close_probe(&job.b);
    }
    for (uint32_t i = 0; i < job.n_pairs; i++) {
        if (status == 0)
            snr_db[job.pairs[i].layer] = ratio_db(&job.pairs[i]);
        free(job.pairs[i].sums);
    }
    free(job.pairs);
    return status;
}
