// Groups of steps that run in stripes: which rows every step computes in every stripe.
//
// Stripes follow the first steps of a group, those that read nothing that the group computes: these
// get as many rows a stripe as the option says, the others compute what their inputs allow. A map
// that only the group reads is a window: the rows that a later stripe still reads move to its
// beginning, so that the steps find them where they would stand in the whole map.
//
// Nothing depends on the instruction set; results are the same bytes for any height.
#ifndef SL_ACCEL_CPU_STRIPES_H
#define SL_ACCEL_CPU_STRIPES_H

#include "accel/cpu/program.h"

// `text` is "auto", "no" or a number of rows; -EINVAL.
int cpu_stripes_parse(const char *text, struct cpu_stripes *stripes, struct sl_error *error);

// What a group would do with stripes of `rows` rows of its first step. The tables belong to the
// caller: n_stripes * group->count numbers at group->end.
uint32_t cpu_count_stripes(const struct cpu_program *program, uint32_t first, int64_t rows);
void cpu_schedule(const struct cpu_program *program, struct cpu_group *group, int64_t rows);
// The first row of what step `step` of the group computes that stripe `stripe` or a later one
// reads; no more than were computed before it.
int64_t cpu_first_row(const struct cpu_program *program, const struct cpu_group *group,
                      uint32_t stripe, uint32_t step);
// Rows of that step's result that are there at the same time, at most.
int64_t cpu_rows_kept(const struct cpu_program *program, const struct cpu_group *group,
                      uint32_t step);
// Is the result of the step read by the group alone?
bool cpu_is_window(const struct cpu_program *program, const struct cpu_group *group, uint32_t step);

#endif
