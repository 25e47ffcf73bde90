// Reduced pictures: each level is half of the one before, lightly smoothed.
#include "inference/register_impl.h"

// Means of 2 x 2 pixels, times 64.
static void halve_bytes(const uint8_t *src, uint32_t stride, uint16_t *dst, uint32_t width,
                        uint32_t height)
{
    for (uint32_t y = 0; y < height; y++, dst += width) {
        const uint8_t *a = src + (size_t)(2 * y) * stride, *b = a + stride;
        for (uint32_t x = 0; x < width; x++)
            dst[x] = (uint16_t)((a[2 * x] + a[2 * x + 1] + b[2 * x] + b[2 * x + 1]) << 4);
    }
}

static void halve(const uint16_t *src, uint32_t stride, uint16_t *dst, uint32_t width,
                  uint32_t height)
{
    for (uint32_t y = 0; y < height; y++, dst += width) {
        const uint16_t *a = src + (size_t)(2 * y) * stride, *b = a + stride;
        for (uint32_t x = 0; x < width; x++)
            dst[x] = (uint16_t)((a[2 * x] + a[2 * x + 1] + b[2 * x] + b[2 * x + 1] + 2) >> 2);
    }
}

// (1 2 1) / 4. Four times the largest value, 255 * 64, still fits 16 bits.
static void smooth_row(const uint16_t *src, uint16_t *dst, uint32_t width)
{
    dst[0] = src[0];
    dst[width - 1] = src[width - 1];
    for (uint32_t x = 1; x + 1 < width; x++)
        dst[x] = (uint16_t)((uint16_t)(src[x - 1] + 2 * src[x] + src[x + 1]) >> 2);
}

static void smooth(const uint16_t *src, uint16_t *rows, uint16_t *dst, uint32_t width,
                   uint32_t height)
{
    for (uint32_t y = 0; y < height; y++)
        smooth_row(src + (size_t)y * width, rows + (size_t)y * width, width);
    for (uint32_t y = 0; y < height; y++, dst += width) {
        const uint16_t *b = rows + (size_t)y * width;
        const uint16_t *a = y > 0 ? b - width : b, *c = y + 1 < height ? b + width : b;
        for (uint32_t x = 0; x < width; x++)
            dst[x] = (uint16_t)((uint16_t)(a[x] + 2 * b[x] + c[x]) >> 2);
    }
}

// The coarsest level stays as it is: thin structures have little contrast left there.
void sl_register_pyramid(struct sl_register *reg, const struct sl_picture *picture, bool reference)
{
    for (uint32_t i = 0; i < reg->n_levels; i++) {
        struct level *l = &reg->levels[i];
        uint16_t *raw = reg->scratch[0], *out = reference ? l->reference : l->picture;
        if (i == 0)
            halve_bytes(picture->plane[0], picture->stride[0], raw, l->width, l->height);
        else
            halve(reference ? reg->levels[i - 1].reference : reg->levels[i - 1].picture,
                  reg->levels[i - 1].width, raw, l->width, l->height);
        if (i == 0)
            smooth(raw, reg->scratch[1], out, l->width, l->height);
        else
            for (size_t k = 0; k < (size_t)l->width * l->height; k++)
                out[k] = raw[k];
    }
}
