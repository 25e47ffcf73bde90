// Registration: coarse to fine, with another try at other angles where the first one fails.
#include "inference/register_internal.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LEAST_SIDE = 64 };
#define GOOD_SCORE 0.80f // with less, other angles are tried too
#define DEGREES    57.29578f

static const uint32_t level_points[LEVELS] = {5000, 0, 2500, 1200};
static const int level_iterations[LEVELS] = {6, 0, 8, 12};

static int new_level(struct level *l, uint32_t width, uint32_t height, uint32_t points,
                     struct sl_error *error)
{
    const size_t size = (size_t)width * height + 64;
    l->width = width;
    l->height = height;
    l->reference = calloc(size, 1);
    l->picture = calloc(size, 1);
    l->points.capacity = points;
    l->points.at = calloc(points ? points : 1, sizeof(*l->points.at));
    l->points.sample = calloc(points ? points : 1, sizeof(*l->points.sample));
    if (l->reference && l->picture && l->points.at && l->points.sample)
        return 0;
    return sl_error_set(error, -ENOMEM, "out of memory for the registration");
}

int sl_register_new(uint32_t width, uint32_t height, struct sl_register **out,
                    struct sl_error *error)
{
    if (width < LEAST_SIDE || height < LEAST_SIDE || width > SL_PICTURE_MAX_SIDE ||
        height > SL_PICTURE_MAX_SIDE)
        return sl_error_set(error, -EINVAL,
                            "registration: expected %d to %u pixels a side, found "
                            "%u x %u",
                            LEAST_SIDE, SL_PICTURE_MAX_SIDE, width, height);
    struct sl_register *reg = calloc(1, sizeof(*reg));
    int status = reg ? 0 : sl_error_set(error, -ENOMEM, "out of memory for the registration");
    for (uint32_t k = 0; k < LEVELS && status == 0; k++)
        status = new_level(&reg->levels[k], width >> k, height >> k, level_points[k], error);
    if (status == 0)
        status =
            phase_new(&reg->phase, reg->levels[COARSE].width, reg->levels[COARSE].height, error);
    if (status < 0) {
        sl_register_free(reg);
        return status;
    }
    *out = reg;
    return 0;
}

void sl_register_free(struct sl_register *reg)
{
    if (!reg)
        return;
    phase_free(&reg->phase);
    for (int k = 0; k < LEVELS; k++) {
        free(reg->levels[k].reference);
        free(reg->levels[k].picture);
        free(reg->levels[k].points.at);
        free(reg->levels[k].points.sample);
    }
    free(reg);
}

static void halve(const uint8_t *src, uint32_t src_width, uint8_t *dst, uint32_t width,
                  uint32_t height)
{
    for (uint32_t y = 0; y < height; y++) {
        const uint8_t *a = src + (size_t)2 * y * src_width, *b = a + src_width;
        uint8_t *out = dst + (size_t)y * width;
        for (uint32_t x = 0; x < width; x++)
            out[x] = (uint8_t)((a[2 * x] + a[2 * x + 1] + b[2 * x] + b[2 * x + 1] + 2) >> 2);
    }
}

static int take(struct sl_register *reg, const struct sl_picture *picture, bool as_reference,
                struct sl_error *error)
{
    const struct level *full = &reg->levels[0];
    if (picture->pixels != SL_PIXELS_GREY || picture->width != full->width ||
        picture->height != full->height)
        return sl_error_set(error, -EINVAL,
                            "registration: expected a grey picture of %u x %u, found "
                            "%u x %u",
                            full->width, full->height, picture->width, picture->height);
    for (uint32_t y = 0; y < full->height; y++)
        memcpy((as_reference ? full->reference : full->picture) + (size_t)y * full->width,
               picture->plane[0] + (size_t)y * picture->stride[0], full->width);
    for (uint32_t k = 1; k < LEVELS; k++) {
        const struct level *from = &reg->levels[k - 1], *to = &reg->levels[k];
        halve(as_reference ? from->reference : from->picture, from->width,
              as_reference ? to->reference : to->picture, to->width, to->height);
    }
    return 0;
}

int sl_register_set_reference(struct sl_register *reg, const struct sl_picture *reference,
                              struct sl_error *error)
{
    reg->has_reference = false;
    const int status = take(reg, reference, true, error);
    if (status < 0)
        return status;
    for (int k = 0; k < LEVELS; k++)
        if (level_points[k])
            points_choose(&reg->levels[k].points, &reg->levels[k]);
    phase_forget_reference(&reg->phase);
    if (reg->levels[0].points.count < 100)
        return sl_error_set(error, -ENODATA, "the reference shows nothing to align to");
    reg->has_reference = true;
    return 0;
}

static bool is_blank(const struct level *l)
{
    const size_t count = (size_t)l->width * l->height;
    uint8_t low = 255, high = 0;
    for (size_t i = 0; i < count; i++) {
        low = l->picture[i] < low ? l->picture[i] : low;
        high = l->picture[i] > high ? l->picture[i] : high;
    }
    return high - low < 16;
}

// From one hypothesis down to the finest level; the score of what came out, -1 if nothing did.
static float try_angle(struct sl_register *reg, int index, struct pose *pose)
{
    struct level *coarse = &reg->levels[COARSE];
    float x, y;
    phase_correlate(&reg->phase, coarse->reference, index, &x, &y);
    *pose = (struct pose){x * (1 << COARSE), y * (1 << COARSE), phase_angle_deg[index] / DEGREES};
    for (int k = LEVELS - 1; k >= COARSE; k--)
        if (!refine(&reg->levels[k], 1u << k, level_iterations[k], pose))
            return -1;
    return refine_score(coarse, 1 << COARSE, pose);
}

int sl_register_find(struct sl_register *reg, const struct sl_picture *picture,
                     const struct sl_register_limits *limits, struct sl_registration *out,
                     struct sl_error *error)
{
    if (!reg->has_reference)
        return sl_error_set(error, -ENODATA, "registration: no reference is set");
    const int status = take(reg, picture, false, error);
    if (status < 0)
        return status;
    if (is_blank(&reg->levels[COARSE]))
        return sl_error_set(error, -ENODATA, "the picture shows nothing to align");
    struct pose best = {0, 0, 0};
    float score = -1;
    phase_set_picture(&reg->phase, reg->levels[COARSE].picture);
    for (int i = 0; i < ANGLES && score < GOOD_SCORE; i++) {
        struct pose pose;
        const float one = try_angle(reg, i, &pose);
        if (one > score) {
            score = one;
            best = pose;
        }
    }
    refine(&reg->levels[0], 1, level_iterations[0], &best);
    *out = (struct sl_registration){best.x, best.y, best.angle * DEGREES, score};
    if (score < limits->min_score)
        return sl_error_set(error, -ERANGE,
                            "the picture does not show this part: it agrees with the "
                            "reference by %.2f, expected %.2f",
                            (double)score, (double)limits->min_score);
    if (fabsf(out->dx_px) > limits->max_shift_px || fabsf(out->dy_px) > limits->max_shift_px ||
        fabsf(out->rotation_deg) > limits->max_rotation_deg)
        return sl_error_set(
            error, -ERANGE,
            "the part lies %.1f, %.1f px and %.2f degrees off, limits are %.0f px and "
            "%.1f degrees",
            (double)out->dx_px, (double)out->dy_px, (double)out->rotation_deg,
            (double)limits->max_shift_px, (double)limits->max_rotation_deg);
    return 0;
}
