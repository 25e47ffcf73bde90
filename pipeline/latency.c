// A histogram of latencies on a logarithmic scale.
#include "pipeline/latency.h"

#include <math.h>

#define LEAST_MS 0.01f
#define GROWTH   1.025f

void sl_latency_add(struct sl_latency *latency, float ms)
{
    const float place = ms > LEAST_MS ? logf(ms / LEAST_MS) / logf(GROWTH) : 0;
    const int index = place < SL_LATENCY_BUCKETS - 1 ? (int)place : SL_LATENCY_BUCKETS - 1;
    latency->bucket[index]++;
    latency->count++;
    latency->max_ms = fmaxf(latency->max_ms, ms);
}

float sl_latency_quantile(const struct sl_latency *latency, double share)
{
    const uint64_t wanted = (uint64_t)ceil(share * (double)latency->count);
    uint64_t seen = 0;
    for (int i = 0; i < SL_LATENCY_BUCKETS && latency->count; i++) {
        seen += latency->bucket[i];
        if (seen >= wanted)
            return fminf(LEAST_MS * powf(GROWTH, (float)(i + 1)), latency->max_ms);
    }
    return latency->max_ms;
}
