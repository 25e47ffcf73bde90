// Ranges of activations.
#include "inference/workshop/quantize_impl.h"

#include "accel/tensor.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *const range_names[RANGE_KINDS + 1] = {
    [RANGE_GIVEN] = "given",
    [RANGE_MINMAX] = "min-max",
    [RANGE_PERCENTILE] = "99.99 %",
    [RANGE_PERCENTILE_WIDE] = "99.999 %",
    [RANGE_SQUARED_ERROR] = "squared error",
    [RANGE_DIVERGENCE] = "divergence",
};

struct rounding range_rounding(struct range range)
{
    const float low = fminf(range.low, 0), high = fmaxf(range.high, 0);
    struct rounding r = {(high - low) / 255, 0};
    if (!(r.scale >= 1e-12f)) // always zero
        r.scale = 1.0f / 255;
    r.zero_point = (int32_t)fminf(fmaxf(rintf(-low / r.scale), 0), 255);
    return r;
}

void round_values(struct rounding rounding, const float *from, float *to, uint64_t count)
{
    const float zero = (float)rounding.zero_point;
    for (uint64_t i = 0; i < count; i++) {
        const float q = rintf(from[i] / rounding.scale) + zero;
        to[i] = (fminf(fmaxf(q, 0), 255) - zero) * rounding.scale;
    }
}

static double bin_width(const struct tensor_group *g)
{
    return ((double)g->seen.high - (double)g->seen.low) / RANGE_BINS;
}

static float bin_centre(const struct tensor_group *g, int bin)
{
    return (float)((double)g->seen.low + ((double)bin + 0.5) * bin_width(g));
}

// Leaves out the given share of all values, at the ends where they are fewest.
static struct range percentile(const struct tensor_group *g, double left_out)
{
    double total = 0, gone = 0;
    int low = 0, high = RANGE_BINS - 1;
    for (int i = 0; i < RANGE_BINS; i++)
        total += g->bins[i];
    while (low < high) {
        const bool top = g->seen.low >= 0 || g->bins[high] <= g->bins[low];
        gone += top ? g->bins[high] : g->bins[low];
        if (gone > left_out * total)
            break;
        if (top)
            high--;
        else
            low++;
    }
    return (struct range){(float)((double)g->seen.low + low * bin_width(g)),
                          (float)((double)g->seen.low + (high + 1) * bin_width(g))};
}

static double squared_error(const struct tensor_group *g, struct range range)
{
    const struct rounding r = range_rounding(range);
    double sum = 0;
    for (int i = 0; i < RANGE_BINS; i++) {
        if (!g->bins[i])
            continue;
        const float value = bin_centre(g, i);
        float rounded;
        round_values(r, &value, &rounded, 1);
        const double clip = (double)value - (double)rounded;
        // Within a bin that is narrower than a step, the error is that of the whole step.
        const double fine =
            fabs(clip) <= (double)r.scale ? (double)(r.scale * r.scale) / 12 : clip * clip;
        sum += fine * g->bins[i];
    }
    return sum;
}

static struct range least_squared_error(const struct tensor_group *g)
{
    struct range best = g->seen;
    double least = squared_error(g, best);
    for (int side = 0; side < 2; side++) {
        const struct range from = best;
        if (side == 1 && !(from.low < 0))
            break;
        for (int step = 1; step < 90; step++) {
            struct range r = from;
            const float share = 1 - 0.01f * (float)step;
            if (side == 0)
                r.high *= share;
            else
                r.low *= share;
            const double found = squared_error(g, r);
            if (found < least) {
                least = found;
                best = r;
            }
        }
    }
    return best;
}

// Kullback-Leibler divergence between the values and what 256 levels between the limits make of
// them; what lies outside is counted at the limit.
static double divergence(const struct tensor_group *g, int low, int high)
{
    enum { LEVELS = 256 };
    double total = 0, sums[LEVELS] = {0}, filled[LEVELS] = {0}, result = 0, outside[2] = {0, 0};
    const double per_level = (double)(high - low + 1) / LEVELS;
    for (int i = 0; i < RANGE_BINS; i++) {
        total += g->bins[i];
        if (i < low || i > high) {
            outside[i > high] += g->bins[i];
            continue;
        }
        const int level = (int)((double)(i - low) / per_level);
        sums[level] += g->bins[i];
        filled[level] += g->bins[i] > 0;
    }
    for (int i = low; i <= high; i++) {
        const int level = (int)((double)(i - low) / per_level);
        double p = g->bins[i] + (i == low ? outside[0] : 0) + (i == high ? outside[1] : 0);
        const double q = g->bins[i] && filled[level] > 0 ? sums[level] / filled[level] : 0;
        p /= total;
        if (p > 0)
            result += p * log(p / fmax(q / total, 1e-9));
    }
    return result;
}

static struct range least_divergence(const struct tensor_group *g)
{
    const int zero = g->seen.low < 0 ? (int)((double)-g->seen.low / bin_width(g)) : 0;
    int best_low = 0, best_high = RANGE_BINS - 1;
    double least = divergence(g, best_low, best_high);
    for (int step = 1; step < 56; step++) {
        const int low = g->seen.low < 0 ? zero * step / 64 : 0;
        const int high = RANGE_BINS - 1 - (RANGE_BINS - 1 - zero) * step / 64;
        if (high - low < 256)
            break;
        const double found = divergence(g, low, high);
        if (found < least) {
            least = found;
            best_low = low;
            best_high = high;
        }
    }
    return (struct range){(float)((double)g->seen.low + best_low * bin_width(g)),
                          (float)((double)g->seen.low + (best_high + 1) * bin_width(g))};
}

void ranges_from_bins(struct tensor_group *g)
{
    for (int i = 0; i < RANGE_KINDS; i++)
        g->candidates[i] = g->seen;
    if (!(bin_width(g) > 0))
        return;
    g->candidates[RANGE_PERCENTILE] = percentile(g, 1e-4);
    g->candidates[RANGE_PERCENTILE_WIDE] = percentile(g, 1e-5);
    g->candidates[RANGE_SQUARED_ERROR] = least_squared_error(g);
    g->candidates[RANGE_DIVERGENCE] = least_divergence(g);
}

// One pass over the pictures for min and max, a second one for the bins.
struct pass {
    struct plan *plan;
    uint32_t *tensors, count;
    bool counting;
};

static int see(void *ctx, uint32_t picture, const float *const *values, struct sl_error *error)
{
    struct pass *pass = ctx;
    for (uint32_t i = 0; i < pass->count; i++) {
        const struct sl_tensor *t = &pass->plan->graph->tensors[pass->tensors[i]];
        struct tensor_group *g = plan_group(pass->plan, pass->tensors[i]);
        const uint64_t count = (uint64_t)sl_elements(t);
        const double width = bin_width(g);
        for (uint64_t k = 0; k < count && !pass->counting; k++) {
            if (!isfinite(values[i][k]))
                return sl_error_set(error, -ERANGE,
                                    "tensor '%s' becomes %g on calibration picture %u: the network "
                                    "is not in order",
                                    t->name, (double)values[i][k], picture);
            g->seen.low = fminf(g->seen.low, values[i][k]);
            g->seen.high = fmaxf(g->seen.high, values[i][k]);
        }
        for (uint64_t k = 0; k < count && pass->counting && width > 0; k++) {
            const double at = ((double)values[i][k] - (double)g->seen.low) / width;
            g->bins[at < RANGE_BINS ? (int)at : RANGE_BINS - 1]++;
        }
    }
    if (pass->plan->options->progress)
        pass->plan->options->progress(pass->plan->options->ctx,
                                      pass->counting ? "counting values" : "finding ranges",
                                      picture + 1, pass->plan->calibration->count);
    return 0;
}

static int collect(struct plan *plan, struct sl_error *error)
{
    struct pass pass = {.plan = plan};
    const struct graph *g = plan->graph;
    int status = 0;
    pass.tensors = calloc(g->n_tensors, sizeof(*pass.tensors));
    if (!pass.tensors)
        return sl_error_set(error, -ENOMEM, "out of memory");
    for (uint32_t t = 0; t < g->n_tensors && status == 0; t++) {
        struct tensor_group *group = plan_group(plan, t);
        if (!plan->wanted[t])
            continue;
        pass.tensors[pass.count++] = t;
        if (!group->bins && !(group->bins = calloc(RANGE_BINS, sizeof(*group->bins))))
            status = sl_error_set(error, -ENOMEM, "out of memory");
    }
    const bool both = plan->options->method != QUANTIZE_MINMAX;
    for (int i = 0; i < 1 + both && status == 0; i++) {
        pass.counting = i == 1;
        status = calibration_run(g, plan->calibration, pass.tensors, pass.count, see, &pass, error);
    }
    free(pass.tensors);
    return status;
}

// What rounding tensor `t` with each candidate does to the results of one layer that reads it.
static int try_on_layer(struct plan *plan, struct walk *walk, uint32_t node, uint32_t t,
                        float *rounded, struct sl_error *error)
{
    struct tensor_group *group = plan_group(plan, t);
    const struct walk_values *v = &walk->values[t];
    const struct sl_tensor *result = &plan->graph->tensors[plan->graph->nodes[node].outputs[0]];
    const uint64_t count = (uint64_t)sl_elements(result);
    struct walk_program *program = NULL;
    const float *out;
    float *exact = malloc(count * sizeof(*exact));
    int status = exact ? walk_compile(plan->graph, node, false, &program, error)
                       : sl_error_set(error, -ENOMEM, "out of memory");
    const uint32_t step = walk->calibration->count > 8 ? walk->calibration->count / 8 : 1;
    for (uint32_t p = 0; p < walk->calibration->count && status == 0; p += step) {
        double size = 1e-20;
        status = walk_execute(program, (const float *[]){v->exact[p]}, &out, error);
        for (uint64_t i = 0; i < count && status == 0; i++)
            size += (double)(out[i] * out[i]);
        if (status == 0)
            memcpy(exact, out, count * sizeof(*exact));
        for (int k = 0; k < RANGE_KINDS && status == 0; k++) {
            double sum = 0;
            round_values(range_rounding(group->candidates[k]), v->exact[p], rounded,
                         v->exact_elements);
            status = walk_execute(program, (const float *[]){rounded}, &out, error);
            for (uint64_t i = 0; i < count && status == 0; i++)
                sum += (double)((out[i] - exact[i]) * (out[i] - exact[i]));
            group->error[k] += sum / size;
        }
    }
    walk_program_free(program);
    free(exact);
    return status;
}

// For tensors that no layer reads directly: the error of the tensor itself.
static void try_alone(struct plan *plan, struct walk *walk, uint32_t t, float *rounded)
{
    struct tensor_group *group = plan_group(plan, t);
    const struct walk_values *v = &walk->values[t];
    const uint32_t step = walk->calibration->count > 8 ? walk->calibration->count / 8 : 1;
    for (uint32_t p = 0; p < walk->calibration->count; p += step) {
        double size = 1e-20;
        for (uint64_t i = 0; i < v->exact_elements; i++)
            size += (double)(v->exact[p][i] * v->exact[p][i]);
        for (int k = 0; k < RANGE_KINDS; k++) {
            double sum = 0;
            round_values(range_rounding(group->candidates[k]), v->exact[p], rounded,
                         v->exact_elements);
            for (uint64_t i = 0; i < v->exact_elements; i++)
                sum += (double)((rounded[i] - v->exact[p][i]) * (rounded[i] - v->exact[p][i]));
            group->error[k] += sum / size;
        }
    }
}

static int try_tensor(struct plan *plan, struct walk *walk, uint32_t t, struct sl_error *error)
{
    const struct graph *g = plan->graph;
    const uint64_t elements = (uint64_t)sl_elements(&g->tensors[t]);
    float *rounded = malloc(elements * sizeof(*rounded));
    bool read = false;
    int status = rounded ? 0 : sl_error_set(error, -ENOMEM, "out of memory");
    for (uint32_t n = 0; n < g->n_nodes && status == 0; n++) {
        if (g->nodes[n].op == SL_OP_NONE || !weight_rows_exist(g, &g->nodes[n]) || plan->kept[n] ||
            g->nodes[n].inputs[0] != t)
            continue;
        read = true;
        status = try_on_layer(plan, walk, n, t, rounded, error);
    }
    if (status == 0 && !read)
        try_alone(plan, walk, t, rounded);
    free(rounded);
    return status;
}

static int try_node(void *ctx, struct walk *walk, uint32_t node, struct sl_error *error)
{
    struct plan *plan = ctx;
    const uint32_t t = plan->graph->nodes[node].outputs[0];
    if (plan->options->progress)
        plan->options->progress(plan->options->ctx, "choosing ranges", node + 1,
                                plan->graph->n_nodes);
    return plan->wanted[t] ? try_tensor(plan, walk, t, error) : 0;
}

// The network's own input is all there is: its ends matter as much as its middle.
static void keep_input_range(struct plan *plan)
{
    for (uint32_t i = 0; i < plan->graph->n_inputs; i++) {
        struct tensor_group *g = plan_group(plan, plan->graph->inputs[i]);
        for (int k = 1; k < RANGE_KINDS; k++)
            g->candidates[k] = g->seen;
    }
}

// Integers on the other side of the tensor, which the file brought.
static void note_given(struct plan *plan, uint32_t tensor, uint32_t integers)
{
    const struct sl_tensor *t = &plan->graph->tensors[integers];
    struct tensor_group *group = plan_group(plan, tensor);
    if (!plan->wanted[tensor] || t->quant.count != 1 || (t->dtype != SL_U8 && t->dtype != SL_I8))
        return;
    const int32_t shift = t->dtype == SL_I8 ? 128 : 0; // from -128 to 127 -> from 0 to 255
    const struct rounding given = {t->quant.scale[0], t->quant.zero_point[0] + shift};
    group->given_differ |= group->given.scale > 0 && (group->given.scale != given.scale ||
                                                      group->given.zero_point != given.zero_point);
    group->given = given;
}

static bool covers(struct rounding given, struct range seen)
{
    const float slack = given.scale / 2, low = (float)-given.zero_point * given.scale,
                high = (float)(255 - given.zero_point) * given.scale;
    return seen.low >= low - slack && seen.high <= high + slack;
}

// Scales that the file brought are kept: a second rounding with the same one changes nothing. Not
// where the group has tensors that they would clip: a concatenation has one scale.
static void take_given(struct plan *plan)
{
    for (uint32_t n = 0; n < plan->graph->n_nodes; n++) {
        const struct sl_node *node = &plan->graph->nodes[n];
        if (node->op == SL_OP_QUANTIZE)
            note_given(plan, node->inputs[0], node->outputs[0]);
        else if (node->op == SL_OP_DEQUANTIZE)
            note_given(plan, node->outputs[0], node->inputs[0]);
    }
    for (uint32_t t = 0; t < plan->graph->n_tensors; t++) {
        struct tensor_group *group = &plan->groups[t];
        if (!(group->given.scale > 0) || group->given_differ || !covers(group->given, group->seen))
            continue;
        group->rounding = group->given;
        group->chosen = RANGE_GIVEN;
    }
}

int ranges_find(struct plan *plan, struct sl_error *error)
{
    const struct graph *g = plan->graph;
    int status = collect(plan, error);
    if (status < 0)
        return status;
    for (uint32_t t = 0; t < g->n_tensors; t++) {
        struct tensor_group *group = &plan->groups[t];
        if (!group->bins)
            continue;
        for (int k = 0; k < RANGE_KINDS; k++)
            group->candidates[k] = group->seen;
        if (plan->options->method != QUANTIZE_MINMAX)
            ranges_from_bins(group);
    }
    keep_input_range(plan);
    struct walk walk = {.exact = g,
                        .calibration = plan->calibration,
                        .after = try_node,
                        .ctx = plan,
                        .single = true,
                        .integers = true};
    if (plan->options->method != QUANTIZE_MINMAX)
        status = walk_run(&walk, error);
    for (uint32_t t = 0; t < g->n_tensors && status == 0; t++) {
        struct tensor_group *group = &plan->groups[t];
        for (int k = 0; k < RANGE_KINDS; k++)
            if (group->error[k] < group->error[group->chosen])
                group->chosen = (enum range_kind)k;
        group->rounding = range_rounding(group->candidates[group->chosen]);
    }
    if (status == 0)
        take_given(plan);
    return status;
}
