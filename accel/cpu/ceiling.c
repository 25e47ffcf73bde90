// Times the loops of ceiling_*.c: which one belongs to an instruction set, and how fast it is.
#include "accel/cpu/ceiling.h"

#include <stddef.h>
#include <string.h>
#include <time.h>

enum { WINDOWS = 4 };
#define WINDOW_S 0.002

// Plain C may use what every processor of the architecture has.
static const struct {
    const char *isa;
    cpu_ceiling_fn *loop;
} loops[] = {
#if defined(__x86_64__)
    {"c", cpu_ceiling_sse2},
    {"avx2", cpu_ceiling_avx2},
    {"avxvnni", cpu_ceiling_avxvnni},
    {"avx512vbmi", cpu_ceiling_avx512vbmi},
    {"avx512vnni", cpu_ceiling_avx512vnni},
    {"amx", cpu_ceiling_amx},
#elif defined(__aarch64__)
    {"c", cpu_ceiling_neon},
    {"neon", cpu_ceiling_neon},
    {"neondot", cpu_ceiling_neondot},
    {"neoni8mm", cpu_ceiling_neoni8mm},
#else
    {"c", cpu_ceiling_c},
#endif
};

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static double rate(cpu_ceiling_fn *loop, long rounds, double *seconds)
{
    const double before = now_s();
    const double macs = loop(rounds) * (double)rounds;
    *seconds = now_s() - before;
    return *seconds > 0 ? macs / *seconds * 1e-9 : 0;
}

double cpu_ceiling(const char *isa)
{
    cpu_ceiling_fn *loop = NULL;
    for (size_t i = 0; i < sizeof(loops) / sizeof(*loops); i++)
        if (strcmp(loops[i].isa, isa) == 0)
            loop = loops[i].loop;
    if (!loop)
        return 0;
    long rounds = 1000;
    double best = 0, seconds = 0;
    for (rate(loop, rounds, &seconds); seconds < WINDOW_S; rate(loop, rounds, &seconds))
        rounds *= 2;
    for (int i = 0; i < WINDOWS; i++) {
        const double found = rate(loop, rounds, &seconds);
        best = found > best ? found : best;
    }
    return best;
}
