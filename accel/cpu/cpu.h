// The `cpu` back end: runs on any CPU, and is what others fall back to.
//
// Options: threads=N (1 to 64, default 1); isa=c|avx2|avxvnni|avx512vnni|amx caps the instruction
// set, as the environment variable SIGHTLINE_CPU does for the whole process;
// int8=s16|winograd|sdot|dot|matrix chooses how dense INT8 convolutions are computed, instead of
// what is best for the instruction set.
//
// On machines without AVX-VNNI, AVX-512 VNNI or AMX, kernelcheck runs the sources of their kernels
// through SIMDe, AMX's with modelled tiles, and compares every byte with the plain C kernel;
// test_cpu_amx runs whole networks with the latter.
#ifndef SL_ACCEL_CPU_CPU_H
#define SL_ACCEL_CPU_CPU_H

#include "accel/plugin.h"

extern const struct sl_backend sl_cpu_backend;

#endif
