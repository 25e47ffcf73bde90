// Convolution: which kernel computes a node.
#include "accel/cpu/conv.h"

#include <stdlib.h>

// vpdpbusd takes int8 weights: those that are asymmetric go to the 16-bit kernel.
static bool weights_are_int8(const struct sl_tensor *w)
{
    for (uint32_t i = 0; i < w->quant.count; i++)
        if (w->quant.zero_point[i] != 0)
            return false;
    return w->dtype == SL_I8;
}

static bool is_integer(const struct cpu_compiler *c, const struct sl_node *node, uint32_t w_axis)
{
    const struct sl_tensor *x = cpu_in(c, node, 0), *w = cpu_in(c, node, 1);
    const struct sl_tensor *b = cpu_in(c, node, 2), *y = cpu_out(c, node);
    if (!sl_is_8bit(x) || x->quant.count != 1 || !sl_is_8bit(w) || w->quant.count == 0 ||
        (b && b->dtype != SL_I32))
        return false;
    if (w->quant.count > 1 && sl_axis(w->quant.axis, w->rank) != w_axis)
        return false;
    return y->quant.count == 1 ? sl_is_8bit(y) : y->dtype == SL_F32;
}

bool conv_is_depthwise_node(const struct sl_node *node, const struct sl_tensor *x,
                            const struct sl_tensor *y)
{
    return node->attrs.conv.group == x->dims[1] && x->dims[1] == y->dims[1] && x->dims[1] > 1;
}

static enum conv_kind bytes_kind(enum cpu_int8 int8)
{
    switch (int8) {
    case CPU_INT8_DOT:
        return CONV_DOT;
    case CPU_INT8_SDOT:
        return CONV_SDOT;
    case CPU_INT8_MATRIX:
        return CONV_MATRIX;
    default:
        return CONV_S16;
    }
}

static enum conv_kind depthwise_kind(enum conv_kind dense, const struct sl_conv_attrs *attrs)
{
    bool rows = (attrs->kernel[1] == 3 || attrs->kernel[1] == 5 || attrs->kernel[1] == 7) &&
                attrs->dilation[1] == 1 && attrs->stride[1] <= 2;
    switch (dense) {
    case CONV_F32:
        return CONV_DEPTHWISE_F32;
    case CONV_DOT:
        return rows ? CONV_DEPTHWISE_DOT : CONV_DEPTHWISE;
    default:
        return CONV_DEPTHWISE;
    }
}

bool cpu_conv_kind(const struct cpu_compiler *c, const struct sl_node *node, uint32_t w_axis,
                   enum conv_kind *kind)
{
    const struct sl_tensor *x = cpu_in(c, node, 0), *w = cpu_in(c, node, 1);
    const struct sl_tensor *b = cpu_in(c, node, 2), *y = cpu_out(c, node);
    struct cpu_unary unused;
    if (is_integer(c, node, w_axis)) {
        *kind = weights_are_int8(w) ? bytes_kind(c->kernels->int8) : CONV_S16;
        return conv_clamps(node->activation.kind) ||
               (!sl_is_quantised(y) && cpu_real_function(&node->activation, &unused));
    }
    *kind = CONV_F32;
    return (conv_clamps(node->activation.kind) || cpu_real_function(&node->activation, &unused)) &&
           x->dtype == SL_F32 && w->dtype == SL_F32 && y->dtype == SL_F32 &&
           (!b || b->dtype == SL_F32);
}

// The sums are larger than those of the plain convolution: they must fit, whatever the input.
static bool winograd_fits(const struct cpu_compiler *c, const struct sl_node *node, uint32_t stride)
{
    const struct sl_tensor *x = cpu_in(c, node, 0), *w = cpu_in(c, node, 1);
    const struct sl_tensor *b = cpu_in(c, node, 2);
    int64_t limit = INT32_MAX / cpu_winograd_scale(stride);
    int64_t per_output = w->dims[1] * w->dims[2] * w->dims[3];
    int64_t lowest = (x->dtype == SL_I8 ? -128 : 0) - x->quant.zero_point[0];
    int64_t highest = lowest + 255;
    for (int64_t o = 0; o < w->dims[0]; o++) {
        int64_t bias = b ? ((const int32_t *)b->data)[o] : 0, least = bias, most = bias;
        for (int64_t i = 0; i < per_output; i++) {
            int64_t value = (int64_t)cpu_weight(w, o * per_output + i, o);
            least += value * (value > 0 ? lowest : highest);
            most += value * (value > 0 ? highest : lowest);
        }
        if (llabs(bias) > limit || least < -limit || most > limit)
            return false;
    }
    return true;
}

// Vector instructions: of a granule's products, of the transforms of a tile of sixteen channels,
// and what beginning with a position costs, in granules. Weights come from behind the cache for
// every few tiles; what is saved must be worth that other memory goes through the cache.
static bool winograd_is_faster(int64_t channels, int64_t outputs, const struct sl_tensor *y,
                               uint32_t stride)
{
    enum { PRODUCT = 4, TRANSFORM = 500, BEGIN = 3, TILES = 24, BYTES_PER_INSTRUCTION = 5 };
    int64_t positions = (int64_t)cpu_winograd_side(stride) * cpu_winograd_side(stride);
    int64_t depth = cpu_round_channels(channels), blocks = cpu_round_channels(outputs) / CPU_BLOCK;
    int64_t tiles = ((y->dims[2] + CPU_WINOGRAD_TILE - 1) / CPU_WINOGRAD_TILE) *
                    ((y->dims[3] + CPU_WINOGRAD_TILE - 1) / CPU_WINOGRAD_TILE);
    int64_t products = tiles * PRODUCT * blocks * positions * (depth / 2 + BEGIN);
    int64_t transforms = tiles * (depth / CPU_BLOCK + blocks) * TRANSFORM;
    int64_t weights = positions * depth * blocks * CPU_BLOCK * (int64_t)sizeof(int16_t);
    int64_t reading = (tiles + TILES - 1) / TILES * weights / BYTES_PER_INSTRUCTION;
    int64_t plain = PRODUCT * blocks * y->dims[2] * y->dims[3] * ((9 * channels + 1) / 2);
    return (products + transforms + reading) * 10 < plain * 9;
}

// A 6 x 6 convolution with stride 2 of few channels is a 3 x 3 one of four times the channels, with
// blocks of 2 x 2 pixels as pixels.
static bool suits_folding(const struct cpu_compiler *c, const struct sl_node *node)
{
    const struct sl_conv_attrs *attrs = &node->attrs.conv;
    const struct sl_tensor *x = cpu_in(c, node, 0);
    bool even = true;
    for (int i = 0; i < 2; i++)
        even &= attrs->kernel[i] == 6 && attrs->stride[i] == 2 && attrs->dilation[i] == 1 &&
                attrs->pad[i] % 2 == 0 && attrs->pad[2 + i] % 2 == 0 && x->dims[2 + i] % 2 == 0;
    return even && attrs->group == 1 && x->dims[1] <= 4 && cpu_has(c, node->inputs[0], CPU_PLAIN);
}

static bool suits_winograd(const struct cpu_compiler *c, const struct sl_node *node, int64_t fold)
{
    const struct sl_conv_attrs *attrs = &node->attrs.conv;
    const struct sl_tensor *w = cpu_in(c, node, 1), *y = cpu_out(c, node);
    int64_t stride = attrs->stride[0] / fold;
    return attrs->group == 1 && w->dims[2] == 3 * fold && w->dims[3] == 3 * fold && stride <= 2 &&
           attrs->stride[1] == attrs->stride[0] && attrs->dilation[0] == 1 &&
           attrs->dilation[1] == 1 &&
           winograd_is_faster(w->dims[1] * fold * fold, w->dims[0], y, (uint32_t)stride) &&
           winograd_fits(c, node, (uint32_t)stride);
}

bool conv_choose(const struct cpu_compiler *c, const struct sl_node *node, struct conv *conv)
{
    const struct sl_tensor *x = cpu_in(c, node, 0), *w = cpu_in(c, node, 1);
    const struct sl_tensor *b = cpu_in(c, node, 2), *y = cpu_out(c, node);
    if (!w->data || (b && !b->data) || !cpu_fits_nhwc(x) || !cpu_fits_nhwc(y) ||
        sl_elements(y) == 0 || sl_elements(w) == 0 || sl_elements(x) == 0)
        return false;
    if (!cpu_conv_kind(c, node, 0, &conv->kind))
        return false;
    if (conv_is_depthwise_node(node, x, y))
        conv->kind = depthwise_kind(conv->kind, &node->attrs.conv);
    conv->fold = suits_folding(c, node) ? 2 : 1;
    if (conv->kind == CONV_S16 && c->kernels->int8 == CPU_INT8_WINOGRAD &&
        suits_winograd(c, node, conv->fold))
        conv->kind = CONV_WINOGRAD;
    else if (!conv_reads_bytes(conv->kind))
        conv->fold = 1;
    return true;
}
