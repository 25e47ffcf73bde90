// Phase correlation on the coarsest level, for a handful of rotations (Kuglin and Hines, "The phase
// correlation image alignment method", 1975).
#include "inference/register_impl.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static pthread_mutex_t planner = PTHREAD_MUTEX_INITIALIZER; // FFTW's planner is not thread-safe

// Flat in the middle, falling to 0 over a quarter at either side.
static float taper(uint32_t i, uint32_t side)
{
    const float from_edge = fminf((float)i + 0.5f, (float)side - (float)i - 0.5f) / (float)side;
    return from_edge >= 0.25f ? 1 : 0.5f - 0.5f * cosf(from_edge * 4 * (float)M_PI);
}

// Fine detail is unreliable at this size and under a small rotation.
static float reliability(float fx, float fy)
{
    return expf(-(fx * fx + fy * fy) / (0.25f * 0.25f));
}

static void fill_windows(struct coarse *c)
{
    const uint32_t half = c->width / 2 + 1;
    for (uint32_t y = 0; y < c->height; y++) {
        const float fy = (float)(y <= c->height / 2 ? y : c->height - y) / (float)c->height;
        for (uint32_t x = 0; x < c->width; x++)
            c->window[y * c->width + x] = taper(x, c->width) * taper(y, c->height);
        for (uint32_t x = 0; x < half; x++)
            c->weight[y * half + x] = reliability((float)x / (float)c->width, fy);
    }
    c->weight[0] = 0;
}

int sl_register_coarse_new(struct sl_register *reg, struct sl_error *error)
{
    const struct level *l = &reg->levels[reg->n_levels - 1];
    struct coarse *c = &reg->coarse;
    const size_t count = (size_t)l->width * l->height;
    c->width = l->width;
    c->height = l->height;
    c->n_bins = l->height * (l->width / 2 + 1);
    c->window = malloc(count * sizeof(float));
    c->weight = malloc(c->n_bins * sizeof(float));
    c->pixels = fftwf_alloc_real(count);
    c->picture = fftwf_alloc_complex(c->n_bins);
    c->product = fftwf_alloc_complex(c->n_bins);
    bool ok = c->window && c->weight && c->pixels && c->picture && c->product;
    for (int i = 0; i < MOST_ANGLES; i++)
        ok = (c->reference[i] = fftwf_alloc_complex(c->n_bins)) != NULL && ok;
    if (!ok)
        return sl_error_set(error, -ENOMEM, "registration: out of memory");
    fill_windows(c);
    pthread_mutex_lock(&planner);
    c->forward = fftwf_plan_dft_r2c_2d((int)c->height, (int)c->width, c->pixels, c->picture,
                                       FFTW_MEASURE | FFTW_PRESERVE_INPUT);
    c->backward =
        fftwf_plan_dft_c2r_2d((int)c->height, (int)c->width, c->product, c->pixels, FFTW_MEASURE);
    pthread_mutex_unlock(&planner);
    return c->forward && c->backward
               ? 0
               : sl_error_set(error, -ENOMEM, "registration: no transform of %u x %u", c->width,
                              c->height);
}

void sl_register_coarse_free(struct sl_register *reg)
{
    struct coarse *c = &reg->coarse;
    pthread_mutex_lock(&planner);
    fftwf_destroy_plan(c->forward);
    fftwf_destroy_plan(c->backward);
    pthread_mutex_unlock(&planner);
    free(c->window);
    free(c->weight);
    fftwf_free(c->pixels);
    fftwf_free(c->picture);
    fftwf_free(c->product);
    for (int i = 0; i < MOST_ANGLES; i++)
        fftwf_free(c->reference[i]);
}

// Mean removed, edges faded, transformed, and every bin scaled to `modulus` (1 where NULL).
static void spectrum(struct coarse *c, const float *modulus, float sign, fftwf_complex *out)
{
    const size_t count = (size_t)c->width * c->height;
    float mean = 0;
    for (size_t i = 0; i < count; i++)
        mean += c->pixels[i];
    mean /= (float)count;
    for (size_t i = 0; i < count; i++)
        c->pixels[i] = (c->pixels[i] - mean) * c->window[i];
    fftwf_execute_dft_r2c(c->forward, c->pixels, out);
    for (size_t i = 0; i < c->n_bins; i++) {
        const float size = sqrtf(out[i][0] * out[i][0] + out[i][1] * out[i][1]);
        const float factor = (modulus ? modulus[i] : 1) / (size + 1);
        out[i][0] *= factor;
        out[i][1] *= factor * sign;
    }
}

static float angle_of(int i)
{
    return (float)(i - MOST_ANGLES / 2) * ANGLE_STEP_DEG * (float)M_PI / 180;
}

// The reference as it is seen when rotated about the centre; beyond the edge the border goes on.
static void rotate(const struct level *l, float angle, float *out)
{
    const float c = cosf(angle), s = sinf(angle);
    const float cx = (float)(l->width - 1) / 2, cy = (float)(l->height - 1) / 2;
    for (uint32_t y = 0; y < l->height; y++) {
        for (uint32_t x = 0; x < l->width; x++) {
            const float px = (float)x - cx, py = (float)y - cy;
            const float u = fminf(fmaxf(cx + c * px + s * py, 0), (float)l->width - 1.001f);
            const float v = fminf(fmaxf(cy - s * px + c * py, 0), (float)l->height - 1.001f);
            const uint32_t i = (uint32_t)u, k = (uint32_t)v;
            const float fu = u - (float)i, fv = v - (float)k;
            const uint16_t *a = l->reference + (size_t)k * l->width + i, *b = a + l->width;
            *out++ = (a[0] * (1 - fu) + a[1] * fu) * (1 - fv) + (b[0] * (1 - fu) + b[1] * fu) * fv;
        }
    }
}

void sl_register_coarse_reference(struct sl_register *reg)
{
    struct coarse *c = &reg->coarse;
    for (int i = 0; i < MOST_ANGLES; i++) {
        rotate(&reg->levels[reg->n_levels - 1], angle_of(i), c->pixels);
        spectrum(c, c->weight, -1, c->reference[i]);
    }
}

static void correlate(struct coarse *c, const fftwf_complex *reference)
{
    for (size_t i = 0; i < c->n_bins; i++) {
        const float a = c->picture[i][0], b = c->picture[i][1];
        c->product[i][0] = a * reference[i][0] - b * reference[i][1];
        c->product[i][1] = a * reference[i][1] + b * reference[i][0];
    }
    fftwf_execute(c->backward);
}

static void keep(struct candidate *found, uint32_t *count, const struct candidate *new)
{
    if (*count == MOST_CANDIDATES && found[*count - 1].strength >= new->strength)
        return;
    *count += *count < MOST_CANDIDATES;
    uint32_t at = *count - 1;
    for (; at > 0 && found[at - 1].strength < new->strength; at--)
        found[at] = found[at - 1];
    found[at] = *new;
}

// Shifts of more than a third of the picture are not looked for: too little is left to compare.
static int reach_of(uint32_t side)
{
    return (int)side / 3;
}

static float *cell(struct coarse *c, int x, int y)
{
    const int w = (int)c->width, h = (int)c->height;
    return &c->pixels[((y + h) % h) * w + (x + w) % w];
}

// Takes the highest place and flattens its neighbourhood, so that the next call finds another.
static float take_peak(struct coarse *c, int *px, int *py)
{
    const int reach_x = reach_of(c->width), reach_y = reach_of(c->height);
    float best = -INFINITY;
    for (int y = -reach_y; y <= reach_y; y++) {
        const float *row = cell(c, 0, y);
        for (int x = 0; x <= reach_x; x++)
            if (row[x] > best) {
                best = row[x];
                *px = x;
                *py = y;
            }
        for (int x = 1; x <= reach_x; x++)
            if (row[(int)c->width - x] > best) {
                best = row[(int)c->width - x];
                *px = -x;
                *py = y;
            }
    }
    for (int y = -1; y <= 1; y++)
        for (int x = -1; x <= 1; x++)
            *cell(c, *px + x, *py + y) = -INFINITY;
    return best;
}

uint32_t sl_register_coarse_find(struct sl_register *reg, float max_angle,
                                 struct candidate found[MOST_CANDIDATES])
{
    const struct level *l = &reg->levels[reg->n_levels - 1];
    struct coarse *c = &reg->coarse;
    uint32_t count = 0;
    for (size_t i = 0; i < (size_t)l->width * l->height; i++)
        c->pixels[i] = l->picture[i];
    spectrum(c, NULL, 1, c->picture);
    for (int i = 0; i < MOST_ANGLES; i++) {
        if (fabsf(angle_of(i)) > max_angle + ANGLE_STEP_DEG * (float)M_PI / 180)
            continue;
        correlate(c, c->reference[i]);
        for (int k = 0; k < PEAKS_PER_ANGLE; k++) {
            int x = 0, y = 0;
            const float strength = take_peak(c, &x, &y);
            keep(found, &count,
                 &(struct candidate){{(float)x * l->scale, (float)y * l->scale, angle_of(i)},
                                     strength});
        }
    }
    return count;
}
