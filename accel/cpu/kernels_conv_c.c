// Convolution kernels in plain C: what every other variant is compared with.
#include "accel/cpu/kernels.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

static float clamp(float x, float low, float high)
{
    float raised = x > low ? x : low;
    return raised < high ? raised : high;
}

// `own` is the result of the convolution.
static float add_residual(const struct cpu_add *add, float own, uint8_t byte)
{
    const uint32_t is_signed = add->residual_is_a ? add->a_signed : add->b_signed;
    const float residual = is_signed ? (float)(int8_t)byte : (float)byte;
    const float a = add->residual_is_a ? residual : own, b = add->residual_is_a ? own : residual;
    const float sum = fmaf(a, add->a_ratio, fmaf(b, add->b_ratio, add->offset));
    return clamp(sum, add->low, add->high);
}

static void store_added(const struct cpu_epilogue *e, int64_t pixel, int o, float real, char *y)
{
    uint8_t residual = e->residual[(size_t)pixel * e->residual_step + (size_t)o];
    float sum = add_residual(e->add, rintf(real) + (float)e->zero, residual);
    *y = (char)(int32_t)rintf(sum);
}

void cpu_store_sums_c(const struct cpu_conv_row *row, int64_t pixel, const int32_t *sums)
{
    const struct cpu_epilogue *e = row->epilogue;
    char *y = (char *)row->y + (size_t)pixel * row->y_step;
    if (e->to_sums) {
        memcpy(y, sums, CPU_BLOCK * sizeof(*sums));
        return;
    }
    for (int o = 0; o < CPU_BLOCK; o++) {
        float real = clamp((float)sums[o] * e->multiplier[o], e->low, e->high);
        if (e->to_real)
            ((float *)(void *)y)[o] = real;
        else if (e->add)
            store_added(e, pixel, o, real, y + o);
        else
            y[o] = (char)((int32_t)rintf(real) + e->zero);
    }
}

static const void *input(const struct cpu_conv_row *row, const struct cpu_segment *s,
                         size_t granule, int64_t pixel)
{
    return (const char *)row->runs[s->run] + (size_t)pixel * row->step + s->first * granule;
}

void cpu_conv_s16_c(const struct cpu_conv_row *row)
{
    for (int64_t p = 0; p < row->pixels; p++) {
        int32_t sums[CPU_BLOCK];
        const int16_t *w = row->weights;
        for (int o = 0; o < CPU_BLOCK; o++)
            sums[o] = row->epilogue->bias[o];
        for (uint32_t i = 0; i < row->n_segments; i++) {
            const struct cpu_segment *s = &row->segments[i];
            const int16_t *x = input(row, s, 4, p);
            for (uint32_t k = 0; k < s->length; k++, x += 2, w += 2 * CPU_BLOCK)
                for (int o = 0; o < CPU_BLOCK; o++) {
                    int32_t pair = x[0] * w[2 * o] + x[1] * w[2 * o + 1];
                    sums[o] = (int32_t)((uint32_t)sums[o] + (uint32_t)pair);
                }
        }
        cpu_store_sums_c(row, p, sums);
    }
}

void cpu_depthwise_s16_c(const struct cpu_conv_row *row)
{
    for (int64_t p = 0; p < row->pixels; p++) {
        int32_t sums[CPU_BLOCK];
        const int16_t *w = row->weights;
        for (int o = 0; o < CPU_BLOCK; o++)
            sums[o] = row->epilogue->bias[o];
        for (uint32_t i = 0; i < row->n_segments; i++, w += CPU_BLOCK) {
            const int16_t *x = input(row, &row->segments[i], 0, p);
            for (int o = 0; o < CPU_BLOCK; o++)
                sums[o] = (int32_t)((uint32_t)sums[o] + (uint32_t)(x[o] * w[o]));
        }
        cpu_store_sums_c(row, p, sums);
    }
}

void cpu_depthwise_dot_c(const struct cpu_conv_row *row)
{
    const uint32_t granules = cpu_tap_granules(row->taps);
    for (int64_t p = 0; p < row->pixels; p++) {
        int32_t sums[CPU_BLOCK];
        const int8_t *w = row->weights;
        for (int o = 0; o < CPU_BLOCK; o++)
            sums[o] = row->epilogue->bias[o];
        for (uint32_t i = 0; i < row->n_segments; i++, w += granules * CPU_TAPS * CPU_BLOCK) {
            const uint8_t *x = input(row, &row->segments[i], 0, p);
            for (uint32_t k = 0; k < row->taps; k++, x += row->tap_step)
                for (uint32_t o = 0; o < CPU_BLOCK; o++) {
                    const uint32_t at = cpu_tap_place(row->taps, k);
                    const uint32_t granule = at / CPU_TAPS * CPU_BLOCK + o;
                    const int32_t product = x[o] * w[granule * CPU_TAPS + at % CPU_TAPS];
                    sums[o] = (int32_t)((uint32_t)sums[o] + (uint32_t)product);
                }
        }
        cpu_store_sums_c(row, p, sums);
    }
}

// `is_signed`: the input is int8.
static inline void dot(const struct cpu_conv_row *row, uint32_t granule, bool is_signed)
{
    for (int64_t p = 0; p < row->pixels; p++) {
        int32_t sums[CPU_BLOCK];
        const int8_t *w = row->weights;
        for (int o = 0; o < CPU_BLOCK; o++)
            sums[o] = row->epilogue->bias[o];
        for (uint32_t i = 0; i < row->n_segments; i++) {
            const struct cpu_segment *s = &row->segments[i];
            const uint8_t *x = input(row, s, granule, p);
            for (uint32_t k = 0; k < s->length; k++, x += granule)
                for (int o = 0; o < CPU_BLOCK; o++)
                    for (uint32_t j = 0; j < granule; j++, w++) {
                        int32_t value = is_signed ? (int8_t)x[j] : x[j];
                        sums[o] = (int32_t)((uint32_t)sums[o] + (uint32_t)(value * *w));
                    }
        }
        cpu_store_sums_c(row, p, sums);
    }
}

void cpu_conv_dot_c(const struct cpu_conv_row *row)
{
    dot(row, 4, false);
}

void cpu_conv_dot_pair_c(const struct cpu_conv_row *row)
{
    struct cpu_epilogue epilogue = cpu_epilogue_of(row->epilogue, 1);
    struct cpu_conv_row next = *row;
    next.epilogue = &epilogue;
    next.weights = row->next_weights;
    next.y = (char *)row->y + CPU_BLOCK * cpu_element(&epilogue);
    dot(row, 4, false);
    dot(&next, 4, false);
}

void cpu_conv_tiles_c(const struct cpu_conv_band *band)
{
    for (int64_t r = 0; r < band->rows; r++)
        for (int64_t b = 0; b < band->n_blocks; b++) {
            struct cpu_epilogue epilogue;
            struct cpu_conv_row row = cpu_band_row(band, r, b, &epilogue);
            row.runs = band->runs[r];
            row.segments = band->blocks[b].segments;
            row.n_segments = band->blocks[b].n_segments;
            row.weights = band->blocks[b].weights;
            dot(&row, 4, false);
        }
}

void cpu_conv_sdot_c(const struct cpu_conv_row *row)
{
    dot(row, 4, true);
}

void cpu_conv_matrix_c(const struct cpu_conv_row *row)
{
    dot(row, 8, false);
}

void cpu_conv_f32_c(const struct cpu_conv_row *row)
{
    const struct cpu_epilogue *e = row->epilogue;
    for (int64_t p = 0; p < row->pixels; p++) {
        float sums[CPU_BLOCK];
        const float *w = row->weights;
        float *y = (float *)(void *)((char *)row->y + (size_t)p * row->y_step);
        for (int o = 0; o < CPU_BLOCK; o++)
            sums[o] = e->bias_real[o];
        for (uint32_t i = 0; i < row->n_segments; i++) {
            const struct cpu_segment *s = &row->segments[i];
            const float *x = input(row, s, sizeof(float), p);
            for (uint32_t k = 0; k < s->length; k++, x++, w += CPU_BLOCK)
                for (int o = 0; o < CPU_BLOCK; o++)
                    sums[o] = fmaf(*x, w[o], sums[o]);
        }
        for (int o = 0; o < CPU_BLOCK; o++)
            y[o] = clamp(sums[o], e->low, e->high);
    }
}
