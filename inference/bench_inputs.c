// Random inputs for `sightline bench`.
#include "inference/bench.h"

#include "accel/tensor.h"

// xorshift64*, Vigna, "An experimental exploration of Marsaglia's xorshift generators, scrambled"
static uint32_t next(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return (uint32_t)((*state * 2685821657736338717u) >> 32);
}

// Range of the real numbers that the node behind `tensor` can tell apart, and a twentieth more on
// both sides so that saturation happens, too.
static void real_range(const struct sl_graph *graph, uint32_t tensor, float *low, float *high)
{
    *low = 0;
    *high = 1;
    for (uint32_t i = 0; i < graph->n_nodes; i++) {
        const struct sl_node *node = &graph->nodes[i];
        if (node->op != SL_OP_QUANTIZE || node->inputs[0] != tensor)
            continue;
        const struct sl_tensor *y = &graph->tensors[node->outputs[0]];
        int64_t least, most;
        sl_dtype_range(y->dtype, &least, &most);
        if (y->quant.count != 1)
            continue;
        const float scale = y->quant.scale[0], zero = (float)y->quant.zero_point[0];
        const float margin = (float)(most - least) * scale / 20;
        *low = ((float)least - zero) * scale - margin;
        *high = ((float)most - zero) * scale + margin;
        return;
    }
}

static void fill(const struct sl_graph *graph, uint32_t number, void *data, uint64_t *state)
{
    const struct sl_tensor *tensor = &graph->tensors[number];
    const int64_t count = sl_elements(tensor);
    float low, high;
    real_range(graph, number, &low, &high);
    for (int64_t i = 0; i < count; i++) {
        const uint32_t random = next(state);
        switch (tensor->dtype) {
        case SL_F32:
            ((float *)data)[i] = low + (high - low) * ((float)(random >> 8) * 0x1p-24f);
            break;
        case SL_I32:
            ((uint32_t *)data)[i] = random;
            break;
        case SL_I64:
            ((uint64_t *)data)[i] = (uint64_t)random << 32 | next(state);
            break;
        case SL_BOOL:
            ((uint8_t *)data)[i] = (uint8_t)(random >> 31);
            break;
        default:
            ((uint8_t *)data)[i] = (uint8_t)(random >> 24);
        }
    }
}

void bench_inputs_fill(const struct sl_graph *graph, struct sl_program *program, uint64_t seed)
{
    uint64_t state = seed * 0x9E3779B97F4A7C15u + 1;
    for (uint32_t i = 0; i < graph->n_inputs; i++)
        fill(graph, graph->inputs[i], sl_program_input(program, i, NULL), &state);
}
