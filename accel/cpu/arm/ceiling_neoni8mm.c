// How fast the matrix instructions multiply bytes.
#include "accel/cpu/arm/ceiling_arm.h"

double cpu_ceiling_neoni8mm(long rounds)
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
