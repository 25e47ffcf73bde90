// Which instruction sets this machine has: CPUID, and XGETBV for what the system saves.
#include "accel/cpu/features.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[CPU_ISAS] = {"c", "avx2", "avx512vnni"};

const char *cpu_isa_name(enum cpu_isa isa)
{
    return names[isa];
}

const char *cpu_isa_names(void)
{
    return "c, avx2, avx512vnni";
}

bool cpu_isa_parse(const char *name, enum cpu_isa *isa)
{
    for (int i = 0; i < CPU_ISAS; i++)
        if (strcmp(name, names[i]) == 0) {
            *isa = (enum cpu_isa)i;
            return true;
        }
    return false;
}

#if defined(__x86_64__)
#include <cpuid.h>

#define BIT(value, bit) ((value) >> (bit)&1u)

// XCR0: 1 SSE and 2 AVX state, 5 to 7 AVX-512 state.
static uint32_t saved_state(void)
{
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

static enum cpu_isa detect(void)
{
    uint32_t a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !BIT(c, 27)) // OSXSAVE
        return CPU_C;
    bool fma = BIT(c, 12), avx = BIT(c, 28);
    uint32_t state = saved_state();
    if (!fma || !avx || (state & 0x6) != 0x6 || !__get_cpuid_count(7, 0, &a, &b, &c, &d))
        return CPU_C;
    bool avx2 = BIT(b, 5);
    bool avx512 = BIT(b, 16) && BIT(b, 17) && BIT(b, 30) && BIT(b, 31); // F, DQ, BW, VL
    bool vnni = BIT(c, 11);
    if (avx2 && avx512 && vnni && (state & 0xE6) == 0xE6)
        return CPU_AVX512VNNI;
    return avx2 ? CPU_AVX2 : CPU_C;
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
#else
static enum cpu_isa detect(void)
{
    return CPU_C;
}

const char *cpu_machine_name(void)
{
    return "portable C";
}
#endif

enum cpu_isa cpu_isa_best(void)
{
    enum cpu_isa have = detect(), cap;
    const char *wanted = getenv("SIGHTLINE_CPU");
    if (wanted && cpu_isa_parse(wanted, &cap) && cap < have)
        return cap;
    return have;
}
