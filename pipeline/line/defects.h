// The six defect classes, drawn on a copy of the golden board.
#ifndef SL_PIPELINE_LINE_DEFECTS_H
#define SL_PIPELINE_LINE_DEFECTS_H

#include "pipeline/line/layout.h"
#include "pipeline/line/random.h"

#include <stdbool.h>
#include <stdint.h>

// Tries to draw one defect of this class on `board`, away from the boxes in `taken`. `sketch` holds
// the golden picture of `layout` before and after the call: shapes are tried there, and only what
// turned out as its class says is copied. On success `changed` is the box of the pixels that differ
// from the golden board; on failure the board is as it was.
bool defect_draw(const struct layout *layout, struct canvas *sketch, struct canvas *board,
                 struct random *r, uint32_t class_id, const struct box *taken, int n_taken,
                 struct box *changed);

#endif
