// Kernels with one mistake each, which kernelcheck must find.
#ifndef TESTS_ACCEL_BROKEN_H
#define TESTS_ACCEL_BROKEN_H

#include "accel/cpu/kernels.h"

cpu_widen_fn broken_widen_tail, broken_widen_writes_behind, broken_widen_reads_before;
cpu_max_q8_fn broken_max_q8_forgets_column;
cpu_quantize_fn broken_quantize_rounds_up;
cpu_dequantize_fn broken_dequantize_last_bit;
cpu_lookup_fn broken_lookup_illegal;
cpu_conv_dot_fn broken_conv_dot_saturates;

#define BROKEN_KERNELS(KERNEL)                                                                     \
    KERNEL(widen, broken_widen_tail)                                                               \
    KERNEL(widen, broken_widen_writes_behind)                                                      \
    KERNEL(widen, broken_widen_reads_before)                                                       \
    KERNEL(max_q8, broken_max_q8_forgets_column)                                                   \
    KERNEL(quantize, broken_quantize_rounds_up)                                                    \
    KERNEL(dequantize, broken_dequantize_last_bit)                                                 \
    KERNEL(lookup, broken_lookup_illegal)                                                          \
    KERNEL(conv_dot, broken_conv_dot_saturates)

#endif
