// Winograd's transforms on vectors of any width, with the compiler's own vector types. Whoever
// includes it defines INLINE, UNROLLED and LANES_BYTES. kernels.h has the matrices' source.
#ifndef SL_ACCEL_CPU_WINOGRAD_LANES_H
#define SL_ACCEL_CPU_WINOGRAD_LANES_H

#include "accel/cpu/kernels.h"

#include <string.h>

#define SIDE  CPU_WINOGRAD_SIDE
#define TILED CPU_WINOGRAD_TILE

// Unsigned, because sums may wrap on the way.
typedef uint16_t words __attribute__((vector_size(LANES_BYTES)));
typedef uint32_t sums __attribute__((vector_size(LANES_BYTES)));

INLINE words load_words(const int16_t *x)
{
    words v;
    memcpy(&v, x, sizeof(v));
    return v;
}

INLINE sums load_sums(const int32_t *x)
{
    sums v;
    memcpy(&v, x, sizeof(v));
    return v;
}

// One dimension of B^T d B.
INLINE void transform(const uint32_t stride, const words d[SIDE], words v[SIDE])
{
    if (stride == 1) {
        const words a = d[4] - 4 * d[2], b = d[3] - 4 * d[1];
        const words even = d[4] - d[2], odd = d[3] - d[1];
        v[0] = 4 * (d[0] - d[2]) + even;
        v[1] = a + b;
        v[2] = a - b;
        v[3] = even + 2 * odd;
        v[4] = even - 2 * odd;
        v[5] = d[5] - d[3] - 4 * odd;
        return;
    }
    const words a = d[6] - d[2], b = d[6] - d[4];
    v[0] = 2 * (d[0] - d[4]) + a;
    v[1] = b - 2 * d[2];
    v[2] = b - 2 * (d[4] - d[2]);
    v[3] = a;
    v[4] = d[8] - d[4] - 2 * a;
    UNROLLED for (int i = 0; i < 4; i++) v[5 + i] = d[2 * i + 1];
}

// One dimension of A^T m A.
INLINE void gather(const uint32_t stride, const sums m[SIDE], sums y[TILED])
{
    const sums even = m[1] + m[2], odd = m[1] - m[2];
    if (stride == 1) {
        const sums even_2 = m[3] + m[4], odd_2 = m[3] - m[4];
        y[0] = m[0] + even + even_2;
        y[1] = odd + 2 * odd_2;
        y[2] = even + 4 * even_2;
        y[3] = odd + 8 * odd_2 + 2 * m[5];
        return;
    }
    y[0] = m[0] + even + m[3] + m[5];
    y[1] = odd + 2 * m[3] + m[6];
    y[2] = even + 4 * m[3] + m[7];
    y[3] = odd + 8 * m[3] + m[4] + m[8];
}

INLINE void transform_column(const struct cpu_winograd_input *job, const uint32_t stride, size_t at,
                             words v[SIDE])
{
    const uint32_t side = cpu_winograd_side(stride);
    words d[SIDE];
    UNROLLED for (uint32_t i = 0; i < side; i++) d[i] = load_words(job->rows[i] + at);
    transform(stride, d, v);
}

// Tiles share their last columns with the next: the vertical halves of those are kept.
INLINE void transform_channels(const struct cpu_winograd_input *job, const uint32_t stride,
                               size_t channel)
{
    const uint32_t side = cpu_winograd_side(stride), fresh = TILED * stride, kept = side - fresh;
    const size_t depth = (size_t)job->depth;
    words columns[SIDE][SIDE];
    UNROLLED for (uint32_t j = 0; j < kept; j++)
        transform_column(job, stride, j * depth + channel, columns[j]);
    for (size_t t = 0; t < (size_t)job->tiles; t++) {
        size_t at = t * fresh * depth + channel;
        int16_t *v = job->v + t * depth + channel;
        for (uint32_t j = kept; j < side; j++)
            transform_column(job, stride, at + j * depth, columns[j]);
        for (uint32_t i = 0; i < side; i++) {
            words line[SIDE], out[SIDE];
            UNROLLED for (uint32_t j = 0; j < side; j++) line[j] = columns[j][i];
            transform(stride, line, out);
            UNROLLED for (uint32_t j = 0; j < side; j++, v += job->plane)
                memcpy(v, &out[j], sizeof(words));
        }
        UNROLLED for (uint32_t j = 0; j < kept; j++)
            memcpy(columns[j], columns[fresh + j], sizeof(columns[j]));
    }
}

INLINE void transform_input(const struct cpu_winograd_input *job)
{
    for (int64_t c = 0; c < job->depth; c += (int64_t)(sizeof(words) / 2)) {
        if (job->stride == 1)
            transform_channels(job, 1, (size_t)c);
        else
            transform_channels(job, 2, (size_t)c);
    }
}

// A^T m A of some channels, plus the bias: y[row][column].
INLINE void gather_channels(const struct cpu_winograd_output *job, const uint32_t stride,
                            const int32_t *m, const int32_t *bias, sums y[TILED][TILED])
{
    const uint32_t side = cpu_winograd_side(stride);
    const sums start = load_sums(bias);
    sums half[TILED][SIDE];
    UNROLLED for (uint32_t j = 0; j < side; j++)
    {
        sums column[SIDE], part[TILED];
        UNROLLED for (uint32_t i = 0; i < side; i++) column[i] =
            load_sums(m + (side * i + j) * job->plane);
        gather(stride, column, part);
        UNROLLED for (uint32_t i = 0; i < TILED; i++) half[i][j] = part[i];
    }
    UNROLLED for (uint32_t i = 0; i < TILED; i++)
    {
        gather(stride, half[i], y[i]);
        UNROLLED for (uint32_t j = 0; j < TILED; j++) y[i][j] = y[i][j] * CPU_WINOGRAD_NINE + start;
    }
}

// An output row of the job, for the functions that store.
INLINE struct cpu_conv_row output_row(const struct cpu_winograd_output *job, uint32_t i,
                                      struct cpu_epilogue *epilogue)
{
    *epilogue = *job->epilogue;
    if (epilogue->add)
        epilogue->residual += i * job->residual_row;
    return (struct cpu_conv_row){
        .epilogue = epilogue, .y = (char *)job->y + i * job->y_row, .y_step = job->y_step};
}

#endif
