// Convolution, compiled twice: on integers (REAL 0) and on real numbers (REAL 1).
//
// A work item makes PIXELS neighbours of a row for 8 channels (`conv8`), whose weights lie beside
// each other, or for one (`conv1`: groups whose channels are no multiple of 8). Dimension 0 walks
// rows of groups of pixels, dimension 1 blocks of channels, dimension 2 pictures.
#if REAL
#define INPUT float
#define WEIGHT float
#define SUM float
#define NAME(n) n##_real
#define VALUE(i) x[i]
#define WIDE convert_float8
#else
#define INPUT uchar
#define WEIGHT short
#define SUM int
#define NAME(n) n##_int
#define VALUE(i) centred(x[i], flip, zero_x)
#define WIDE convert_int8
#endif
#define SUM8_(t) t##8
#define SUM8(t) SUM8_(t)

#ifndef PIXELS
#define PIXELS 4
enum geometry {
    CHANNELS, IN_H, IN_W, OUT_H, OUT_W, GROUP_IN, GROUP_OUT, OUT, KERNEL_H, KERNEL_W,
    STRIDE_H, STRIDE_W, DILATION_H, DILATION_W, PAD_H, PAD_W,
    FLIP, ZERO_X, ZERO_Y, KIND, ACTIVATION
};
#endif

void NAME(store)(__global uchar *y, int at, SUM sum, int channel, __constant int *g,
                 __global const float *scale, __global const int *bias,
                 float low, float high, float alpha, float beta)
{
#if REAL
    ((__global float *)y)[at] =
        activate(g[ACTIVATION], alpha, beta, sum + as_float(bias[channel]));
#else
    sum += bias[channel];
    if (g[KIND] == 0)
        y[at] = requantise(sum, scale[channel], g[ZERO_Y], low, high);
    else if (g[KIND] == 1)
        ((__global float *)y)[at] =
            activate(g[ACTIVATION], alpha, beta, (float)sum * scale[channel]);
    else
        ((__global int *)y)[at] = sum;
#endif
}

__kernel void NAME(conv8)(__global const INPUT *x, __global const WEIGHT *w,
                          __global const int *bias, __global const float *scale,
                          __global uchar *y, __constant int *g,
                          float low, float high, float alpha, float beta)
{
    const int groups = (g[OUT_W] + PIXELS - 1) / PIXELS;
    const int oy = get_global_id(0) / groups, ox = get_global_id(0) % groups * PIXELS;
    if (oy >= g[OUT_H])
        return;
    const int block = get_global_id(1), picture = get_global_id(2), first = block * 8;
    const int in_h = g[IN_H], in_w = g[IN_W], stride = g[STRIDE_W];
    const int kernel_h = g[KERNEL_H], kernel_w = g[KERNEL_W], n_in = g[GROUP_IN];
    const int flip = g[FLIP], zero_x = g[ZERO_X];
    const int top = oy * g[STRIDE_H] - g[PAD_H], left = ox * stride - g[PAD_W];
    x += (size_t)(picture * g[CHANNELS] + first / g[GROUP_OUT] * n_in) * in_h * in_w;
    w += (size_t)block * n_in * kernel_h * kernel_w * 8;
    SUM8(SUM) sum[PIXELS];
    for (int p = 0; p < PIXELS; p++)
        sum[p] = 0;
    for (int c = 0; c < n_in; c++, x += in_h * in_w)
        for (int ky = 0; ky < kernel_h; ky++) {
            const int iy = top + ky * g[DILATION_H];
            if (iy < 0 || iy >= in_h) {
                w += kernel_w * 8;
                continue;
            }
            for (int kx = 0; kx < kernel_w; kx++, w += 8) {
                const SUM8(SUM) weights = WIDE(vload8(0, w));
                const int ix = left + kx * g[DILATION_W];
                for (int p = 0; p < PIXELS; p++) {
                    const int at = ix + p * stride;
                    SUM value = 0;
                    if (at >= 0 && at < in_w)
                        value = VALUE(iy * in_w + at);
                    sum[p] += value * weights;
                }
            }
        }
    for (int p = 0; p < PIXELS && ox + p < g[OUT_W]; p++) {
        SUM each[8];
        vstore8(sum[p], 0, each);
        for (int k = 0; k < 8 && first + k < g[OUT]; k++)
            NAME(store)(y, ((picture * g[OUT] + first + k) * g[OUT_H] + oy) * g[OUT_W] + ox + p,
                        each[k], first + k, g, scale, bias, low, high, alpha, beta);
    }
}

__kernel void NAME(conv1)(__global const INPUT *x, __global const WEIGHT *w,
                          __global const int *bias, __global const float *scale,
                          __global uchar *y, __constant int *g,
                          float low, float high, float alpha, float beta)
{
    const int groups = (g[OUT_W] + PIXELS - 1) / PIXELS;
    const int oy = get_global_id(0) / groups, ox = get_global_id(0) % groups * PIXELS;
    if (oy >= g[OUT_H])
        return;
    const int channel = get_global_id(1), picture = get_global_id(2);
    const int in_h = g[IN_H], in_w = g[IN_W], stride = g[STRIDE_W];
    const int kernel_h = g[KERNEL_H], kernel_w = g[KERNEL_W], n_in = g[GROUP_IN];
    const int flip = g[FLIP], zero_x = g[ZERO_X];
    const int top = oy * g[STRIDE_H] - g[PAD_H], left = ox * stride - g[PAD_W];
    x += (size_t)(picture * g[CHANNELS] + channel / g[GROUP_OUT] * n_in) * in_h * in_w;
    w += (size_t)channel * n_in * kernel_h * kernel_w;
    SUM sum[PIXELS];
    for (int p = 0; p < PIXELS; p++)
        sum[p] = 0;
    for (int c = 0; c < n_in; c++, x += in_h * in_w)
        for (int ky = 0; ky < kernel_h; ky++) {
            const int iy = top + ky * g[DILATION_H];
            if (iy < 0 || iy >= in_h) {
                w += kernel_w;
                continue;
            }
            for (int kx = 0; kx < kernel_w; kx++, w++) {
                const int ix = left + kx * g[DILATION_W];
                for (int p = 0; p < PIXELS; p++) {
                    const int at = ix + p * stride;
                    if (at >= 0 && at < in_w)
                        sum[p] += VALUE(iy * in_w + at) * (SUM)*w;
                }
            }
        }
    for (int p = 0; p < PIXELS && ox + p < g[OUT_W]; p++)
        NAME(store)(y, ((picture * g[OUT] + channel) * g[OUT_H] + oy) * g[OUT_W] + ox + p, sum[p],
                    channel, g, scale, bias, low, high, alpha, beta);
}

#undef REAL
#undef INPUT
#undef WEIGHT
#undef SUM
#undef NAME
#undef VALUE
#undef WIDE
#undef SUM8
#undef SUM8_
