// Pictures made smaller and into what the JPEG encoder takes.
#ifndef SL_PIPELINE_SHRINK_H
#define SL_PIPELINE_SHRINK_H

#include "inference/picture.h"

#include <stddef.h>

// Bytes that the result needs.
size_t sl_shrink_size(const struct sl_picture *picture, uint32_t factor);

// Averages squares of `factor` pixels (1 or more, at most both sides; what is left over at the
// right and the bottom is left out). Grey stays grey, everything else becomes RGB; YUV is BT.601,
// full range. `dst` has sl_shrink_size bytes; *out points into it.
void sl_shrink(const struct sl_picture *picture, uint32_t factor, uint8_t *dst,
               struct sl_picture *out);

#endif
