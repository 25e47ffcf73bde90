// A compiled program: values (tensors in a layout), steps, and one arena for all activations.
//
// compile.c turns nodes into steps, plan.c gives values their place in the arena, run.c runs.
// Everything a program owns lives in its region and goes with it.
#ifndef SL_ACCEL_CPU_PROGRAM_H
#define SL_ACCEL_CPU_PROGRAM_H

#include "accel/cpu/region.h"
#include "accel/cpu/threads.h"
#include "accel/error.h"
#include "accel/graph.h"
#include "accel/plugin.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CPU_NONE UINT32_MAX

// PLAIN: dense row-major in the order of the dimensions. NHWC: rank 4 as [N][H][W][C rounded up to
// CPU_GRANULE]; the channels beyond C hold no meaning.
enum cpu_layout { CPU_PLAIN, CPU_NHWC, CPU_LAYOUTS };
#define CPU_GRANULE 16

enum cpu_place { CPU_IN_ARENA, CPU_CONSTANT, CPU_INPUT, CPU_OUTPUT };

// A piece of memory that steps read and write.
struct cpu_value {
    enum cpu_place place;
    uint32_t first, last; // steps between which it must stay, for the arena
    bool is_scratch;      // no activation
    size_t bytes, offset;
    void *data; // where it is: fixed after planning, or as bound
};

struct cpu_kernels;
struct cpu_program;
struct cpu_step;

struct cpu_step {
    // Runs the step's share `part` of `parts`; all parts may run at the same time.
    int (*run)(const struct cpu_program *program, const struct cpu_step *step, uint32_t part,
               uint32_t parts, struct sl_error *error);
    const void *state;
    const char *node, *kernel;
    uint64_t macs, left_out; // left_out: of weights that are zero
    bool serial;             // has one part only
    float us;                // of the last run
};

struct cpu_program {
    struct region region;
    struct cpu_threads *threads;       // the device's
    const struct cpu_kernels *kernels; // the device's
    // Copies of the graph's tensors; `data` only where a step reads the constant.
    uint32_t n_tensors;
    struct sl_tensor *tensors;
    void **plain; // for the reference interpreter: tensor number -> address
    uint32_t *plain_value;

    uint32_t n_values, max_values, n_steps, max_steps;
    struct cpu_value *values;
    struct cpu_step *steps;

    uint32_t n_inputs, n_outputs;
    uint32_t *inputs, *outputs; // values
    bool submitted;
    unsigned char *arena;
    size_t arena_bytes, activation_bytes; // activation_bytes: of the largest two alive together
};

static inline void *cpu_data(const struct cpu_program *program, uint32_t value)
{
    return program->values[value].data;
}

// First and end of `part` of `count` things.
static inline int64_t cpu_share(int64_t count, uint32_t part, uint32_t parts)
{
    return count * part / parts;
}

int cpu_compile(struct cpu_program *program, const struct sl_graph *graph, struct sl_error *error);
// Places all values of the arena; -ENOMEM.
int cpu_plan(struct cpu_program *program, struct sl_error *error);
void cpu_bind(struct cpu_program *program, uint32_t value, void *data);
int cpu_run(struct cpu_program *program, int64_t deadline_ns, struct sl_error *error);

#endif
