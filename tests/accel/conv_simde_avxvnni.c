// The AVX-VNNI convolution compiled through SIMDe, so that its very source runs on any x86.
#include "tests/accel/simde512.h"

#define cpu_conv_dot_avxvnni      cpu_conv_dot_avxvnni_simde
#define cpu_depthwise_dot_avxvnni cpu_depthwise_dot_avxvnni_simde
#include "accel/cpu/x86/conv_avxvnni.c"
