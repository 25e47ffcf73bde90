// Registration: from the coarsest level to the finest, and what may be believed.
#include "inference/register_impl.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LEAST_SIDE = 32 };
#define PULL_HOME  2e-4f // of correlation per pixel
#define GOOD_SCORE 0.8f  // with this much found, peaks weaker than …
#define WEAK_PEAK  0.5f  // … this share of the strongest are not looked at

static int make_level(struct sl_register *reg, uint32_t width, uint32_t height)
{
    struct level *l = &reg->levels[reg->n_levels];
    const size_t count = (size_t)width * height;
    l->width = width;
    l->height = height;
    l->scale = (float)(2u << reg->n_levels);
    l->origin_x = (float)reg->width / 2 / l->scale - 0.5f;
    l->origin_y = (float)reg->height / 2 / l->scale - 0.5f;
    l->reference = calloc(count, sizeof(*l->reference));
    l->picture = calloc(count, sizeof(*l->picture));
    reg->n_levels++;
    return l->reference && l->picture ? 0 : -ENOMEM;
}

static int make_levels(struct sl_register *reg)
{
    uint32_t width = reg->width / 2, height = reg->height / 2;
    int status = make_level(reg, width, height);
    while (status == 0 && (width > COARSE_SIDE || height > COARSE_SIDE) &&
           width / 2 >= LEAST_SIDE / 2 && height / 2 >= LEAST_SIDE / 2) {
        width /= 2;
        height /= 2;
        status = make_level(reg, width, height);
    }
    return status;
}

int sl_register_new(uint32_t width, uint32_t height, struct sl_register **out,
                    struct sl_error *error)
{
    if (width < LEAST_SIDE || height < LEAST_SIDE || width > SL_PICTURE_MAX_SIDE ||
        height > SL_PICTURE_MAX_SIDE)
        return sl_error_set(error, -EINVAL,
                            "registration: expected %d to %u pixels a side, found %u x %u",
                            LEAST_SIDE, SL_PICTURE_MAX_SIDE, width, height);
    struct sl_register *reg = calloc(1, sizeof(*reg));
    if (!reg)
        return sl_error_set(error, -ENOMEM, "registration: out of memory");
    reg->width = width;
    reg->height = height;
    reg->arc = hypotf((float)width, (float)height) / 4;
    reg->pixels = calloc((size_t)(width + 1) * (height + 1) + WARP_MARGIN, 1);
    for (int i = 0; i < 2; i++)
        reg->scratch[i] = malloc((size_t)(width / 2) * (height / 2) * sizeof(uint16_t));
    int status = reg->pixels && reg->scratch[0] && reg->scratch[1] ? make_levels(reg) : -ENOMEM;
    if (status < 0)
        sl_error_set(error, status, "registration: out of memory for %u x %u", width, height);
    else
        status = sl_register_coarse_new(reg, error);
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
    sl_register_coarse_free(reg);
    for (uint32_t i = 0; i < reg->n_levels; i++) {
        free(reg->levels[i].reference);
        free(reg->levels[i].picture);
    }
    free(reg->scratch[0]);
    free(reg->scratch[1]);
    free(reg->pixels);
    free(reg);
}

static int check(const struct sl_register *reg, const struct sl_picture *p, struct sl_error *error)
{
    if (p->pixels != SL_PIXELS_GREY || p->width != reg->width || p->height != reg->height ||
        !p->plane[0] || p->stride[0] < p->width)
        return sl_error_set(error, -EINVAL,
                            "registration: expected a grey picture of %u x %u, found %u x %u in "
                            "format %u",
                            reg->width, reg->height, p->width, p->height, p->pixels);
    return 0;
}

// One column and one row more, so that the warp may read beside the last pixel.
static void copy_reference(struct sl_register *reg, const struct sl_picture *p)
{
    const size_t stride = reg->width + 1;
    for (uint32_t y = 0; y <= reg->height; y++) {
        const uint32_t from = y < reg->height ? y : reg->height - 1;
        uint8_t *row = reg->pixels + y * stride;
        memcpy(row, p->plane[0] + (size_t)from * p->stride[0], reg->width);
        row[reg->width] = row[reg->width - 1];
    }
}

int sl_register_set_reference(struct sl_register *reg, const struct sl_picture *reference,
                              struct sl_error *error)
{
    const int status = check(reg, reference, error);
    if (status < 0)
        return status;
    copy_reference(reg, reference);
    sl_register_pyramid(reg, reference, true);
    for (uint32_t i = 0; i < reg->n_levels; i++)
        sl_register_choose_points(reg, &reg->levels[i]);
    sl_register_coarse_reference(reg);
    reg->has_reference = true;
    return 0;
}

// A pose that the alignment would pull to where it has already been: neighbouring rotations mostly
// find the same place.
static bool is_known(const struct pose *pose, const struct pose *reached, uint32_t count,
                     float scale)
{
    for (uint32_t i = 0; i < count; i++)
        if (hypotf(pose->x - reached[i].x, pose->y - reached[i].y) < 1.5f * scale &&
            fabsf(pose->angle - reached[i].angle) < 3.0f * (float)M_PI / 180)
            return true;
    return false;
}

// Of the likely poses, the one under which the coarsest level agrees best; of equals, which
// repeated or parallel structures make, the one that is moved least.
static int choose(struct sl_register *reg, const struct sl_register_limits *limits,
                  struct pose *best)
{
    const struct level *l = &reg->levels[reg->n_levels - 1];
    struct candidate found[MOST_CANDIDATES + 1];
    struct pose reached[MOST_CANDIDATES + 1];
    const float widest = limits->max_rotation_deg * (float)M_PI / 180;
    uint32_t count = sl_register_coarse_find(reg, widest, found);
    float highest = -2;
    uint32_t n = 0;
    found[count] = (struct candidate){{0, 0, 0}, count ? found[0].strength : 1};
    count++;
    for (uint32_t i = 0; i < count; i++) {
        struct pose pose = found[i].pose;
        if (highest > GOOD_SCORE && found[i].strength < WEAK_PEAK * found[0].strength)
            continue;
        if (is_known(&pose, reached, n, l->scale) || sl_register_align(reg, l, 5, &pose) < 0)
            continue;
        const float score = sl_register_score(l, &pose) - PULL_HOME * hypotf(pose.x, pose.y);
        reached[n++] = pose;
        if (score > highest) {
            highest = score;
            *best = pose;
        }
    }
    return n ? 0 : -ENODATA;
}

static int judge(const struct sl_registration *r, const struct sl_register_limits *limits,
                 struct sl_error *error)
{
    const double shift = hypot((double)r->dx_px, (double)r->dy_px);
    if (!(r->score >= limits->min_score))
        return sl_error_set(error, -ERANGE,
                            "the picture does not show the reference: correlation %.2f, at least "
                            "%.2f is needed",
                            (double)r->score, (double)limits->min_score);
    if (shift > (double)limits->max_shift_px)
        return sl_error_set(error, -ERANGE,
                            "the part lies %.1f pixels off (%+.1f, %+.1f), at most %.1f are "
                            "allowed",
                            shift, (double)r->dx_px, (double)r->dy_px,
                            (double)limits->max_shift_px);
    if (fabsf(r->rotation_deg) > limits->max_rotation_deg)
        return sl_error_set(error, -ERANGE,
                            "the part is rotated by %+.2f degrees, at most %.2f are allowed",
                            (double)r->rotation_deg, (double)limits->max_rotation_deg);
    return 0;
}

int sl_register_find(struct sl_register *reg, const struct sl_picture *picture,
                     const struct sl_register_limits *limits, struct sl_registration *out,
                     struct sl_error *error)
{
    struct pose pose;
    int status = check(reg, picture, error);
    if (status < 0)
        return status;
    if (!reg->has_reference)
        return sl_error_set(error, -ENODATA, "registration: no reference is set");
    sl_register_pyramid(reg, picture, false);
    status = choose(reg, limits, &pose);
    for (uint32_t i = reg->n_levels - 1; i-- > 0 && status == 0;)
        status = sl_register_align(reg, &reg->levels[i], 8, &pose);
    if (status < 0)
        return sl_error_set(error, status,
                            "registration: nothing to hold on to: picture or reference is blank");
    const struct level *middle = &reg->levels[reg->n_levels > 1 ? 1 : 0];
    *out = (struct sl_registration){pose.x, pose.y, pose.angle * 180 / (float)M_PI,
                                    sl_register_score(middle, &pose)};
    return judge(out, limits, error);
}
