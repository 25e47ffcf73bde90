// The AVX-512 VNNI convolution compiled through SIMDe, so that its very source runs on any x86.
#define SIMDE_ENABLE_NATIVE_ALIASES
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wall"
#pragma GCC diagnostic ignored "-Wextra"
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wundef"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wcast-qual"
#pragma GCC diagnostic ignored "-Wpedantic"
#include <simde/x86/avx512.h>
#pragma GCC diagnostic pop

#define __m512i                 simde__m512i
#define cpu_conv_dot_avx512vnni cpu_conv_dot_simde
#include "accel/cpu/x86/conv_avx512.c"
