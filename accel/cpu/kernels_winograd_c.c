// Winograd's transforms in plain C.
#include "accel/cpu/kernels.h"

// One dimension of B^T d B, of values `step` apart.
static void transform(uint32_t stride, const int32_t *d, int step, int32_t *v)
{
    if (stride == 1) {
        v[0] = d[0] - d[2 * step];
        v[step] = d[step] + d[2 * step];
        v[2 * step] = d[2 * step] - d[step];
        v[3 * step] = d[step] - d[3 * step];
        return;
    }
    v[0] = d[0] - d[2 * step];
    v[step] = d[2 * step];
    v[2 * step] = d[4 * step] - d[2 * step];
    v[3 * step] = d[step];
    v[4 * step] = d[3 * step];
}

void cpu_winograd_input_c(const struct cpu_winograd_input *job)
{
    int side = (int)cpu_winograd_side(job->stride);
    for (int64_t t = 0; t < job->tiles; t++)
        for (int64_t c = 0; c < job->depth; c++) {
            int32_t d[CPU_WINOGRAD], half[CPU_WINOGRAD], v[CPU_WINOGRAD];
            int64_t first = 2 * job->stride * t;
            for (int i = 0; i < side * side; i++)
                d[i] = job->rows[i / side][(first + i % side) * job->depth + c];
            for (int i = 0; i < side; i++)
                transform(job->stride, d + i, side, half + i);
            for (int i = 0; i < side; i++)
                transform(job->stride, half + side * i, 1, v + side * i);
            for (int i = 0; i < side * side; i++)
                job->v[(size_t)i * job->plane + (size_t)(t * job->depth + c)] = (int16_t)v[i];
        }
}

// One dimension of A^T m A, of sums `step` apart; they may wrap on the way, not in the end.
static void gather_two(uint32_t stride, const uint32_t *m, int step, uint32_t *low, uint32_t *high)
{
    if (stride == 1) {
        *low = m[0] + m[step] + m[2 * step];
        *high = m[step] - m[2 * step] - m[3 * step];
        return;
    }
    *low = m[0] + m[step] + m[3 * step];
    *high = m[step] + m[2 * step] + m[4 * step];
}

static void gather(const struct cpu_winograd_output *job, int64_t tile, int o, int32_t sums[2][2])
{
    int side = (int)cpu_winograd_side(job->stride);
    uint32_t m[CPU_WINOGRAD], half[2][CPU_WINOGRAD_SIDE];
    for (int i = 0; i < side * side; i++)
        m[i] = (uint32_t)job->m[(size_t)i * job->plane + (size_t)(tile * CPU_BLOCK + o)];
    for (int i = 0; i < side; i++)
        gather_two(job->stride, m + i, side, &half[0][i], &half[1][i]);
    for (int i = 0; i < 2; i++) {
        uint32_t left, right, bias = (uint32_t)job->epilogue->bias[o];
        gather_two(job->stride, half[i], 1, &left, &right);
        sums[i][0] = (int32_t)(left + bias);
        sums[i][1] = (int32_t)(right + bias);
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
