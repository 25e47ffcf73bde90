// A made-up input, and the comparison of two answers.
#include "accel/ladder/steps.h"

#include "accel/tensor.h"

#include <errno.h>
#include <math.h>
#include <string.h>

// xorshift64*; Vigna, "An experimental exploration of Marsaglia's xorshift generators, scrambled".
static uint32_t draw(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return (uint32_t)((*state * 0x2545F4914F6CDD1Du) >> 32);
}

// Real numbers from 0 to 1, as pictures have them; any bytes; 0 or 1 where they may be indices.
void golden_fill(const struct sl_graph *graph, struct sl_tensors *golden)
{
    uint64_t state = 1;
    for (uint32_t i = 0; i < golden->n_inputs; i++) {
        const struct sl_tensor *t = sl_tensors_of(graph, i);
        void *data = golden->buffers[i].data;
        const int64_t count = sl_elements(t);
        for (int64_t k = 0; k < count; k++) {
            const uint32_t number = draw(&state);
            if (t->dtype == SL_F32)
                ((float *)data)[k] = (float)(number >> 8) / 16777216.0f;
            else if (t->dtype == SL_I32)
                ((int32_t *)data)[k] = number & 1;
            else if (t->dtype == SL_I64)
                ((int64_t *)data)[k] = number & 1;
            else
                ((uint8_t *)data)[k] = (uint8_t)(t->dtype == SL_BOOL ? number & 1 : number);
        }
    }
}

static double number_at(const struct sl_tensor *t, const void *data, int64_t k)
{
    switch (t->dtype) {
    case SL_F32:
        return ((const float *)data)[k];
    case SL_I8:
        return ((const int8_t *)data)[k];
    case SL_I32:
        return ((const int32_t *)data)[k];
    case SL_I64:
        return (double)((const int64_t *)data)[k];
    default:
        return ((const uint8_t *)data)[k];
    }
}

int golden_compare(const struct sl_graph *graph, const struct sl_buffer *outputs,
                   const struct sl_buffer *expected, uint64_t tolerance_permille,
                   struct sl_error *error)
{
    const double tolerance = (double)tolerance_permille / 1000;
    for (uint32_t i = 0; i < graph->n_outputs; i++) {
        const struct sl_tensor *t = &graph->tensors[graph->outputs[i]];
        if (memcmp(outputs[i].data, expected[i].data, t->bytes) == 0)
            continue;
        const int64_t count = sl_elements(t);
        for (int64_t k = 0; k < count; k++) {
            const double a = number_at(t, outputs[i].data, k);
            const double b = number_at(t, expected[i].data, k);
            const bool same = isnan(a) || isnan(b)
                                  ? isnan(a) && isnan(b)
                                  : a == b || fabs(a - b) <= tolerance * (1 + fabs(b));
            if (!same)
                return sl_error_set(error, -EILSEQ, "output '%s' differs at %lld: %g, expected %g",
                                    t->name, (long long)k, a, b);
        }
    }
    return 0;
}
