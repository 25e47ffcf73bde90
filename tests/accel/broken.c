// Kernels with one mistake each: what slips in when a kernel is written.
#include "tests/accel/broken.h"

#include <math.h>
#include <string.h>

// The last of a count that is not a multiple of eight is left out.
void broken_widen_tail(const uint8_t *x, int16_t *y, int64_t count, int32_t zero,
                       uint32_t is_signed)
{
    cpu_widen_c(x, y, count % 8 == 7 ? count - 1 : count, zero, is_signed);
}

void broken_widen_writes_behind(const uint8_t *x, int16_t *y, int64_t count, int32_t zero,
                                uint32_t is_signed)
{
    cpu_widen_c(x, y, count, zero, is_signed);
    ((volatile int16_t *)y)[count] = 0;
}

void broken_widen_reads_before(const uint8_t *x, int16_t *y, int64_t count, int32_t zero,
                               uint32_t is_signed)
{
    (void)((const volatile uint8_t *)x)[-1];
    cpu_widen_c(x, y, count, zero, is_signed);
}

void broken_max_q8_forgets_column(const struct cpu_windows *w, uint32_t is_signed)
{
    struct cpu_windows fewer = *w;
    fewer.columns -= fewer.columns > 1;
    cpu_max_q8_c(&fewer, is_signed);
}

// Halves away from zero instead of to the even neighbour.
void broken_quantize_rounds_up(const struct cpu_quant *quant, const float *x, uint8_t *y,
                               int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        float real = fminf(fmaxf(x[i] / quant->scale, quant->low), quant->high);
        y[i] = (uint8_t)((int32_t)roundf(real) + quant->zero);
    }
}

// A factor that was rounded twice.
void broken_dequantize_last_bit(const struct cpu_quant *quant, const uint8_t *x, float *y,
                                int64_t count)
{
    cpu_dequantize_c(quant, x, y, count);
    y[0] = nextafterf(y[0], INFINITY);
}

void broken_lookup_illegal(const uint8_t table[256], const uint8_t *x, uint8_t *y, int64_t count)
{
    cpu_lookup_c(table, x, y, count);
#if defined(__x86_64__)
    __asm__ volatile("ud2");
#elif defined(__aarch64__)
    __asm__ volatile(".inst 0");
#else
    __builtin_trap();
#endif
}

static int32_t saturated(int32_t sum)
{
    return sum > INT16_MAX ? INT16_MAX : sum < INT16_MIN ? INT16_MIN : sum;
}

// Pairs of products saturate, as vpmaddubsw's do.
void broken_conv_dot_saturates(const struct cpu_conv_row *row)
{
    for (int64_t p = 0; p < row->pixels; p++) {
        int32_t sums[CPU_BLOCK];
        const int8_t *w = row->weights;
        memcpy(sums, row->epilogue->bias, sizeof(sums));
        for (uint32_t i = 0; i < row->n_segments; i++) {
            const struct cpu_segment *s = &row->segments[i];
            const uint8_t *x = (const uint8_t *)row->runs[s->run] + (size_t)p * row->step;
            x += (size_t)s->first * 4;
            for (uint32_t k = 0; k < s->length; k++, x += 4)
                for (int o = 0; o < CPU_BLOCK; o++, w += 4)
                    sums[o] +=
                        saturated(x[0] * w[0] + x[1] * w[1]) + saturated(x[2] * w[2] + x[3] * w[3]);
        }
        cpu_store_sums_c(row, p, sums);
    }
}
