// Winograd's transforms for NEON.
#include "accel/cpu/arm/neon.h"

// The vertical half of B^T d B for one column of eight channels.
INLINE void transform_column(const struct cpu_winograd_input *job, size_t at, int16x8_t v[4])
{
    const int16x8_t a = vld1q_s16(job->rows[0] + at), b = vld1q_s16(job->rows[1] + at);
    const int16x8_t c = vld1q_s16(job->rows[2] + at), d = vld1q_s16(job->rows[3] + at);
    v[0] = vsubq_s16(a, c);
    v[1] = vaddq_s16(b, c);
    v[2] = vsubq_s16(c, b);
    v[3] = vsubq_s16(b, d);
}

// Tiles share two columns with the next: their vertical halves are kept.
static void transform_channels(const struct cpu_winograd_input *job, size_t channel)
{
    const size_t depth = (size_t)job->depth;
    int16x8_t a[4], b[4], c[4], d[4];
    transform_column(job, channel, a);
    transform_column(job, channel + depth, b);
    for (int64_t t = 0; t < job->tiles; t++) {
        const size_t at = (size_t)(2 * t + 2) * depth + channel;
        int16_t *v = job->v + (size_t)t * depth + channel;
        transform_column(job, at, c);
        transform_column(job, at + depth, d);
        UNROLLED for (int i = 0; i < 4; i++, v += 4 * job->plane)
        {
            vst1q_s16(v, vsubq_s16(a[i], c[i]));
            vst1q_s16(v + job->plane, vaddq_s16(b[i], c[i]));
            vst1q_s16(v + 2 * job->plane, vsubq_s16(c[i], b[i]));
            vst1q_s16(v + 3 * job->plane, vsubq_s16(b[i], d[i]));
            a[i] = c[i];
            b[i] = d[i];
        }
    }
}

// Stride 2 is left to plain C.
void cpu_winograd_input_neon(const struct cpu_winograd_input *job)
{
    if (job->stride != 1) {
        cpu_winograd_input_c(job);
        return;
    }
    for (int64_t c = 0; c < job->depth; c += 8)
        transform_channels(job, (size_t)c);
}

// A^T m A of four channels, plus the bias: sums[row][column][quad].
INLINE void gather(const struct cpu_winograd_output *job, const int32_t *m, int quad,
                   int32x4_t sums[2][2][QUADS])
{
    const int32x4_t start = vld1q_s32(job->epilogue->bias + 4 * quad);
    int32x4_t half[2][4];
    UNROLLED for (int j = 0; j < 4; j++)
    {
        const int32_t *column = m + 4 * quad + (size_t)j * job->plane;
        const int32x4_t a = vld1q_s32(column), b = vld1q_s32(column + 4 * job->plane);
        const int32x4_t c = vld1q_s32(column + 8 * job->plane);
        const int32x4_t d = vld1q_s32(column + 12 * job->plane);
        half[0][j] = vaddq_s32(vaddq_s32(a, b), c);
        half[1][j] = vsubq_s32(vsubq_s32(b, c), d);
    }
    UNROLLED for (int i = 0; i < 2; i++)
    {
        const int32x4_t left = vaddq_s32(start, half[i][1]), right = vsubq_s32(start, half[i][2]);
        sums[i][0][quad] = vaddq_s32(vaddq_s32(left, half[i][0]), half[i][2]);
        sums[i][1][quad] = vsubq_s32(vaddq_s32(right, half[i][1]), half[i][3]);
    }
}

void cpu_winograd_output_neon(const struct cpu_winograd_output *job)
{
    if (job->stride != 1) {
        cpu_winograd_output_c(job);
        return;
    }
    struct cpu_epilogue epilogues[2] = {*job->epilogue, *job->epilogue};
    struct cpu_conv_row rows[2];
    for (uint32_t i = 0; i < 2; i++) {
        rows[i] = (struct cpu_conv_row){
            .epilogue = &epilogues[i], .y = (char *)job->y + i * job->y_row, .y_step = job->y_step};
        if (epilogues[i].add)
            epilogues[i].residual += i * job->y_row;
    }
    const int32_t *m = job->m;
    for (int64_t p = 0; p < job->pixels; p += 2, m += CPU_BLOCK) {
        int32x4_t sums[2][2][QUADS];
        UNROLLED for (int q = 0; q < QUADS; q++) gather(job, m, q, sums);
        for (uint32_t i = 0; i < job->rows; i++)
            for (int64_t j = 0; j < 2 && p + j < job->pixels; j++)
                store_pixel(&rows[i], p + j, sums[i][j]);
    }
}
