// Quantising without a division: q = x * (1 / scale), then once q += (x - q * scale) * (1 / scale)
// (Markstein, "Computation of elementary functions on the IBM RISC System/6000 processor", 1990).
//
// q rounds to the same integer as x / scale. Integers differ only around halves, and for every half
// below 256, every mantissa of a scale and the seven values around their product this was tried.
#ifndef SL_ACCEL_CPU_X86_INVERSE_H
#define SL_ACCEL_CPU_X86_INVERSE_H

#include "accel/cpu/kernels.h"

#include <stdbool.h>

// A picture of floats comes from behind the cache: its lines are asked for so many bytes ahead.
#define QUANTIZE_AHEAD 4096

struct cpu_inverse {
    bool usable; // the remainder of a quotient that counts is a normal number
    float inverse;
    float most;     // x above it all become the highest byte
    char low, high; // bytes
};

static inline struct cpu_inverse cpu_inverse(const struct cpu_quant *quant)
{
    return (struct cpu_inverse){
        .usable = quant->scale > 0x1p-100f && quant->scale < 0x1p100f,
        .inverse = 1.0f / quant->scale,
        .most = (quant->high + 1) * quant->scale,
        .low = (char)((int32_t)quant->low + quant->zero),
        .high = (char)((int32_t)quant->high + quant->zero),
    };
}

#endif
