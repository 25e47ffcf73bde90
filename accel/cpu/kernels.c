// Fills the table of kernels: plain C first, then each instruction set over it.
#include "accel/cpu/kernels.h"

void cpu_kernels_fill(struct cpu_kernels *kernels, enum cpu_isa isa)
{
    uint32_t sets = cpu_isa_sets();
    kernels->isa = isa;
#define KERNEL(slot, set, function)                                                                \
    if ((set) <= isa && (sets & 1u << (set)))                                                      \
        kernels->slot = function;
#include "accel/cpu/kernels.def"
#undef KERNEL
    kernels->int8 = kernels->conv_matrix != cpu_conv_matrix_c         ? CPU_INT8_MATRIX
                    : kernels->conv_dot != cpu_conv_dot_c             ? CPU_INT8_DOT
                    : kernels->conv_sdot != cpu_conv_sdot_c           ? CPU_INT8_SDOT
                    : kernels->winograd_input != cpu_winograd_input_c ? CPU_INT8_WINOGRAD
                                                                      : CPU_INT8_S16;
}
