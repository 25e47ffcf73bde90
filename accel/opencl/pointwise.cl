// Functions of one element and of two. On 8-bit values they are tables that the reference filled,
// so what a device makes of exp() does not matter.
__kernel void table1(__global const uchar *x, __global uchar *y, __global const uchar *table, int n)
{
    const int i = get_global_id(0);
    if (i < n)
        y[i] = table[x[i]];
}

__kernel void dequantise(__global const uchar *x, __global float *y, __global const float *table,
                         int n)
{
    const int i = get_global_id(0);
    if (i < n)
        y[i] = table[x[i]];
}

__kernel void quantise(__global const float *x, __global uchar *y, float scale, int zero, float low,
                       float high, int n)
{
    const int i = get_global_id(0);
    if (i < n)
        y[i] = quantised(x[i], scale, zero, low, high);
}

__kernel void unary(__global const float *x, __global float *y, int kind, float alpha, float beta,
                    int fused, float fused_alpha, float fused_beta, int n)
{
    const int i = get_global_id(0);
    if (i < n)
        y[i] = activate(fused, fused_alpha, fused_beta, activate(kind, alpha, beta, x[i]));
}

// The place in each operand for every output element of one of `n` / `period` equal stretches, and
// how far the operands move on from one stretch to the next: numpy's broadcasting.
__kernel void table2(__global const uchar *a, __global const uchar *b, __global uchar *y,
                     __global const uchar *table, __global const int2 *places, int period,
                     int step_a, int step_b, int n)
{
    const int i = get_global_id(0);
    if (i >= n)
        return;
    const int stretch = i / period;
    const int2 at = places[i % period];
    y[i] = table[a[at.x + stretch * step_a] * 256 + b[at.y + stretch * step_b]];
}

__kernel void binary(__global const float *a, __global const float *b, __global float *y, int kind,
                     __global const int2 *places, int period, int step_a, int step_b, int fused,
                     float alpha, float beta, int n)
{
    const int i = get_global_id(0);
    if (i >= n)
        return;
    const int stretch = i / period;
    const int2 at = places[i % period];
    const float l = a[at.x + stretch * step_a], r = b[at.y + stretch * step_b];
    float v;
    switch (kind) {
    case 1: v = l + r; break;
    case 2: v = l - r; break;
    case 3: v = l * r; break;
    case 4: v = l / r; break;
    case 6: v = l < r ? l : r; break;
    default: v = l > r ? l : r; break;
    }
    y[i] = activate(fused, alpha, beta, v);
}

// One work item per row: `n` values `stride` apart.
__kernel void softmax(__global const float *x, __global float *y, int n, int stride, int rows)
{
    const int row = get_global_id(0);
    if (row >= rows)
        return;
    const size_t from = (size_t)(row / stride) * n * stride + row % stride;
    float most = -INFINITY, sum = 0.0f;
    for (int i = 0; i < n; i++)
        most = fmax(most, x[from + (size_t)i * stride]);
    for (int i = 0; i < n; i++)
        sum += exp(x[from + (size_t)i * stride] - most);
    for (int i = 0; i < n; i++)
        y[from + (size_t)i * stride] = exp(x[from + (size_t)i * stride] - most) / sum;
}
