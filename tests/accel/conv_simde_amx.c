// The AMX convolution on modelled tiles, its AVX-512 through SIMDe, so that its very source runs on
// any x86.
#include "tests/accel/simde512.h"
#include "tests/accel/tile_model.h"

#undef _tile_loadd
#undef _tile_stored
#undef _tile_dpbusd
#define _tile_loadconfig(config)         tile_model_configure(config)
#define _tile_release()                  tile_model_release()
#define _tile_loadd(tile, from, stride)  tile_model_load(tile, from, stride)
#define _tile_stored(tile, to, stride)   tile_model_store(tile, to, stride)
#define _tile_dpbusd(sums, bytes, chars) tile_model_dpbusd(sums, bytes, chars)

#define cpu_conv_tiles_amx cpu_conv_tiles_amx_model
#include "accel/cpu/x86/conv_amx.c"
