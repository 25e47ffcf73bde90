// Latencies in a fixed amount of memory: a histogram whose buckets are 2.5 % wide.
#ifndef SL_PIPELINE_LATENCY_H
#define SL_PIPELINE_LATENCY_H

#include <stdint.h>

#define SL_LATENCY_BUCKETS 640

struct sl_latency { // all zero is empty
    uint64_t count;
    float max_ms;
    uint32_t bucket[SL_LATENCY_BUCKETS];
};

void sl_latency_add(struct sl_latency *latency, float ms);
// The value below which this share (0 … 1) of the latencies lies, at most 2.5 % too high; 0 if
// none.
float sl_latency_quantile(const struct sl_latency *latency, double share);

#endif
