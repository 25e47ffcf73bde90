// Element-wise kernels in plain C: what every other variant is compared with.
#include "accel/cpu/kernels.h"

#include <string.h>

#include <math.h>

static int32_t load(const uint8_t *x, int64_t i, uint32_t is_signed)
{
    return is_signed ? (int32_t)(int8_t)x[i] : (int32_t)x[i];
}

// NaN becomes `low`.
static uint8_t round_to_byte(float real, float low, float high, int32_t zero)
{
    float raised = real > low ? real : low;
    float clamped = raised < high ? raised : high;
    return (uint8_t)((int32_t)rintf(clamped) + zero);
}

void cpu_widen_c(const uint8_t *x, int16_t *y, int64_t count, int32_t zero, uint32_t is_signed)
{
    for (int64_t i = 0; i < count; i++)
        y[i] = (int16_t)(load(x, i, is_signed) - zero);
}

void cpu_widen_planes_c(const uint8_t *x, int64_t plane, int64_t channels, int16_t *y,
                        int64_t count, int32_t zero, uint32_t is_signed)
{
    for (int64_t i = 0; i < count; i++)
        for (int64_t c = 0; c < channels; c++)
            y[i * channels + c] = (int16_t)(load(x, c * plane + i, is_signed) - zero);
}

void cpu_interleave_c(const uint8_t *x, int64_t plane, int64_t channels, uint8_t *y, int64_t y_step,
                      int64_t count, uint8_t flip)
{
    for (int64_t i = 0; i < count; i++)
        for (int64_t c = 0; c < channels; c++)
            y[i * y_step + c] = x[c * plane + i] ^ flip;
}

void cpu_add_q8_c(const struct cpu_add *add, const uint8_t *a, const uint8_t *b, uint8_t *y,
                  int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        float right = fmaf((float)load(b, i, add->b_signed), add->b_ratio, add->offset);
        float sum = fmaf((float)load(a, i, add->a_signed), add->a_ratio, right);
        y[i] = round_to_byte(sum, add->low, add->high, 0);
    }
}

void cpu_mul_q8_c(const struct sl_quantised_product *mul, const uint8_t *a, const uint8_t *b,
                  uint8_t *y, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        int32_t left = a[i] - mul->a_zero;
        int32_t right = b[i] - mul->b_zero;
        float real = (float)(left * right) * mul->ratio;
        y[i] = round_to_byte(real + mul->offset, mul->low, mul->high, 0);
    }
}

void cpu_quantize_c(const struct cpu_quant *quant, const float *x, uint8_t *y, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        y[i] = round_to_byte(x[i] / quant->scale, quant->low, quant->high, quant->zero);
}

void cpu_dequantize_c(const struct cpu_quant *quant, const uint8_t *x, float *y, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        y[i] = (float)(load(x, i, quant->is_signed) - quant->zero) * quant->scale;
}

void cpu_lookup_c(const uint8_t table[256], const uint8_t *x, uint8_t *y, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        y[i] = table[x[i]];
}

void cpu_max_q8_c(const struct cpu_windows *w, uint32_t is_signed)
{
    for (int64_t p = 0; p < w->pixels; p++) {
        uint8_t *y = cpu_window_output(w, p);
        memset(y, is_signed ? 0x80 : 0, (size_t)w->channels);
        for (int64_t k = 0; k < w->rows * w->columns; k++) {
            const uint8_t *x = cpu_window_tap(w, p, k / w->columns, k % w->columns);
            for (int64_t i = 0; i < w->channels; i++)
                if (load(x, i, is_signed) > load(y, i, is_signed))
                    y[i] = x[i];
        }
    }
}

void cpu_max_f32_c(const struct cpu_windows *w)
{
    for (int64_t p = 0; p < w->pixels; p++) {
        float *y = cpu_window_output(w, p);
        for (int64_t i = 0; i < w->channels; i++)
            y[i] = -INFINITY;
        for (int64_t k = 0; k < w->rows * w->columns; k++) {
            const float *x = cpu_window_tap(w, p, k / w->columns, k % w->columns);
            for (int64_t i = 0; i < w->channels; i++)
                y[i] = x[i] > y[i] ? x[i] : y[i];
        }
    }
}

static int32_t window_sum(const struct cpu_windows *w, int64_t p, int64_t i, uint32_t is_signed)
{
    int32_t sum = 0;
    for (int64_t k = 0; k < w->rows * w->columns; k++)
        sum += load(cpu_window_tap(w, p, k / w->columns, k % w->columns), i, is_signed);
    return sum;
}

void cpu_average_q8_c(const struct cpu_windows *w, const struct cpu_average *average)
{
    const int32_t zeros = (int32_t)(w->rows * w->columns) * average->x_zero;
    for (int64_t p = 0; p < w->pixels; p++) {
        uint8_t *y = cpu_window_output(w, p);
        for (int64_t i = 0; i < w->channels; i++) {
            float sum = (float)(window_sum(w, p, i, average->x_signed) - zeros);
            y[i] = round_to_byte(sum * average->multiplier, average->low, average->high,
                                 average->y_zero);
        }
    }
}

void cpu_gather_c(const struct cpu_gather *job)
{
    for (int64_t p = 0; p < job->pixels; p++) {
        uint8_t *y = job->y + (size_t)p * job->y_step;
        memset(y, 0, job->y_step);
        for (uint32_t k = 0; k < job->n_parts; k++) {
            const struct cpu_gather_part *part = &job->parts[k];
            const uint8_t *x = job->x[part->source] + (size_t)p * job->x_steps[part->source];
            for (int i = 0; i < 16; i++)
                if (part->mask[i] < 16)
                    y[part->channel + (uint32_t)i] = x[part->offset + part->mask[i]];
        }
    }
}
