// The reference laid on the picture.
//
// Along a row of the result the place in the reference moves by almost one pixel to the right and a
// little up or down. So a row falls into stretches over which the offset from result to reference
// is constant in whole pixels, and within one the bytes read are contiguous.
#include "inference/register_impl.h"

#include <math.h>
#include <string.h>
#ifdef __x86_64__
#include <immintrin.h>
#endif

#define ONE (1 << 16) // positions are fixed-point

struct stretch { // fractions of a pixel at its start, and per pixel, in fixed point
    int32_t fx, dx, fy, dy;
};

// `above` and `below` have one byte more than `n`.
static void blend_plain(const uint8_t *above, const uint8_t *below, uint8_t *dst, int32_t n,
                        const struct stretch *s)
{
    for (int32_t i = 0; i < n; i++) {
        const int32_t fx = (s->fx + i * s->dx) >> 9, fy = (s->fy + i * s->dy) >> 9;
        const int32_t top = above[i] * (128 - fx) + above[i + 1] * fx;
        const int32_t bottom = below[i] * (128 - fx) + below[i + 1] * fx;
        dst[i] = (uint8_t)((top + (((bottom - top) * fy + 64) >> 7) + 64) >> 7);
    }
}

#ifdef __x86_64__
enum { LANES = 16 };

__attribute__((target("avx2"))) static inline __m256i load(const uint8_t *p)
{
    return _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(const void *)p));
}

// The same arithmetic; writes a multiple of 16 bytes and reads one more.
__attribute__((target("avx2"))) static void blend_avx2(const uint8_t *above, const uint8_t *below,
                                                       uint8_t *dst, int32_t n,
                                                       const struct stretch *s)
{
    const __m256i lane = _mm256_setr_epi16(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m256i half = _mm256_set1_epi16(64);
    for (int32_t i = 0; i < n; i += LANES) {
        const __m256i at_x = _mm256_set1_epi16((int16_t)(s->fx + i * s->dx));
        const __m256i at_y = _mm256_set1_epi16((int16_t)(s->fy + i * s->dy));
        const __m256i dx = _mm256_set1_epi16((int16_t)s->dx),
                      dy = _mm256_set1_epi16((int16_t)s->dy);
        const __m256i fx =
            _mm256_srli_epi16(_mm256_add_epi16(at_x, _mm256_mullo_epi16(lane, dx)), 9);
        const __m256i fy =
            _mm256_srli_epi16(_mm256_add_epi16(at_y, _mm256_mullo_epi16(lane, dy)), 9);
        const __m256i a = load(above + i), b = load(above + i + 1);
        const __m256i c = load(below + i), d = load(below + i + 1);
        const __m256i top = _mm256_add_epi16(_mm256_slli_epi16(a, 7),
                                             _mm256_mullo_epi16(_mm256_sub_epi16(b, a), fx));
        const __m256i bottom = _mm256_add_epi16(_mm256_slli_epi16(c, 7),
                                                _mm256_mullo_epi16(_mm256_sub_epi16(d, c), fx));
        // mulhrs is (x y + 2^14) >> 15
        const __m256i down =
            _mm256_mulhrs_epi16(_mm256_sub_epi16(bottom, top), _mm256_slli_epi16(fy, 8));
        const __m256i sum = _mm256_add_epi16(_mm256_add_epi16(top, down), half);
        const __m256i grey = _mm256_srli_epi16(sum, 7);
        const __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi16(grey, grey), 0x08);
        _mm_storeu_si128((__m128i *)(void *)(dst + i), _mm256_castsi256_si128(packed));
    }
}
#endif

// Pixels until `at` leaves its whole number, moving by `step` per pixel.
static int32_t until_change(int64_t at, int32_t step)
{
    const int32_t fraction = (int32_t)(at & (ONE - 1));
    if (step == 0)
        return INT32_MAX;
    return step > 0 ? (ONE - 1 - fraction) / step + 1 : fraction / -step + 1;
}

struct warp {
    const struct sl_register *reg;
    int32_t dx, dy; // of the offset to the right and of the row, per pixel
    bool wide;      // AVX2 is there
};

static int32_t least(int32_t a, int32_t b)
{
    return a < b ? a : b;
}

// `room` is what may be written: later stretches of the row overwrite what is too much.
static void blend(const struct warp *w, const uint8_t *above, uint8_t *dst, int32_t n, int32_t room,
                  const struct stretch *s)
{
    const uint8_t *below = above + w->reg->width + 1;
#ifdef __x86_64__
    if (w->wide && (n + LANES - 1) / LANES * LANES <= room) {
        blend_avx2(above, below, dst, n, s);
        return;
    }
#endif
    (void)room;
    blend_plain(above, below, dst, n, s);
}

// One row; `offset` is where x = 0 lies, `line` the row there, in fixed point.
static void warp_row(const struct warp *w, int64_t offset, int64_t line, const uint8_t *own,
                     uint8_t *dst)
{
    const int32_t width = (int32_t)w->reg->width, height = (int32_t)w->reg->height;
    int32_t n;
    for (int32_t x = 0; x < width; x += n, offset += n * w->dx, line += n * w->dy) {
        n = least(width - x, least(until_change(offset, w->dx), until_change(line, w->dy)));
        const int32_t from = x + (int32_t)(offset >> 16), row = (int32_t)(line >> 16);
        const int32_t before = from < 0 ? least(-from, n) : 0;
        const int32_t behind = from + n > width ? least(from + n - width, n) : 0;
        if (row < 0 || row >= height || before + behind >= n) {
            memcpy(dst + x, own + x, (size_t)n);
            continue;
        }
        const struct stretch s = {(int32_t)((offset + before * w->dx) & (ONE - 1)), w->dx,
                                  (int32_t)((line + before * w->dy) & (ONE - 1)), w->dy};
        const int32_t start = x + before, count = n - before - behind;
        memcpy(dst + x, own + x, (size_t)before);
        blend(w, w->reg->pixels + (size_t)row * (size_t)(width + 1) + from + before, dst + start,
              count, width - start, &s);
        memcpy(dst + start + count, own + start + count, (size_t)behind);
    }
}

static int64_t fixed(double value)
{
    return (int64_t)floor(value * ONE + 0.5);
}

static bool has_avx2(void)
{
#ifdef __x86_64__
    return __builtin_cpu_supports("avx2");
#else
    return false;
#endif
}

void sl_register_warp(const struct sl_register *reg, const struct sl_registration *registration,
                      const struct sl_picture *picture, uint8_t *dst, uint32_t stride)
{
    const double angle = (double)registration->rotation_deg * M_PI / 180;
    const double c = cos(angle), s = sin(angle);
    const double cx = (reg->width - 1) / 2.0, cy = (reg->height - 1) / 2.0;
    const double x = -cx - (double)registration->dx_px;
    const struct warp w = {reg, (int32_t)fixed(c - 1), (int32_t)fixed(-s), has_avx2()};
    for (uint32_t row = 0; row < reg->height; row++) {
        const double y = row - cy - (double)registration->dy_px;
        warp_row(&w, fixed(cx + c * x + s * y), fixed(cy - s * x + c * y),
                 picture->plane[0] + (size_t)row * picture->stride[0], dst + (size_t)row * stride);
    }
}
