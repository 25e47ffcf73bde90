// The table of kernels as on a machine with AMX, whose tiles are modelled.
#define cpu_kernels_fill fill_for_this_machine
#include "accel/cpu/kernels.c"
#undef cpu_kernels_fill

cpu_conv_tiles_fn cpu_conv_tiles_amx_model;
void cpu_kernels_fill(struct cpu_kernels *kernels, enum cpu_isa isa);

void cpu_kernels_fill(struct cpu_kernels *kernels, enum cpu_isa isa)
{
    fill_for_this_machine(kernels, isa);
    if (isa == CPU_C)
        return;
    kernels->conv_tiles = cpu_conv_tiles_amx_model;
    kernels->int8 = CPU_INT8_DOT;
}
