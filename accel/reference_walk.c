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

// Copies `count` elements `step` apart; the compiler knows their size.
static inline __attribute__((always_inline)) void copy_elements(const size_t element,
                                                                unsigned char *y,
                                                                const unsigned char *x,
                                                                int64_t step, int64_t count)
{
    for (int64_t i = 0; i < count; i++, x += step * (int64_t)element)
        memcpy(y + (size_t)i * element, x, element);
}

struct copy {
    unsigned char *y;
    const unsigned char *x;
    int64_t base;
    uint32_t element;
};

static void copy_run(size_t element, unsigned char *y, const unsigned char *x, int64_t step,
                     int64_t count)
{
    if (step == 1)
        memcpy(y, x, (size_t)count * element);
    else if (element == 1)
        copy_elements(1, y, x, step, count);
    else if (element == 4)
        copy_elements(4, y, x, step, count);
    else
        copy_elements(element, y, x, step, count);
}

static void copy_row(void *ctx, int64_t at, const int64_t *from, const int64_t *step, int64_t count)
{
    const struct copy *copy = ctx;
    size_t element = copy->element;
    copy_run(element, copy->y + (size_t)at * element,
             copy->x + (size_t)(copy->base + from[0]) * element, step[0], count);
}

// Rows of y and of x that lie across each other are copied block by block, so that the lines of
// both stay in the cache.
#define BLOCK 16

struct turn {
    struct copy copy;
    int64_t rows, columns; // of y
    int64_t y_row, x_column;
};

static void turn_blocks(void *ctx, int64_t at, const int64_t *from, const int64_t *step,
                        int64_t count)
{
    const struct turn *turn = ctx;
    size_t element = turn->copy.element;
    const unsigned char *x = turn->copy.x + (size_t)(turn->copy.base + from[0]) * element;
    unsigned char *y = turn->copy.y + (size_t)from[1] * element;
    (void)at;
    (void)step;
    (void)count; // one
    for (int64_t c = 0; c < turn->columns; c += BLOCK)
        for (int64_t r = 0; r < turn->rows; r++) {
            int64_t columns = turn->columns - c < BLOCK ? turn->columns - c : BLOCK;
            copy_run(element, y + (size_t)(r * turn->y_row + c) * element,
                     x + (size_t)(r + c * turn->x_column) * element, turn->x_column, columns);
        }
}

// The axis along which x is dense, if it is not the last one of y; else the rank.
static uint32_t find_across(uint32_t rank, const int64_t *dims, const int64_t *strides)
{
    for (uint32_t i = 0; rank > 1 && i < rank - 1; i++)
        if (strides[i] == 1 && dims[i] >= BLOCK && strides[rank - 1] > 1)
            return i;
    return rank;
}

void ref_copy_strided(void *y, uint32_t rank, const int64_t *dims, const void *x, int64_t from,
                      const int64_t *strides, uint32_t element)
{
    struct turn turn = {{y, x, from, element}, 0, 0, 0, 0};
    struct ref_walk walk = {.rank = rank, .dims = dims, .n_operands = 1};
    memcpy(walk.strides[0], strides, rank * sizeof(*strides));
    uint32_t across = find_across(rank, dims, strides);
    if (across == rank) {
        ref_walk_rows(&walk, copy_row, &turn.copy);
        return;
    }
    int64_t outer[SL_MAX_RANK], stride = 1;
    for (uint32_t i = rank; i-- > 0; stride *= dims[i]) {
        outer[i] = i == across || i == rank - 1 ? 1 : dims[i];
        walk.strides[1][i] = stride;
    }
    turn.rows = dims[across];
    turn.columns = dims[rank - 1];
    turn.y_row = walk.strides[1][across];
    turn.x_column = strides[rank - 1];
    walk.dims = outer;
    walk.n_operands = 2; // y, too: its rows are no longer walked in order
    ref_walk_rows(&walk, turn_blocks, &turn);
}
