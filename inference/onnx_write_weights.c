// Float weights in fewer bytes, written with operators that every runtime folds when it loads.
#include "inference/onnx_writer.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum { GROUP = SL_INT4_GROUP, LEVELS = SL_INT4_LEVELS, FEWEST = 64 };

#define HALF_MOST 65504.0f // the greatest number of IEEE 754 binary16

// Round to nearest even, as binary16; beyond its range the greatest finite number.
static uint16_t to_half(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof(bits));
    const uint16_t sign = (uint16_t)(bits >> 16 & 0x8000u);
    const float size = fabsf(value);
    if (size >= HALF_MOST)
        return (uint16_t)(sign | 0x7bffu);
    if (size < 0x1p-14f) // subnormal: a multiple of 2^-24
        return (uint16_t)(sign | (uint16_t)rintf(size * 0x1p24f));
    bits = (bits & 0x7fffffffu) + 0xfffu + (bits >> 13 & 1);
    return (uint16_t)(sign | (uint16_t)((bits >> 13) - (112u << 10)));
}

static const char *as_half(struct writer *w, const struct sl_tensor *t)
{
    const uint64_t count = t->bytes / sizeof(float);
    const float *values = t->data;
    uint16_t *halves = pool_array(&w->pool, count, sizeof(*halves));
    if (!halves) {
        w->failed = true;
        return "";
    }
    for (uint64_t i = 0; i < count; i++)
        halves[i] = to_half(values[i]);
    const char *stored =
        writer_constant(w, t->name, "_half", ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16, t->rank,
                        t->dims, halves, count * sizeof(*halves));
    const char *name = writer_name(w, t->name, "");
    writer_set_int(w, writer_node(w, "Cast", name, &stored, 1, name), "to",
                   ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT);
    pool_release(&w->pool, halves);
    return name;
}

// True if all numbers are multiples of the scale: they were rounded already.
static bool lies_on(const float *values, uint32_t count, float scale)
{
    bool on = true;
    for (uint32_t i = 0; i < count && on; i++)
        on = fabsf(values[i] / scale - rintf(values[i] / scale)) < 1e-3f;
    return on;
}

// The scale of one group with the least squared error, tried from its greatest number downwards.
static float best_scale(const float *values, uint32_t count)
{
    float most = 0, best = 0, least = FLT_MAX;
    for (uint32_t i = 0; i < count; i++)
        most = fmaxf(most, fabsf(values[i]));
    if (most == 0)
        return 1;
    for (int n = 1; n <= LEVELS; n++)
        if (lies_on(values, count, most / (float)n))
            return most / (float)n;
    for (int step = 0; step < 24; step++) {
        const float scale = most / LEVELS * (1 - 0.02f * (float)step);
        float sum = 0;
        for (uint32_t i = 0; i < count; i++) {
            const float q = fminf(fmaxf(rintf(values[i] / scale), -LEVELS), LEVELS);
            sum += (values[i] - q * scale) * (values[i] - q * scale);
        }
        if (sum < least) {
            least = sum;
            best = scale;
        }
    }
    return best;
}

// Two numbers in a byte: number i is the low half of byte i, number i + n/2 its high half.
static void pack_int4(const float *values, uint64_t row, uint64_t rows, uint64_t groups,
                      float *scales, uint8_t *packed)
{
    const uint64_t padded = groups * GROUP, half = rows * padded / 2;
    memset(packed, 0x88, half);
    for (uint64_t r = 0; r < rows; r++) {
        for (uint64_t g = 0; g < groups; g++) {
            const uint64_t from = g * GROUP;
            const uint32_t count = (uint32_t)(row - from < GROUP ? row - from : GROUP);
            const float scale = best_scale(values + r * row + from, count);
            scales[r * groups + g] = scale;
            for (uint32_t i = 0; i < count; i++) {
                const float q = rintf(values[r * row + from + i] / scale);
                const uint32_t level = (uint32_t)(8 + (int)fminf(fmaxf(q, -LEVELS), LEVELS));
                const uint64_t at = r * padded + from + i;
                const uint32_t shift = at < half ? 0 : 4,
                               keep = packed[at % half] & ~(15u << shift);
                packed[at % half] = (uint8_t)(keep | level << shift);
            }
        }
    }
}

static const char *node2(struct writer *w, const char *op, const char *stem, const char *suffix,
                         const char *a, const char *b)
{
    const char *name = writer_name(w, stem, suffix);
    writer_node(w, op, name, (const char *[]){a, b}, 2, name);
    return name;
}

// bytes -> float -> high = floor(x / 16), low = x - 16 high -> (both - 8) * scale, trimmed, shaped.
static const char *unpack_int4(struct writer *w, const struct sl_tensor *t, const char *bytes,
                               const char *scales, uint64_t row, uint64_t rows, uint64_t groups)
{
    const char *wide = writer_name(w, t->name, "_wide"), *high = writer_name(w, t->name, "_high");
    writer_set_int(w, writer_node(w, "Cast", wide, &bytes, 1, wide), "to",
                   ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT);
    const char *share =
        node2(w, "Mul", t->name, "_share", wide, writer_float(w, t->name, "_sixteenth", 1 / 16.0f));
    writer_node(w, "Floor", high, &share, 1, high);
    const char *above =
        node2(w, "Mul", t->name, "_above", high, writer_float(w, t->name, "_sixteen", 16));
    const char *low = node2(w, "Sub", t->name, "_low", wide, above);
    const char *levels = writer_name(w, t->name, "_levels");
    writer_set_int(w, writer_node(w, "Concat", levels, (const char *[]){low, high}, 2, levels),
                   "axis", 0);
    const char *centred =
        node2(w, "Sub", t->name, "_centred", levels, writer_float(w, t->name, "_eight", 8));
    const int64_t grouped[] = {(int64_t)rows, (int64_t)groups, GROUP};
    const char *split = node2(w, "Reshape", t->name, "_grouped", centred,
                              writer_ints(w, t->name, "_group_shape", grouped, 3));
    const char *scaled = node2(w, "Mul", t->name, "_scaled", split, scales);
    const int64_t flat[] = {(int64_t)rows, (int64_t)(groups * GROUP)};
    const char *joined = node2(w, "Reshape", t->name, "_rows", scaled,
                               writer_ints(w, t->name, "_row_shape", flat, 2));
    if (row != groups * GROUP) {
        const char *trimmed = writer_name(w, t->name, "_trimmed");
        const int64_t zero = 0, end = (int64_t)row, axis = 1;
        const char *inputs[4] = {joined, writer_ints(w, t->name, "_from", &zero, 1),
                                 writer_ints(w, t->name, "_to", &end, 1),
                                 writer_ints(w, t->name, "_axis", &axis, 1)};
        writer_node(w, "Slice", trimmed, inputs, 4, trimmed);
        joined = trimmed;
    }
    return node2(w, "Reshape", t->name, "", joined,
                 writer_ints(w, t->name, "_shape", t->dims, t->rank));
}

static const char *as_int4(struct writer *w, const struct sl_tensor *t)
{
    const uint64_t rows = (uint64_t)t->dims[0], row = t->bytes / sizeof(float) / rows;
    const uint64_t groups = (row + GROUP - 1) / GROUP, half = rows * groups * GROUP / 2;
    float *scales = pool_array(&w->pool, rows * groups, sizeof(*scales));
    uint8_t *packed = pool_alloc(&w->pool, half);
    if (!scales || !packed) {
        w->failed = true;
        return "";
    }
    pack_int4(t->data, row, rows, groups, scales, packed);
    const int64_t dims[] = {(int64_t)rows, (int64_t)groups, 1}, length = (int64_t)half;
    const char *bytes = writer_constant(w, t->name, "_int4", ONNX__TENSOR_PROTO__DATA_TYPE__UINT8,
                                        1, &length, packed, half);
    const char *scale = writer_constant(w, t->name, "_scales", ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT,
                                        3, dims, scales, rows * groups * sizeof(*scales));
    return unpack_int4(w, t, bytes, scale, row, rows, groups);
}

static bool fits_half(const struct sl_tensor *t)
{
    const float *values = t->data;
    for (uint64_t i = 0; i < t->bytes / sizeof(float); i++)
        if (fabsf(values[i]) > HALF_MOST)
            return false;
    return true;
}

enum sl_weight_storage sl_onnx_weight_storage(const struct sl_tensor *t,
                                              enum sl_weight_storage wanted)
{
    const uint64_t count = t->bytes / sizeof(float);
    if (t->rank < 2 || count < FEWEST)
        return SL_WEIGHTS_AS_THEY_ARE;
    if (wanted == SL_WEIGHTS_FP16 && !fits_half(t))
        return SL_WEIGHTS_AS_THEY_ARE;
    return wanted == SL_WEIGHTS_INT4 && count / (uint64_t)t->dims[0] < GROUP / 2
               ? SL_WEIGHTS_AS_THEY_ARE
               : wanted;
}

const char *writer_weight(struct writer *w, const struct sl_tensor *t)
{
    switch (sl_onnx_weight_storage(t, w->weights)) {
    case SL_WEIGHTS_FP16:
        return as_half(w, t);
    case SL_WEIGHTS_INT4:
        return as_int4(w, t);
    default:
        return writer_constant(w, t->name, "", ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT, t->rank,
                               t->dims, t->data, t->bytes);
    }
}
