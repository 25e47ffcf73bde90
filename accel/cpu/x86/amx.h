// The shape of each tile register, and how it is loaded.
#ifndef SL_ACCEL_CPU_X86_AMX_H
#define SL_ACCEL_CPU_X86_AMX_H

#include <immintrin.h>
#include <stdint.h>

struct tile_config {
    uint8_t palette, start_row, reserved[14];
    uint16_t columns[16]; // bytes
    uint8_t rows[16];
};

// GCC 12 thinks that ldtilecfg reads eight bytes, and drops what is stored behind them, and that
// the tiles' loads read nothing: what is stored before this is there for them.
#define STORED_FOR_TILES(memory) __asm__ volatile("" : : "r"(memory) : "memory")
#define CONFIGURE_TILES(config)                                                                    \
    do {                                                                                           \
        STORED_FOR_TILES(config);                                                                  \
        _tile_loadconfig(config);                                                                  \
    } while (0)

#endif
