// The AVX-512 VNNI convolution compiled through SIMDe, so that its very source runs on any x86.
#include "tests/accel/simde512.h"

#define cpu_conv_dot_avx512vnni cpu_conv_dot_avx512vnni_simde
#include "accel/cpu/x86/conv_avx512.c"
