// The AVX-512 VNNI kernels compiled through SIMDe, so that their very source runs on any x86.
#include "tests/accel/simde512.h"

#define cpu_conv_dot_avx512vnni      cpu_conv_dot_avx512vnni_simde
#define cpu_conv_dot_pair_avx512vnni cpu_conv_dot_pair_avx512vnni_simde
#define cpu_depthwise_dot_avx512vnni cpu_depthwise_dot_avx512vnni_simde
#define cpu_conv_s16_avx512vnni      cpu_conv_s16_avx512vnni_simde
#define cpu_conv_f32_avx512vnni      cpu_conv_f32_avx512vnni_simde
#define cpu_add_q8_avx512vnni        cpu_add_q8_avx512vnni_simde
#define cpu_mul_q8_avx512vnni        cpu_mul_q8_avx512vnni_simde
#define cpu_quantize_avx512vnni      cpu_quantize_avx512vnni_simde
#define cpu_dequantize_avx512vnni    cpu_dequantize_avx512vnni_simde
#define cpu_max_q8_avx512vnni        cpu_max_q8_avx512vnni_simde
#define cpu_average_q8_avx512vnni    cpu_average_q8_avx512vnni_simde
#include "accel/cpu/x86/conv_avx512.c"
#undef TILE
#include "accel/cpu/x86/depthwise_avx512.c"
#undef TILE
#include "accel/cpu/x86/elementwise_avx512.c"
