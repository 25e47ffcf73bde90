// Gathering channels with AVX2.
#include "accel/cpu/x86/tile.h"

// Parts of a group that stay in registers together.
#define PARTS 6

// One group of channels of all pixels; `n` is known to the compiler. With `more` the group has
// bytes already.
INLINE void gather_parts(const struct cpu_gather *job, const struct cpu_gather_part *parts,
                         const int n, const bool more)
{
    const uint8_t *x[PARTS];
    size_t steps[PARTS];
    __m128i masks[PARTS];
    UNROLLED for (int k = 0; k < n; k++)
    {
        x[k] = job->x[parts[k].source] + parts[k].offset;
        steps[k] = job->x_steps[parts[k].source];
        masks[k] = _mm_loadu_si128((const __m128i *)(const void *)parts[k].mask);
    }
    uint8_t *y = job->y + parts[0].channel;
    const size_t y_step = job->y_step;
    for (int64_t p = 0; p < job->pixels; p++, y += y_step) {
        __m128i bytes =
            more ? _mm_loadu_si128((const __m128i *)(const void *)y) : _mm_setzero_si128();
        UNROLLED for (int k = 0; k < n; k++)
        {
            __m128i from = _mm_loadu_si128((const __m128i *)(const void *)x[k]);
            bytes = _mm_or_si128(bytes, _mm_shuffle_epi8(from, masks[k]));
            x[k] += steps[k];
        }
        _mm_storeu_si128((__m128i *)(void *)y, bytes);
    }
}

INLINE void gather_some(const struct cpu_gather *job, const struct cpu_gather_part *parts,
                        uint32_t count, const bool more)
{
    switch (count) {
    case 1:
        gather_parts(job, parts, 1, more);
        break;
    case 2:
        gather_parts(job, parts, 2, more);
        break;
    case 3:
        gather_parts(job, parts, 3, more);
        break;
    case 4:
        gather_parts(job, parts, 4, more);
        break;
    case 5:
        gather_parts(job, parts, 5, more);
        break;
    default:
        gather_parts(job, parts, PARTS, more);
    }
}

static void gather_group(const struct cpu_gather *job, const struct cpu_gather_part *parts,
                         uint32_t count)
{
    gather_some(job, parts, count, false);
    for (uint32_t k = PARTS; k < count; k += PARTS)
        gather_some(job, parts + k, count - k, true);
}

void cpu_gather_avx2(const struct cpu_gather *job)
{
    for (uint32_t k = 0, end; k < job->n_parts; k = end) {
        for (end = k + 1; end < job->n_parts; end++)
            if (job->parts[end].channel != job->parts[k].channel)
                break;
        gather_group(job, job->parts + k, end - k);
    }
}
