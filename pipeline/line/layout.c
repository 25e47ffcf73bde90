// Drawing a golden board: elements are tried at random places and kept where they find room.
#include "pipeline/line/layout.h"

#include "pipeline/line/random.h"

#include <math.h>
#include <string.h>

enum { MAX_CORNERS = 8, CLEARANCE = 9 };

// A polyline with a number of parallel lanes.
struct route {
    int corners, lanes;
    struct point corner[MAX_CORNERS];
    float radius, pitch;
};

// Directions in steps of 45 degrees.
static struct point direction(int eighth)
{
    static const struct point table[8] = {
        {1, 0},  {0.70710678f, 0.70710678f},   {0, 1},  {-0.70710678f, 0.70710678f},
        {-1, 0}, {-0.70710678f, -0.70710678f}, {0, -1}, {0.70710678f, -0.70710678f}};
    return table[eighth & 7];
}

static struct point random_point(const struct canvas *canvas, struct random *r)
{
    return (struct point){random_between(r, 0, (float)canvas->width),
                          random_between(r, 0, (float)canvas->height)};
}

static void random_route(struct route *route, const struct canvas *canvas, struct random *r,
                         int most_lanes)
{
    int heading = random_int(r, 0, 7);
    route->lanes = random_int(r, 1, most_lanes);
    route->radius = random_between(r, 3.5f, most_lanes > 1 ? 6.5f : 11);
    route->pitch = 2 * route->radius + random_between(r, 9, 18);
    route->corners = random_int(r, 2, 5);
    route->corner[0] = random_point(canvas, r);
    for (int i = 1; i < route->corners; i++) {
        const struct point d = direction(heading);
        const float length = random_between(r, 60, 220);
        route->corner[i].x = route->corner[i - 1].x + d.x * length;
        route->corner[i].y = route->corner[i - 1].y + d.y * length;
        heading += random_int(r, 0, 1) ? 1 : -1;
    }
}

// The corner of one lane: moved along the bisector so that lanes stay parallel.
static struct point lane_corner(const struct route *route, int i, float offset)
{
    struct point normal = {0, 0};
    float parallel = 1;
    for (int side = 0; side < 2; side++) {
        const int from = i - 1 + side;
        if (from < 0 || from + 1 >= route->corners)
            continue;
        const float dx = route->corner[from + 1].x - route->corner[from].x;
        const float dy = route->corner[from + 1].y - route->corner[from].y;
        const float length = sqrtf(dx * dx + dy * dy);
        normal.x += -dy / length;
        normal.y += dx / length;
    }
    const float length = sqrtf(normal.x * normal.x + normal.y * normal.y);
    if (i > 0 && i + 1 < route->corners)
        parallel = 2 / length; // 1 / cos of half the bend
    const float move = offset * parallel / length;
    return (struct point){route->corner[i].x + normal.x * move,
                          route->corner[i].y + normal.y * move};
}

static float lane_offset(const struct route *route, int lane)
{
    return ((float)lane - (float)(route->lanes - 1) / 2) * route->pitch;
}

static bool capsule_has_room(const struct canvas *canvas, struct point a, struct point b,
                             float radius)
{
    const float dx = b.x - a.x, dy = b.y - a.y, length = sqrtf(dx * dx + dy * dy);
    const int steps = (int)(length / 4) + 1, reach = (int)(radius + CLEARANCE);
    for (int i = 0; i <= steps; i++) {
        const float t = (float)i / (float)steps;
        const int x = (int)(a.x + dx * t), y = (int)(a.y + dy * t);
        const struct box at = {x - reach, y - reach, x + reach, y + reach};
        if (!canvas_is_clear(canvas, at, 0, true))
            return false;
    }
    return true;
}

static bool route_has_room(const struct canvas *canvas, const struct route *route)
{
    for (int lane = 0; lane < route->lanes; lane++)
        for (int i = 0; i + 1 < route->corners; i++)
            if (!capsule_has_room(canvas, lane_corner(route, i, lane_offset(route, lane)),
                                  lane_corner(route, i + 1, lane_offset(route, lane)),
                                  route->radius))
                return false;
    return true;
}

static void draw_trace(struct layout *layout, struct point a, struct point b, float radius)
{
    canvas_capsule(&layout->canvas, a, b, radius, COPPER);
    if (layout->count < LAYOUT_MAX_SEGMENTS)
        layout->segments[layout->count++] = (struct segment){a, b, radius};
}

static void draw_end(struct layout *layout, struct random *r, struct point at, float radius)
{
    const float pad = radius + random_between(r, 2, 4);
    canvas_disc(&layout->canvas, at, pad, COPPER);
    if (pad > 9)
        canvas_disc(&layout->canvas, at, pad * 0.4f, BOARD);
}

static bool add_bundle(struct layout *layout, struct random *r, int most_lanes)
{
    struct route route;
    random_route(&route, &layout->canvas, r, most_lanes);
    if (!route_has_room(&layout->canvas, &route))
        return false;
    for (int lane = 0; lane < route.lanes; lane++) {
        const float offset = lane_offset(&route, lane);
        for (int i = 0; i + 1 < route.corners; i++)
            draw_trace(layout, lane_corner(&route, i, offset), lane_corner(&route, i + 1, offset),
                       route.radius);
        draw_end(layout, r, lane_corner(&route, 0, offset), route.radius);
        draw_end(layout, r, lane_corner(&route, route.corners - 1, offset), route.radius);
    }
    return true;
}

static bool add_via(struct layout *layout, struct random *r)
{
    const struct point at = random_point(&layout->canvas, r);
    const float radius = random_between(r, 9, 40);
    if (!capsule_has_room(&layout->canvas, at, at, radius))
        return false;
    canvas_disc(&layout->canvas, at, radius, COPPER);
    if (random_int(r, 0, 2))
        canvas_disc(&layout->canvas, at, radius * random_between(r, 0.35f, 0.6f), BOARD);
    // A trace leads away where there is room for one.
    const struct point d = direction(random_int(r, 0, 7));
    const float length = random_between(r, 40, 140), width = random_between(r, 4, 9);
    const struct point from = {at.x + d.x * (radius + CLEARANCE + width + 2),
                               at.y + d.y * (radius + CLEARANCE + width + 2)};
    const struct point to = {at.x + d.x * (radius + length), at.y + d.y * (radius + length)};
    if (length > 60 && capsule_has_room(&layout->canvas, from, to, width)) {
        draw_trace(layout, (struct point){at.x + d.x * radius, at.y + d.y * radius}, to, width);
        draw_end(layout, r, to, width);
    }
    return true;
}

static bool add_area(struct layout *layout, struct random *r)
{
    struct canvas *canvas = &layout->canvas;
    const struct point low = random_point(canvas, r);
    const struct point high = {low.x + random_between(r, 60, 260),
                               low.y + random_between(r, 60, 260)};
    const struct box box = {(int)low.x, (int)low.y, (int)high.x, (int)high.y};
    if (!canvas_is_clear(canvas, box, CLEARANCE, true))
        return false;
    canvas_rectangle(canvas, low, high, random_between(r, 2, 30), COPPER);
    const float least = fminf(high.x - low.x, high.y - low.y);
    if (least > 120 && random_int(r, 0, 1)) {
        // A frame: another conductor in a moat.
        const float inset = random_between(r, 28, 40);
        canvas_rectangle(canvas, (struct point){low.x + inset, low.y + inset},
                         (struct point){high.x - inset, high.y - inset}, 8, BOARD);
        canvas_rectangle(canvas, (struct point){low.x + inset + 13, low.y + inset + 13},
                         (struct point){high.x - inset - 13, high.y - inset - 13}, 6, COPPER);
    }
    for (int holes = random_int(r, 0, 3); holes > 0; holes--) {
        const struct point at = {random_between(r, low.x + 26, high.x - 26),
                                 random_between(r, low.y + 26, high.y - 26)};
        const struct box hole = {(int)at.x - 12, (int)at.y - 12, (int)at.x + 12, (int)at.y + 12};
        if (least > 60 && canvas_is_clear(canvas, hole, 6, false))
            canvas_disc(canvas, at, random_between(r, 7, 12), BOARD);
    }
    return true;
}

static bool add_pads(struct layout *layout, struct random *r)
{
    const int count = random_int(r, 3, 9);
    const bool across = random_int(r, 0, 1);
    const float width = random_between(r, 11, 18), length = random_between(r, 26, 60);
    const float pitch = width + random_between(r, 10, 16);
    const struct point at = random_point(&layout->canvas, r);
    const float along = pitch * (float)(count - 1) + width;
    const struct box box = {(int)at.x, (int)at.y, (int)(at.x + (across ? along : length)),
                            (int)(at.y + (across ? length : along))};
    if (!canvas_is_clear(&layout->canvas, box, CLEARANCE, true))
        return false;
    for (int i = 0; i < count; i++) {
        const float move = pitch * (float)i;
        const struct point low = {at.x + (across ? move : 0), at.y + (across ? 0 : move)};
        const struct point high = {low.x + (across ? width : length),
                                   low.y + (across ? length : width)};
        canvas_rectangle(&layout->canvas, low, high, random_between(r, 1, 3), COPPER);
        const float radius = width / 2;
        const struct point a = {low.x + radius, low.y + radius};
        const struct point b = {high.x - radius, high.y - radius};
        if (layout->count < LAYOUT_MAX_SEGMENTS)
            layout->segments[layout->count++] = (struct segment){a, b, radius};
    }
    return true;
}

static bool add_element(struct layout *layout, struct random *r)
{
    const int kind = random_int(r, 0, 9);
    if (kind < 4)
        return add_bundle(layout, r, 7);
    if (kind < 6)
        return add_bundle(layout, r, 1);
    if (kind < 7)
        return add_area(layout, r);
    return kind < 8 ? add_pads(layout, r) : add_via(layout, r);
}

void layout_draw(struct layout *layout, uint64_t seed)
{
    struct random r = {seed ^ 0x626f617264u};
    struct canvas *canvas = &layout->canvas;
    memset(canvas->pixels, BOARD, (size_t)canvas->width * (size_t)canvas->height);
    layout->count = 0;
    // A dense board or a sparse one; attempts grow with the board's area.
    const int dense = random_int(&r, 15, 60);
    const int attempts = canvas->width * canvas->height / 6400 * dense / 8;
    for (int i = 0; i < attempts; i++)
        add_element(layout, &r);
    // However small the board, there is something to hold on to and to break.
    for (int i = 0; i < 1000 && layout->count == 0; i++)
        add_bundle(layout, &r, 2);
}
