// Table look-up for AVX-512 VBMI: vpermi2b finds 64 bytes in half of the table.
#include "accel/cpu/kernels.h"

#include <immintrin.h>

static inline __m512i find(const __m512i rows[4], __m512i x)
{
    __m512i low = _mm512_permutex2var_epi8(rows[0], x, rows[1]);
    __m512i high = _mm512_permutex2var_epi8(rows[2], x, rows[3]);
    return _mm512_mask_mov_epi8(low, _mm512_movepi8_mask(x), high);
}

void cpu_lookup_avx512vbmi(const uint8_t table[256], const uint8_t *x, uint8_t *y, int64_t count)
{
    __m512i rows[4];
    for (int i = 0; i < 4; i++)
        rows[i] = _mm512_loadu_si512(table + 64 * i);
    for (; count >= 64; count -= 64, x += 64, y += 64)
        _mm512_storeu_si512(y, find(rows, _mm512_loadu_si512(x)));
    if (count > 0) {
        __mmask64 rest = ~0ull >> (64 - count);
        _mm512_mask_storeu_epi8(y, rest, find(rows, _mm512_maskz_loadu_epi8(rest, x)));
    }
}
