// Register-only loops for x86-64. Each function is built for its own instruction set, so that this
// file needs no options, and runs only where the caller found that set.
#include "accel/cpu/ceiling.h"
#include "accel/cpu/features.h"
#include "accel/cpu/x86/amx.h"

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

// Enough sums to hide the latency of the multiplication on two ports.
enum { SUMS = 10 };
#define UNROLLED _Pragma("GCC unroll 16")
// The compiler must believe that x is new each time, or it would multiply only once.
#define CHANGED(x)     __asm__ volatile("" : "+v"(x))
#define CHANGED_VEX(x) __asm__ volatile("" : "+x"(x))
#define FOR(set)       __attribute__((target(set), noinline))

double cpu_ceiling_sse2(long rounds)
{
    __m128i x = _mm_set1_epi16(3), w = _mm_set1_epi16(2), sums[SUMS];
    UNROLLED for (int i = 0; i < SUMS; i++) sums[i] = _mm_setzero_si128();
    for (long r = 0; r < rounds; r++) {
        UNROLLED for (int i = 0; i < SUMS; i++)
        {
            CHANGED_VEX(x);
            sums[i] = _mm_add_epi32(sums[i], _mm_madd_epi16(x, w));
            CHANGED_VEX(sums[i]);
        }
    }
    return SUMS * 8;
}

FOR("avx2") double cpu_ceiling_avx2(long rounds)
{
    __m256i x = _mm256_set1_epi8(3), w = _mm256_set1_epi8(2), sums[SUMS];
    const __m256i ones = _mm256_set1_epi16(1);
    UNROLLED for (int i = 0; i < SUMS; i++) sums[i] = _mm256_setzero_si256();
    for (long r = 0; r < rounds; r++) {
        UNROLLED for (int i = 0; i < SUMS; i++)
        {
            CHANGED_VEX(x);
            const __m256i pairs = _mm256_maddubs_epi16(x, w);
            sums[i] = _mm256_add_epi32(sums[i], _mm256_madd_epi16(pairs, ones));
            CHANGED_VEX(sums[i]);
        }
    }
    return SUMS * 32;
}

FOR("avx2,avxvnni") double cpu_ceiling_avxvnni(long rounds)
{
    __m256i x = _mm256_set1_epi8(3), w = _mm256_set1_epi8(2), sums[SUMS];
    UNROLLED for (int i = 0; i < SUMS; i++) sums[i] = _mm256_setzero_si256();
    for (long r = 0; r < rounds; r++) {
        UNROLLED for (int i = 0; i < SUMS; i++)
        {
            CHANGED_VEX(x);
            sums[i] = _mm256_dpbusd_avx_epi32(sums[i], x, w);
            CHANGED_VEX(sums[i]);
        }
    }
    return SUMS * 32;
}

// It has no products of its own.
double cpu_ceiling_avx512vbmi(long rounds)
{
    return cpu_isa_sets() & 1u << CPU_AVXVNNI ? cpu_ceiling_avxvnni(rounds)
                                              : cpu_ceiling_avx2(rounds);
}

FOR("avx512f,avx512vnni") double cpu_ceiling_avx512vnni(long rounds)
{
    __m512i x = _mm512_set1_epi32(0x03030303), w = _mm512_set1_epi32(0x02020202), sums[SUMS];
    UNROLLED for (int i = 0; i < SUMS; i++) sums[i] = _mm512_setzero_si512();
    for (long r = 0; r < rounds; r++) {
        UNROLLED for (int i = 0; i < SUMS; i++)
        {
            CHANGED(x);
            sums[i] = _mm512_dpbusd_epi32(sums[i], x, w);
            CHANGED(sums[i]);
        }
    }
    return SUMS * 64;
}

// Tiles 0 to 3 are sums, 4 and 5 pictures, 6 and 7 weights: 16 rows of 64 bytes each.
FOR("amx-tile,amx-int8") double cpu_ceiling_amx(long rounds)
{
    struct tile_config config __attribute__((aligned(64)));
    struct tile_config before __attribute__((aligned(64)));
    memset(&config, 0, sizeof(config));
    config.palette = 1;
    for (int i = 0; i < 8; i++) {
        config.columns[i] = 64;
        config.rows[i] = 16;
    }
    _tile_storeconfig(&before);
    CONFIGURE_TILES(&config);
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    _tile_zero(4);
    _tile_zero(5);
    _tile_zero(6);
    _tile_zero(7);
    for (long r = 0; r < rounds; r++) {
        _tile_dpbusd(0, 4, 6);
        _tile_dpbusd(1, 4, 7);
        _tile_dpbusd(2, 5, 6);
        _tile_dpbusd(3, 5, 7);
    }
    _tile_loadconfig(&before);
    return 4 * 16 * 16 * 64;
}
