// Equalisation: classes of channels are brought to similar ranges, as far as that lowers the noise
// that is expected in the results of the layers that read them.
#include "inference/workshop/quantize_impl.h"

#include "accel/tensor.h"
#include "inference/workshop/channel_class.h"
#include "inference/workshop/equalise_noise.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const float LEAST_SCALE = 1.0f / 64;

struct equalise {
    struct plan *plan;
    struct channel_classes classes;
    uint32_t n_readers;
    struct noise_reader *readers;
    uint32_t *part;       // per reader: readers with a class or a range in common
    float *scale, *trial; // per class
};

static int add_readers(struct equalise *e, struct sl_error *error)
{
    const struct graph *g = e->plan->graph;
    int status = 0;
    e->readers = calloc(g->n_nodes + 1, sizeof(*e->readers));
    e->part = calloc(g->n_nodes + 1, sizeof(*e->part));
    if (!e->readers || !e->part)
        return sl_error_set(error, -ENOMEM, "out of memory");
    for (uint32_t n = 0; n < g->n_nodes && status == 0; n++) {
        const uint32_t *reads = g->nodes[n].op == SL_OP_NONE ? NULL : e->classes.reads[n];
        if (!reads)
            continue;
        struct noise_reader *r = &e->readers[e->n_readers++];
        r->range = plan_root(e->plan, g->nodes[n].inputs[0]);
        status = noise_reader_open(g, n, reads, r, error);
    }
    return status;
}

static int see(void *ctx, uint32_t picture, const float *const *values, struct sl_error *error)
{
    struct equalise *e = ctx;
    const struct plan *plan = e->plan;
    (void)error;
    for (uint32_t i = 0; i < e->n_readers; i++)
        noise_reader_see(plan->graph, &e->readers[i], values[i],
                         1.0 / (double)plan->calibration->count);
    if (plan->options->progress)
        plan->options->progress(plan->options->ctx, "measuring channels", picture + 1,
                                plan->calibration->count);
    return 0;
}

static int measure(struct equalise *e, struct sl_error *error)
{
    uint32_t *tensors = calloc(e->n_readers + 1, sizeof(*tensors));
    if (!tensors)
        return sl_error_set(error, -ENOMEM, "out of memory");
    for (uint32_t i = 0; i < e->n_readers; i++)
        tensors[i] = e->plan->graph->nodes[e->readers[i].node].inputs[0];
    const int status =
        calibration_run(e->plan->graph, e->plan->calibration, tensors, e->n_readers, see, e, error);
    for (uint32_t i = 0; i < e->n_readers; i++)
        noise_reader_finish(&e->readers[i]);
    free(tensors);
    return status;
}

static uint32_t part_of(struct equalise *e, uint32_t reader)
{
    while (e->part[reader] != reader)
        reader = e->part[reader] = e->part[e->part[reader]];
    return reader;
}

static void join(struct equalise *e, uint32_t *first, uint32_t reader)
{
    if (*first == UINT32_MAX)
        *first = reader;
    else
        e->part[part_of(e, reader)] = part_of(e, *first);
}

static int find_parts(struct equalise *e, struct sl_error *error)
{
    const uint32_t n_ranges = e->plan->room;
    uint32_t *by_class = malloc(e->classes.count * sizeof(*by_class));
    uint32_t *by_range = malloc(n_ranges * sizeof(*by_range));
    const bool ok = by_class && by_range;
    if (ok) {
        memset(by_class, 0xff, e->classes.count * sizeof(*by_class));
        memset(by_range, 0xff, n_ranges * sizeof(*by_range));
    }
    for (uint32_t i = 0; ok && i < e->n_readers; i++)
        e->part[i] = i;
    for (uint32_t i = 0; ok && i < e->n_readers; i++) {
        const struct noise_reader *r = &e->readers[i];
        join(e, &by_range[r->range], i);
        for (uint32_t c = 0; c < r->channels; c++)
            if (r->classes[c] != CHANNEL_FIXED)
                join(e, &by_class[r->classes[c]], i);
    }
    free(by_class);
    free(by_range);
    return ok ? 0 : sl_error_set(error, -ENOMEM, "out of memory");
}

// What is known of one class, over all its readers.
struct class_size {
    float most, weight;
};

// scale = (activation range)^share / (weight range)^(1 - share); its greatest value is 1, or where
// channels are fixed such that the others get their range.
static void propose(const struct noise_reader *const *readers, uint32_t count,
                    const struct class_size *sizes, uint32_t n_classes, float share, float *scale)
{
    float greatest = 0, fixed = 0, widest = 0;
    bool *used = calloc(n_classes, sizeof(*used));
    for (uint32_t i = 0; used && i < count; i++)
        for (uint32_t c = 0; c < readers[i]->channels; c++) {
            const uint32_t k = readers[i]->classes[c];
            const float most = noise_most(readers[i], c);
            if (k == CHANNEL_FIXED)
                fixed = fmaxf(fixed, most);
            else
                used[k] = true;
        }
    for (uint32_t k = CHANNEL_FIXED + 1; used && k < n_classes; k++) {
        const struct class_size *s = &sizes[k];
        if (!used[k])
            continue;
        const bool usable = s->most > 1e-9f && s->weight > 1e-9f;
        scale[k] = usable ? powf(s->most, share) / powf(s->weight, 1 - share) : 0;
        greatest = fmaxf(greatest, scale[k]);
    }
    for (uint32_t k = CHANNEL_FIXED + 1; used && k < n_classes; k++) {
        if (!used[k])
            continue;
        scale[k] = greatest > 0 && scale[k] > 0 ? fmaxf(scale[k] / greatest, LEAST_SCALE) : 1;
        widest = fmaxf(widest, sizes[k].most / scale[k]);
    }
    for (uint32_t k = CHANNEL_FIXED + 1; used && k < n_classes && fixed > 0 && widest > 0; k++)
        if (used[k])
            scale[k] *= widest / fixed;
    free(used);
}

// Small steps of single classes, as long as they help and the part is small enough to be tried.
static double refine(const struct noise_reader *const *readers, uint32_t count,
                     const struct class_size *sizes, uint32_t n_classes, float *scale,
                     struct noise_ranges *ranges, double least)
{
    enum { SWEEPS = 3 };
    static const double MOST_WORK = 1e9;
    double entries = 0;
    for (uint32_t i = 0; i < count; i++)
        entries += (double)readers[i]->rows * readers[i]->per_row;
    for (int sweep = 0; sweep < SWEEPS && entries * n_classes < MOST_WORK; sweep++)
        for (uint32_t k = CHANNEL_FIXED + 1; k < n_classes; k++) {
            static const float steps[] = {1.25f, 0.8f};
            for (int i = 0; i < 2 && sizes[k].most > 1e-9f; i++) {
                const float before = scale[k];
                scale[k] *= steps[i];
                const double found = noise_expected(readers, count, scale, ranges);
                if (found < least)
                    least = found;
                else
                    scale[k] = before;
            }
        }
    return least;
}

static void measure_classes(const struct noise_reader *const *readers, uint32_t count,
                            struct class_size *sizes)
{
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t c = 0; c < readers[i]->channels; c++) {
            struct class_size *s = &sizes[readers[i]->classes[c]];
            s->most = fmaxf(s->most, noise_most(readers[i], c));
            s->weight = fmaxf(s->weight, noise_weight(readers[i], c));
        }
}

static int equalise_part(struct equalise *e, const struct noise_reader *const *readers,
                         uint32_t count, struct noise_ranges *ranges, struct sl_error *error)
{
    static const float shares[] = {0.5f, 0.75f, 1.0f};
    const uint32_t n = e->classes.count;
    struct class_size *sizes = calloc(n, sizeof(*sizes));
    if (!sizes)
        return sl_error_set(error, -ENOMEM, "out of memory");
    measure_classes(readers, count, sizes);
    const double before = noise_expected(readers, count, e->scale, ranges);
    double least = before;
    float *best = malloc(n * sizeof(*best));
    if (best)
        memcpy(best, e->scale, n * sizeof(*best));
    for (size_t i = 0; best && i < sizeof(shares) / sizeof(*shares); i++) {
        memcpy(e->trial, e->scale, n * sizeof(*e->trial));
        propose(readers, count, sizes, n, shares[i], e->trial);
        const double found = noise_expected(readers, count, e->trial, ranges);
        if (found < least) {
            least = found;
            memcpy(best, e->trial, n * sizeof(*best));
        }
    }
    if (best && least < before)
        least = refine(readers, count, sizes, n, best, ranges, least);
    if (best && least < 0.95 * before) {
        memcpy(e->scale, best, n * sizeof(*best));
        for (uint32_t i = 0; i < count; i++)
            if (e->plan->layer[readers[i]->node] != UINT32_MAX)
                e->plan->report->layers[e->plan->layer[readers[i]->node]].equalised = true;
    }
    free(sizes);
    const bool ok = best != NULL;
    free(best);
    return ok ? 0 : sl_error_set(error, -ENOMEM, "out of memory");
}

static int choose_scales(struct equalise *e, struct sl_error *error)
{
    struct noise_ranges ranges = {.count = e->plan->room};
    const struct noise_reader **part = calloc(e->n_readers + 1, sizeof(const void *));
    ranges.rows = calloc(ranges.count, sizeof(*ranges.rows));
    int status =
        part && ranges.rows ? find_parts(e, error) : sl_error_set(error, -ENOMEM, "out of memory");
    for (uint32_t p = 0; p < e->n_readers && status == 0; p++) {
        uint32_t count = 0;
        for (uint32_t i = 0; i < e->n_readers; i++)
            if (part_of(e, i) == p)
                part[count++] = &e->readers[i];
        if (count)
            status = equalise_part(e, part, count, &ranges, error);
    }
    free(part);
    free(ranges.rows);
    return status;
}

// Divides the rows that write a class and multiplies the columns that read it.
static int scale_layer(struct equalise *e, uint32_t node, struct sl_error *error)
{
    struct graph *g = e->plan->graph;
    const struct sl_node *n = &g->nodes[node];
    const struct sl_tensor *w = &g->tensors[n->inputs[1]];
    const uint32_t area = (uint32_t)sl_dims_product(w, 2, w->rank);
    const uint32_t *reads = e->classes.reads[node], *writes = e->classes.writes[node];
    const bool biased = n->n_inputs > 2 && n->inputs[2] != SL_NO_TENSOR;
    struct weight_rows rows;
    int status = weight_rows_read(g, n, &rows, error);
    if (status < 0)
        return status;
    float *change = calloc(rows.m, sizeof(*change));
    const uint32_t per_group = rows.m / rows.groups, inputs = rows.k / area;
    bool changed = false;
    for (uint32_t i = 0; change && i < rows.m; i++) {
        const float out = e->scale[writes[i]];
        if (biased)
            change[i] = ((const float *)g->tensors[n->inputs[2]].data)[i] * (1 / out - 1);
        for (uint32_t j = 0; j < rows.k; j++) {
            const float in = e->scale[reads[i / per_group * inputs + j / area]];
            rows.values[(uint64_t)i * rows.k + j] *= in / out;
            changed |= in != out;
        }
        changed |= out != 1;
    }
    if (!change)
        status = sl_error_set(error, -ENOMEM, "out of memory");
    else if (changed)
        status = weight_rows_write(g, node, &rows, biased ? change : NULL, error);
    free(change);
    free(rows.values);
    return status;
}

static int open_all(struct equalise *e, struct sl_error *error)
{
    int status = channel_classes_find(e->plan->graph, &e->classes, error);
    if (status < 0)
        return status;
    e->scale = malloc(e->classes.count * sizeof(*e->scale));
    e->trial = malloc(e->classes.count * sizeof(*e->trial));
    if (!e->scale || !e->trial)
        return sl_error_set(error, -ENOMEM, "out of memory");
    for (uint32_t i = 0; i < e->classes.count; i++)
        e->scale[i] = 1;
    return add_readers(e, error);
}

int equalise(struct plan *plan, struct sl_error *error)
{
    struct equalise e = {.plan = plan};
    int status = open_all(&e, error);
    if (status == 0 && e.n_readers)
        status = measure(&e, error);
    if (status == 0 && e.n_readers)
        status = choose_scales(&e, error);
    for (uint32_t n = 0; n < e.classes.n_nodes && status == 0; n++)
        if (e.classes.reads[n])
            status = scale_layer(&e, n, error);
    for (uint32_t i = 0; i < e.n_readers; i++)
        noise_reader_close(&e.readers[i]);
    free(e.readers);
    free(e.part);
    free(e.scale);
    free(e.trial);
    channel_classes_free(&e.classes);
    return status;
}
