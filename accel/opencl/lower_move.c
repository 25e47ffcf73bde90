// Lowers operators that only move elements, and bilinear Resize.
//
// Where elements go is asked of the reference: it moves the numbers of the input's places.
#include "accel/opencl/program.h"

#include "accel/reference.h"

#include <stdlib.h>
#include <string.h>

// The node with these two tensors for its input 0 and output; the others as they are.
static int run_with(struct ocl_compiler *c, const struct sl_node *node, const struct sl_tensor *x,
                    const struct sl_tensor *y, void *from, void *to)
{
    static const uint32_t numbers[3] = {0, 1, 2};
    struct sl_tensor tensors[3] = {*x, *y, *y};
    void *data[3] = {from, NULL, to};
    struct sl_node copy = *node;
    if (node->n_inputs > 1)
        tensors[1] = *ocl_in(c, node, 1);
    copy.n_inputs = node->n_inputs > 1 ? 2 : 1;
    copy.inputs = numbers;
    copy.outputs = numbers + 2;
    copy.activation.kind = SL_ACT_NONE;
    return sl_reference_run(tensors, &copy, data, c->error);
}

static void retype(struct sl_tensor *t, uint32_t dtype)
{
    t->dtype = dtype;
    t->quant.count = 0;
    t->data = NULL;
    t->bytes = (uint64_t)sl_elements(t) * sl_dtype_size(dtype);
}

// places[i]: which input element output element i is. Numbers begin at 1, so that 0 is what Pad
// puts in; the caller subtracts.
static int find_places(struct ocl_compiler *c, const struct sl_node *node, struct sl_tensor x,
                       struct sl_tensor y, int32_t **out)
{
    retype(&x, SL_I32);
    retype(&y, SL_I32);
    const int64_t n = sl_elements(&x), m = sl_elements(&y);
    int32_t *from = malloc((size_t)x.bytes + 4), *to = calloc(1, (size_t)y.bytes + 4);
    if (!from || !to) {
        free(from);
        free(to);
        return ocl_no_memory(c);
    }
    for (int64_t i = 0; i < n; i++)
        from[i] = (int32_t)i + 1;
    struct sl_node copy = *node;
    if (copy.op == SL_OP_PAD)
        copy.attrs.pad.value = 0.0f;
    const int status = run_with(c, &copy, &x, &y, from, to);
    for (int64_t i = 0; status == 0 && i < m; i++)
        to[i]--;
    free(from);
    if (status)
        free(to);
    else
        *out = to;
    return status;
}

struct pick {
    uint32_t from, to; // tensors
    const int32_t *places;
    int64_t period, x_step, y_from, y_step, count;
    int32_t fill;
};

static int add_pick(struct ocl_compiler *c, const struct sl_node *node, const struct pick *pick)
{
    const struct sl_tensor *x = &c->graph->tensors[pick->from], *y = &c->graph->tensors[pick->to];
    const uint32_t size = sl_dtype_size(x->dtype);
    uint8_t table[256];
    for (int i = 0; i < 256; i++)
        table[i] = (uint8_t)i;
    if (!sl_same_quant(x, y) || node->activation.kind != SL_ACT_NONE) {
        const struct sl_node requantise = {.name = node->name,
                                           .op = SL_OP_QUANTIZE,
                                           .n_inputs = 1,
                                           .n_outputs = 1,
                                           .activation = node->activation};
        if (!ocl_one_scale(x) || !ocl_one_scale(y))
            return ocl_refuse(c, node, "a change of quantisation that is not of 8 bits");
        const int status = ocl_fill_table(c, &requantise, x, y, table);
        if (status)
            return status;
    }
    struct ocl_step *step = ocl_add_step(c,
                                         size == 1   ? "pick1"
                                         : size == 4 ? "pick4"
                                                     : "pick8",
                                         pick->count, 1, 1);
    if (!step)
        return ocl_no_memory(c);
    ocl_arg_slot(step, ocl_read_slot(c, pick->from));
    ocl_arg_slot(step, ocl_write_slot(c, pick->to));
    ocl_arg_slot(step, ocl_constant(c, pick->places, (size_t)pick->period * 4));
    ocl_arg_int(step, pick->period);
    ocl_arg_int(step, pick->x_step);
    ocl_arg_int(step, pick->y_from);
    ocl_arg_int(step, pick->y_step);
    ocl_arg_slot(step, ocl_constant(c, table, sizeof(table)));
    ocl_arg_int(step, pick->fill);
    ocl_arg_int(step, pick->count);
    return 0;
}

// What Pad puts in, asked of the reference with an input of one element.
static int find_fill(struct ocl_compiler *c, const struct sl_node *node, int32_t *fill)
{
    struct sl_tensor x = *ocl_in(c, node, 0), y = *ocl_out(c, node);
    unsigned char from[8] = {0}, to[16] = {0};
    struct sl_node copy = *node;
    x.rank = y.rank = 1;
    x.dims[0] = 1;
    y.dims[0] = 2;
    x.bytes = sl_dtype_size(x.dtype);
    y.bytes = 2 * x.bytes;
    y.quant = x.quant;
    copy.attrs.pad.before[0] = 1;
    copy.attrs.pad.after[0] = 0;
    const int status = run_with(c, &copy, &x, &y, from, to);
    *fill = 0;
    memcpy(fill, to, x.bytes < 4 ? x.bytes : 4);
    return status;
}

// Reads `x` and writes `y`, tensors of the graph but for leading dimensions that are left out:
// they are `stretches` of the same.
static int move(struct ocl_compiler *c, const struct sl_node *node, struct sl_tensor x,
                struct sl_tensor y, int64_t stretches)
{
    int32_t *places, fill = 0;
    int status = 0;
    const bool pads = node->op == SL_OP_PAD && node->attrs.pad.mode == SL_PAD_CONSTANT;
    if (pads && (sl_dtype_size(x.dtype) == 8 || x.quant.count > 1))
        return ocl_refuse(c, node, "padding of this type");
    if (pads)
        status = find_fill(c, node, &fill);
    if (status == 0)
        status = find_places(c, node, x, y, &places);
    if (status)
        return status;
    const struct pick pick = {.from = node->inputs[0],
                              .to = node->outputs[0],
                              .places = places,
                              .period = sl_elements(&y),
                              .x_step = sl_elements(&x),
                              .y_step = sl_elements(&y),
                              .count = sl_elements(&y) * stretches,
                              .fill = fill};
    status = add_pick(c, node, &pick);
    free(places);
    return status;
}

int ocl_lower_move(struct ocl_compiler *c, const struct sl_node *node)
{
    if (node->n_inputs > 1 && (!ocl_in(c, node, 1) || !ocl_in(c, node, 1)->data))
        return ocl_refuse(c, node, "indices that are not constant");
    return move(c, node, *ocl_in(c, node, 0), *ocl_out(c, node), 1);
}

int ocl_lower_concat(struct ocl_compiler *c, const struct sl_node *node)
{
    const struct sl_tensor *y = ocl_out(c, node);
    const uint32_t axis = sl_axis(node->attrs.axis, y->rank);
    const int64_t y_step = sl_dims_product(y, axis, y->rank);
    int64_t y_from = 0;
    int status = 0;
    for (uint32_t i = 0; status == 0 && i < node->n_inputs; i++) {
        const struct sl_tensor *x = ocl_in(c, node, i);
        const int64_t period = sl_dims_product(x, axis, x->rank);
        int32_t *places = malloc((size_t)period * 4 + 4);
        if (!places)
            return ocl_no_memory(c);
        for (int64_t k = 0; k < period; k++)
            places[k] = (int32_t)k;
        const struct pick pick = {.from = node->inputs[i],
                                  .to = node->outputs[0],
                                  .places = places,
                                  .period = period,
                                  .x_step = period,
                                  .y_from = y_from,
                                  .y_step = y_step,
                                  .count = sl_elements(x)};
        if (pick.count > 0)
            status = add_pick(c, node, &pick);
        y_from += period;
        free(places);
    }
    return status;
}

// One axis of a linear Resize: two places and weights for every output coordinate. The reference
// says where by Resize to the lower neighbour, and the weights by what becomes of a row of 1 at
// even and 0 at odd places.
struct taps {
    int32_t *places;
    float *weights;
};

static int axis_taps(struct ocl_compiler *c, const struct sl_node *node, uint32_t axis,
                     struct taps *out)
{
    struct sl_tensor x = *ocl_in(c, node, 0), y = *ocl_out(c, node);
    struct sl_node one = *node;
    const int64_t in = x.dims[axis], n = y.dims[axis];
    x.rank = y.rank = 1;
    x.dims[0] = in;
    y.dims[0] = n;
    one.n_inputs = 1;
    one.attrs.resize.scale[0] = node->attrs.resize.scale[axis];
    float *row = calloc((size_t)in + (size_t)n + 1, sizeof(*row));
    int32_t *low = NULL;
    out->places = calloc((size_t)n + 1, 2 * sizeof(*out->places));
    out->weights = calloc((size_t)n + 1, 2 * sizeof(*out->weights));
    struct sl_node nearest = one;
    nearest.attrs.resize.mode = SL_RESIZE_NEAREST;
    nearest.attrs.resize.rounding = SL_RESIZE_FLOOR;
    int status = !row || !out->places || !out->weights ? ocl_no_memory(c)
                                                       : find_places(c, &nearest, x, y, &low);
    for (int parity = 0; status == 0 && parity < 2; parity++) {
        for (int64_t i = 0; i < in; i++)
            row[i] = i % 2 == parity ? 1.0f : 0.0f;
        retype(&x, SL_F32);
        retype(&y, SL_F32);
        status = run_with(c, &one, &x, &y, row, row + in);
        for (int64_t i = 0; status == 0 && i < n; i++) {
            const int upper = low[i] % 2 != parity;
            out->places[2 * i + upper] = low[i] + (upper && low[i] + 1 < in);
            out->weights[2 * i + upper] = row[in + i];
        }
    }
    free(row);
    free(low);
    return status;
}

static bool untouched(const struct ocl_compiler *c, const struct sl_node *node, uint32_t axis)
{
    return ocl_in(c, node, 0)->dims[axis] == ocl_out(c, node)->dims[axis] &&
           node->attrs.resize.scale[axis] == 1.0f;
}

static int add_linear(struct ocl_compiler *c, const struct sl_node *node, const struct taps *rows,
                      const struct taps *columns)
{
    const struct sl_tensor *x = ocl_in(c, node, 0), *y = ocl_out(c, node);
    const bool real = x->dtype == SL_F32;
    const int64_t in_h = x->dims[2], in_w = x->dims[3], out_h = y->dims[2], out_w = y->dims[3];
    float reals[256] = {0.0f};
    int32_t low = 0, high = 0, zero = 0;
    for (int i = 0; !real && i < 256; i++)
        reals[i] = (float)((x->dtype == SL_I8 ? (int8_t)i : i) - x->quant.zero_point[0]) *
                   x->quant.scale[0];
    if (!real) {
        sl_quant_bounds(y, &node->activation, &low, &high);
        zero = y->quant.zero_point[0];
    }
    struct ocl_step *step =
        ocl_add_step(c, real ? "linear_float" : "linear_uchar", sl_elements(y), 1, 1);
    if (!step)
        return ocl_no_memory(c);
    ocl_arg_slot(step, ocl_read_slot(c, node->inputs[0]));
    ocl_arg_slot(step, ocl_write_slot(c, node->outputs[0]));
    ocl_arg_slot(step, ocl_constant(c, rows->places, (size_t)out_h * 8));
    ocl_arg_slot(step, ocl_constant(c, columns->places, (size_t)out_w * 8));
    ocl_arg_slot(step, ocl_constant(c, rows->weights, (size_t)out_h * 8));
    ocl_arg_slot(step, ocl_constant(c, columns->weights, (size_t)out_w * 8));
    ocl_arg_int(step, in_w);
    ocl_arg_int(step, out_h);
    ocl_arg_int(step, out_w);
    ocl_arg_int(step, in_h * in_w);
    ocl_arg_int(step, sl_elements(y));
    ocl_arg_slot(step, ocl_constant(c, reals, sizeof(reals)));
    ocl_arg_float(step, real ? 1.0f : y->quant.scale[0]);
    ocl_arg_int(step, zero);
    ocl_arg_float(step, (float)(low - zero));
    ocl_arg_float(step, (float)(high - zero));
    return 0;
}

static int lower_linear(struct ocl_compiler *c, const struct sl_node *node)
{
    const struct sl_tensor *x = ocl_in(c, node, 0), *y = ocl_out(c, node);
    const bool real = x->dtype == SL_F32 && y->dtype == SL_F32;
    struct taps rows = {NULL, NULL}, columns = {NULL, NULL};
    if (x->rank != 4 || !untouched(c, node, 0) || !untouched(c, node, 1) ||
        (!real && !(ocl_one_scale(x) && ocl_one_scale(y))) || node->activation.kind != SL_ACT_NONE)
        return ocl_refuse(c, node, "linear mode other than of rows and columns");
    int status = axis_taps(c, node, 2, &rows);
    if (status == 0)
        status = axis_taps(c, node, 3, &columns);
    if (status == 0)
        status = add_linear(c, node, &rows, &columns);
    free(rows.places);
    free(rows.weights);
    free(columns.places);
    free(columns.weights);
    return status;
}

int ocl_lower_resize(struct ocl_compiler *c, const struct sl_node *node)
{
    const struct sl_resize_attrs *attrs = &node->attrs.resize;
    struct sl_tensor x = *ocl_in(c, node, 0), y = *ocl_out(c, node);
    if (attrs->coordinates == SL_RESIZE_TF_CROP_AND_RESIZE || attrs->mode == SL_RESIZE_CUBIC)
        return ocl_refuse(c, node, "cubic mode, or coordinates of a region");
    if (attrs->mode == SL_RESIZE_LINEAR)
        return lower_linear(c, node);
    int64_t stretches = 1;
    struct sl_node small = *node;
    small.n_inputs = 1;
    for (uint32_t i = 0; i < x.rank && untouched(c, node, i); i++) {
        stretches *= x.dims[i];
        x.dims[i] = y.dims[i] = 1;
    }
    return move(c, &small, x, y, stretches);
}
