// Steps that convolve: choosing the kernel, its constants, and running output rows on all threads.
#include "accel/cpu/conv.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

static void run_conv(const struct cpu_program *program, const struct cpu_step *step, uint32_t part,
                     int64_t first, int64_t end)
{
    const struct conv *conv = step->state;
    unsigned char *scratch = cpu_data(program, conv->scratch);
    scratch += part * conv_scratch_bytes(conv);
    bool adds = conv->residual != CPU_NONE;
    struct conv_memory memory = {cpu_data(program, conv->x),
                                 adds ? cpu_data(program, conv->residual) : NULL,
                                 cpu_data(program, conv->y), scratch};
    while (first < end) {
        int64_t n = first / conv->out[0], row = first % conv->out[0];
        int64_t rows = conv->out[0] - row < end - first ? conv->out[0] - row : end - first;
        conv->run_rows(conv, &memory, n, row, row + rows);
        first += rows;
    }
}

struct weights {
    const struct sl_tensor *tensor;
    int64_t fold; // of the input that they are for
};

float cpu_weight(const struct sl_tensor *tensor, int64_t i, int64_t channel)
{
    if (tensor->dtype == SL_F32)
        return ((const float *)tensor->data)[i];
    int32_t zero = tensor->quant.zero_point[tensor->quant.count > 1 ? channel : 0];
    int32_t value = tensor->dtype == SL_I8 ? ((const int8_t *)tensor->data)[i]
                                           : ((const uint8_t *)tensor->data)[i];
    return (float)(value - zero);
}

static float weight_at(const void *ctx, int64_t o, int64_t c, int64_t ky, int64_t kx)
{
    const struct weights *w = ctx;
    const int64_t *dims = w->tensor->dims;
    int64_t place = c / dims[1];
    ky = ky * w->fold + place / w->fold;
    kx = kx * w->fold + place % w->fold;
    return cpu_weight(w->tensor, ((o * dims[1] + c % dims[1]) * dims[2] + ky) * dims[3] + kx, o);
}

static void set_geometry(struct cpu_compiler *c, const struct sl_node *node, struct conv *conv)
{
    const struct sl_conv_attrs *attrs = &node->attrs.conv;
    const struct sl_tensor *x = cpu_in(c, node, 0), *y = cpu_out(c, node);
    conv->kernels = c->kernels;
    conv->n = x->dims[0];
    conv->group = attrs->group;
    conv->channels = x->dims[1] * conv->fold * conv->fold;
    conv->padded = cpu_round_channels(conv->channels);
    conv->out_channels = y->dims[1];
    conv->x_dtype = x->dtype;
    conv->x_zero = sl_is_quantised(x) ? x->quant.zero_point[0] : 0;
    conv->y_element = sl_dtype_size(y->dtype);
    for (int i = 0; i < 2; i++) {
        conv->in[i] = x->dims[2 + i] / conv->fold;
        conv->out[i] = y->dims[2 + i];
        conv->kernel[i] = attrs->kernel[i] / conv->fold;
        conv->stride[i] = attrs->stride[i] / conv->fold;
        conv->dilation[i] = attrs->dilation[i];
        conv->pad[i] = attrs->pad[i] / conv->fold;
    }
}

// Dot products read bytes that are not centred: what their zero point adds goes into the bias.
struct weight_sums {
    int64_t sum, size; // size: of the absolute values
};

static struct weight_sums sum_weights(const struct conv *conv, conv_weight weight, const void *ctx,
                                      int64_t o)
{
    struct weight_sums sums = {0, 0};
    for (int64_t i = 0; i < conv->channels / conv->group; i++)
        for (int64_t ky = 0; ky < conv->kernel[0]; ky++)
            for (int64_t kx = 0; kx < conv->kernel[1]; kx++) {
                int32_t value = (int32_t)weight(ctx, o, i, ky, kx);
                sums.sum += value;
                sums.size += abs(value);
            }
    return sums;
}

// May the epilogue take the channel's sums as it says for `saturates`? 2^23 times 2^-15 is above
// every byte, and the bits of 2^23 plus 2^26 are those of 2^31: all results fit an int32.
static bool saturates(const struct conv *conv, int64_t o, int64_t size)
{
    const float multiplier = conv->multiplier[o];
    const int64_t most = llabs((long long)conv->bias[o]) + size * 255; // of a sum's absolute value
    return conv->epilogue.low >= 0 && multiplier < 1 && multiplier >= 0x1p-15f && most < 1 << 26;
}

static int set_integer_constants(struct cpu_compiler *c, const struct sl_node *node,
                                 struct conv *conv, conv_weight weight, const void *ctx)
{
    const struct sl_tensor *x = cpu_in(c, node, 0), *b = cpu_in(c, node, 2);
    const struct sl_tensor *y = cpu_out(c, node);
    const struct sl_quant *quant = &cpu_in(c, node, 1)->quant;
    int32_t *bias = cpu_take(c, (size_t)conv->out_padded, sizeof(*bias));
    float *multiplier = cpu_take(c, (size_t)conv->out_padded, sizeof(*multiplier));
    if (!bias || !multiplier)
        return cpu_no_memory(c);
    conv->bias = bias;
    conv->multiplier = multiplier;
    conv->epilogue.shrinks = conv->epilogue.saturates = 1;
    bool bytes = conv_reads_bytes(conv->kind);
    int32_t zero = conv->x_zero + (conv->x_dtype == SL_I8 ? 128 : 0);
    zero -= conv->kind == CONV_SDOT ? 128 : 0;
    for (int64_t o = 0; o < conv->out_channels; o++) {
        const struct weight_sums sums = sum_weights(conv, weight, ctx, o);
        bias[o] = b ? ((const int32_t *)b->data)[o] : 0;
        if (bytes)
            bias[o] = (int32_t)((uint32_t)bias[o] - (uint32_t)zero * (uint32_t)(uint64_t)sums.sum);
        multiplier[o] = x->quant.scale[0] * quant->scale[quant->count > 1 ? o : 0];
        if (sl_is_quantised(y))
            multiplier[o] /= y->quant.scale[0];
        if (!isfinite(multiplier[o]))
            return sl_error_set(c->error, -EINVAL,
                                "node '%s': the scales of input, weights and output give no finite "
                                "factor for channel %lld",
                                node->name, (long long)o);
        if (conv->kind == CONV_WINOGRAD) {
            int32_t scale = cpu_winograd_scale((uint32_t)conv->stride[0]);
            bias[o] *= scale;
            multiplier[o] /= (float)scale;
        }
        conv->epilogue.shrinks &= multiplier[o] < 1;
        conv->epilogue.saturates &= saturates(conv, o, sums.size);
    }
    return 0;
}

static int set_real_bias(struct cpu_compiler *c, const struct sl_node *node, struct conv *conv)
{
    const struct sl_tensor *b = cpu_in(c, node, 2);
    float *bias = cpu_take(c, (size_t)conv->out_padded, sizeof(*bias));
    if (!bias)
        return cpu_no_memory(c);
    for (int64_t o = 0; b && o < conv->out_channels; o++)
        bias[o] = ((const float *)b->data)[o];
    conv->bias_real = bias;
    return 0;
}

static void set_epilogue(const struct sl_node *node, const struct sl_tensor *y, struct conv *conv)
{
    struct cpu_epilogue *e = &conv->epilogue;
    const struct sl_activation *activation = &node->activation;
    if (sl_is_quantised(y)) {
        int32_t low, high;
        sl_quant_bounds(y, activation, &low, &high);
        e->zero = y->quant.zero_point[0];
        e->low = (float)(low - e->zero);
        e->high = (float)(high - e->zero);
        e->y_signed = y->dtype == SL_I8;
        return;
    }
    e->to_real = 1;
    e->low = activation->kind == SL_UNARY_RELU ? 0.0f : -INFINITY;
    e->high = INFINITY;
    if (activation->kind == SL_ACT_CLIP) {
        e->low = activation->alpha;
        e->high = activation->beta;
    }
    conv->activates = !conv_clamps(activation->kind);
    if (conv->activates)
        cpu_real_function(activation, &conv->after);
}

int cpu_conv_constants(struct cpu_compiler *c, const struct sl_node *node, struct conv *conv,
                       conv_weight weight, const void *ctx)
{
    int status = conv_pack(c, conv, weight, ctx);
    if (status)
        return status;
    set_epilogue(node, cpu_out(c, node), conv);
    return conv_is_real(conv->kind) ? set_real_bias(c, node, conv)
                                    : set_integer_constants(c, node, conv, weight, ctx);
}

// How far behind a convolution its sum may stand.
#define LOOK_AHEAD 32

// The Add that alone reads the result of `node`, if it can be taken along: its other operand is
// computed already. *other is that operand.
static const struct sl_node *find_sum(struct cpu_compiler *c, const struct sl_node *node,
                                      uint32_t *at, uint32_t *other)
{
    uint32_t result = node->outputs[0], end = c->graph->n_nodes;
    if (c->readers[result] != 1)
        return NULL;
    end = end - c->at > LOOK_AHEAD ? c->at + LOOK_AHEAD : end;
    for (*at = c->at + 1; *at < end; ++*at) {
        const struct sl_node *sum = &c->graph->nodes[*at];
        if (!cpu_is_plain_sum(c, sum) || (sum->inputs[0] != result && sum->inputs[1] != result))
            continue;
        *other = sum->inputs[sum->inputs[0] == result ? 1 : 0];
        bool known = cpu_has(c, *other, CPU_NHWC) || cpu_has(c, *other, CPU_PLAIN);
        return known ? sum : NULL;
    }
    return NULL;
}

// Returns the tensor that the step computes: the node's or the sum's.
static uint32_t take_sum(struct cpu_compiler *c, const struct sl_node *node, struct conv *conv,
                         uint32_t *other)
{
    uint32_t at;
    const struct sl_node *sum = NULL;
    if (!conv_is_real(conv->kind) && sl_is_quantised(cpu_out(c, node)))
        sum = find_sum(c, node, &at, other);
    if (!sum) {
        *other = SL_NO_TENSOR;
        return node->outputs[0];
    }
    conv->add =
        cpu_make_add(cpu_in(c, sum, 0), cpu_in(c, sum, 1), cpu_out(c, sum), &sum->activation);
    conv->add.residual_is_a = sum->inputs[0] == *other;
    c->done[at] = true;
    return sum->outputs[0];
}

static int want_values(struct cpu_compiler *c, const struct sl_node *node, struct conv *conv)
{
    uint32_t other = SL_NO_TENSOR, output = take_sum(c, node, conv, &other);
    bool direct = conv->fold > 1 || (conv->channels <= 4 && !conv_is_depthwise(conv->kind) &&
                                     cpu_has(c, node->inputs[0], CPU_PLAIN));
    conv->x_layout = direct ? CPU_PLAIN : CPU_NHWC;
    conv->residual = CPU_NONE;
    if (conv->x_layout == CPU_NHWC)
        conv_read_in_place(conv);
    int status = cpu_want(c, node->inputs[0], conv->x_layout, &conv->x);
    if (status == 0 && other != SL_NO_TENSOR)
        status = cpu_want(c, other, CPU_NHWC, &conv->residual);
    conv->residual_step = (size_t)conv->out_padded;
    conv->residual_row = (size_t)conv->out[1] * conv->residual_step;
    return status ? status : cpu_make(c, output, CPU_NHWC, &conv->y);
}

static const char *kernel_name(const struct conv *conv)
{
    static const char *const names[2][CONV_KINDS] = {
        {"conv_s16", "conv_dot", "conv_tiles", "conv_sdot", "conv_matrix", "conv_f32",
         "depthwise_s16", "depthwise_dot", "depthwise_f32", "winograd"},
        {"conv_s16+add", "conv_dot+add", "conv_tiles+add", "conv_sdot+add", "conv_matrix+add", "",
         "depthwise_s16+add", "depthwise_dot+add", "", "winograd+add"},
    };
    return names[conv->residual != CPU_NONE][conv->kind];
}

static void write_into(struct cpu_step *step, uint32_t y, size_t first, size_t y_step)
{
    struct conv *conv = (struct conv *)(uintptr_t)step->state;
    conv->y = y;
    conv->y_first = first;
    conv->y_step = y_step;
    conv->y_row = (size_t)conv->out[1] * y_step;
    conv->y_picture = (size_t)conv->out[0] * conv->y_row;
}

int cpu_conv_step(struct cpu_compiler *c, const struct sl_node *node, struct conv *conv)
{
    size_t bytes = conv_scratch_bytes(conv) * cpu_threads_count(c->program->threads);
    conv->scratch = cpu_new_scratch(c, bytes);
    struct cpu_step *step = cpu_add_step(c, node->name, kernel_name(conv), conv);
    if (conv->scratch == CPU_NONE || !step)
        return cpu_no_memory(c);
    step->run_rows = run_conv;
    if (!conv_is_real(conv->kind) && !conv->epilogue.to_real)
        step->write_into = write_into;
    step->macs = (uint64_t)(conv->n * conv->out[0] * conv->out[1] * conv->out_channels *
                            (conv->channels / conv->group) * conv->kernel[0] * conv->kernel[1]);
    step->left_out = conv_left_out(conv, step->macs);
    cpu_use(c, conv->x);
    cpu_use(c, conv->y);
    cpu_use(c, conv->scratch);
    if (conv->residual != CPU_NONE)
        cpu_use(c, conv->residual);
    int status = cpu_set_rows(c, step, conv->y, conv->n * conv->out[0], 2);
    step->rows.together = conv->kind == CONV_WINOGRAD ? CPU_WINOGRAD_TILE : 1;
    step->rows.weights = (size_t)conv->blocks * conv->block_bytes;
    return status;
}

// Which rows of x and of the residual a row of y needs, for a dense y of one picture.
static void set_reads(struct cpu_compiler *c, const struct conv *conv)
{
    struct cpu_step *step = &c->program->steps[c->program->n_steps - 1];
    if (conv->n != 1)
        return;
    cpu_read_rows(step, (struct cpu_reads){
                            .value = conv->x,
                            .stride = conv->stride[0] * conv->fold,
                            .enlarge = 1,
                            .before = conv->pad[0] * conv->fold,
                            .reach = ((conv->kernel[0] - 1) * conv->dilation[0] + 1) * conv->fold});
    if (conv->residual != CPU_NONE)
        cpu_read_rows(step, cpu_same_rows(conv->residual));
}

int cpu_lower_conv(struct cpu_compiler *c, const struct sl_node *node)
{
    if (node->op != SL_OP_CONV)
        return 0;
    struct conv *conv = cpu_take(c, 1, sizeof(*conv));
    if (!conv)
        return cpu_no_memory(c);
    if (!conv_choose(c, node, conv))
        return 0;
    set_geometry(c, node, conv);
    if (!conv_layout(conv))
        return 0;
    const struct weights w = {cpu_in(c, node, 1), conv->fold};
    int status = cpu_conv_constants(c, node, conv, weight_at, &w);
    if (status == 0)
        status = want_values(c, node, conv);
    if (status == 0)
        status = cpu_conv_step(c, node, conv);
    if (status)
        return status;
    set_reads(c, conv);
    return 1;
}
