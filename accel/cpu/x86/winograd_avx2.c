// Winograd's transforms for AVX2: sixteen channels at a time.
#include "accel/cpu/x86/epilogue_avx2.h"

INLINE __m256i load_256(const void *data)
{
    return _mm256_loadu_si256((const __m256i *)data);
}

// The vertical half of B^T d B for one column.
INLINE void transform_column(const struct cpu_winograd_input *job, size_t at, __m256i v[4])
{
    __m256i a = load_256(job->rows[0] + at), b = load_256(job->rows[1] + at);
    __m256i c = load_256(job->rows[2] + at), d = load_256(job->rows[3] + at);
    v[0] = _mm256_sub_epi16(a, c);
    v[1] = _mm256_add_epi16(b, c);
    v[2] = _mm256_sub_epi16(c, b);
    v[3] = _mm256_sub_epi16(b, d);
}

INLINE void store_words(int16_t *v, __m256i words)
{
    _mm256_storeu_si256((__m256i *)(void *)v, words);
}

// Tiles share two columns with the next: their vertical halves are kept.
static void transform_channels(const struct cpu_winograd_input *job, size_t channel)
{
    size_t depth = (size_t)job->depth;
    __m256i a[4], b[4], c[4], d[4];
    transform_column(job, channel, a);
    transform_column(job, channel + depth, b);
    for (int64_t t = 0; t < job->tiles; t++) {
        size_t at = (size_t)(2 * t + 2) * depth + channel;
        int16_t *v = job->v + (size_t)t * depth + channel;
        transform_column(job, at, c);
        transform_column(job, at + depth, d);
        UNROLLED for (int i = 0; i < 4; i++, v += 4 * job->plane)
        {
            store_words(v, _mm256_sub_epi16(a[i], c[i]));
            store_words(v + job->plane, _mm256_add_epi16(b[i], c[i]));
            store_words(v + 2 * job->plane, _mm256_sub_epi16(c[i], b[i]));
            store_words(v + 3 * job->plane, _mm256_sub_epi16(b[i], d[i]));
            a[i] = c[i];
            b[i] = d[i];
        }
    }
}

// The vertical half for one column, stride 2.
INLINE void transform_column_two(const struct cpu_winograd_input *job, size_t at, __m256i v[5])
{
    __m256i a = load_256(job->rows[0] + at), c = load_256(job->rows[2] + at);
    __m256i e = load_256(job->rows[4] + at);
    v[0] = _mm256_sub_epi16(a, c);
    v[1] = c;
    v[2] = _mm256_sub_epi16(e, c);
    v[3] = load_256(job->rows[1] + at);
    v[4] = load_256(job->rows[3] + at);
}

// Tiles share one column with the next.
static void transform_channels_two(const struct cpu_winograd_input *job, size_t channel)
{
    size_t depth = (size_t)job->depth;
    __m256i columns[5][5];
    transform_column_two(job, channel, columns[0]);
    for (int64_t t = 0; t < job->tiles; t++) {
        size_t at = (size_t)(4 * t) * depth + channel;
        int16_t *v = job->v + (size_t)t * depth + channel;
        UNROLLED for (size_t j = 1; j < 5; j++)
            transform_column_two(job, at + j * depth, columns[j]);
        UNROLLED for (int i = 0; i < 5; i++, v += 5 * job->plane)
        {
            store_words(v, _mm256_sub_epi16(columns[0][i], columns[2][i]));
            store_words(v + job->plane, columns[2][i]);
            store_words(v + 2 * job->plane, _mm256_sub_epi16(columns[4][i], columns[2][i]));
            store_words(v + 3 * job->plane, columns[1][i]);
            store_words(v + 4 * job->plane, columns[3][i]);
            columns[0][i] = columns[4][i];
        }
    }
}

void cpu_winograd_input_avx2(const struct cpu_winograd_input *job)
{
    for (int64_t c = 0; c < job->depth; c += CPU_BLOCK) {
        if (job->stride == 1)
            transform_channels(job, (size_t)c);
        else
            transform_channels_two(job, (size_t)c);
    }
}

// One dimension of A^T m A.
INLINE void gather_two(const int stride, const __m256i m[5], __m256i *low, __m256i *high)
{
    if (stride == 1) {
        *low = _mm256_add_epi32(_mm256_add_epi32(m[0], m[1]), m[2]);
        *high = _mm256_sub_epi32(_mm256_sub_epi32(m[1], m[2]), m[3]);
        return;
    }
    *low = _mm256_add_epi32(_mm256_add_epi32(m[0], m[1]), m[3]);
    *high = _mm256_add_epi32(_mm256_add_epi32(m[1], m[2]), m[4]);
}

// A^T m A of eight channels, plus the bias: sums[row][column].
INLINE void gather(const struct cpu_winograd_output *job, const int stride, const int32_t *m,
                   const int32_t *bias, __m256i sums[2][2])
{
    const size_t side = stride == 1 ? 4 : 5;
    __m256i half[2][5], start = load_256(bias);
    UNROLLED for (size_t j = 0; j < side; j++)
    {
        __m256i column[5];
        UNROLLED for (size_t i = 0; i < side; i++) column[i] =
            load_256(m + (side * i + j) * job->plane);
        gather_two(stride, column, &half[0][j], &half[1][j]);
    }
    UNROLLED for (int i = 0; i < 2; i++)
    {
        gather_two(stride, half[i], &sums[i][0], &sums[i][1]);
        sums[i][0] = _mm256_add_epi32(sums[i][0], start);
        sums[i][1] = _mm256_add_epi32(sums[i][1], start);
    }
}

INLINE void gather_block(const struct cpu_winograd_output *job, const int32_t *m, __m256i low[2][2],
                         __m256i high[2][2])
{
    const int32_t *bias = job->epilogue->bias;
    if (job->stride == 1) {
        gather(job, 1, m, bias, low);
        gather(job, 1, m + 8, bias + 8, high);
    } else {
        gather(job, 2, m, bias, low);
        gather(job, 2, m + 8, bias + 8, high);
    }
}

void cpu_winograd_output_avx2(const struct cpu_winograd_output *job)
{
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
        __m256i low[2][2], high[2][2];
        gather_block(job, m, low, high);
        for (uint32_t i = 0; i < job->rows; i++) {
            if (job->pixels - p >= 2)
                store_tile(&rows[i], p, 2, low[i], high[i]);
            else
                store_tile(&rows[i], p, 1, low[i], high[i]);
        }
    }
}
