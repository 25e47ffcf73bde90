// AVX-512 and AVX-VNNI through SIMDe, for sources that use their intrinsics by name. What SIMDe
// lacks is done here lane by lane.
#ifndef TESTS_ACCEL_SIMDE512_H
#define TESTS_ACCEL_SIMDE512_H

#define SIMDE_ENABLE_NATIVE_ALIASES
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wall"
#pragma GCC diagnostic ignored "-Wextra"
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wundef"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wcast-qual"
#pragma GCC diagnostic ignored "-Wpedantic"
#include <simde/x86/avx512.h>
#pragma GCC diagnostic pop

#include <math.h>
#include <stdint.h>
#include <string.h>

#define __m512i simde__m512i
#define __m512  simde__m512

struct lanes {
    int32_t words[16];
    float reals[16];
};

static inline simde__m512 lanes_from_words(simde__m512i x)
{
    struct lanes l;
    simde__m512 y;
    memcpy(l.words, &x, sizeof(l.words));
    for (int i = 0; i < 16; i++)
        l.reals[i] = (float)l.words[i];
    memcpy(&y, l.reals, sizeof(l.reals));
    return y;
}

// What is no int32 becomes the lowest one, as the instruction has it.
static inline simde__m512i lanes_rounded(simde__m512 x)
{
    struct lanes l;
    simde__m512i y;
    memcpy(l.reals, &x, sizeof(l.reals));
    for (int i = 0; i < 16; i++) {
        const float real = rintf(l.reals[i]);
        l.words[i] = real >= -0x1p31f && real < 0x1p31f ? (int32_t)real : INT32_MIN;
    }
    memcpy(&y, l.words, sizeof(l.words));
    return y;
}

static inline __m128i lanes_low_bytes(simde__m512i x)
{
    struct lanes l;
    uint8_t bytes[16];
    memcpy(l.words, &x, sizeof(l.words));
    for (int i = 0; i < 16; i++)
        bytes[i] = (uint8_t)l.words[i];
    __m128i y;
    memcpy(&y, bytes, sizeof(bytes));
    return y;
}

static inline simde__m512i lanes_from_bytes(__m128i x, int is_signed)
{
    struct lanes l;
    uint8_t bytes[16];
    memcpy(bytes, &x, sizeof(bytes));
    for (int i = 0; i < 16; i++)
        l.words[i] = is_signed ? (int8_t)bytes[i] : bytes[i];
    simde__m512i y;
    memcpy(&y, l.words, sizeof(l.words));
    return y;
}

#undef _mm512_cvtepi32_ps
#undef _mm512_cvtps_epi32
#undef _mm512_cvtepi32_epi8
#undef _mm512_cvtepi8_epi32
#undef _mm512_cvtepu8_epi32
#undef _mm256_dpbusd_avx_epi32
#define _mm512_cvtepi32_ps(x)            lanes_from_words(x)
#define _mm512_cvtps_epi32(x)            lanes_rounded(x)
#define _mm512_cvtepi32_epi8(x)          lanes_low_bytes(x)
#define _mm512_cvtepi8_epi32(x)          lanes_from_bytes(x, 1)
#define _mm512_cvtepu8_epi32(x)          lanes_from_bytes(x, 0)
#define _mm256_dpbusd_avx_epi32(y, a, b) simde_mm256_dpbusd_epi32(y, a, b)

#endif
