// A fixed set of threads that share out the pieces of one piece of work.
//
// What a piece does follows from its number alone: results depend neither on timing nor on the
// number of threads. Threads of different speeds, or some that wait for a processor, take what they
// can. Idle threads sleep.
#ifndef SL_ACCEL_CPU_THREADS_H
#define SL_ACCEL_CPU_THREADS_H

#include "accel/cpu/affinity.h"
#include "accel/error.h"

#include <stdint.h>

struct cpu_threads;

// Does the pieces [first, end); no two calls at the same time have the same `thread`, which is
// below the number of threads.
typedef int (*cpu_pieces)(void *ctx, uint32_t thread, uint32_t first, uint32_t end,
                          struct sl_error *error);

// `count` includes the caller's thread, which stays where it is; the others use the processors that
// `affinity` names. NULL with count 1: everything runs in the caller.
int cpu_threads_start(uint32_t count, const struct cpu_affinity *affinity, struct cpu_threads **out,
                      struct sl_error *error);
void cpu_threads_stop(struct cpu_threads *threads); // NULL is fine
uint32_t cpu_threads_count(const struct cpu_threads *threads);
// Returns when all pieces are done: 0, or the status and message of the lowest call that failed.
int cpu_threads_run(struct cpu_threads *threads, uint32_t count, cpu_pieces pieces, void *ctx,
                    struct sl_error *error);

#endif
