// Fills the table of kernels: plain C first, then each instruction set over it.
#include "accel/cpu/kernels.h"

void cpu_kernels_fill(struct cpu_kernels *kernels, enum cpu_isa isa)
{
    kernels->isa = isa;
    kernels->int8 = isa >= CPU_AVX512VNNI ? CPU_INT8_DOT
                    : isa >= CPU_AVX2     ? CPU_INT8_WINOGRAD
                                          : CPU_INT8_S16;
#define KERNEL(slot, set, function)                                                                \
    if ((set) <= isa)                                                                              \
        kernels->slot = function;
#include "accel/cpu/kernels.def"
#undef KERNEL
}
