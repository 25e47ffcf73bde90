// Reference interpreter: walking tensors with strides, and copying through them.
#include "accel/reference_impl.h"

#include <string.h>

void ref_walk_rows(const struct ref_walk *walk, ref_row row, void *ctx)
{
    uint32_t outer = walk->rank > 0 ? walk->rank - 1 : 0;
    int64_t count = walk->rank > 0 ? walk->dims[outer] : 1;
    int64_t index[SL_MAX_RANK] = {0}, from[REF_MAX_OPERANDS] = {0}, step[REF_MAX_OPERANDS] = {0};
    for (uint32_t i = 0; i < walk->rank; i++)
        if (walk->dims[i] == 0)
            return;
    for (uint32_t k = 0; k < walk->n_operands; k++)
        step[k] = walk->rank > 0 ? walk->strides[k][outer] : 0;

    for (int64_t at = 0;; at += count) {
        row(ctx, at, from, step, count);
        uint32_t axis = outer;
        while (axis > 0) {
            axis--;
            for (uint32_t k = 0; k < walk->n_operands; k++)
                from[k] += walk->strides[k][axis];
            if (++index[axis] < walk->dims[axis])
                break;
            for (uint32_t k = 0; k < walk->n_operands; k++)
                from[k] -= walk->strides[k][axis] * walk->dims[axis];
            index[axis] = 0;
            if (axis == 0)
                return;
        }
        if (outer == 0)
            return;
    }
}

struct copy {
    unsigned char *y;
    const unsigned char *x;
    int64_t base;
    uint32_t element;
};

static void copy_row(void *ctx, int64_t at, const int64_t *from, const int64_t *step, int64_t count)
{
    const struct copy *copy = ctx;
    size_t element = copy->element;
    unsigned char *y = copy->y + (size_t)at * element;
    int64_t x = copy->base + from[0];
    if (step[0] == 1) {
        memcpy(y, copy->x + (size_t)x * element, (size_t)count * element);
        return;
    }
    for (int64_t i = 0; i < count; i++, x += step[0])
        memcpy(y + (size_t)i * element, copy->x + (size_t)x * element, element);
}

void ref_copy_strided(void *y, uint32_t rank, const int64_t *dims, const void *x, int64_t from,
                      const int64_t *strides, uint32_t element)
{
    struct copy copy = {y, x, from, element};
    struct ref_walk walk = {.rank = rank, .dims = dims, .n_operands = 1};
    memcpy(walk.strides[0], strides, rank * sizeof(*strides));
    ref_walk_rows(&walk, copy_row, &copy);
}
