// The size of the processor's second-level cache.
#ifndef SL_ACCEL_CPU_CACHE_H
#define SL_ACCEL_CPU_CACHE_H

#include <stddef.h>

#define CPU_CACHE_DEFAULT ((size_t)512 << 10) // where the machine does not tell

// Bytes, of processor 0, as `sysfs` (usually "/sys") says.
size_t cpu_cache_bytes(const char *sysfs);

#endif
