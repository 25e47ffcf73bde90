// The golden board: traces, pads, vias, copper areas, and where its traces run.
#ifndef SL_PIPELINE_LINE_LAYOUT_H
#define SL_PIPELINE_LINE_LAYOUT_H

#include "pipeline/line/canvas.h"

#include <stdint.h>

#define LAYOUT_MAX_SEGMENTS 512

struct segment { // a straight piece of a trace
    struct point a, b;
    float radius; // half its width
};

struct layout {
    struct canvas canvas;
    int count;
    struct segment segments[LAYOUT_MAX_SEGMENTS];
};

// Draws a board of this seed on layout->canvas and notes its traces.
void layout_draw(struct layout *layout, uint64_t seed);

#endif
