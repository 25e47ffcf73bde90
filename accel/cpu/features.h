// Which instruction sets this machine has, and up to which of them kernels may go.
#ifndef SL_ACCEL_CPU_FEATURES_H
#define SL_ACCEL_CPU_FEATURES_H

#include <stdbool.h>
#include <stdint.h>

// Those of an architecture stand in ascending order of preference. A machine may have one without
// one before it: most that have AVX-512 VNNI lack AVX-VNNI. All need the first of their
// architecture.
enum cpu_isa {
    CPU_C,
    CPU_AVX2, // with FMA
    CPU_AVXVNNI,
    CPU_AVX512VBMI, // with F, BW, DQ and VL
    CPU_AVX512VNNI, // with F, BW, DQ and VL
    CPU_AMX,        // AMX-INT8, with AVX-512 VNNI; the system gave this process the tile registers
    CPU_NEON,
    CPU_NEONDOT,  // FEAT_DotProd
    CPU_NEONI8MM, // FEAT_I8MM, with FEAT_DotProd
    CPU_ISAS
};

// What the processor and the operating system support, capped by the environment variable
// SIGHTLINE_CPU: bit 1 << isa of each.
uint32_t cpu_isa_sets(void);
enum cpu_isa cpu_isa_best(void);            // the last of cpu_isa_sets
const char *cpu_isa_name(enum cpu_isa isa); // "avx2"
const char *cpu_isa_names(void);            // of this architecture: "c, neon, neondot, neoni8mm"
// False: there is no such set on this architecture.
bool cpu_isa_parse(const char *name, enum cpu_isa *isa);
const char *cpu_machine_name(void);

#if defined(__x86_64__)
// What CPUID says in its leaves, and XGETBV; 0 where there is no such leaf.
struct cpu_x86_answers {
    uint32_t leaf1_c, xcr0, leaf7_b, leaf7_c, leaf7_d, leaf7_1_a;
};

// What follows from them. `request` asks the system for AMX's tile registers; it is called only if
// the processor has them and `cap` goes so far.
uint32_t cpu_x86_sets(const struct cpu_x86_answers *answers, enum cpu_isa cap,
                      bool (*request)(void));
// Linux saves the tile registers only for processes that asked for them.
bool cpu_x86_request_tiles(void);
#endif

#endif
