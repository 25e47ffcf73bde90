// Which taps of a pooling window lie inside the input, along one axis.
#ifndef SL_ACCEL_CPU_TAPS_H
#define SL_ACCEL_CPU_TAPS_H

#include "accel/graph.h"

struct cpu_taps {
    int64_t at;    // of the first one, in the input
    int64_t count; // 0: all are padding
    int64_t alike; // so many outputs from this one on have as many taps, one stride apart
};

struct cpu_taps cpu_taps_inside(const struct sl_pool_attrs *attrs, int axis, int64_t in,
                                int64_t out);

#endif
