// What the register-only loops for AArch64 share. Each stands in a file that is compiled for its
// instruction set, and runs only where the caller found that set.
#ifndef SL_ACCEL_CPU_ARM_CEILING_ARM_H
#define SL_ACCEL_CPU_ARM_CEILING_ARM_H

#include "accel/cpu/arm/neon.h"
#include "accel/cpu/ceiling.h"

// Enough sums to hide the latency of the multiplication on two to four pipes.
enum { SUMS = 16 };
#define CHANGED(x) __asm__ volatile("" : "+w"(x))

#endif
