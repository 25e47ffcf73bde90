// Gradient descent towards a teacher's feature maps.
#include "inference/workshop/tune.h"

#include "accel/tensor.h"
#include "inference/random.h"
#include "inference/workshop/heads.h"
#include "inference/workshop/tape.h"

#include <cblas.h>
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Patches of a step are dealt to lanes, which run at the same time and whose sums are added in
// order. Sides are multiples of what feature maps are reduced by.
enum { LANES = 4, PATCHES = 1, SIDE = 192, GRID = 32, MOST_HEADS = 64, HELD_OUT = 8, CHECKS = 64 };
#define RATE   1e-3f  // of a network that is near to its teacher
#define NEAR   0.06f  // in loss; the further away, the longer the steps, up to
#define MOST   4.0f   // times as long
#define FIRST  0.9f   // decay of the mean gradient
#define SECOND 0.999f // and of its mean square

struct lane {
    struct tuner *tuner;
    struct tape teacher, student;
    struct tune_patch patches[CHECKS];
    uint32_t count;
    bool learns;
    double loss;
    pthread_t thread;
};

struct tuner {
    const struct calibration *calibration;
    const struct attention *attention;
    const struct tune_options *options;
    uint32_t heads[MOST_HEADS], n_heads;
    float *weight[MOST_HEADS];   // per head and channel: 1 / standard deviation
    int64_t picture[3], side[2]; // channels, height, width of pictures; height, width of patches
    uint64_t n_values;
    float rate;
    float *values, *mean, *square, *start;
    struct lane lanes[LANES];
    uint64_t random;
};

// Turned, so that the teacher meets what it does not know by heart from its own training.
void tune_cut_patch(const float *picture, const int64_t size[3], const struct tune_patch *p,
                    const int64_t side[2], float *to)
{
    const int64_t width = size[2];
    int64_t down = p->turn & 4 ? 1 : width, right = p->turn & 4 ? width : 1;
    int64_t corner = p->top * width + p->left;
    corner += (p->turn & 1 ? (side[0] - 1) * down : 0);
    corner += (p->turn & 2 ? (side[1] - 1) * right : 0);
    down = p->turn & 1 ? -down : down;
    right = p->turn & 2 ? -right : right;
    for (int64_t c = 0; c < size[0]; c++)
        for (int64_t i = 0; i < side[0]; i++)
            for (int64_t k = 0; k < side[1]; k++)
                *to++ = picture[c * size[1] * width + corner + i * down + k * right];
}

static void fill_input(const struct tuner *t, const struct tune_patch *p, struct tape *tape)
{
    tune_cut_patch(t->calibration->inputs[p->picture], t->picture, p, t->side,
                   tape->maps[tape->graph->inputs[0]].value);
}

// Huber's loss of the difference in standard deviations, and its derivative.
static double compare(struct lane *lane, uint32_t head)
{
    const struct tuner *t = lane->tuner;
    const struct tape_map *want = &lane->teacher.maps[t->heads[head]];
    struct tape_map *got = &lane->student.maps[t->heads[head]];
    const int64_t area = want->height * want->width;
    const float scale = 1.0f / (float)(area * want->channels);
    double loss = 0;
    for (int64_t c = 0; c < want->channels; c++)
        for (int64_t i = c * area; i < (c + 1) * area; i++) {
            const float by = t->weight[head][c];
            const float d = (got->value[i] - want->value[i]) * by;
            const float bounded = fmaxf(-1, fminf(1, d));
            loss += (double)(scale * bounded * (d - 0.5f * bounded));
            if (lane->learns)
                got->grad[i] += scale * bounded * by;
        }
    return loss;
}

static void *run_lane(void *data)
{
    struct lane *lane = data;
    lane->loss = 0;
    for (uint32_t i = 0; i < lane->count; i++) {
        fill_input(lane->tuner, &lane->patches[i], &lane->teacher);
        fill_input(lane->tuner, &lane->patches[i], &lane->student);
        tape_forward(&lane->teacher);
        tape_forward(&lane->student);
        if (lane->learns)
            tape_clear_grads(&lane->student);
        for (uint32_t h = 0; h < lane->tuner->n_heads; h++)
            lane->loss += compare(lane, h);
        if (lane->learns)
            tape_backward(&lane->student);
    }
    return NULL;
}

static double run_lanes(struct tuner *t, bool learns)
{
    double loss = 0;
    uint32_t count = 0;
    for (uint32_t i = 0; i < LANES; i++) {
        t->lanes[i].learns = learns;
        if (pthread_create(&t->lanes[i].thread, NULL, run_lane, &t->lanes[i]) != 0) {
            run_lane(&t->lanes[i]);
            t->lanes[i].thread = pthread_self();
        }
    }
    for (uint32_t i = 0; i < LANES; i++) {
        if (!pthread_equal(t->lanes[i].thread, pthread_self()))
            pthread_join(t->lanes[i].thread, NULL);
        loss += t->lanes[i].loss;
        count += t->lanes[i].count;
    }
    return loss / (count ? count : 1);
}

static bool is_held_out(const struct tuner *t, uint32_t picture)
{
    return t->calibration->count >= HELD_OUT && picture % HELD_OUT == HELD_OUT - 1;
}

static int64_t clamp_to_grid(int64_t centre, int64_t side, int64_t whole)
{
    int64_t first = (centre - side / 2) / GRID * GRID;
    const int64_t last = (whole - side) / GRID * GRID;
    first = first < 0 ? 0 : first;
    return first > last ? last : first;
}

// A place on the picture, by half where something is and by half anywhere.
static void choose_place(struct tuner *t, struct tune_patch *p)
{
    const struct attention *a = t->attention;
    const uint32_t cells = a->rows * a->columns;
    uint32_t cell = cells ? random_below(&t->random, cells) : 0;
    if (a->maps && random_below(&t->random, 4) != 0) {
        double at = (double)(random_next(&t->random) >> 11) * 0x1p-53 * cells;
        for (cell = 0; cell + 1 < cells && at >= (double)a->maps[p->picture][cell]; cell++)
            at -= (double)a->maps[p->picture][cell];
    }
    const int64_t rows = a->rows ? a->rows : 1, columns = a->columns ? a->columns : 1;
    p->top = clamp_to_grid(cell / columns * t->picture[1] / rows, t->side[0], t->picture[1]);
    p->left = clamp_to_grid(cell % columns * t->picture[2] / columns, t->side[1], t->picture[2]);
}

static void deal(struct tuner *t, uint32_t each, bool held_out)
{
    for (uint32_t i = 0; i < LANES; i++) {
        t->lanes[i].count = each;
        for (uint32_t k = 0; k < each; k++) {
            struct tune_patch *p = &t->lanes[i].patches[k];
            do
                p->picture = random_below(&t->random, t->calibration->count);
            while (is_held_out(t, p->picture) != (held_out && t->calibration->count >= HELD_OUT));
            choose_place(t, p);
            p->turn = random_below(&t->random, t->side[0] == t->side[1] ? 8 : 4);
        }
    }
}

// One step of Adam on the sum of all lanes.
static void step(struct tuner *t, uint32_t number)
{
    const float progress = (float)number / (float)t->options->steps;
    const float rate =
        t->rate * 0.5f * (1 + cosf((float)M_PI * progress)) * fminf(1, (float)(number + 1) / 50);
    const float first = 1 - powf(FIRST, (float)number + 1);
    const float second = 1 - powf(SECOND, (float)number + 1);
    uint64_t at = 0;
    for (uint32_t i = 0; i < t->lanes[0].student.n_layers; i++) {
        const struct tape_layer *l = &t->lanes[0].student.layers[i];
        for (uint64_t k = 0; k < l->n_weights + l->n_biases; k++, at++) {
            float g = 0;
            for (uint32_t lane = 0; lane < LANES; lane++) {
                struct tape_layer *from = &t->lanes[lane].student.layers[i];
                float *grad =
                    k < l->n_weights ? &from->weight_grads[k] : &from->bias_grads[k - l->n_weights];
                g += *grad;
                *grad = 0;
            }
            g /= LANES * PATCHES;
            t->mean[at] = FIRST * t->mean[at] + (1 - FIRST) * g;
            t->square[at] = SECOND * t->square[at] + (1 - SECOND) * g * g;
            t->values[at] -= rate * (t->mean[at] / first) / (sqrtf(t->square[at] / second) + 1e-8f);
        }
    }
}

static int open_lane(struct tuner *t, struct lane *lane, const struct graph *teacher,
                     const struct graph *student, struct sl_error *error)
{
    lane->tuner = t;
    int status = tape_open(teacher, t->heads, t->n_heads, t->side[0], t->side[1], false,
                           &lane->teacher, error);
    if (status == 0)
        status = tape_open(student, t->heads, t->n_heads, t->side[0], t->side[1], true,
                           &lane->student, error);
    return status;
}

// Weights and biases of the tape's layers lie in `values`, one layer behind the other.
static void place_layers(struct tape *tape, float *values)
{
    for (uint32_t i = 0; i < tape->n_layers; i++) {
        struct tape_layer *l = &tape->layers[i];
        l->weights = values;
        l->biases = values + l->n_weights;
        values += l->n_weights + l->n_biases;
    }
}

static uint64_t count_values(const struct tape *tape)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < tape->n_layers; i++)
        count += tape->layers[i].n_weights + tape->layers[i].n_biases;
    return count;
}

static void copy_values(const struct tape *tape, float *values)
{
    for (uint32_t i = 0; i < tape->n_layers; i++) {
        const struct tape_layer *l = &tape->layers[i];
        const struct sl_node *node = &tape->graph->nodes[l->node];
        memcpy(values, tape->graph->tensors[node->inputs[1]].data, l->n_weights * sizeof(float));
        values += l->n_weights;
        if (node->n_inputs > 2 && node->inputs[2] != SL_NO_TENSOR)
            memcpy(values, tape->graph->tensors[node->inputs[2]].data, l->n_biases * sizeof(float));
        values += l->n_biases;
    }
}

static int take_values(struct tuner *t, float **teacher, struct sl_error *error)
{
    t->n_values = count_values(&t->lanes[0].student);
    *teacher = calloc(count_values(&t->lanes[0].teacher) + 1, sizeof(float));
    t->values = calloc(t->n_values + 1, sizeof(float));
    t->mean = calloc(t->n_values + 1, sizeof(float));
    t->square = calloc(t->n_values + 1, sizeof(float));
    t->start = calloc(t->n_values + 1, sizeof(float));
    if (!*teacher || !t->values || !t->mean || !t->square || !t->start)
        return sl_error_set(error, -ENOMEM, "out of memory");
    copy_values(&t->lanes[0].teacher, *teacher);
    copy_values(&t->lanes[0].student, t->values);
    memcpy(t->start, t->values, t->n_values * sizeof(float));
    for (uint32_t i = 0; i < LANES; i++) {
        place_layers(&t->lanes[i].teacher, *teacher);
        place_layers(&t->lanes[i].student, t->values);
    }
    return 0;
}

// Standard deviations of the teacher's channels on some patches.
static int measure_heads(struct tuner *t, struct sl_error *error)
{
    struct lane *lane = &t->lanes[0];
    for (uint32_t h = 0; h < t->n_heads; h++) {
        const struct tape_map *m = &lane->teacher.maps[t->heads[h]];
        const int64_t area = m->height * m->width;
        double *sums = calloc(2 * (size_t)m->channels + 1, sizeof(*sums)), count = 0;
        t->weight[h] = calloc((size_t)m->channels + 1, sizeof(float));
        if (!sums || !t->weight[h]) {
            free(sums);
            return sl_error_set(error, -ENOMEM, "out of memory");
        }
        for (uint32_t i = 0; i < lane->count; i++) {
            fill_input(t, &lane->patches[i], &lane->teacher);
            tape_forward(&lane->teacher);
            count += (double)area;
            for (int64_t k = 0; k < m->channels * area; k++) {
                sums[2 * (k / area)] += (double)m->value[k];
                sums[2 * (k / area) + 1] += (double)(m->value[k] * m->value[k]);
            }
        }
        for (int64_t c = 0; c < m->channels; c++) {
            const double mean = sums[2 * c] / count;
            t->weight[h][c] = (float)(1 / sqrt(fmax(1e-8, sums[2 * c + 1] / count - mean * mean)));
        }
        free(sums);
    }
    return 0;
}

static int set_layers(struct tuner *t, struct graph *g, struct sl_error *error)
{
    const struct tape *tape = &t->lanes[0].student;
    int status = 0;
    for (uint32_t i = 0; i < tape->n_layers && status == 0; i++) {
        const struct tape_layer *l = &tape->layers[i];
        struct sl_node *node = &g->nodes[l->node];
        const bool has_bias = node->n_inputs > 2 && node->inputs[2] != SL_NO_TENSOR;
        uint32_t inputs[3] = {node->inputs[0], 0, 0};
        struct sl_tensor w = g->tensors[node->inputs[1]];
        struct sl_tensor b = has_bias ? g->tensors[node->inputs[2]]
                                      : (struct sl_tensor){.name = node->name,
                                                           .dtype = SL_F32,
                                                           .rank = 1,
                                                           .dims = {(int64_t)l->n_biases},
                                                           .bytes = l->n_biases * sizeof(float)};
        w.data = pool_copy(&g->pool, l->weights, l->n_weights * sizeof(float));
        b.data = pool_copy(&g->pool, l->biases, l->n_biases * sizeof(float));
        if (!w.data || !b.data)
            return pool_error(&g->pool, error);
        status = graph_add_tensor(g, &w, &inputs[1], error);
        if (status == 0)
            status = graph_add_tensor(g, &b, &inputs[2], error);
        if (status == 0)
            status = graph_set_inputs(g, node, inputs, 3, error);
    }
    return status;
}

static double check(struct tuner *t)
{
    t->random = 99; // the same patches each time
    deal(t, CHECKS / LANES, true);
    return run_lanes(t, false);
}

static int descend(struct tuner *t, struct graph *student, struct tune_report *out,
                   struct sl_error *error)
{
    t->random = 1;
    deal(t, CHECKS / LANES, false);
    int status = measure_heads(t, error);
    if (status < 0)
        return status;
    out->before = (float)check(t);
    t->rate = RATE * fmaxf(1, fminf(MOST, out->before / NEAR));
    t->random = 2;
    for (uint32_t i = 0; i < t->options->steps; i++) {
        if (t->options->progress)
            t->options->progress(t->options->ctx, "tuning", i + 1, t->options->steps);
        deal(t, PATCHES, false);
        run_lanes(t, true);
        step(t, i);
    }
    out->after = (float)check(t);
    out->done = out->after < out->before;
    return out->done ? set_layers(t, student, error) : 0;
}

static void set_sides(struct tuner *t, const struct sl_tensor *input)
{
    for (int i = 0; i < 3; i++)
        t->picture[i] = input->dims[1 + i];
    for (int i = 0; i < 2; i++) {
        const int64_t whole = t->picture[1 + i] / GRID * GRID;
        t->side[i] = whole >= GRID && whole < SIDE ? whole : SIDE;
        if (whole < GRID)
            t->side[i] = t->picture[1 + i];
    }
}

static void free_tuner(struct tuner *t, float *teacher)
{
    for (uint32_t i = 0; i < LANES; i++) {
        tape_close(&t->lanes[i].teacher);
        tape_close(&t->lanes[i].student);
    }
    for (uint32_t h = 0; h < t->n_heads; h++)
        free(t->weight[h]);
    free(t->values);
    free(t->mean);
    free(t->square);
    free(t->start);
    free(teacher);
    free(t);
}

int tune_network(const struct graph *teacher, struct graph *student,
                 const struct calibration *calibration, const struct attention *attention,
                 const struct tune_options *options, struct tune_report *out,
                 struct sl_error *error)
{
    struct tuner *t = calloc(1, sizeof(*t));
    float *values = NULL;
    *out = (struct tune_report){0};
    if (!t)
        return sl_error_set(error, -ENOMEM, "out of memory");
    t->calibration = calibration;
    t->attention = attention;
    t->options = options;
    set_sides(t, &teacher->tensors[teacher->inputs[0]]);
    int status = heads_find(teacher, t->heads, &t->n_heads, MOST_HEADS, error);
    for (uint32_t i = 0; i < LANES && status == 0; i++)
        status = open_lane(t, &t->lanes[i], teacher, student, error);
    if (status == -ENOTSUP) {
        snprintf(out->why, sizeof(out->why), "%s", error->message);
        free_tuner(t, values);
        return 0;
    }
    const int threads = openblas_get_num_threads();
    openblas_set_num_threads(1);
    if (status == 0)
        status = take_values(t, &values, error);
    if (status == 0)
        status = descend(t, student, out, error);
    openblas_set_num_threads(threads);
    free_tuner(t, values);
    return status;
}
