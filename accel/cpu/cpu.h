// The `cpu` back end: runs on any CPU, and is what others fall back to.
//
// Options: threads=N (1 to 64, default 1); isa=c|avx2|avx512vnni caps the instruction set, as the
// environment variable SIGHTLINE_CPU does for the whole process.
#ifndef SL_ACCEL_CPU_CPU_H
#define SL_ACCEL_CPU_CPU_H

#include "accel/plugin.h"

extern const struct sl_backend sl_cpu_backend;

#endif
