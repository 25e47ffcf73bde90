// Which instruction sets this machine has, and up to which of them kernels may go.
#ifndef SL_ACCEL_CPU_FEATURES_H
#define SL_ACCEL_CPU_FEATURES_H

#include <stdbool.h>

// In ascending order: each includes those before it on its architecture.
enum cpu_isa { CPU_C, CPU_AVX2, CPU_AVX512VNNI, CPU_ISAS };

// What the processor and the operating system support, capped by SIGHTLINE_CPU.
enum cpu_isa cpu_isa_best(void);
const char *cpu_isa_name(enum cpu_isa isa); // "avx2"
const char *cpu_isa_names(void);            // "c, avx2, avx512vnni"
bool cpu_isa_parse(const char *name, enum cpu_isa *isa);
const char *cpu_machine_name(void);

#endif
