// How fast plain NEON multiplies bytes: in 16-bit pairs that are added to 32-bit sums.
#include "accel/cpu/arm/ceiling_arm.h"

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
