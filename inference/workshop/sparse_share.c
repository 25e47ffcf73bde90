// How much each layer, band and run of columns loses.
#include "inference/workshop/sparse_impl.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

struct offer {     // one further block of one run of one band of one layer
    double rate;   // error of the outputs per multiply-accumulate; never less than that of the one
                   // before
    int64_t saves; // multiply-accumulates
    uint32_t task, slot, order;
};

static int by_rate(const void *a, const void *b)
{
    const struct offer *x = a, *y = b;
    if (x->rate != y->rate)
        return x->rate < y->rate ? -1 : 1;
    if (x->task != y->task)
        return x->task < y->task ? -1 : 1;
    if (x->slot != y->slot)
        return x->slot < y->slot ? -1 : 1;
    return (x->order > y->order) - (x->order < y->order);
}

static struct offer *list_run(const struct sparse_task *task, uint32_t number, uint32_t band,
                              uint32_t run, struct offer *to)
{
    const struct sparse_layout *l = &task->layout;
    const uint32_t first = l->run[run], count = l->run[run + 1] - first;
    // Blocks at the end of the channels may be narrower; on average it is what they are.
    const double columns = (double)(l->start[first + count] - l->start[first]) / count;
    const double saves = columns * sparse_band_rows(l, band) * (double)task->uses;
    double rate = 0;
    for (uint32_t i = 0; i < count; i++) {
        const double cost = (double)task->cost[(uint64_t)band * l->n_blocks + first + i];
        rate = fmax(rate, cost * task->worth / saves);
        *to++ = (struct offer){rate, (int64_t)saves, number, band * l->n_runs + run, i};
    }
    return to;
}

int sparse_share(struct sparse_task *tasks, uint32_t n_tasks, int64_t wanted, int64_t all,
                 struct sl_error *error)
{
    uint64_t n_offers = 0;
    int64_t saved = 0;
    for (uint32_t t = 0; t < n_tasks; t++)
        n_offers += (uint64_t)tasks[t].layout.n_bands * tasks[t].layout.n_blocks;
    struct offer *offers = calloc(n_offers + 1, sizeof(*offers)), *end = offers;
    if (!offers)
        return sl_error_set(error, -ENOMEM, "out of memory");
    for (uint32_t t = 0; t < n_tasks; t++)
        for (uint32_t band = 0; band < tasks[t].layout.n_bands; band++)
            for (uint32_t run = 0; run < tasks[t].layout.n_runs; run++)
                end = list_run(&tasks[t], t, band, run, end);
    qsort(offers, n_offers, sizeof(*offers), by_rate);
    for (const struct offer *o = offers; o < end && saved < wanted; o++) {
        tasks[o->task].count[o->slot]++;
        saved += o->saves;
    }
    free(offers);
    if (saved >= wanted)
        return 0;
    return sl_error_set(error, -ERANGE,
                        "the layers that can be thinned have %.1f %% of the multiply-accumulates; "
                        "a sparsity of %.1f %% cannot be reached",
                        100.0 * (double)saved / (double)all, 100.0 * (double)wanted / (double)all);
}
