// Winograd's transforms in plain C.
#include "accel/cpu/kernels.h"

// One dimension of B^T d B, from four values `step` apart.
static void transform_four(const int32_t *d, int step, int32_t *v)
{
    v[0] = d[0] - d[2 * step];
    v[step] = d[step] + d[2 * step];
    v[2 * step] = d[2 * step] - d[step];
    v[3 * step] = d[step] - d[3 * step];
}

void cpu_winograd_input_c(const struct cpu_winograd_input *job)
{
    for (int64_t t = 0; t < job->tiles; t++)
        for (int64_t c = 0; c < job->depth; c++) {
            int32_t d[16], half[16], v[16];
            for (int i = 0; i < 16; i++)
                d[i] = job->rows[i / 4][(2 * t + i % 4) * job->depth + c];
            for (int i = 0; i < 4; i++)
                transform_four(d + i, 4, half + i);
            for (int i = 0; i < 4; i++)
                transform_four(half + 4 * i, 1, v + 4 * i);
            for (int i = 0; i < 16; i++)
                job->v[(size_t)i * job->plane + (size_t)(t * job->depth + c)] = (int16_t)v[i];
        }
}

// The 2 x 2 sums A^T m A of one channel; they may wrap on the way, not in the end.
static void gather(const struct cpu_winograd_output *job, int64_t tile, int o, int32_t sums[2][2])
{
    uint32_t half[2][4];
    for (int j = 0; j < 4; j++) {
        uint32_t m[4];
        for (int i = 0; i < 4; i++)
            m[i] =
                (uint32_t)job->m[(size_t)(4 * i + j) * job->plane + (size_t)(tile * CPU_BLOCK + o)];
        half[0][j] = m[0] + m[1] + m[2];
        half[1][j] = m[1] - m[2] - m[3];
    }
    for (int i = 0; i < 2; i++) {
        uint32_t bias = (uint32_t)job->epilogue->bias[o];
        sums[i][0] = (int32_t)(half[i][0] + half[i][1] + half[i][2] + bias);
        sums[i][1] = (int32_t)(half[i][1] - half[i][2] - half[i][3] + bias);
    }
}

void cpu_winograd_output_c(const struct cpu_winograd_output *job)
{
    struct cpu_epilogue epilogue = *job->epilogue;
    for (int64_t t = 0; 2 * t < job->pixels; t++) {
        int32_t sums[2][2][CPU_BLOCK];
        for (int o = 0; o < CPU_BLOCK; o++) {
            int32_t four[2][2];
            gather(job, t, o, four);
            for (int i = 0; i < 4; i++)
                sums[i / 2][i % 2][o] = four[i / 2][i % 2];
        }
        for (uint32_t i = 0; i < job->rows; i++) {
            struct cpu_conv_row row = {
                .epilogue = &epilogue, .y = (char *)job->y + i * job->y_row, .y_step = job->y_step};
            if (epilogue.add)
                epilogue.residual = job->epilogue->residual + i * job->y_row;
            for (int64_t p = 2 * t; p < 2 * t + 2 && p < job->pixels; p++)
                cpu_store_sums_c(&row, p, sums[i][p - 2 * t]);
        }
    }
}
