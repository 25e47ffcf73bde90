// A fixed set of threads that run the parts of one piece of work together.
//
// Parts are numbered, and what a part does follows from its number alone: results do not depend on
// timing. Idle threads sleep.
#ifndef SL_ACCEL_CPU_THREADS_H
#define SL_ACCEL_CPU_THREADS_H

#include "accel/cpu/affinity.h"
#include "accel/error.h"

#include <stdint.h>

struct cpu_threads;

typedef int (*cpu_part)(void *ctx, uint32_t part, uint32_t parts, struct sl_error *error);

// `count` includes the caller's thread, which stays where it is; the others use the processors that
// `affinity` names. NULL with count 1: everything runs in the caller.
int cpu_threads_start(uint32_t count, const struct cpu_affinity *affinity, struct cpu_threads **out,
                      struct sl_error *error);
void cpu_threads_stop(struct cpu_threads *threads); // NULL is fine
uint32_t cpu_threads_count(const struct cpu_threads *threads);
// Returns when all parts are done: 0, or the status and message of the lowest part that failed.
int cpu_threads_run(struct cpu_threads *threads, cpu_part part, void *ctx, struct sl_error *error);

#endif
