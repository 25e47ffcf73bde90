// Random numbers that are the same on every machine: splitmix64 (Steele, Lea and Flood, "Fast
// splittable pseudorandom number generators", OOPSLA 2014).
#ifndef SL_PIPELINE_LINE_RANDOM_H
#define SL_PIPELINE_LINE_RANDOM_H

#include <stdint.h>

struct random {
    uint64_t state;
};

static inline uint64_t random_u64(struct random *r)
{
    uint64_t z = (r->state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

// 0 <= result < 1
static inline float random_unit(struct random *r)
{
    return (float)(random_u64(r) >> 40) * 0x1p-24f;
}

static inline float random_between(struct random *r, float low, float high)
{
    return low + (high - low) * random_unit(r);
}

// low <= result <= high
static inline int random_int(struct random *r, int low, int high)
{
    return low + (int)(random_u64(r) % (uint64_t)(high - low + 1));
}

#endif
