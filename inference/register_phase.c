// Phase correlation: the shift between two pictures from the phases of their spectra (Kuglin and
// Hines, "The phase correlation image alignment method", 1975).
#include "inference/register_internal.h"

#include <errno.h>
#include <math.h>
#include <string.h>

const float phase_angle_deg[ANGLES] = {0, -2.2f, 2.2f, -4.4f, 4.4f};

int phase_new(struct phase *p, uint32_t width, uint32_t height, struct sl_error *error)
{
    const size_t count = (size_t)width * height, half = (size_t)height * (width / 2 + 1);
    p->width = width;
    p->height = height;
    p->window = fftwf_alloc_real(count);
    p->real = fftwf_alloc_real(count);
    p->picture = fftwf_alloc_complex(half);
    p->product = fftwf_alloc_complex(half);
    bool good = p->window && p->real && p->picture && p->product;
    for (int i = 0; i < ANGLES; i++)
        good = (p->reference[i] = fftwf_alloc_complex(half)) != NULL && good;
    if (good) {
        p->forward =
            fftwf_plan_dft_r2c_2d((int)height, (int)width, p->real, p->picture, FFTW_ESTIMATE);
        p->inverse =
            fftwf_plan_dft_c2r_2d((int)height, (int)width, p->product, p->real, FFTW_ESTIMATE);
    }
    if (!good || !p->forward || !p->inverse)
        return sl_error_set(error, -ENOMEM, "out of memory for the registration");
    // A raised cosine takes the edges away, which would pull the peak to no shift at all.
    for (uint32_t y = 0; y < height; y++) {
        for (uint32_t x = 0; x < width; x++) {
            const float u = 0.5f - 0.5f * cosf(6.2831853f * ((float)x + 0.5f) / (float)width);
            const float v = 0.5f - 0.5f * cosf(6.2831853f * ((float)y + 0.5f) / (float)height);
            p->window[y * width + x] = sqrtf(u * v);
        }
    }
    return 0;
}

void phase_free(struct phase *p)
{
    if (p->forward)
        fftwf_destroy_plan(p->forward);
    if (p->inverse)
        fftwf_destroy_plan(p->inverse);
    fftwf_free(p->window);
    fftwf_free(p->real);
    fftwf_free(p->picture);
    fftwf_free(p->product);
    for (int i = 0; i < ANGLES; i++)
        fftwf_free(p->reference[i]);
}

static float mean_of(const uint8_t *pixels, size_t count)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += pixels[i];
    return (float)sum / (float)count;
}

void phase_set_picture(struct phase *p, const uint8_t *picture)
{
    const size_t count = (size_t)p->width * p->height;
    const float mean = mean_of(picture, count);
    for (size_t i = 0; i < count; i++)
        p->real[i] = ((float)picture[i] - mean) * p->window[i];
    fftwf_execute_dft_r2c(p->forward, p->real, p->picture);
}

void phase_forget_reference(struct phase *p)
{
    memset(p->prepared, 0, sizeof(p->prepared));
}

// The reference turned by a hypothesis' angle, windowed, into p->real.
static void turn(struct phase *p, const uint8_t *reference, float angle)
{
    const int width = (int)p->width, height = (int)p->height;
    const float c = cosf(angle), s = sinf(angle);
    const float cx = (float)(width - 1) / 2, cy = (float)(height - 1) / 2;
    const float mean = mean_of(reference, (size_t)width * (size_t)height);
    for (int y = 0; y < height; y++) {
        for (int x = 0; x < width; x++) {
            const float px = (float)x - cx, py = (float)y - cy;
            const int sx = (int)lrintf(cx + c * px + s * py);
            const int sy = (int)lrintf(cy - s * px + c * py);
            const bool in = sx >= 0 && sy >= 0 && sx < width && sy < height;
            const float value = in ? (float)reference[sy * width + sx] - mean : 0;
            p->real[y * width + x] = value * p->window[y * width + x];
        }
    }
}

static void prepare(struct phase *p, const uint8_t *reference, int index)
{
    if (p->prepared[index])
        return;
    turn(p, reference, phase_angle_deg[index] * 0.017453293f);
    fftwf_execute_dft_r2c(p->forward, p->real, p->reference[index]);
    p->prepared[index] = true;
}

float phase_correlate(struct phase *p, const uint8_t *reference, int index, float *x, float *y)
{
    const size_t half = (size_t)p->height * (p->width / 2 + 1);
    prepare(p, reference, index);
    const fftwf_complex *r = p->reference[index];
    for (size_t i = 0; i < half; i++) {
        const float re = p->picture[i][0] * r[i][0] + p->picture[i][1] * r[i][1];
        const float im = p->picture[i][1] * r[i][0] - p->picture[i][0] * r[i][1];
        // Between plain and phase-only correlation: noise at empty frequencies stays small.
        const float scale = 1 / (sqrtf(sqrtf(re * re + im * im)) + 1e-3f);
        p->product[i][0] = re * scale;
        p->product[i][1] = im * scale;
    }
    fftwf_execute_dft_c2r(p->inverse, p->product, p->real);
    const uint32_t count = p->width * p->height;
    uint32_t best = 0;
    float energy = 0;
    for (uint32_t i = 0; i < count; i++) {
        energy += p->real[i] * p->real[i];
        best = p->real[i] > p->real[best] ? i : best;
    }
    const int bx = (int)(best % p->width), by = (int)(best / p->width);
    *x = (float)(bx > (int)p->width / 2 ? bx - (int)p->width : bx);
    *y = (float)(by > (int)p->height / 2 ? by - (int)p->height : by);
    return energy > 0 ? p->real[best] / sqrtf(energy / (float)count) : 0;
}
