// Inverse compositional Gauss-Newton on strong gradients (Baker and Matthews, IJCV 2004), with
// weights that fall with the residual so that defects and missing parts do not pull.
#include "inference/register_impl.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#define GREY     64.0f // one grey level
#define SINGULAR 1e-3f // a pivot this much smaller than the largest determines nothing

static float position(uint32_t index, float origin, float scale)
{
    return ((float)index - origin) * scale;
}

// The strongest gradient of each cell of a grid, if it stands out of noise.
static bool strongest(const struct level *l, uint32_t x0, uint32_t y0, uint32_t cell, uint32_t *px,
                      uint32_t *py)
{
    int most = (int)(2 * GREY) * (int)(2 * GREY); // of the difference over two pixels
    bool found = false;
    for (uint32_t y = y0; y < y0 + cell && y + 2 < l->height; y++) {
        const uint16_t *row = l->reference + (size_t)y * l->width;
        for (uint32_t x = x0; x < x0 + cell && x + 2 < l->width; x++) {
            const int gx = (row[x + 1] - row[x - 1]) / 2;
            const int gy = (row[x + l->width] - *(row + x - l->width)) / 2;
            if (gx * gx + gy * gy > most) {
                most = gx * gx + gy * gy;
                *px = x;
                *py = y;
                found = true;
            }
        }
    }
    return found;
}

static void add_point(const struct sl_register *reg, struct level *l, uint32_t x, uint32_t y)
{
    struct points *p = &l->points;
    const uint16_t *at = l->reference + (size_t)y * l->width + x;
    const uint32_t i = p->count++;
    p->x[i] = position(x, l->origin_x, l->scale);
    p->y[i] = position(y, l->origin_y, l->scale);
    p->value[i] = at[0];
    p->gx[i] = (float)(at[1] - *(at - 1)) / (2 * l->scale);
    p->gy[i] = (float)(at[l->width] - *(at - l->width)) / (2 * l->scale);
    p->slack[i] = hypotf(p->gx[i], p->gy[i]) * l->scale / 2;
    p->ga[i] = (p->gy[i] * p->x[i] - p->gx[i] * p->y[i]) / reg->arc;
}

void sl_register_choose_points(struct sl_register *reg, struct level *l)
{
    const float area = (float)l->width * (float)l->height;
    const uint32_t cell = (uint32_t)fmaxf(ceilf(sqrtf(area / (0.8f * MOST_POINTS))), 1);
    l->points.count = 0;
    for (uint32_t y = 1; y + 1 < l->height; y += cell)
        for (uint32_t x = 1; x + 1 < l->width; x += cell) {
            uint32_t px, py;
            if (l->points.count < MOST_POINTS && strongest(l, x, y, cell, &px, &py))
                add_point(reg, l, px, py);
        }
}

// Bilinear; false outside.
static inline bool sample(const struct level *l, const uint16_t *pixels, float x, float y,
                          float *out)
{
    const float u = x / l->scale + l->origin_x, v = y / l->scale + l->origin_y;
    if (!(u >= 0 && v >= 0 && u < (float)l->width - 1 && v < (float)l->height - 1))
        return false;
    const uint32_t i = (uint32_t)u, k = (uint32_t)v;
    const float fu = u - (float)i, fv = v - (float)k;
    const uint16_t *a = pixels + (size_t)k * l->width + i, *b = a + l->width;
    const float top = (float)a[0] + fu * (float)(a[1] - a[0]);
    const float bottom = (float)b[0] + fu * (float)(b[1] - b[0]);
    *out = top + fv * (bottom - top);
    return true;
}

// Reads the picture where the points are expected. Points outside have no trust; those that come
// back into view begin with little.
static uint32_t look(struct sl_register *reg, const struct level *l, const struct pose *pose)
{
    const struct points *p = &l->points;
    const float c = cosf(pose->angle), s = sinf(pose->angle);
    uint32_t seen = 0;
    for (uint32_t i = 0; i < p->count; i++) {
        const float x = c * p->x[i] - s * p->y[i] + pose->x;
        const float y = s * p->x[i] + c * p->y[i] + pose->y;
        const bool in = sample(l, l->picture, x, y, &reg->seen[i]);
        reg->seen[i] = in ? reg->seen[i] : 0;
        reg->trust[i] = in ? fmaxf(reg->trust[i], 1e-3f) : 0;
        seen += in;
    }
    return seen;
}

// Residuals under a gain and an offset, and a low quantile of them in grey levels: up to half of
// the points may be wrong without raising it much.
static float residuals(struct sl_register *reg, const struct points *p, uint32_t seen, float gain,
                       float offset)
{
    uint32_t histogram[256] = {0}, bin = 0;
    for (uint32_t i = 0; i < p->count; i++) {
        const float error = reg->seen[i] * gain + offset - p->value[i];
        reg->error[i] = reg->trust[i] > 0 ? error : 0;
        histogram[(uint32_t)fminf(fabsf(reg->error[i]) / GREY, 255)]++;
    }
    histogram[0] -= p->count - seen;
    for (uint32_t sum = histogram[0]; bin < 255 && sum < seen / 3;)
        sum += histogram[++bin];
    return (float)bin + 1;
}

// The gain and offset that bring the picture's mean and spread to the reference's.
static bool match_light(const struct sl_register *reg, const struct points *p, float *gain,
                        float *offset)
{
    float n = 0, a = 0, b = 0, aa = 0, bb = 0;
    for (uint32_t i = 0; i < p->count; i++) {
        const float w = reg->trust[i], u = reg->seen[i] / GREY, v = p->value[i] / GREY;
        n += w;
        a += w * u;
        b += w * v;
        aa += w * u * u;
        bb += w * v * v;
    }
    a /= n;
    b /= n;
    const float spread = aa / n - a * a, wanted = bb / n - b * b;
    if (!(spread > 1) || !(wanted > 1))
        return false;
    *gain = fminf(fmaxf(sqrtf(wanted / spread), 0.2f), 5);
    *offset = (b - a * *gain) * GREY;
    return true;
}

// Residuals and trust. Either the light is as it was, or mean and spread tell how it changed: on
// the first step what explains more points is taken, because where a part of the picture is missing
// the means mislead. A residual that half a pixel explains is never held against a point.
static bool compare(struct sl_register *reg, const struct points *p, uint32_t seen, bool first,
                    bool *unchanged)
{
    float gain = 1, offset = 0, quantile = 0;
    if ((first || !*unchanged) && !match_light(reg, p, &gain, &offset))
        return false;
    if (first) {
        quantile = residuals(reg, p, seen, gain, offset);
        *unchanged = residuals(reg, p, seen, 1, 0) < quantile;
    }
    if (*unchanged)
        quantile = residuals(reg, p, seen, 1, 0);
    else
        quantile = residuals(reg, p, seen, gain, offset);
    for (uint32_t i = 0; i < p->count; i++) {
        const float e = reg->error[i] / (3 * GREY * quantile + p->slack[i]), w = 1 / (1 + e * e);
        reg->trust[i] = reg->trust[i] > 0 ? w * w : 0;
    }
    return true;
}

// Solves the 3 x 3 normal equations by Cholesky's method; false if they are near singular.
static bool solve(const float h[6], const float g[3], float out[3])
{
    const float least = SINGULAR * fmaxf(h[0], fmaxf(h[3], h[5]));
    const float d0 = h[0];
    if (!(d0 > least))
        return false;
    const float l10 = h[1] / d0, l20 = h[2] / d0;
    const float d1 = h[3] - l10 * h[1];
    if (!(d1 > least))
        return false;
    const float l21 = (h[4] - l10 * h[2]) / d1;
    const float d2 = h[5] - l20 * h[2] - l21 * l21 * d1;
    if (!(d2 > least))
        return false;
    const float z1 = g[1] - l10 * g[0], z2 = g[2] - l20 * g[0] - l21 * z1;
    out[2] = z2 / d2;
    out[1] = z1 / d1 - l21 * out[2];
    out[0] = g[0] / d0 - l10 * out[1] - l20 * out[2];
    return true;
}

static bool step(const struct sl_register *reg, const struct points *p, float out[3])
{
    float h[6] = {0}, g[3] = {0};
    for (uint32_t i = 0; i < p->count; i++) {
        const float w = reg->trust[i], x = p->gx[i], y = p->gy[i], a = p->ga[i];
        const float wx = w * x, wy = w * y, wa = w * a, e = reg->error[i];
        h[0] += wx * x;
        h[1] += wx * y;
        h[2] += wx * a;
        h[3] += wy * y;
        h[4] += wy * a;
        h[5] += wa * a;
        g[0] += wx * e;
        g[1] += wy * e;
        g[2] += wa * e;
    }
    // Where the gradients leave a direction open (parallel tracks), stay in place along it.
    const float damping = 2 * SINGULAR * fmaxf(h[0], fmaxf(h[3], h[5]));
    h[0] += damping;
    h[3] += damping;
    h[5] += damping;
    return solve(h, g, out);
}

// pose <- pose o step^-1
static void compose(const struct sl_register *reg, struct pose *pose, const float d[3])
{
    pose->angle -= d[2] / reg->arc;
    const float c = cosf(pose->angle), s = sinf(pose->angle);
    pose->x -= c * d[0] - s * d[1];
    pose->y -= s * d[0] + c * d[1];
}

int sl_register_align(struct sl_register *reg, const struct level *l, uint32_t most_steps,
                      struct pose *pose)
{
    const struct points *p = &l->points;
    if (p->count < 16)
        return -ENODATA;
    for (uint32_t i = 0; i < p->count; i++)
        reg->trust[i] = 1;
    bool unchanged = false;
    for (uint32_t n = 0; n < most_steps; n++) {
        float d[3];
        const uint32_t seen = look(reg, l, pose);
        if (seen < p->count / 4 || !compare(reg, p, seen, n == 0, &unchanged) || !step(reg, p, d))
            return -ENODATA;
        compose(reg, pose, d);
        const float size = fabsf(d[0]) + fabsf(d[1]) + fabsf(d[2]);
        if (size < 0.01f * l->scale)
            break;
    }
    return 0;
}

float sl_register_score(const struct level *l, const struct pose *pose)
{
    const uint32_t stride = 1 + (uint32_t)((float)l->width * (float)l->height / 4096);
    const float c = cosf(pose->angle), s = sinf(pose->angle);
    float n = 0, a = 0, b = 0, aa = 0, bb = 0, ab = 0;
    for (uint32_t y = 0, from = 0; y < l->height; y++, from = (from + 1) % stride) {
        const uint16_t *row = l->reference + (size_t)y * l->width;
        const float py = position(y, l->origin_y, l->scale);
        for (uint32_t x = from; x < l->width; x += stride) {
            const float px = position(x, l->origin_x, l->scale);
            float u;
            if (!sample(l, l->picture, c * px - s * py + pose->x, s * px + c * py + pose->y, &u))
                continue;
            const float v = (float)row[x] / GREY;
            u /= GREY;
            n++;
            a += u;
            b += v;
            aa += u * u;
            bb += v * v;
            ab += u * v;
        }
    }
    if (n < 64)
        return 0;
    const float spread = (aa - a * a / n) * (bb - b * b / n);
    return spread > n * n * 1e-2f ? (ab - a * b / n) / sqrtf(spread) : 0;
}
