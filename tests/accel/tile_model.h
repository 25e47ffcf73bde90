// AMX's tile registers in plain C, one set for each thread: Intel 64 Software Developer's Manual,
// volume 1, chapter "Programming with Intel AMX", palette 1. Where the processor would raise an
// exception, the program ends with a message.
#ifndef TESTS_ACCEL_TILE_MODEL_H
#define TESTS_ACCEL_TILE_MODEL_H

#include <stdbool.h>
#include <stddef.h>

void tile_model_configure(const void *config); // 64 bytes
void tile_model_release(void);
void tile_model_load(int tile, const void *from, size_t stride);
void tile_model_store(int tile, void *to, size_t stride);
// sums += bytes (uint8) times chars (int8, four of each column together)
void tile_model_dpbusd(int sums, int bytes, int chars);
bool tile_model_in_use(void); // by this thread: configured and not released

#endif
