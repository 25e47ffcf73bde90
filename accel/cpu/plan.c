// Places the program's activations in one arena: values whose lives do not overlap share memory.
// All that a group of steps in stripes reads and writes lives as long as the group runs, but of its
// windows there are only some rows.
#include "accel/cpu/program.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

// Vector kernels may read, never write, a little beyond a value.
#define SLACK ((size_t)256)

static size_t size_of(const struct cpu_value *value)
{
    return (value->bytes + SLACK + 63) & ~(size_t)63;
}

static int by_first(const void *a, const void *b)
{
    const struct cpu_value *x = *(const struct cpu_value *const *)a;
    const struct cpu_value *y = *(const struct cpu_value *const *)b;
    if (x->first != y->first)
        return x->first < y->first ? -1 : 1;
    return x->bytes < y->bytes ? 1 : x->bytes > y->bytes ? -1 : 0;
}

// `live` holds the values in use, ordered by offset.
struct plan {
    struct cpu_value **order, **live;
    uint32_t count, n_live;
    size_t end;
};

static void drop_dead(struct plan *plan, uint32_t step)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < plan->n_live; i++)
        if (plan->live[i]->last >= step)
            plan->live[kept++] = plan->live[i];
    plan->n_live = kept;
}

// The smallest gap that fits, else behind the last.
static void place(struct plan *plan, struct cpu_value *value)
{
    size_t need = size_of(value), at = 0, best_gap = SIZE_MAX;
    uint32_t slot = plan->n_live;
    for (uint32_t i = 0; i < plan->n_live; i++) {
        size_t gap = plan->live[i]->offset - at;
        if (gap >= need && gap < best_gap) {
            best_gap = gap;
            slot = i;
            value->offset = at;
        }
        at = plan->live[i]->offset + size_of(plan->live[i]);
    }
    if (best_gap == SIZE_MAX)
        value->offset = at;
    memmove(plan->live + slot + 1, plan->live + slot, (plan->n_live - slot) * sizeof(*plan->live));
    plan->live[slot] = value;
    plan->n_live++;
    if (value->offset + need > plan->end)
        plan->end = value->offset + need;
}

static void place_all(struct plan *plan)
{
    qsort(plan->order, plan->count, sizeof(*plan->order), by_first);
    for (uint32_t i = 0; i < plan->count; i++) {
        drop_dead(plan, plan->order[i]->first);
        place(plan, plan->order[i]);
    }
}

// The largest that two activations need which are alive in the same step.
static size_t largest_two(const struct cpu_program *program)
{
    size_t most = 0;
    for (uint32_t step = 0; step < program->n_steps; step++) {
        size_t first = 0, second = 0;
        for (uint32_t i = 0; i < program->n_values; i++) {
            const struct cpu_value *v = &program->values[i];
            if (v->place == CPU_CONSTANT || v->place == CPU_NOWHERE || v->is_scratch ||
                v->first > step || v->last < step)
                continue;
            second = v->bytes > first ? first : v->bytes > second ? v->bytes : second;
            first = v->bytes > first ? v->bytes : first;
        }
        most = first + second > most ? first + second : most;
    }
    return most;
}

static void live_through(struct cpu_value *value, const struct cpu_group *group)
{
    uint32_t last = group->first + group->count - 1;
    value->first = value->first < group->first ? value->first : group->first;
    value->last = value->last > last ? value->last : last;
}

static void extend_lives(struct cpu_program *program, const struct cpu_group *group)
{
    for (uint32_t k = 0; k < group->count; k++) {
        const struct cpu_rows *rows = &program->steps[group->first + k].rows;
        live_through(&program->values[rows->y], group);
        for (uint32_t i = 0; i < rows->n_reads; i++)
            live_through(&program->values[rows->reads[i].value], group);
    }
    for (uint32_t i = 0; i < group->n_windows; i++) {
        const struct cpu_window *window = &group->windows[i];
        program->values[window->value].bytes = (size_t)window->rows * window->row_bytes;
    }
}

static void set_addresses(struct cpu_program *program)
{
    for (uint32_t i = 0; i < program->n_values; i++) {
        struct cpu_value *value = &program->values[i];
        if (value->place == CPU_IN_ARENA)
            value->data = program->arena + value->offset;
    }
    for (uint32_t g = 0; g < program->n_groups; g++)
        for (uint32_t i = 0; i < program->groups[g].n_windows; i++) {
            struct cpu_window *window = &program->groups[g].windows[i];
            window->memory = program->values[window->value].data;
        }
    for (uint32_t t = 0; t < program->n_tensors; t++)
        if (program->plain_value[t] != CPU_NONE)
            program->plain[t] = program->values[program->plain_value[t]].data;
}

int cpu_plan(struct cpu_program *program, struct sl_error *error)
{
    struct plan plan = {0};
    size_t room = (size_t)program->n_values + 1;
    plan.order = calloc(2 * room, sizeof(*plan.order));
    if (!plan.order)
        return sl_error_set(error, -ENOMEM, "no memory for the plan of %u values",
                            program->n_values);
    plan.live = plan.order + room;
    for (uint32_t g = 0; g < program->n_groups; g++)
        extend_lives(program, &program->groups[g]);
    for (uint32_t i = 0; i < program->n_values; i++)
        if (program->values[i].place == CPU_IN_ARENA)
            plan.order[plan.count++] = &program->values[i];
    place_all(&plan);
    free(plan.order);
    program->arena_bytes = plan.end + SLACK;
    program->activation_bytes = largest_two(program);
    program->arena = region_take(&program->region, 1, program->arena_bytes);
    if (!program->arena)
        return sl_error_set(error, -ENOMEM, "no memory for activations of %zu bytes",
                            program->arena_bytes);
    set_addresses(program);
    return 0;
}

void cpu_bind(struct cpu_program *program, uint32_t value, void *data)
{
    program->values[value].data = data;
    for (uint32_t t = 0; t < program->n_tensors; t++)
        if (program->plain_value[t] == value)
            program->plain[t] = data;
}
