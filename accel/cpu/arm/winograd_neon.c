// Winograd's transforms for NEON: eight channels at a time, sums of four.
#include "accel/cpu/arm/neon.h"

#define LANES_BYTES 16
#include "accel/cpu/winograd_lanes.h"

void cpu_winograd_input_neon(const struct cpu_winograd_input *job)
{
    transform_input(job);
}

// The sums of a tile, pixel by pixel.
static void gather_tile(const struct cpu_winograd_output *job, const int32_t *m,
                        int32x4_t pixels[TILED][TILED][QUADS])
{
    for (int q = 0; q < QUADS; q++) {
        sums y[TILED][TILED];
        const int32_t *bias = job->epilogue->bias + 4 * q;
        if (job->stride == 1)
            gather_channels(job, 1, m + 4 * q, bias, y);
        else
            gather_channels(job, 2, m + 4 * q, bias, y);
        UNROLLED for (int i = 0; i < TILED; i++) UNROLLED for (int j = 0; j < TILED; j++)
            pixels[i][j][q] = vreinterpretq_s32_u32((uint32x4_t)y[i][j]);
    }
}

void cpu_winograd_output_neon(const struct cpu_winograd_output *job)
{
    struct cpu_epilogue epilogues[TILED];
    struct cpu_conv_row rows[TILED];
    for (uint32_t i = 0; i < job->rows; i++)
        rows[i] = output_row(job, i, &epilogues[i]);
    const int32_t *m = job->m;
    for (int64_t p = 0; p < job->pixels; p += TILED, m += CPU_BLOCK) {
        int32x4_t pixels[TILED][TILED][QUADS];
        gather_tile(job, m, pixels);
        for (uint32_t i = 0; i < job->rows; i++)
            for (int64_t j = 0; j < TILED && p + j < job->pixels; j++)
                store_pixel(&rows[i], p + j, pixels[i][j]);
    }
}
