// Maximum and average pooling. Dimension 0: output pixels of a plane; dimension 1: planes.
enum window {
    POOL_IN_H, POOL_IN_W, POOL_OUT_H, POOL_OUT_W, POOL_KERNEL_H, POOL_KERNEL_W, POOL_STRIDE_H,
    POOL_STRIDE_W, POOL_DILATION_H, POOL_DILATION_W, POOL_PAD_H, POOL_PAD_W, POOL_FLIP, POOL_ZERO_X,
    POOL_ZERO_Y
};

#define MAX_POOL(name, type, least, load)                                                          \
    __kernel void name(__global const type *x, __global type *y, __global const uchar *table,      \
                       __constant int *g)                                                          \
    {                                                                                              \
        const int at = get_global_id(0), plane = get_global_id(1);                                 \
        if (at >= g[POOL_OUT_H] * g[POOL_OUT_W])                                                   \
            return;                                                                                \
        const int top = at / g[POOL_OUT_W] * g[POOL_STRIDE_H] - g[POOL_PAD_H];                     \
        const int left = at % g[POOL_OUT_W] * g[POOL_STRIDE_W] - g[POOL_PAD_W];                    \
        x += (size_t)plane * g[POOL_IN_H] * g[POOL_IN_W];                                          \
        type best = least;                                                                         \
        for (int ky = 0; ky < g[POOL_KERNEL_H]; ky++) {                                            \
            const int iy = top + ky * g[POOL_DILATION_H];                                          \
            for (int kx = 0; iy >= 0 && iy < g[POOL_IN_H] && kx < g[POOL_KERNEL_W]; kx++) {        \
                const int ix = left + kx * g[POOL_DILATION_W];                                     \
                if (ix < 0 || ix >= g[POOL_IN_W])                                                  \
                    continue;                                                                      \
                const type value = load(x[iy * g[POOL_IN_W] + ix]);                                \
                best = value > best ? value : best;                                                \
            }                                                                                      \
        }                                                                                          \
        y[(size_t)plane * g[POOL_OUT_H] * g[POOL_OUT_W] + at] = finish_##type(best, table, g);     \
    }
float finish_float(float best, __global const uchar *table, __constant int *g)
{
    return best;
}
uchar finish_uchar(uchar best, __global const uchar *table, __constant int *g)
{
    return table[best ^ (uchar)g[POOL_FLIP]];
}
#define AS_IT_IS(v) (v)
#define FLIPPED(v) ((v) ^ (uchar)g[POOL_FLIP])
MAX_POOL(max_pool_float, float, -INFINITY, AS_IT_IS)
MAX_POOL(max_pool_uchar, uchar, 0, FLIPPED)

// One factor for every output pixel of a plane: 1 / count, or with the scales for integers.
__kernel void average_pool_int(__global const uchar *x, __global uchar *y,
                               __global const float *factors, __constant int *g, float low,
                               float high)
{
    const int at = get_global_id(0), plane = get_global_id(1);
    if (at >= g[POOL_OUT_H] * g[POOL_OUT_W])
        return;
    const int top = at / g[POOL_OUT_W] * g[POOL_STRIDE_H] - g[POOL_PAD_H];
    const int left = at % g[POOL_OUT_W] * g[POOL_STRIDE_W] - g[POOL_PAD_W];
    x += (size_t)plane * g[POOL_IN_H] * g[POOL_IN_W];
    int sum = 0;
    for (int ky = 0; ky < g[POOL_KERNEL_H]; ky++)
        for (int kx = 0; kx < g[POOL_KERNEL_W]; kx++) {
            const int iy = top + ky * g[POOL_DILATION_H], ix = left + kx * g[POOL_DILATION_W];
            if (iy >= 0 && iy < g[POOL_IN_H] && ix >= 0 && ix < g[POOL_IN_W])
                sum += centred(x[iy * g[POOL_IN_W] + ix], g[POOL_FLIP], g[POOL_ZERO_X]);
        }
    y[(size_t)plane * g[POOL_OUT_H] * g[POOL_OUT_W] + at] =
        requantise(sum, factors[at], g[POOL_ZERO_Y], low, high);
}

__kernel void average_pool_real(__global const float *x, __global float *y,
                                __global const float *factors, __constant int *g, float low,
                                float high)
{
    const int at = get_global_id(0), plane = get_global_id(1);
    if (at >= g[POOL_OUT_H] * g[POOL_OUT_W])
        return;
    const int top = at / g[POOL_OUT_W] * g[POOL_STRIDE_H] - g[POOL_PAD_H];
    const int left = at % g[POOL_OUT_W] * g[POOL_STRIDE_W] - g[POOL_PAD_W];
    x += (size_t)plane * g[POOL_IN_H] * g[POOL_IN_W];
    float sum = 0.0f;
    for (int ky = 0; ky < g[POOL_KERNEL_H]; ky++)
        for (int kx = 0; kx < g[POOL_KERNEL_W]; kx++) {
            const int iy = top + ky * g[POOL_DILATION_H], ix = left + kx * g[POOL_DILATION_W];
            if (iy >= 0 && iy < g[POOL_IN_H] && ix >= 0 && ix < g[POOL_IN_W])
                sum += x[iy * g[POOL_IN_W] + ix];
        }
    y[(size_t)plane * g[POOL_OUT_H] * g[POOL_OUT_W] + at] = sum * factors[at];
}
