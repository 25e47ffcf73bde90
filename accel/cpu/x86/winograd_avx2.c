// Winograd's transforms for AVX2: sixteen channels at a time.
#include "accel/cpu/x86/epilogue_avx2.h"

#define LANES_BYTES 32
#include "accel/cpu/winograd_lanes.h"

void cpu_winograd_input_avx2(const struct cpu_winograd_input *job)
{
    transform_input(job);
}

INLINE void gather_half(const struct cpu_winograd_output *job, const int32_t *m, int first,
                        sums y[TILED][TILED])
{
    const int32_t *bias = job->epilogue->bias + first;
    if (job->stride == 1)
        gather_channels(job, 1, m + first, bias, y);
    else
        gather_channels(job, 2, m + first, bias, y);
}

INLINE void store_some(const struct cpu_conv_row *row, int64_t first, const int count,
                       const sums low[TILED], const sums high[TILED])
{
    __m256i a[TILED], b[TILED];
    UNROLLED for (int p = 0; p < count; p++)
    {
        a[p] = (__m256i)low[p];
        b[p] = (__m256i)high[p];
    }
    store_tile(row, first, count, a, b);
}

void cpu_winograd_output_avx2(const struct cpu_winograd_output *job)
{
    struct cpu_epilogue epilogues[TILED];
    struct cpu_conv_row rows[TILED];
    for (uint32_t i = 0; i < job->rows; i++)
        rows[i] = output_row(job, i, &epilogues[i]);
    const int32_t *m = job->m;
    for (int64_t p = 0; p < job->pixels; p += TILED, m += CPU_BLOCK) {
        sums low[TILED][TILED], high[TILED][TILED];
        gather_half(job, m, 0, low);
        gather_half(job, m, 8, high);
        for (uint32_t i = 0; i < job->rows; i++) {
            if (job->pixels - p >= TILED)
                store_some(&rows[i], p, TILED, low[i], high[i]);
            else
                for (int64_t k = 0; k < job->pixels - p; k++)
                    store_some(&rows[i], p + k, 1, &low[i][k], &high[i][k]);
        }
    }
}
