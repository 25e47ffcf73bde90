// The table of kernels, one slot per kind.
#ifndef SL_ACCEL_CPU_KERNELS_H
#define SL_ACCEL_CPU_KERNELS_H

#include "accel/cpu/features.h"

struct cpu_kernels {
    enum cpu_isa isa;
};

void cpu_kernels_fill(struct cpu_kernels *kernels, enum cpu_isa isa);

#endif
