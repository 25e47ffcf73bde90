// Which processors the threads of the `cpu` back end may use.
#ifndef SL_ACCEL_CPU_AFFINITY_H
#define SL_ACCEL_CPU_AFFINITY_H

#include "accel/error.h"

#include <pthread.h>
#include <sched.h>
#include <stdbool.h>

struct cpu_affinity {
    bool limited;
    cpu_set_t processors;
};

// Reads "0-3", "4" or several joined by '+', as in "0-1+6". -EINVAL: another form, or a processor
// that this process may not use.
int cpu_affinity_parse(const char *text, struct cpu_affinity *out, struct sl_error *error);

#endif
