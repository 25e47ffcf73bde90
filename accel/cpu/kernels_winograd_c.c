// Winograd's transforms in plain C, as products with their matrices.
#include "accel/cpu/kernels.h"

#define SIDE CPU_WINOGRAD_SIDE
#define TILE CPU_WINOGRAD_TILE

// B^T and A^T for stride 1 and 2.
static const int8_t inputs[2][SIDE][SIDE] = {
    {{4, 0, -5, 0, 1},
     {0, -4, -4, 1, 1},
     {0, 4, -4, -1, 1},
     {0, -2, -1, 2, 1},
     {0, 2, -1, -2, 1},
     {0, 4, 0, -5, 0, 1}},
    {{2, 0, -1, 0, -2, 0, 1},
     {0, 0, -2, 0, -1, 0, 1},
     {0, 0, 2, 0, -3, 0, 1},
     {0, 0, -1, 0, 0, 0, 1},
     {0, 0, 2, 0, -1, 0, -2, 0, 1},
     {0, 1},
     {0, 0, 0, 1},
     {0, 0, 0, 0, 0, 1},
     {0, 0, 0, 0, 0, 0, 0, 1}},
};
static const int8_t outputs[2][TILE][SIDE] = {
    {{1, 1, 1, 1, 1}, {0, 1, -1, 2, -2}, {0, 1, 1, 4, 4}, {0, 1, -1, 8, -8, 2}},
    {{1, 1, 1, 1, 0, 1},
     {0, 1, -1, 2, 0, 0, 1},
     {0, 1, 1, 4, 0, 0, 0, 1},
     {0, 1, -1, 8, 1, 0, 0, 0, 1}},
};

// y = M x M^T, x of n by n and M of `rows` by n values; modulo 2^32.
static void transform(const int8_t matrix[][SIDE], uint32_t rows, uint32_t n, const uint32_t *x,
                      uint32_t *y)
{
    uint32_t half[CPU_WINOGRAD];
    for (uint32_t i = 0; i < rows; i++)
        for (uint32_t j = 0; j < n; j++) {
            half[i * n + j] = 0;
            for (uint32_t k = 0; k < n; k++)
                half[i * n + j] += (uint32_t)matrix[i][k] * x[k * n + j];
        }
    for (uint32_t i = 0; i < rows; i++)
        for (uint32_t j = 0; j < rows; j++) {
            y[i * rows + j] = 0;
            for (uint32_t k = 0; k < n; k++)
                y[i * rows + j] += (uint32_t)matrix[j][k] * half[i * n + k];
        }
}

void cpu_winograd_input_c(const struct cpu_winograd_input *job)
{
    uint32_t side = cpu_winograd_side(job->stride);
    for (int64_t t = 0; t < job->tiles; t++)
        for (int64_t c = 0; c < job->depth; c++) {
            uint32_t d[CPU_WINOGRAD], v[CPU_WINOGRAD];
            int64_t first = TILE * job->stride * t;
            for (uint32_t i = 0; i < side * side; i++)
                d[i] = (uint32_t)job->rows[i / side][(first + i % side) * job->depth + c];
            transform(inputs[job->stride - 1], side, side, d, v);
            for (uint32_t i = 0; i < side * side; i++)
                job->v[i * job->plane + (size_t)(t * job->depth + c)] = (int16_t)v[i];
        }
}

// The sums of one channel of a tile, plus the bias.
static void gather(const struct cpu_winograd_output *job, int64_t tile, int o,
                   int32_t sums[TILE * TILE][CPU_BLOCK])
{
    uint32_t side = cpu_winograd_side(job->stride);
    uint32_t m[CPU_WINOGRAD], y[TILE * TILE];
    for (uint32_t i = 0; i < side * side; i++)
        m[i] = (uint32_t)job->m[i * job->plane + (size_t)(tile * CPU_BLOCK + o)];
    transform(outputs[job->stride - 1], TILE, side, m, y);
    for (int i = 0; i < TILE * TILE; i++)
        sums[i][o] = (int32_t)(y[i] * CPU_WINOGRAD_NINE + (uint32_t)job->epilogue->bias[o]);
}

void cpu_winograd_output_c(const struct cpu_winograd_output *job)
{
    struct cpu_epilogue epilogue = *job->epilogue;
    for (int64_t t = 0; TILE * t < job->pixels; t++) {
        int32_t sums[TILE * TILE][CPU_BLOCK];
        for (int o = 0; o < CPU_BLOCK; o++)
            gather(job, t, o, sums);
        for (uint32_t i = 0; i < job->rows; i++) {
            struct cpu_conv_row row = {
                .epilogue = &epilogue, .y = (char *)job->y + i * job->y_row, .y_step = job->y_step};
            if (epilogue.add)
                epilogue.residual = job->epilogue->residual + i * job->residual_row;
            for (int64_t p = TILE * t; p < TILE * (t + 1) && p < job->pixels; p++)
                cpu_store_sums_c(&row, p, sums[i * TILE + p % TILE]);
        }
    }
}
