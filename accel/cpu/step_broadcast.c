// Steps of sums, differences and products of float32 tensors, 8-bit ones, or both. One operand may
// have one value for each channel, or one in all. Integers become real numbers piece by piece and
// go through the kernels for those, so that results are the interpreter's.
#include "accel/cpu/compile.h"

#include <string.h>

// A piece has about so many values: what is needed of it stays in the first-level cache. It has at
// least one pixel, whose channels may be more.
#define PIECE         512
#define MOST_IN_PIECE 2048

struct operand {
    uint32_t value;
    bool quantised;
    struct cpu_quant quant;
    size_t element;
};

struct broadcast {
    const struct cpu_kernels *kernels;
    struct operand map, row, y; // row: the operand that may be repeated
    enum cpu_binary kind;
    bool row_is_first, activates;
    bool bytes;                    // two 8-bit tensors, by the kernels for those
    bool whole;                    // the row is a map itself
    bool per_picture, per_channel; // what else the row has values for
    struct cpu_unary after;
    struct cpu_add add;
    struct sl_quantised_product mul;
    int64_t n, channels, padded, pixels;
};

// Bytes of one pixel's channels of the row, repeated.
static void repeat(const struct broadcast *s, const unsigned char *x, int64_t count,
                   unsigned char *out)
{
    size_t element = s->row.element, filled = (size_t)s->padded * element;
    size_t all = (size_t)count * element;
    for (int64_t c = 0; c < s->padded; c++) {
        int64_t from = s->per_channel && c < s->channels ? c : 0;
        memcpy(out + (size_t)c * element, x + (size_t)from * element, element);
    }
    for (; filled < all; filled *= 2)
        memcpy(out + filled, out, filled < all - filled ? filled : all - filled);
}

static const float *to_real(const struct broadcast *s, const struct operand *operand, const void *x,
                            float *buffer, int64_t count)
{
    if (!operand->quantised)
        return x;
    s->kernels->dequantize(&operand->quant, x, buffer, count);
    return buffer;
}

static void compute(const struct broadcast *s, const void *x, const float *row, void *y,
                    int64_t count)
{
    float map[MOST_IN_PIECE], result[MOST_IN_PIECE];
    const float *from = to_real(s, &s->map, x, map, count);
    float *to = s->y.quantised ? result : y;
    s->kernels->binary_f32(s->kind, s->row_is_first ? row : from, s->row_is_first ? from : row, to,
                           count);
    if (s->activates)
        s->kernels->unary_f32(&s->after, to, to, count);
    if (s->y.quantised)
        s->kernels->quantize(&s->y.quant, result, y, count);
}

static void compute_bytes(const struct broadcast *s, const uint8_t *map, const uint8_t *row,
                          uint8_t *y, int64_t count)
{
    const uint8_t *a = s->row_is_first ? row : map, *b = s->row_is_first ? map : row;
    if (s->kind == CPU_ADD)
        s->kernels->add_q8(&s->add, a, b, y, count);
    else
        s->kernels->mul_q8(&s->mul, a, b, y, count);
}

static int run_broadcast(const struct cpu_program *program, const struct cpu_step *step,
                         uint32_t part, uint32_t parts, struct sl_error *error)
{
    const struct broadcast *s = step->state;
    unsigned char repeated[MOST_IN_PIECE * sizeof(float)];
    float buffer[MOST_IN_PIECE];
    int64_t together = s->padded < PIECE ? PIECE / s->padded : 1;
    int64_t blocks = (s->pixels + together - 1) / together;
    int64_t end = cpu_share(s->n * blocks, part + 1, parts), last = -1;
    const float *row = NULL;
    (void)error;
    for (int64_t b = cpu_share(s->n * blocks, part, parts); b < end; b++) {
        int64_t n = b / blocks, first = b % blocks * together;
        int64_t pixels = s->pixels - first < together ? s->pixels - first : together;
        size_t at = (size_t)((n * s->pixels + first) * s->padded);
        const unsigned char *x = cpu_data(program, s->map.value);
        unsigned char *y = cpu_data(program, s->y.value);
        const unsigned char *other = repeated;
        if (s->whole) {
            other = (const unsigned char *)cpu_data(program, s->row.value) + at * s->row.element;
            row = s->bytes ? NULL : to_real(s, &s->row, other, buffer, pixels * s->padded);
        } else if (n != last) {
            int64_t values = s->per_channel ? s->channels : 1;
            size_t offset = s->per_picture ? (size_t)(n * values) * s->row.element : 0;
            repeat(s, (const unsigned char *)cpu_data(program, s->row.value) + offset,
                   together * s->padded, repeated);
            row = to_real(s, &s->row, repeated, buffer, together * s->padded);
            last = n;
        }
        x += at * s->map.element;
        y += at * s->y.element;
        if (s->bytes)
            compute_bytes(s, x, other, y, pixels * s->padded);
        else
            compute(s, x, row, y, pixels * s->padded);
    }
    return 0;
}

static bool find_kind(uint32_t binary, enum cpu_binary *out)
{
    static const uint32_t kinds[] = {
        [CPU_ADD] = SL_BINARY_ADD, [CPU_SUB] = SL_BINARY_SUB, [CPU_MUL] = SL_BINARY_MUL};
    for (uint32_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
        if (kinds[i] == binary) {
            *out = (enum cpu_binary)i;
            return true;
        }
    return false;
}

static bool describe(const struct sl_tensor *t, struct operand *out)
{
    out->quantised = sl_is_quantised(t);
    out->element = sl_dtype_size(t->dtype);
    if (!out->quantised)
        return t->dtype == SL_F32;
    if (!sl_is_8bit(t) || t->quant.count != 1)
        return false;
    out->quant = cpu_make_quant(t);
    return true;
}

// Is `row` as large as `map`, or has it one value for each channel of `map`, or one in all, for
// each picture or for all?
static bool is_row(const struct sl_tensor *row, const struct sl_tensor *map, struct broadcast *s)
{
    int64_t dims[4] = {1, 1, 1, 1};
    s->whole = sl_same_dims(row, map);
    if (s->whole || row->rank > 4)
        return s->whole;
    for (uint32_t i = 0; i < row->rank; i++)
        dims[4 - row->rank + i] = row->dims[i];
    s->per_picture = dims[0] > 1;
    s->per_channel = dims[1] > 1;
    return dims[2] == 1 && dims[3] == 1 && (dims[0] == 1 || dims[0] == map->dims[0]) &&
           (dims[1] == 1 || dims[1] == map->dims[1]);
}

static bool fits(const struct cpu_compiler *c, const struct sl_node *node, struct broadcast *s)
{
    if (node->op != SL_OP_BINARY || !find_kind(node->attrs.binary, &s->kind))
        return false;
    const struct sl_tensor *y = cpu_out(c, node);
    uint32_t row = sl_same_dims(cpu_in(c, node, 0), y) ? 1 : 0;
    const struct sl_tensor *map = cpu_in(c, node, 1 - row);
    s->row_is_first = row == 0;
    s->activates = node->activation.kind != SL_ACT_NONE;
    return cpu_fits_nhwc(map) && cpu_fits_nhwc(y) && sl_same_dims(map, y) && sl_elements(y) > 0 &&
           cpu_round_channels(map->dims[1]) <= MOST_IN_PIECE &&
           is_row(cpu_in(c, node, row), map, s) && describe(map, &s->map) &&
           describe(cpu_in(c, node, row), &s->row) && describe(y, &s->y) &&
           (!s->activates || cpu_real_function(&node->activation, &s->after));
}

int cpu_lower_broadcast(struct cpu_compiler *c, const struct sl_node *node)
{
    struct broadcast *s = cpu_take(c, 1, sizeof(*s));
    if (!s)
        return cpu_no_memory(c);
    if (!fits(c, node, s))
        return 0;
    const struct sl_tensor *y = cpu_out(c, node);
    s->kernels = c->kernels;
    s->n = y->dims[0];
    s->channels = y->dims[1];
    s->padded = cpu_round_channels(y->dims[1]);
    s->pixels = y->dims[2] * y->dims[3];
    const struct sl_tensor *a = cpu_in(c, node, 0), *b = cpu_in(c, node, 1);
    s->bytes = sl_is_quantised_sum(node, a, b, y) || sl_is_quantised_product(node, a, b, y);
    if (s->bytes && s->kind == CPU_ADD)
        s->add = cpu_make_add(a, b, y, &node->activation);
    else if (s->bytes)
        s->mul = sl_make_quantised_product(a, b, y, &node->activation);
    uint32_t row = s->row_is_first ? 0 : 1;
    int status = cpu_want(c, node->inputs[1 - row], CPU_NHWC, &s->map.value);
    if (status == 0)
        status = cpu_want(c, node->inputs[row], s->whole ? CPU_NHWC : CPU_PLAIN, &s->row.value);
    if (status == 0)
        status = cpu_make(c, node->outputs[0], CPU_NHWC, &s->y.value);
    if (status)
        return status;
    struct cpu_step *step = cpu_add_step(c, node->name, "broadcast", s);
    if (!step)
        return cpu_no_memory(c);
    step->run = run_broadcast;
    cpu_use(c, s->map.value);
    cpu_use(c, s->row.value);
    cpu_use(c, s->y.value);
    return 1;
}
