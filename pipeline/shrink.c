// Pictures made smaller and into what the JPEG encoder takes.
#include "pipeline/shrink.h"

struct colour {
    int32_t c[3];
};

static int32_t clamp(int32_t value)
{
    return value < 0 ? 0 : value > 255 ? 255 : value;
}

// In 16.16 fixed point; factors of JFIF 1.02.
static struct colour from_yuv(int32_t y, int32_t u, int32_t v)
{
    u -= 128;
    v -= 128;
    return (struct colour){{clamp(y + ((91881 * v + 32768) >> 16)),
                            clamp(y - ((22554 * u + 46802 * v + 32768) >> 16)),
                            clamp(y + ((116130 * u + 32768) >> 16))}};
}

static const uint8_t *at(const struct sl_picture *p, int plane, uint32_t byte, uint32_t row)
{
    return p->plane[plane] + (size_t)row * p->stride[plane] + byte;
}

static struct colour pixel(const struct sl_picture *p, uint32_t x, uint32_t y)
{
    const uint8_t *b;
    switch (p->pixels) {
    case SL_PIXELS_RGB:
    case SL_PIXELS_BGR:
        b = at(p, 0, 3 * x, y);
        break;
    case SL_PIXELS_RGBX:
    case SL_PIXELS_BGRX:
        b = at(p, 0, 4 * x, y);
        break;
    case SL_PIXELS_NV12:
        b = at(p, 1, x / 2 * 2, y / 2);
        return from_yuv(*at(p, 0, x, y), b[0], b[1]);
    case SL_PIXELS_I420:
        return from_yuv(*at(p, 0, x, y), *at(p, 1, x / 2, y / 2), *at(p, 2, x / 2, y / 2));
    case SL_PIXELS_YUYV:
        b = at(p, 0, x / 2 * 4, y);
        return from_yuv(b[x % 2 * 2], b[1], b[3]);
    default:
        return (struct colour){{*at(p, 0, x, y), 0, 0}};
    }
    const int turned = p->pixels == SL_PIXELS_BGR || p->pixels == SL_PIXELS_BGRX ? 2 : 0;
    return (struct colour){{b[turned], b[1], b[2 - turned]}};
}

static uint32_t channels_of(const struct sl_picture *p)
{
    return p->pixels == SL_PIXELS_GREY ? 1 : 3;
}

size_t sl_shrink_size(const struct sl_picture *p, uint32_t factor)
{
    return (size_t)(p->width / factor) * (p->height / factor) * channels_of(p);
}

static void average(const struct sl_picture *p, uint32_t left, uint32_t top, uint32_t factor,
                    uint8_t *dst)
{
    uint32_t sum[3] = {0};
    for (uint32_t y = top; y < top + factor; y++) {
        for (uint32_t x = left; x < left + factor; x++) {
            const struct colour colour = pixel(p, x, y);
            for (int c = 0; c < 3; c++)
                sum[c] += (uint32_t)colour.c[c];
        }
    }
    const uint32_t n = factor * factor;
    for (uint32_t c = 0; c < channels_of(p); c++)
        dst[c] = (uint8_t)((sum[c] + n / 2) / n);
}

void sl_shrink(const struct sl_picture *p, uint32_t factor, uint8_t *dst, struct sl_picture *out)
{
    const uint32_t width = p->width / factor, height = p->height / factor, n = channels_of(p);
    for (uint32_t y = 0; y < height; y++)
        for (uint32_t x = 0; x < width; x++)
            average(p, x * factor, y * factor, factor, dst + ((size_t)y * width + x) * n);
    *out = (struct sl_picture){
        .pixels = n == 1 ? SL_PIXELS_GREY : SL_PIXELS_RGB,
        .width = width,
        .height = height,
        .plane = {dst},
        .stride = {width * n},
    };
}
