// Steps that turn one element, or two that stand at the same place, into one: which elements of
// their tensors some rows are.
#ifndef SL_ACCEL_CPU_FLAT_H
#define SL_ACCEL_CPU_FLAT_H

#include "accel/cpu/compile.h"

// `planes` times rows of `row` elements, `plane` elements apart; of `total` elements the last row
// may be short. Elements of a and b have `x_size` bytes.
struct cpu_flat {
    uint32_t a, b, y; // values; b: CPU_NONE if there is none
    uint32_t x_size, y_size;
    int64_t planes, plane, row, total;
};

struct cpu_piece {
    const void *a, *b; // b: NULL if there is none
    void *y;
    int64_t count; // elements
};

// The rows [first, end) of a plane.
struct cpu_piece cpu_flat_piece(const struct cpu_program *program, const struct cpu_flat *flat,
                                int64_t plane, int64_t first, int64_t end);
// Sets the rest of `flat`, whose values are set, for a result like `y`, and the step's rows and
// uses.
int cpu_set_flat(struct cpu_compiler *c, struct cpu_step *step, struct cpu_flat *flat,
                 const struct sl_tensor *x, const struct sl_tensor *y, enum cpu_layout layout);

#endif
