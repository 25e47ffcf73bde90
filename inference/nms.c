// Candidates in order of their score, and greedy non-maximum suppression.
#include "inference/head.h"

#include <math.h>
#include <string.h>

static bool is_box(const struct sl_detection *d)
{
    return isfinite(d->x1) && isfinite(d->y1) && isfinite(d->x2) && isfinite(d->y2) &&
           isfinite(d->score) && d->x1 < d->x2 && d->y1 < d->y2;
}

void sl_candidates_add(struct sl_candidates *c, const struct sl_detection *candidate)
{
    if (!is_box(candidate))
        return;
    if (c->count == c->limit && (c->limit == 0 || c->rows[c->count - 1].score >= candidate->score))
        return;
    uint32_t low = 0, high = c->count;
    while (low < high) {
        const uint32_t middle = (low + high) / 2;
        if (c->rows[middle].score >= candidate->score)
            low = middle + 1;
        else
            high = middle;
    }
    c->count += c->count < c->limit;
    memmove(&c->rows[low + 1], &c->rows[low], (c->count - 1 - low) * sizeof(c->rows[0]));
    c->rows[low] = *candidate;
}

static float area(const struct sl_detection *d)
{
    return (d->x2 - d->x1) * (d->y2 - d->y1);
}

float sl_box_overlap(const struct sl_detection *a, const struct sl_detection *b)
{
    const float width = fminf(a->x2, b->x2) - fmaxf(a->x1, b->x1);
    const float height = fminf(a->y2, b->y2) - fmaxf(a->y1, b->y1);
    if (!(width > 0 && height > 0))
        return 0;
    const float inner = width * height;
    return inner / (area(a) + area(b) - inner);
}

void sl_candidates_suppress(struct sl_candidates *c, float iou, bool per_class)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < c->count; i++) {
        bool dead = false;
        for (uint32_t k = 0; k < kept && !dead; k++)
            dead = (!per_class || c->rows[k].class_id == c->rows[i].class_id) &&
                   sl_box_overlap(&c->rows[k], &c->rows[i]) > iou;
        if (!dead)
            c->rows[kept++] = c->rows[i];
    }
    c->count = kept;
}
