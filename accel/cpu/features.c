// Which instruction sets this machine has. On x86-64: CPUID, XGETBV for what the system saves, and
// a request for AMX's tile registers. On AArch64: what the kernel tells each process.
#include "accel/cpu/features.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[CPU_ISAS] = {"c",   "avx2", "avxvnni", "avx512vbmi", "avx512vnni",
                                            "amx", "neon", "neondot", "neoni8mm"};

#define SET(isa) (1u << (isa))

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ALL_NAMES "c, avx2, avxvnni, avx512vbmi, avx512vnni, amx"
#define ALL_SETS                                                                                   \
    (SET(CPU_AVX2) | SET(CPU_AVXVNNI) | SET(CPU_AVX512VBMI) | SET(CPU_AVX512VNNI) | SET(CPU_AMX))

#define BIT(value, bit) ((value) >> (bit)&1u)

// XCR0: 1 SSE and 2 AVX state, 5 to 7 AVX-512 state, 17 and 18 AMX's tiles.
#define STATE_AVX    0x6u
#define STATE_AVX512 0xE6u
#define STATE_AMX    0x60000u

static uint32_t saved_state(void)
{
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

bool cpu_x86_request_tiles(void)
{
#if defined(SYS_arch_prctl)
    enum { REQUEST_PERMISSION = 0x1023, TILE_DATA = 18 };
    return syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
#else
    return false;
#endif
}

uint32_t cpu_x86_sets(const struct cpu_x86_answers *x, enum cpu_isa cap, bool (*request)(void))
{
    uint32_t b = x->leaf7_b, c = x->leaf7_c, d = x->leaf7_d;
    bool saves = BIT(x->leaf1_c, 27) && (x->xcr0 & STATE_AVX) == STATE_AVX;       // OSXSAVE
    bool avx2 = saves && BIT(x->leaf1_c, 28) && BIT(x->leaf1_c, 12) && BIT(b, 5); // AVX, FMA
    if (!avx2)
        return SET(CPU_C);
    uint32_t sets = SET(CPU_C) | SET(CPU_AVX2) | (BIT(x->leaf7_1_a, 4) ? SET(CPU_AVXVNNI) : 0);
    bool avx512 = BIT(b, 16) && BIT(b, 17) && BIT(b, 30) && BIT(b, 31);       // F, DQ, BW, VL
    bool vbmi = BIT(c, 1), vnni = BIT(c, 11), amx = BIT(d, 24) && BIT(d, 25); // TILE, INT8
    if (!avx512 || (x->xcr0 & STATE_AVX512) != STATE_AVX512)
        return sets;
    sets |= vbmi ? SET(CPU_AVX512VBMI) : 0;
    if (!vnni)
        return sets;
    sets |= SET(CPU_AVX512VNNI);
    if (cap >= CPU_AMX && amx && (x->xcr0 & STATE_AMX) == STATE_AMX && request())
        sets |= SET(CPU_AMX);
    return sets;
}

static uint32_t detect(enum cpu_isa cap)
{
    struct cpu_x86_answers x = {.leaf1_c = 0};
    uint32_t a, b, d, unused;
    if (__get_cpuid(1, &a, &b, &x.leaf1_c, &d) && BIT(x.leaf1_c, 27))
        x.xcr0 = saved_state();
    if (__get_cpuid_count(7, 0, &a, &x.leaf7_b, &x.leaf7_c, &x.leaf7_d) && a >= 1)
        __cpuid_count(7, 1, x.leaf7_1_a, b, unused, d);
    return cpu_x86_sets(&x, cap, cpu_x86_request_tiles);
}

const char *cpu_machine_name(void)
{
    static char name[49];
    uint32_t *words = (uint32_t *)(void *)name;
    for (uint32_t i = 0; i < 3; i++)
        if (!__get_cpuid(0x80000002u + i, words + 4 * i, words + 4 * i + 1, words + 4 * i + 2,
                         words + 4 * i + 3))
            return "x86-64";
    return name;
}
#elif defined(__aarch64__)
#include <sys/auxv.h>

#define ALL_NAMES   "c, neon, neondot, neoni8mm"
#define ALL_SETS    (SET(CPU_NEON) | SET(CPU_NEONDOT) | SET(CPU_NEONI8MM))

// Bits of AT_HWCAP and AT_HWCAP2, from Linux' Documentation/arm64/elf_hwcaps.rst.
#define CAP_ASIMD   (1ul << 1)
#define CAP_ASIMDDP (1ul << 20)
#define CAP2_I8MM   (1ul << 13)

static uint32_t detect(enum cpu_isa cap)
{
    unsigned long caps = getauxval(AT_HWCAP), more = getauxval(AT_HWCAP2);
    (void)cap;
    if (!(caps & CAP_ASIMD))
        return SET(CPU_C);
    if (!(caps & CAP_ASIMDDP))
        return SET(CPU_C) | SET(CPU_NEON);
    return SET(CPU_C) | SET(CPU_NEON) | SET(CPU_NEONDOT) |
           (more & CAP2_I8MM ? SET(CPU_NEONI8MM) : 0);
}

const char *cpu_machine_name(void)
{
    static char name[80];
    FILE *file = fopen("/proc/device-tree/model", "re");
    size_t length = file ? fread(name, 1, sizeof(name) - 1, file) : 0;
    if (file)
        fclose(file);
    name[length] = '\0';
    return *name ? name : "AArch64";
}
#else
#define ALL_NAMES "c"
#define ALL_SETS  0u

static uint32_t detect(enum cpu_isa cap)
{
    (void)cap;
    return SET(CPU_C);
}

const char *cpu_machine_name(void)
{
    return "portable C";
}
#endif

const char *cpu_isa_name(enum cpu_isa isa)
{
    return names[isa];
}

const char *cpu_isa_names(void)
{
    return ALL_NAMES;
}

bool cpu_isa_parse(const char *name, enum cpu_isa *isa)
{
    for (int i = 0; i < CPU_ISAS; i++)
        if ((SET(i) & (ALL_SETS | SET(CPU_C))) && strcmp(name, names[i]) == 0) {
            *isa = (enum cpu_isa)i;
            return true;
        }
    return false;
}

uint32_t cpu_isa_sets(void)
{
    enum cpu_isa cap = CPU_ISAS;
    const char *wanted = getenv("SIGHTLINE_CPU");
    if (wanted)
        cpu_isa_parse(wanted, &cap);
    return cap == CPU_ISAS ? detect(cap) : detect(cap) & (SET(cap) | (SET(cap) - 1));
}

enum cpu_isa cpu_isa_best(void)
{
    uint32_t sets = cpu_isa_sets();
    int best = CPU_ISAS - 1;
    while (!(sets & SET(best)))
        best--;
    return (enum cpu_isa)best;
}
