// A grey picture to draw on, in the board's own frame: shapes with soft edges of one pixel.
#ifndef SL_PIPELINE_LINE_CANVAS_H
#define SL_PIPELINE_LINE_CANVAS_H

#include <stdbool.h>
#include <stdint.h>

#define COPPER 0u
#define BOARD  255u

struct canvas {
    int width, height;
    uint8_t *pixels; // width bytes a row
};

struct point {
    float x, y;
};

struct box { // pixels, x2 and y2 are outside; empty if x1 >= x2
    int x1, y1, x2, y2;
};

static inline bool canvas_has(const struct canvas *canvas, int x, int y)
{
    return x >= 0 && y >= 0 && x < canvas->width && y < canvas->height;
}

// The pixel, or BOARD outside.
static inline uint8_t canvas_at(const struct canvas *canvas, float x, float y)
{
    const int column = (int)(x + 0.5f), row = (int)(y + 0.5f);
    return canvas_has(canvas, column, row) ? canvas->pixels[row * canvas->width + column] : BOARD;
}

static inline bool canvas_is_copper(const struct canvas *canvas, float x, float y)
{
    return canvas_at(canvas, x, y) < 128;
}

// Each draws with `value` and returns the pixels it may have touched.
struct box canvas_capsule(struct canvas *canvas, struct point a, struct point b, float radius,
                          uint8_t value);
struct box canvas_disc(struct canvas *canvas, struct point centre, float radius, uint8_t value);
// Sides parallel to the axes, corners rounded.
struct box canvas_rectangle(struct canvas *canvas, struct point low, struct point high,
                            float corner, uint8_t value);

// True if no pixel within `margin` of the box is copper (copper = true) or board (false); outside
// the canvas counts as clear.
bool canvas_is_clear(const struct canvas *canvas, struct box box, int margin, bool of_copper);

struct box box_join(struct box a, struct box b);
struct box box_grow(struct box box, int margin);
bool box_meets(struct box a, struct box b);

#endif
