// Drawing on a grey picture with signed distances, so that edges are one soft pixel wide.
#include "pipeline/line/canvas.h"

#include <math.h>

static struct box clipped(const struct canvas *canvas, float x1, float y1, float x2, float y2)
{
    struct box box = {(int)floorf(x1) - 1, (int)floorf(y1) - 1, (int)ceilf(x2) + 2,
                      (int)ceilf(y2) + 2};
    box.x1 = box.x1 < 0 ? 0 : box.x1;
    box.y1 = box.y1 < 0 ? 0 : box.y1;
    box.x2 = box.x2 > canvas->width ? canvas->width : box.x2;
    box.y2 = box.y2 > canvas->height ? canvas->height : box.y2;
    return box;
}

// Mixes `value` in by how far the pixel's centre lies inside the shape.
static void blend(uint8_t *pixel, float distance, uint8_t value)
{
    const float cover = 0.5f - distance;
    if (cover <= 0)
        return;
    if (cover >= 1)
        *pixel = value;
    else
        *pixel = (uint8_t)((float)*pixel + ((float)value - (float)*pixel) * cover + 0.5f);
}

struct box canvas_capsule(struct canvas *canvas, struct point a, struct point b, float radius,
                          uint8_t value)
{
    const struct box box = clipped(canvas, fminf(a.x, b.x) - radius, fminf(a.y, b.y) - radius,
                                   fmaxf(a.x, b.x) + radius, fmaxf(a.y, b.y) + radius);
    const float dx = b.x - a.x, dy = b.y - a.y, length2 = dx * dx + dy * dy;
    for (int y = box.y1; y < box.y2; y++) {
        for (int x = box.x1; x < box.x2; x++) {
            const float px = (float)x - a.x, py = (float)y - a.y;
            float along = length2 > 0 ? (px * dx + py * dy) / length2 : 0;
            along = fminf(fmaxf(along, 0), 1);
            const float ex = px - along * dx, ey = py - along * dy;
            blend(&canvas->pixels[y * canvas->width + x], sqrtf(ex * ex + ey * ey) - radius, value);
        }
    }
    return box;
}

struct box canvas_disc(struct canvas *canvas, struct point centre, float radius, uint8_t value)
{
    return canvas_capsule(canvas, centre, centre, radius, value);
}

struct box canvas_rectangle(struct canvas *canvas, struct point low, struct point high,
                            float corner, uint8_t value)
{
    const struct box box = clipped(canvas, low.x, low.y, high.x, high.y);
    const float cx = (low.x + high.x) / 2, cy = (low.y + high.y) / 2;
    const float hx = (high.x - low.x) / 2 - corner, hy = (high.y - low.y) / 2 - corner;
    for (int y = box.y1; y < box.y2; y++) {
        for (int x = box.x1; x < box.x2; x++) {
            const float qx = fabsf((float)x - cx) - hx, qy = fabsf((float)y - cy) - hy;
            const float ox = fmaxf(qx, 0), oy = fmaxf(qy, 0);
            const float distance = sqrtf(ox * ox + oy * oy) + fminf(fmaxf(qx, qy), 0) - corner;
            blend(&canvas->pixels[y * canvas->width + x], distance, value);
        }
    }
    return box;
}

bool canvas_is_clear(const struct canvas *canvas, struct box box, int margin, bool of_copper)
{
    const struct box all = {0, 0, canvas->width, canvas->height};
    box = box_grow(box, margin);
    for (int y = box.y1 < 0 ? 0 : box.y1; y < box.y2 && y < all.y2; y++)
        for (int x = box.x1 < 0 ? 0 : box.x1; x < box.x2 && x < all.x2; x++)
            if ((canvas->pixels[y * canvas->width + x] < 128) == of_copper)
                return false;
    return true;
}

struct box box_join(struct box a, struct box b)
{
    if (a.x1 >= a.x2)
        return b;
    if (b.x1 >= b.x2)
        return a;
    return (struct box){a.x1 < b.x1 ? a.x1 : b.x1, a.y1 < b.y1 ? a.y1 : b.y1,
                        a.x2 > b.x2 ? a.x2 : b.x2, a.y2 > b.y2 ? a.y2 : b.y2};
}

struct box box_grow(struct box box, int margin)
{
    return (struct box){box.x1 - margin, box.y1 - margin, box.x2 + margin, box.y2 + margin};
}

bool box_meets(struct box a, struct box b)
{
    return a.x1 < b.x2 && b.x1 < a.x2 && a.y1 < b.y2 && b.y1 < a.y2;
}
