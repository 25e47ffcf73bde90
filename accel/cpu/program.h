// A compiled program: values (tensors in a layout), steps, and one arena for all activations.
//
// compile.c turns nodes into steps, stripes.c groups them, plan.c gives values their place in the
// arena, run.c runs.
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

enum cpu_place { CPU_IN_ARENA, CPU_CONSTANT, CPU_INPUT, CPU_OUTPUT, CPU_NOWHERE };

// A piece of memory that steps read and write.
struct cpu_value {
    enum cpu_place place;
    uint32_t first, last; // steps between which it must stay, for the arena
    bool is_scratch;      // no activation
    int64_t rows;         // of a single picture's map in NHWC; 0: not such a map
    size_t bytes, offset;
    void *data; // where it is: fixed after planning, or as bound
};

struct cpu_kernels;
struct cpu_program;
struct cpu_step;

// What output rows [first, end) are computed from: the rows [first * stride / enlarge - before,
// (end - 1) * stride / enlarge - before + reach) of a value, as far as it has them.
struct cpu_reads {
    uint32_t value;
    int64_t stride, enlarge, before, reach;
};

// Maps that are computed by rows of y.
struct cpu_rows {
    int64_t height;   // rows of all pictures
    int64_t together; // rows that are best computed together
    uint32_t y;
    uint32_t n_reads; // 0: no stripes
    struct cpu_reads *reads;
    size_t weights; // bytes that are read for every stripe
};

struct cpu_step {
    // Runs the step's share `part` of `parts`; all parts may run at the same time.
    int (*run)(const struct cpu_program *program, const struct cpu_step *step, uint32_t part,
               uint32_t parts, struct sl_error *error);
    // Or, where this is set, the rows [first, end), as one of several threads at this time.
    void (*run_rows)(const struct cpu_program *program, const struct cpu_step *step,
                     uint32_t thread, int64_t first, int64_t end);
    // Or NULL: makes the step write its map into the pixels of a wider one, from byte `first` of
    // each on; pixels of `y` are y_step bytes.
    void (*write_into)(struct cpu_step *step, uint32_t y, size_t first, size_t y_step);
    struct cpu_rows rows;
    const void *state;
    const char *node, *kernel;
    uint64_t macs, left_out; // left_out: of weights that are zero
    bool serial;             // has one part only
    float us;                // of the last run
};

// A value of which a group keeps only the rows that are still read.
struct cpu_window {
    uint32_t value;
    size_t row_bytes;
    unsigned char *memory;
    int64_t rows;   // that fit
    int64_t *first; // [stripe]: the row that `memory` begins with
    int64_t *end;   // [stripe]: how far rows were computed before it
};

// Steps that follow each other and run together in stripes, a few rows of each at a time.
struct cpu_group {
    uint32_t first, count, n_stripes;
    int64_t *end; // [stripe][step]: rows that are computed with this stripe
    uint32_t n_windows;
    struct cpu_window *windows;
};

// How rows are cut into stripes: cpu_stripes_parse has the words.
struct cpu_stripes {
    enum { CPU_STRIPES_AUTO, CPU_STRIPES_NO, CPU_STRIPES_ROWS } kind;
    int64_t rows;       // of the first step of a group
    size_t cache_bytes; // for activations
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
    uint32_t n_groups;
    struct cpu_group *groups; // in the order of their steps

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

int cpu_compile(struct cpu_program *program, const struct sl_graph *graph,
                const struct cpu_stripes *stripes, struct sl_error *error);
// Groups the steps and says which rows each stripe computes and keeps; -ENOMEM.
int cpu_group_steps(struct cpu_program *program, const struct cpu_stripes *stripes,
                    struct sl_error *error);
// Places all values of the arena; -ENOMEM.
int cpu_plan(struct cpu_program *program, struct sl_error *error);
void cpu_bind(struct cpu_program *program, uint32_t value, void *data);
int cpu_run(struct cpu_program *program, int64_t deadline_ns, struct sl_error *error);

#endif
