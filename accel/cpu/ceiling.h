// The most INT8 multiply-accumulates that one core does with an instruction set: the instruction
// that multiplies bytes, on registers alone. What a kernel reaches is a share of this.
#ifndef SL_ACCEL_CPU_CEILING_H
#define SL_ACCEL_CPU_CEILING_H

// GMAC/s of one thread, the best of several windows of a few milliseconds. `isa` is a name that
// cpu_isa_name gives, of a set that this machine has. 0: there is no such loop for it.
double cpu_ceiling(const char *isa);

// A loop's work: `rounds` times a fixed number of multiply-accumulates, which is returned for one
// round. What it computes does not matter.
typedef double cpu_ceiling_fn(long rounds);

#if defined(__x86_64__)
cpu_ceiling_fn cpu_ceiling_sse2, cpu_ceiling_avx2, cpu_ceiling_avxvnni, cpu_ceiling_avx512vnni;
cpu_ceiling_fn cpu_ceiling_avx512vbmi, cpu_ceiling_amx;
#elif defined(__aarch64__)
cpu_ceiling_fn cpu_ceiling_neon, cpu_ceiling_neondot, cpu_ceiling_neoni8mm;
#else
cpu_ceiling_fn cpu_ceiling_c;
#endif

#endif
