// What the convolution kernels share: loops that are unrolled, rows cut into tiles of pixels.
#ifndef SL_ACCEL_CPU_X86_TILE_H
#define SL_ACCEL_CPU_X86_TILE_H

#include "accel/cpu/kernels.h"

#include <immintrin.h>

#define INLINE static inline __attribute__((always_inline))
// Loops over the pixels of a tile must go, so that its sums are registers.
// Twice unrolled, the loop over K runs at the speed of its arithmetic wherever it is placed.
#ifdef __clang__
#define UNROLLED _Pragma("unroll")
#define TWICE    _Pragma("unroll 2")
#else
#define UNROLLED _Pragma("GCC unroll 16")
#define TWICE    _Pragma("GCC unroll 2")
#endif

// clang-format off
#define TILE_CASE(tile, n)                                                                         \
    case n:                                                                                        \
        tile(row, first, n);                                                                       \
        break;
#define TILES_UP_TO_4(tile)                                                                        \
    TILE_CASE(tile, 1) TILE_CASE(tile, 2) TILE_CASE(tile, 3) TILE_CASE(tile, 4)
#define TILES_UP_TO_6(tile)                                                                        \
    TILES_UP_TO_4(tile) TILE_CASE(tile, 5) TILE_CASE(tile, 6)
#define TILES_UP_TO_8(tile)                                                                        \
    TILES_UP_TO_6(tile) TILE_CASE(tile, 7) TILE_CASE(tile, 8)
#define TILES_UP_TO_12(tile)                                                                       \
    TILES_UP_TO_8(tile) TILE_CASE(tile, 9)                                                         \
    TILE_CASE(tile, 10) TILE_CASE(tile, 11) TILE_CASE(tile, 12)
#define TILES_UP_TO_14(tile)                                                                       \
    TILES_UP_TO_12(tile) TILE_CASE(tile, 13) TILE_CASE(tile, 14)
// clang-format on

// Tiles of nearly the same size, `most` pixels at most: the last one of a row is not much smaller
// than the others.
#define DEFINE_ROW(name, tile, most)                                                               \
    void name(const struct cpu_conv_row *row)                                                      \
    {                                                                                              \
        int64_t tiles = (row->pixels + (most)-1) / (most);                                         \
        int64_t least = tiles ? row->pixels / tiles : 0, more = row->pixels - least * tiles;       \
        for (int64_t first = 0, count; tiles > 0; tiles--, more--, first += count) {               \
            count = least + (more > 0);                                                            \
            switch (count) {                                                                       \
                TILES_UP_TO_##most(tile)                                                           \
            }                                                                                      \
        }                                                                                          \
    }

// A depthwise row by a tile that knows its taps and its stride.
#define DEPTHWISE_CASE(tile, taps, stride, most)                                                   \
    INLINE void tile_##taps##_##stride(const struct cpu_conv_row *row, int64_t first,              \
                                       const int count)                                            \
    {                                                                                              \
        tile(row, first, count, taps, stride);                                                     \
    }                                                                                              \
    static DEFINE_ROW(row_##taps##_##stride, tile_##taps##_##stride, most)
#define DEFINE_DEPTHWISE(name, tile, most)                                                         \
    DEPTHWISE_CASE(tile, 3, 1, most)                                                               \
    DEPTHWISE_CASE(tile, 3, 2, most)                                                               \
    DEPTHWISE_CASE(tile, 5, 1, most)                                                               \
    DEPTHWISE_CASE(tile, 5, 2, most)                                                               \
    DEPTHWISE_CASE(tile, 7, 1, most)                                                               \
    DEPTHWISE_CASE(tile, 7, 2, most)                                                               \
    void name(const struct cpu_conv_row *row)                                                      \
    {                                                                                              \
        const bool twice = row->step != row->tap_step;                                             \
        if (row->taps == 3)                                                                        \
            twice ? row_3_2(row) : row_3_1(row);                                                   \
        else if (row->taps == 5)                                                                   \
            twice ? row_5_2(row) : row_5_1(row);                                                   \
        else                                                                                       \
            twice ? row_7_2(row) : row_7_1(row);                                                   \
    }

#endif
