// Drawing defects: find a place on the golden board where the class makes sense, draw a ragged
// shape, and keep it only if it did what its class says.
#include "pipeline/line/defects.h"

#include "pipeline/line/board.h"

#include <math.h>
#include <string.h>

enum { ATTEMPTS = 60, APART = 14, LEAST_CHANGED = 24 };

struct spot { // a place on a trace: its middle, along it, across it, half its width
    struct point at, along, across;
    float radius;
};

struct attempt {
    const struct layout *layout;
    struct canvas *board; // the sketch
    struct random *r;
    struct box touched;
};

static struct point moved(struct point p, struct point direction, float distance)
{
    return (struct point){p.x + direction.x * distance, p.y + direction.y * distance};
}

static bool golden_copper(const struct attempt *a, struct point p)
{
    return canvas_is_copper(&a->layout->canvas, p.x, p.y);
}

static bool inside(const struct attempt *a, struct point p, float margin)
{
    return p.x >= margin && p.y >= margin && p.x < (float)a->board->width - margin &&
           p.y < (float)a->board->height - margin;
}

static bool random_spot(struct attempt *a, struct spot *spot)
{
    const struct layout *layout = a->layout;
    if (layout->count == 0)
        return false;
    const struct segment *s = &layout->segments[random_int(a->r, 0, layout->count - 1)];
    const float dx = s->b.x - s->a.x, dy = s->b.y - s->a.y, length = sqrtf(dx * dx + dy * dy);
    if (length < 16)
        return false;
    spot->along = (struct point){dx / length, dy / length};
    spot->across = (struct point){-spot->along.y, spot->along.x};
    if (random_int(a->r, 0, 1))
        spot->across = (struct point){spot->along.y, -spot->along.x};
    spot->at = moved(s->a, spot->along, random_between(a->r, 8, length - 8));
    spot->radius = s->radius;
    return inside(a, spot->at, 8) && golden_copper(a, spot->at);
}

// A random place anywhere whose surroundings are all copper, or all board.
static bool random_place(struct attempt *a, bool copper, int clear, struct point *at)
{
    at->x = random_between(a->r, 8, (float)a->board->width - 8);
    at->y = random_between(a->r, 8, (float)a->board->height - 8);
    const int x = (int)at->x, y = (int)at->y;
    const struct box around = {x - clear, y - clear, x + clear + 1, y + clear + 1};
    return canvas_is_clear(&a->layout->canvas, around, 0, !copper);
}

static void touch(struct attempt *a, struct box box)
{
    a->touched = box_join(a->touched, box);
}

static void disc(struct attempt *a, struct point at, float radius, uint8_t value)
{
    touch(a, canvas_disc(a->board, at, radius, value));
}

// Some overlapping discs within `radius` of a place.
static void blob(struct attempt *a, struct point at, float radius, uint8_t value)
{
    disc(a, at, radius * 0.62f, value);
    for (int i = random_int(a->r, 1, 4); i > 0; i--) {
        const float size = radius * random_between(a->r, 0.25f, 0.5f), reach = radius - size;
        const struct point p = {at.x + random_between(a->r, -reach, reach),
                                at.y + random_between(a->r, -reach, reach)};
        disc(a, p, size, value);
    }
}

// A line from one place to another that wanders sideways.
static void ragged_line(struct attempt *a, struct point from, struct point to, float radius,
                        float wander, uint8_t value)
{
    const float dx = to.x - from.x, dy = to.y - from.y, length = sqrtf(dx * dx + dy * dy);
    const int pieces = 2 + (int)(length / 12);
    const struct point across = {-dy / (length + 1e-6f), dx / (length + 1e-6f)};
    struct point last = from;
    for (int i = 1; i <= pieces; i++) {
        struct point next = moved(from, (struct point){dx, dy}, (float)i / (float)pieces);
        if (i < pieces)
            next = moved(next, across, random_between(a->r, -wander, wander));
        touch(a, canvas_capsule(a->board, last, next, radius * random_between(a->r, 0.8f, 1.2f),
                                value));
        last = next;
    }
}

// Copper is missing across the whole width of a trace.
static bool draw_open(struct attempt *a)
{
    struct spot s;
    if (!random_spot(a, &s))
        return false;
    const struct point beside = moved(s.at, s.across, s.radius + 4);
    const struct point other = moved(s.at, s.across, -s.radius - 4);
    if (golden_copper(a, beside) || golden_copper(a, other))
        return false;
    const float slant = random_between(a->r, -6, 6), reach = s.radius + 1;
    const struct point from = moved(moved(s.at, s.across, reach), s.along, slant);
    const struct point to = moved(moved(s.at, s.across, -reach), s.along, -slant);
    ragged_line(a, from, to, random_between(a->r, 2, 5), 2, BOARD);
    return true;
}

// Copper joins two conductors.
static bool draw_short(struct attempt *a)
{
    struct spot s;
    if (!random_spot(a, &s))
        return false;
    const float edge = s.radius;
    float gap = edge + 3;
    while (gap < edge + 60 && !golden_copper(a, moved(s.at, s.across, gap)))
        gap += 1;
    const struct point to = moved(s.at, s.across, gap + 1);
    if (gap >= edge + 60 || gap < edge + 5 || !inside(a, to, 4))
        return false;
    ragged_line(a, moved(s.at, s.across, edge - 2), to, random_between(a->r, 1.6f, 4.5f), 3,
                COPPER);
    return true;
}

// A piece is missing at the edge of a trace, which still conducts.
static bool draw_mousebite(struct attempt *a)
{
    struct spot s;
    if (!random_spot(a, &s) || golden_copper(a, moved(s.at, s.across, s.radius + 4)))
        return false;
    const float deepest = fminf(1.5f * s.radius, 2 * s.radius - 2.5f);
    if (deepest < 3.5f)
        return false;
    const float depth = random_between(a->r, 3.5f, fminf(deepest, 12));
    blob(a, moved(s.at, s.across, s.radius - depth * 0.45f), depth * 0.75f, BOARD);
    // Something must be left on the other side.
    return canvas_is_copper(a->board, s.at.x - s.across.x * (s.radius - 1.5f),
                            s.at.y - s.across.y * (s.radius - 1.5f));
}

// Copper sticks out of the edge of a trace without reaching another conductor.
static bool draw_spur(struct attempt *a)
{
    struct spot s;
    if (!random_spot(a, &s))
        return false;
    const float length = random_between(a->r, 4.5f, 14);
    for (float d = s.radius + 2; d < s.radius + length + 6; d += 1)
        if (golden_copper(a, moved(s.at, s.across, d)))
            return false;
    const struct point from = moved(s.at, s.across, s.radius - 1);
    const struct point to =
        moved(moved(from, s.across, length), s.along, random_between(a->r, -4, 4));
    const float radius = random_between(a->r, 2, 5);
    if (random_int(a->r, 0, 1))
        ragged_line(a, from, moved(from, s.across, length - radius), radius, 1, COPPER);
    else
        ragged_line(a, from, to, radius * 0.6f, 1.5f, COPPER);
    return true;
}

// A patch of copper that belongs to nothing.
static bool draw_copper(struct attempt *a)
{
    struct point at;
    const float radius = random_between(a->r, 4, 9);
    if (!random_place(a, false, (int)radius + 8, &at))
        return false;
    if (random_int(a->r, 0, 2))
        blob(a, at, radius, COPPER);
    else
        ragged_line(a, moved(at, (struct point){1, 0}, -radius * 0.7f),
                    moved(at, (struct point){1, 0.4f}, radius * 0.7f), radius * 0.35f, 1.5f,
                    COPPER);
    return true;
}

// A hole in copper, away from its edges.
static bool draw_pin_hole(struct attempt *a)
{
    struct point at;
    const float radius = random_between(a->r, 2.8f, 8);
    if (!random_place(a, true, (int)radius + 3, &at))
        return false;
    blob(a, at, radius, BOARD);
    return true;
}

static bool (*const draw[SL_LINE_CLASSES])(struct attempt *) = {
    [SL_LINE_OPEN] = draw_open,           [SL_LINE_SHORT] = draw_short,
    [SL_LINE_MOUSEBITE] = draw_mousebite, [SL_LINE_SPUR] = draw_spur,
    [SL_LINE_COPPER] = draw_copper,       [SL_LINE_PIN_HOLE] = draw_pin_hole,
};

// The box of the pixels in `touched` that differ from the golden board, and how many they are.
static int difference(const struct attempt *a, struct box *box)
{
    const struct canvas *golden = &a->layout->canvas;
    int count = 0;
    *box = (struct box){0, 0, 0, 0};
    for (int y = a->touched.y1; y < a->touched.y2; y++) {
        for (int x = a->touched.x1; x < a->touched.x2; x++) {
            const int i = y * golden->width + x;
            if ((a->board->pixels[i] < 128) == (golden->pixels[i] < 128))
                continue;
            *box = box_join(*box, (struct box){x, y, x + 1, y + 1});
            count++;
        }
    }
    return count;
}

static void copy_touched(const struct attempt *a, const struct canvas *from, struct canvas *to)
{
    for (int y = a->touched.y1; y < a->touched.y2; y++)
        memcpy(&to->pixels[y * to->width + a->touched.x1],
               &from->pixels[y * from->width + a->touched.x1],
               (size_t)(a->touched.x2 - a->touched.x1));
}

static bool is_free(struct box box, const struct box *taken, int n_taken)
{
    for (int i = 0; i < n_taken; i++)
        if (box_meets(box_grow(box, APART), taken[i]))
            return false;
    return true;
}

bool defect_draw(const struct layout *layout, struct canvas *sketch, struct canvas *board,
                 struct random *r, uint32_t class_id, const struct box *taken, int n_taken,
                 struct box *changed)
{
    for (int i = 0; i < ATTEMPTS; i++) {
        struct attempt a = {layout, sketch, r, {0, 0, 0, 0}};
        const bool good = draw[class_id](&a) && is_free(a.touched, taken, n_taken) &&
                          difference(&a, changed) >= LEAST_CHANGED;
        if (good)
            copy_touched(&a, sketch, board);
        copy_touched(&a, &layout->canvas, sketch);
        if (good)
            return true;
    }
    return false;
}
