// Register-only loops for AArch64. Each function is built for its own instruction set and runs only
// where the caller found that set.
#include "accel/cpu/ceiling.h"

#include <arm_neon.h>

// Enough sums to hide the latency of the multiplication on two to four pipes.
enum { SUMS = 16 };
#define UNROLLED   _Pragma("GCC unroll 16")
#define CHANGED(x) __asm__ volatile("" : "+w"(x))
#define FOR(set)   __attribute__((target(set), noinline))

double cpu_ceiling_neon(long rounds)
{
    int8x16_t x = vdupq_n_s8(3), w = vdupq_n_s8(2);
    int32x4_t sums[SUMS];
    UNROLLED for (int i = 0; i < SUMS; i++) sums[i] = vdupq_n_s32(0);
    for (long r = 0; r < rounds; r++) {
        UNROLLED for (int i = 0; i < SUMS; i++)
        {
            CHANGED(x);
            int16x8_t pairs = vmull_s8(vget_low_s8(x), vget_low_s8(w));
            pairs = vmlal_high_s8(pairs, x, w);
            sums[i] = vpadalq_s16(sums[i], pairs);
            CHANGED(sums[i]);
        }
    }
    return SUMS * 16;
}

FOR("arch=armv8.2-a+dotprod") double cpu_ceiling_dotprod(long rounds)
{
    int8x16_t x = vdupq_n_s8(3), w = vdupq_n_s8(2);
    int32x4_t sums[SUMS];
    UNROLLED for (int i = 0; i < SUMS; i++) sums[i] = vdupq_n_s32(0);
    for (long r = 0; r < rounds; r++) {
        UNROLLED for (int i = 0; i < SUMS; i++)
        {
            CHANGED(x);
            sums[i] = vdotq_s32(sums[i], x, w);
            CHANGED(sums[i]);
        }
    }
    return SUMS * 16;
}

FOR("arch=armv8.2-a+i8mm") double cpu_ceiling_i8mm(long rounds)
{
    uint8x16_t x = vdupq_n_u8(3);
    int8x16_t w = vdupq_n_s8(2);
    int32x4_t sums[SUMS];
    UNROLLED for (int i = 0; i < SUMS; i++) sums[i] = vdupq_n_s32(0);
    for (long r = 0; r < rounds; r++) {
        UNROLLED for (int i = 0; i < SUMS; i++)
        {
            CHANGED(x);
            sums[i] = vusmmlaq_s32(sums[i], x, w);
            CHANGED(sums[i]);
        }
    }
    return SUMS * 32;
}
