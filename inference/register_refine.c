// Inverse compositional Gauss-Newton on the strongest gradients of the reference: their Jacobians
// are known before the picture comes, and an iteration only samples the picture.
#include "inference/register_internal.h"

#include <math.h>
#include <string.h>

enum { STRONGEST = 1024 }; // bins of the gradient's strength

static int strength(const uint8_t *at, uint32_t stride)
{
    const int gx = at[1] - at[-1], gy = at[stride] - at[-(int)stride];
    return (gx < 0 ? -gx : gx) + (gy < 0 ? -gy : gy);
}

// The strength that about `wanted` points reach.
static int threshold_for(const struct level *l, uint32_t wanted)
{
    uint32_t histogram[STRONGEST] = {0}, count = 0;
    for (uint32_t y = 2; y + 2 < l->height; y++)
        for (uint32_t x = 2 + y % 2; x + 2 < l->width; x += 2)
            histogram[strength(l->reference + (size_t)y * l->width + x, l->width)]++;
    int at = STRONGEST - 1;
    while (at > 12 && (count += 2 * histogram[at]) < wanted)
        at--;
    return at;
}

void points_choose(struct points *points, const struct level *l)
{
    // Twice as many candidates as room, so that they spread over the whole picture.
    const int least = threshold_for(l, 2 * points->capacity);
    const float cx = (float)(l->width - 1) / 2, cy = (float)(l->height - 1) / 2;
    uint32_t found = 0;
    for (uint32_t y = 2; y + 2 < l->height; y++)
        for (uint32_t x = 2; x + 2 < l->width; x++)
            found += strength(l->reference + (size_t)y * l->width + x, l->width) >= least;
    const uint32_t every = found / points->capacity + 1;
    uint32_t skip = 0;
    points->count = 0;
    for (uint32_t y = 2; y + 2 < l->height; y++) {
        for (uint32_t x = 2; x + 2 < l->width; x++) {
            const uint8_t *at = l->reference + (size_t)y * l->width + x;
            if (strength(at, l->width) < least || skip++ % every ||
                points->count == points->capacity)
                continue;
            struct point *p = &points->at[points->count++];
            p->x = (float)x - cx;
            p->y = (float)y - cy;
            p->value = *at;
            p->gx = (float)(at[1] - at[-1]) / 2;
            p->gy = (float)(at[l->width] - at[-(int)l->width]) / 2;
            p->gr = p->gy * p->x - p->gx * p->y;
        }
    }
}

// Samples the picture where the pose puts the points; NAN outside. Returns how many are inside.
static uint32_t sample_points(struct level *l, float tx, float ty, float angle)
{
    const float c = cosf(angle), s = sinf(angle);
    const float cx = (float)(l->width - 1) / 2 + tx, cy = (float)(l->height - 1) / 2 + ty;
    const float right = (float)(l->width - 1), below = (float)(l->height - 1);
    uint32_t inside = 0;
    for (uint32_t i = 0; i < l->points.count; i++) {
        const struct point *p = &l->points.at[i];
        const float x = cx + c * p->x - s * p->y, y = cy + s * p->x + c * p->y;
        if (!(x >= 0 && y >= 0 && x < right && y < below)) {
            l->points.sample[i] = NAN;
            continue;
        }
        const uint32_t ix = (uint32_t)x, iy = (uint32_t)y;
        const float fx = x - (float)ix, fy = y - (float)iy;
        const uint8_t *a = l->picture + (size_t)iy * l->width + ix, *b = a + l->width;
        const float top = (float)a[0] + ((float)a[1] - (float)a[0]) * fx;
        const float bottom = (float)b[0] + ((float)b[1] - (float)b[0]) * fx;
        l->points.sample[i] = top + (bottom - top) * fy;
        inside++;
    }
    return inside;
}

struct line { // picture = gain * reference + offset
    float gain, offset;
};

static struct line fit_light(const struct points *points)
{
    double n = 0, st = 0, si = 0, stt = 0, sti = 0;
    for (uint32_t i = 0; i < points->count; i++) {
        const double t = (double)points->at[i].value, v = (double)points->sample[i];
        if (isnan(v))
            continue;
        n++;
        st += t;
        si += v;
        stt += t * t;
        sti += t * v;
    }
    const double spread = n * stt - st * st;
    struct line line = {spread > 0 ? (float)((n * sti - st * si) / spread) : 1, 0};
    // A poor fit would flatten the picture; the light never changes that much.
    line.gain = fminf(fmaxf(line.gain, 0.3f), 2);
    line.offset = n > 0 ? (float)((si - (double)line.gain * st) / n) : 0;
    return line;
}

// Sums of the weighted normal equations.
struct normal {
    double h[6]; // xx xy xr yy yr rr
    double b[3];
    double weight, residual;
};

static void accumulate(const struct points *points, struct line light, float scale,
                       struct normal *out)
{
    memset(out, 0, sizeof(*out));
    float h[6] = {0}, b[3] = {0}, weights = 0, residuals = 0;
    for (uint32_t i = 0; i < points->count; i++) {
        const struct point *p = &points->at[i];
        if (isnan(points->sample[i]))
            continue;
        const float r = (points->sample[i] - light.offset) / light.gain - p->value;
        const float w = scale / fmaxf(scale, fabsf(r)); // Huber
        h[0] += w * p->gx * p->gx;
        h[1] += w * p->gx * p->gy;
        h[2] += w * p->gx * p->gr;
        h[3] += w * p->gy * p->gy;
        h[4] += w * p->gy * p->gr;
        h[5] += w * p->gr * p->gr;
        b[0] += w * p->gx * r;
        b[1] += w * p->gy * r;
        b[2] += w * p->gr * r;
        weights += w;
        residuals += fabsf(r);
    }
    for (int i = 0; i < 6; i++)
        out->h[i] = (double)h[i];
    for (int i = 0; i < 3; i++)
        out->b[i] = (double)b[i];
    out->weight = (double)weights;
    out->residual = (double)residuals;
}

// Cramer's rule; false if the gradients do not fix all three.
static bool solve(const struct normal *n, double out[3])
{
    const double a = n->h[0], b = n->h[1], c = n->h[2], d = n->h[3], e = n->h[4], f = n->h[5];
    const double m0 = d * f - e * e, m1 = c * e - b * f, m2 = b * e - c * d;
    const double det = a * m0 + b * m1 + c * m2;
    if (!(fabs(det) > 1e-9 * a * d * f) || !(a > 0 && d > 0 && f > 0))
        return false;
    out[0] = (m0 * n->b[0] + m1 * n->b[1] + m2 * n->b[2]) / det;
    out[1] = (m1 * n->b[0] + (a * f - c * c) * n->b[1] + (b * c - a * e) * n->b[2]) / det;
    out[2] = (m2 * n->b[0] + (b * c - a * e) * n->b[1] + (a * d - b * b) * n->b[2]) / det;
    return true;
}

bool refine(struct level *l, uint32_t reduction, int iterations, struct pose *pose)
{
    float x = pose->x / (float)reduction, y = pose->y / (float)reduction, angle = pose->angle;
    float scale = 40;
    for (int i = 0; i < iterations; i++) {
        double step[3];
        struct normal normal;
        if (sample_points(l, x, y, angle) < l->points.count / 4 || l->points.count < 30)
            return false;
        accumulate(&l->points, fit_light(&l->points), scale, &normal);
        if (!solve(&normal, step))
            return false;
        scale = fmaxf((float)(normal.residual / normal.weight), 4);
        angle -= (float)step[2];
        const float c = cosf(angle), s = sinf(angle);
        x -= c * (float)step[0] - s * (float)step[1];
        y -= s * (float)step[0] + c * (float)step[1];
        if (fabs(step[0]) + fabs(step[1]) < 0.003 && fabs(step[2]) < 1e-5)
            break;
    }
    *pose = (struct pose){x * (float)reduction, y * (float)reduction, angle};
    return isfinite(x) && isfinite(y) && isfinite(angle);
}

float refine_score(const struct level *l, uint32_t reduction, const struct pose *pose)
{
    const float c = cosf(pose->angle), s = sinf(pose->angle);
    const float cx = (float)(l->width - 1) / 2, cy = (float)(l->height - 1) / 2;
    const float tx = cx + pose->x / (float)reduction, ty = cy + pose->y / (float)reduction;
    int64_t n = 0, sa = 0, sb = 0, saa = 0, sbb = 0, sab = 0;
    for (uint32_t y = 0; y < l->height; y++) {
        for (uint32_t x = 0; x < l->width; x++) {
            const float px = (float)x - cx, py = (float)y - cy;
            const int ix = (int)(tx + c * px - s * py + 0.5f);
            const int iy = (int)(ty + s * px + c * py + 0.5f);
            if (ix < 0 || iy < 0 || ix >= (int)l->width || iy >= (int)l->height)
                continue;
            const int64_t a = l->reference[y * l->width + x],
                          b = l->picture[iy * (int)l->width + ix];
            n++;
            sa += a;
            sb += b;
            saa += a * a;
            sbb += b * b;
            sab += a * b;
        }
    }
    const double va = (double)(n * saa - sa * sa), vb = (double)(n * sbb - sb * sb);
    return va > 0 && vb > 0 ? (float)((double)(n * sab - sa * sb) / sqrt(va * vb)) : 0;
}
