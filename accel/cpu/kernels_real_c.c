// Element-wise kernels on float32 in plain C.
#include "accel/cpu/kernels.h"
#include "accel/cpu/real_math.h"

#include <math.h>
#include <string.h>

static float larger(float a, float b)
{
    return a > b ? a : b;
}

static float smaller(float a, float b)
{
    return a < b ? a : b;
}

static float exponential(float x)
{
    static const float terms[] = EXP_TERMS;
    x = smaller(larger(x, EXP_LOW), EXP_HIGH);
    float n = rintf(x * LOG2_E);
    float r = fmaf(-n, LN2_REST, fmaf(-n, LN2_COARSE, x)), sum = terms[0];
    for (size_t i = 1; i < sizeof(terms) / sizeof(*terms); i++)
        sum = fmaf(sum, r, terms[i]);
    uint32_t bits = (uint32_t)((int32_t)n + 127) << 23;
    float power;
    memcpy(&power, &bits, sizeof(power));
    return sum * power;
}

static float sigmoid(float x)
{
    return 1.0f / (1.0f + exponential(-x));
}

static float activate(const struct cpu_unary *f, float x)
{
    switch (f->kind) {
    case CPU_SIGMOID:
        return sigmoid(x);
    case CPU_SILU:
        return x * sigmoid(x);
    case CPU_LEAKY:
        return x < 0.0f ? x * f->alpha : x;
    case CPU_HARD_SIGMOID:
        return smaller(larger(x * f->alpha + f->beta, 0.0f), 1.0f);
    case CPU_HARD_SWISH:
        return x * smaller(larger(x * (1.0f / 6.0f) + 0.5f, 0.0f), 1.0f);
    case CPU_CLAMP:
        break;
    }
    return smaller(larger(x, f->alpha), f->beta);
}

void cpu_unary_f32_c(const struct cpu_unary *f, const float *x, float *y, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        y[i] = x[i] != x[i] ? x[i] : activate(f, x[i]);
}

void cpu_binary_f32_c(enum cpu_binary kind, const float *a, const float *b, float *y, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        y[i] = kind == CPU_ADD   ? a[i] + b[i]
               : kind == CPU_SUB ? a[i] - b[i]
               : kind == CPU_MUL ? a[i] * b[i]
                                 : a[i] / b[i];
}

void cpu_depthwise_f32_c(const struct cpu_conv_row *row)
{
    const struct cpu_epilogue *e = row->epilogue;
    for (int64_t p = 0; p < row->pixels; p++) {
        float *y = (float *)(void *)((char *)row->y + (size_t)p * row->y_step);
        for (int o = 0; o < CPU_BLOCK; o++) {
            float sum = e->bias_real[o];
            for (uint32_t i = 0; i < row->n_segments; i++) {
                const void *run = row->runs[row->segments[i].run];
                const float *x =
                    (const float *)(const void *)((const char *)run + (size_t)p * row->step);
                sum = fmaf(x[o], ((const float *)row->weights)[i * CPU_BLOCK + (uint32_t)o], sum);
            }
            y[o] = smaller(larger(sum, e->low), e->high);
        }
    }
}
