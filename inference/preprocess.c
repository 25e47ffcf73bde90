// Picture formats, scaling and normalisation.
#include "inference/preprocess.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct sl_preprocess {
    struct sl_input_contract input;
    uint32_t capacity;      // pixels of a source row
    uint8_t *rows[2][3];    // two source rows, up to three planes
    uint32_t row_number[2]; // which source row each holds
    uint32_t *column;       // per input column: left source column
    uint16_t *column_share; // and the right one's share of 256
};

struct format {
    uint32_t planes, bytes; // bytes a pixel of plane 0
    bool colour, even;      // even: width (and height) must be
};

static const struct format formats[] = {
    [SL_PIXELS_GREY] = {1, 1, false, false}, [SL_PIXELS_RGB] = {1, 3, true, false},
    [SL_PIXELS_BGR] = {1, 3, true, false},   [SL_PIXELS_RGBX] = {1, 4, true, false},
    [SL_PIXELS_BGRX] = {1, 4, true, false},  [SL_PIXELS_NV12] = {2, 1, true, true},
    [SL_PIXELS_I420] = {3, 1, true, true},   [SL_PIXELS_YUYV] = {1, 2, true, true},
};

int sl_picture_check(const struct sl_picture *p, struct sl_error *error)
{
    if (p->pixels >= sizeof(formats) / sizeof(formats[0]) || !formats[p->pixels].planes)
        return sl_error_set(error, -EINVAL, "picture: pixel format %u is not known", p->pixels);
    if (p->width < 1 || p->height < 1 || p->width > SL_PICTURE_MAX_SIDE ||
        p->height > SL_PICTURE_MAX_SIDE)
        return sl_error_set(error, -EINVAL,
                            "picture: expected 1 to %u pixels a side, found %u x %u",
                            SL_PICTURE_MAX_SIDE, p->width, p->height);
    const struct format *f = &formats[p->pixels];
    if (f->even && (p->width % 2 || (f->planes > 1 && p->height % 2)))
        return sl_error_set(error, -EINVAL, "picture: this format needs even sides, found %u x %u",
                            p->width, p->height);
    for (uint32_t i = 0; i < f->planes; i++) {
        const uint32_t row = i == 0                        ? p->width * f->bytes
                             : p->pixels == SL_PIXELS_NV12 ? p->width
                                                           : p->width / 2;
        if (!p->plane[i] || p->stride[i] < row)
            return sl_error_set(error, -EINVAL, "picture: plane %u has %u bytes a row, needs %u", i,
                                p->plane[i] ? p->stride[i] : 0, row);
    }
    return 0;
}

static uint8_t clamp_byte(int value)
{
    return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
}

// BT.601, full range, 16 fractional bits.
static void yuv_to_rgb(int y, int u, int v, uint8_t *const out[3], uint32_t x)
{
    u -= 128;
    v -= 128;
    out[0][x] = clamp_byte(y + ((91881 * v + 32768) >> 16));
    out[1][x] = clamp_byte(y - ((22554 * u + 46802 * v + 32768) >> 16));
    out[2][x] = clamp_byte(y + ((116130 * u + 32768) >> 16));
}

static uint8_t luma(int r, int g, int b)
{
    return (uint8_t)((19595 * r + 38470 * g + 7471 * b + 32768) >> 16);
}

static void packed_row(const uint8_t *src, uint32_t width, uint32_t step, int red, bool grey,
                       uint8_t *const out[3])
{
    const int blue = 2 - red;
    for (uint32_t x = 0; x < width; x++, src += step) {
        if (grey) {
            out[0][x] = luma(src[red], src[1], src[blue]);
        } else {
            out[0][x] = src[red];
            out[1][x] = src[1];
            out[2][x] = src[blue];
        }
    }
}

// One source row as grey, or as red, green, blue.
static void fetch_row(const struct sl_picture *p, uint32_t y, bool grey, uint8_t *const out[3])
{
    const uint8_t *src = p->plane[0] + (size_t)y * p->stride[0];
    const uint8_t *u, *v;
    switch (p->pixels) {
    case SL_PIXELS_RGB:
    case SL_PIXELS_BGR:
        packed_row(src, p->width, 3, p->pixels == SL_PIXELS_RGB ? 0 : 2, grey, out);
        return;
    case SL_PIXELS_RGBX:
    case SL_PIXELS_BGRX:
        packed_row(src, p->width, 4, p->pixels == SL_PIXELS_RGBX ? 0 : 2, grey, out);
        return;
    case SL_PIXELS_YUYV:
        for (uint32_t x = 0; x < p->width; x++) {
            if (grey)
                out[0][x] = src[2 * x];
            else
                yuv_to_rgb(src[2 * x], src[(x & ~1u) * 2 + 1], src[(x & ~1u) * 2 + 3], out, x);
        }
        return;
    default:
        break;
    }
    if (grey || p->pixels == SL_PIXELS_GREY) {
        for (int i = 0; i < (grey ? 1 : 3); i++)
            memcpy(out[i], src, p->width);
        return;
    }
    const bool pairs = p->pixels == SL_PIXELS_NV12;
    u = p->plane[1] + (size_t)(y / 2) * p->stride[1];
    v = pairs ? u + 1 : p->plane[2] + (size_t)(y / 2) * p->stride[2];
    for (uint32_t x = 0; x < p->width; x++) {
        const uint32_t c = pairs ? (x & ~1u) : x / 2;
        yuv_to_rgb(src[x], u[c], v[c], out, x);
    }
}

int sl_preprocess_new(const struct sl_input_contract *input, struct sl_preprocess **out,
                      struct sl_error *error)
{
    struct sl_preprocess *pre = calloc(1, sizeof(*pre));
    if (pre) {
        pre->input = *input;
        pre->column = calloc(input->width, sizeof(*pre->column));
        pre->column_share = calloc(input->width, sizeof(*pre->column_share));
    }
    if (!pre || !pre->column || !pre->column_share) {
        sl_preprocess_free(pre);
        return sl_error_set(error, -ENOMEM, "out of memory");
    }
    *out = pre;
    return 0;
}

void sl_preprocess_free(struct sl_preprocess *pre)
{
    if (!pre)
        return;
    free(pre->rows[0][0]);
    free(pre->column);
    free(pre->column_share);
    free(pre);
}

static int make_room(struct sl_preprocess *pre, uint32_t width, struct sl_error *error)
{
    if (width <= pre->capacity)
        return 0;
    uint8_t *memory = malloc((size_t)width * 6);
    if (!memory)
        return sl_error_set(error, -ENOMEM, "out of memory for a picture %u wide", width);
    free(pre->rows[0][0]);
    for (int i = 0; i < 6; i++)
        pre->rows[i / 3][i % 3] = memory + (size_t)width * (size_t)i;
    pre->capacity = width;
    return 0;
}

// Where the picture comes to lie in the input.
static void fit(const struct sl_input_contract *input, const struct sl_picture *p,
                struct sl_fit_map *map)
{
    map->scale_x = (float)input->width / (float)p->width;
    map->scale_y = (float)input->height / (float)p->height;
    map->offset_x = map->offset_y = 0;
    if (input->fit == SL_FIT_LETTERBOX) {
        map->scale_x = map->scale_y = fminf(map->scale_x, map->scale_y);
        // The scale is rounded: the picture may come out a hair larger than the input.
        const float spare_x = (float)input->width - (float)p->width * map->scale_x;
        const float spare_y = (float)input->height - (float)p->height * map->scale_y;
        map->offset_x = fmaxf(floorf(spare_x / 2), 0);
        map->offset_y = fmaxf(floorf(spare_y / 2), 0);
    }
}

// Source position of an input pixel's centre, clamped, as whole part and share of 256.
static uint32_t source_of(float input, float offset, float scale, uint32_t size, uint32_t *share)
{
    const float at = fmaxf((input + 0.5f - offset) / scale - 0.5f, 0);
    uint32_t whole = (uint32_t)at;
    *share = (uint32_t)lrintf((at - (float)whole) * 256);
    if (whole + 1 >= size) {
        whole = size - 1;
        *share = 0;
    }
    return whole;
}

static const uint8_t *const *row_of(struct sl_preprocess *pre, const struct sl_picture *p,
                                    uint32_t y, bool grey)
{
    const uint32_t slot = y & 1;
    if (pre->row_number[slot] != y) {
        fetch_row(p, y, grey, pre->rows[slot]);
        pre->row_number[slot] = y;
    }
    return (const uint8_t *const *)pre->rows[slot];
}

static void scale_row(const struct sl_preprocess *pre, const uint8_t *top, const uint8_t *bottom,
                      uint32_t share, uint32_t from, uint32_t to, uint8_t *dst)
{
    for (uint32_t x = from; x < to; x++) {
        const uint32_t c = pre->column[x], s = pre->column_share[x], next = s ? c + 1 : c;
        const uint32_t a = top[c] * (256 - s) + top[next] * s;
        const uint32_t b = bottom[c] * (256 - s) + bottom[next] * s;
        dst[x] = (uint8_t)((a * (256 - share) + b * share + 32768) >> 16);
    }
}

static bool fits_as_it_is(const struct sl_preprocess *pre, const struct sl_picture *p)
{
    return p->width == pre->input.width && p->height == pre->input.height;
}

static void copy_rows(struct sl_preprocess *pre, const struct sl_picture *p, bool grey,
                      uint8_t *const planes[3])
{
    for (uint32_t y = 0; y < p->height; y++) {
        const size_t at = (size_t)y * pre->input.width;
        uint8_t *const out[3] = {planes[0] + at, grey ? NULL : planes[1] + at,
                                 grey ? NULL : planes[2] + at};
        fetch_row(p, y, grey, out);
    }
}

int sl_preprocess_planes(struct sl_preprocess *pre, const struct sl_picture *p, bool grey,
                         uint8_t *const planes[3], struct sl_fit_map *map, struct sl_error *error)
{
    const struct sl_input_contract *input = &pre->input;
    const int n = grey ? 1 : 3;
    int status = sl_picture_check(p, error);
    if (status == 0)
        status = make_room(pre, p->width, error);
    if (status < 0)
        return status;
    fit(input, p, map);
    if (fits_as_it_is(pre, p)) {
        copy_rows(pre, p, grey, planes);
        return 0;
    }
    const uint32_t left = (uint32_t)map->offset_x, above = (uint32_t)map->offset_y;
    const uint32_t right = left + (uint32_t)lrintf((float)p->width * map->scale_x);
    const uint32_t below = above + (uint32_t)lrintf((float)p->height * map->scale_y);
    for (uint32_t x = left; x < right; x++) {
        uint32_t share;
        pre->column[x] = source_of((float)x, map->offset_x, map->scale_x, p->width, &share);
        pre->column_share[x] = (uint16_t)share;
    }
    pre->row_number[0] = pre->row_number[1] = UINT32_MAX;
    for (uint32_t y = 0; y < input->height; y++) {
        uint32_t share = 0, row = 0;
        const bool inside = y >= above && y < below;
        if (inside)
            row = source_of((float)y, map->offset_y, map->scale_y, p->height, &share);
        const uint8_t *const *top = inside ? row_of(pre, p, row, grey) : NULL;
        const uint8_t *const *bottom = share ? row_of(pre, p, row + 1, grey) : top;
        for (int i = 0; i < n; i++) {
            uint8_t *dst = planes[i] + (size_t)y * input->width;
            if (!inside || left > 0 || right < input->width)
                memset(dst, input->pad_value, input->width);
            if (inside)
                scale_row(pre, top[i], bottom[i], share, left, right, dst);
        }
    }
    return 0;
}

void sl_preprocess_normalise(const uint8_t *plane, size_t count, float mean, float std,
                             float *tensor)
{
    for (size_t i = 0; i < count; i++)
        tensor[i] = ((float)plane[i] - mean) / std;
}
