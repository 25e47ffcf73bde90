// Register-only loop for a processor without a file of its own.
#include "accel/cpu/ceiling.h"

#include <stdint.h>

enum { SUMS = 8 };

double cpu_ceiling_c(long rounds)
{
    int32_t x = 3, w = 2, sums[SUMS] = {0};
    for (long r = 0; r < rounds; r++)
        for (int i = 0; i < SUMS; i++) {
            __asm__ volatile("" : "+r"(x));
            sums[i] += x * w;
            __asm__ volatile("" : "+r"(sums[i]));
        }
    return SUMS;
}
