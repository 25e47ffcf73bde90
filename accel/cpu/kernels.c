// Fills the table of kernels: plain C first, then each instruction set over it.
#include "accel/cpu/kernels.h"

void cpu_kernels_fill(struct cpu_kernels *kernels, enum cpu_isa isa)
{
    kernels->isa = isa;
    kernels->prefer_dot = isa >= CPU_AVX512VNNI;
#define KERNEL(slot, set, function)                                                                \
    if ((set) <= isa)                                                                              \
        kernels->slot = function;
#include "accel/cpu/kernels.def"
#undef KERNEL
}
