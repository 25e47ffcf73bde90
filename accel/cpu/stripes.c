// Choosing groups of steps that run in stripes.
#include "accel/cpu/stripes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MAX_ROWS 65536
// Stripes by themselves are no lower: every one of them reads some rows again.
#define LEAST_ROWS 8
// Bounds for what planning takes, however large the network.
#define MAX_STRIPES 128
#define MAX_STEPS   32

int cpu_stripes_parse(const char *text, struct cpu_stripes *stripes, struct sl_error *error)
{
    char *end;
    unsigned long rows = strtoul(text, &end, 10);
    if (strcmp(text, "auto") == 0)
        stripes->kind = CPU_STRIPES_AUTO;
    else if (strcmp(text, "no") == 0)
        stripes->kind = CPU_STRIPES_NO;
    else if (*text < '0' || *text > '9' || *end || rows < 1 || rows > MAX_ROWS)
        return sl_error_set(error, -EINVAL,
                            "option stripes: expected auto, no or 1 to %d rows, found '%s'",
                            MAX_ROWS, text);
    else {
        stripes->kind = CPU_STRIPES_ROWS;
        stripes->rows = (int64_t)rows;
    }
    return 0;
}

static bool can_stripe(const struct cpu_step *step)
{
    return step->run_rows && !step->serial && step->rows.n_reads > 0;
}

static uint32_t end_of_run(const struct cpu_program *program, uint32_t first)
{
    uint32_t end = first;
    while (end < program->n_steps && end - first < MAX_STEPS && can_stripe(&program->steps[end]))
        end++;
    return end;
}

// Bytes that go through the cache when the step runs by itself.
static size_t traffic(const struct cpu_program *program, const struct cpu_step *step)
{
    size_t bytes = program->values[step->rows.y].bytes;
    for (uint32_t i = 0; i < step->rows.n_reads; i++)
        bytes += program->values[step->rows.reads[i].value].bytes;
    return bytes;
}

// Bytes of maps that a stripe works on: windows, and the group's share of the others.
static size_t working_set(const struct cpu_program *program, const struct cpu_group *group)
{
    size_t bytes = 0;
    for (uint32_t k = 0; k < group->count; k++) {
        const struct cpu_rows *rows = &program->steps[group->first + k].rows;
        int64_t kept = cpu_is_window(program, group, k) ? cpu_rows_kept(program, group, k)
                                                        : rows->height / group->n_stripes + 1;
        bytes += program->values[rows->y].bytes / (size_t)rows->height * (size_t)kept;
        for (uint32_t i = 0; i < rows->n_reads; i++) {
            const struct cpu_value *x = &program->values[rows->reads[i].value];
            if (x->first < group->first || x->place == CPU_INPUT)
                bytes += x->bytes / group->n_stripes;
        }
    }
    return bytes;
}

// Weights are read again for every stripe: more than what the stripes save?
static bool weights_are_light(const struct cpu_program *program, const struct cpu_group *group)
{
    for (uint32_t k = 0; k < group->count; k++) {
        const struct cpu_step *step = &program->steps[group->first + k];
        if (step->rows.weights * (group->n_stripes - 1) > traffic(program, step))
            return false;
    }
    return true;
}

// The highest stripes with which the group's maps stay in the cache; 0: none.
static int64_t find_rows(const struct cpu_program *program, struct cpu_group *group, size_t cache)
{
    int64_t height = program->steps[group->first].rows.height;
    for (int64_t parts = 2; height / parts >= LEAST_ROWS && parts <= MAX_STRIPES;
         parts += (parts + 3) / 4) {
        int64_t rows = (height / parts + LEAST_ROWS - 1) / LEAST_ROWS * LEAST_ROWS;
        group->n_stripes = cpu_count_stripes(program, group->first, rows);
        cpu_schedule(program, group, rows);
        if (!weights_are_light(program, group))
            return 0;
        if (working_set(program, group) <= cache)
            return rows;
    }
    return 0;
}

struct choice {
    struct cpu_program *program;
    const struct cpu_stripes *stripes;
    int64_t *end; // room for the longest schedule
};

// A long group that begins with step `first`, and the height of its stripes; 0: none.
static int64_t choose(const struct choice *choice, uint32_t first, uint32_t end,
                      struct cpu_group *group)
{
    struct cpu_program *p = choice->program;
    *group = (struct cpu_group){.first = first, .count = end - first, .end = choice->end};
    if (choice->stripes->kind == CPU_STRIPES_ROWS) {
        int64_t least = (p->steps[first].rows.height + MAX_STRIPES - 1) / MAX_STRIPES;
        int64_t rows = choice->stripes->rows > least ? choice->stripes->rows : least;
        group->n_stripes = cpu_count_stripes(p, first, rows);
        cpu_schedule(p, group, rows);
        return rows;
    }
    for (group->count = 0; first + group->count < end; group->count++)
        if (traffic(p, &p->steps[first + group->count]) <= choice->stripes->cache_bytes)
            break;
    for (; group->count > 1; group->count -= (group->count + 3) / 4) {
        int64_t rows = find_rows(p, group, choice->stripes->cache_bytes);
        if (rows > 0)
            return rows;
    }
    return 0;
}

// Copies what was chosen into the program and adds the windows.
static int keep(struct cpu_program *p, const struct cpu_group *chosen)
{
    struct cpu_group *group = &p->groups[p->n_groups++];
    size_t stripes = chosen->n_stripes, count = chosen->count;
    *group = *chosen;
    group->end = region_copy(&p->region, chosen->end, stripes * count * sizeof(*group->end));
    group->windows = region_take(&p->region, count, sizeof(*group->windows));
    if (!group->end || !group->windows)
        return -ENOMEM;
    for (uint32_t k = 0; k < count; k++) {
        const struct cpu_rows *rows = &p->steps[group->first + k].rows;
        if (!cpu_is_window(p, group, k))
            continue;
        struct cpu_window *window = &group->windows[group->n_windows++];
        *window = (struct cpu_window){.value = rows->y,
                                      .row_bytes = p->values[rows->y].bytes / (size_t)rows->height,
                                      .rows = cpu_rows_kept(p, group, k),
                                      .first = region_take(&p->region, stripes, sizeof(int64_t)),
                                      .end = region_take(&p->region, stripes, sizeof(int64_t))};
        if (!window->first || !window->end)
            return -ENOMEM;
        for (uint32_t s = 0; s < stripes; s++) {
            window->first[s] = cpu_first_row(p, group, s, k);
            window->end[s] = s > 0 ? group->end[(s - 1) * count + k] : 0;
        }
    }
    return 0;
}

static int choose_all(const struct choice *choice)
{
    struct cpu_program *p = choice->program;
    uint32_t first = 0;
    while (first < p->n_steps) {
        struct cpu_group group;
        uint32_t end = end_of_run(p, first);
        int64_t rows = end - first > 1 ? choose(choice, first, end, &group) : 0;
        if (rows == 0 || group.n_stripes < 2) {
            first++;
            continue;
        }
        if (keep(p, &group))
            return -ENOMEM;
        first += group.count;
    }
    return 0;
}

int cpu_group_steps(struct cpu_program *p, const struct cpu_stripes *stripes,
                    struct sl_error *error)
{
    // Threads meet after every stripe of every step: on a busy machine that costs more than the
    // cache gives.
    bool alone = cpu_threads_count(p->threads) == 1;
    if (stripes->kind == CPU_STRIPES_NO || (stripes->kind == CPU_STRIPES_AUTO && !alone))
        return 0;
    struct choice choice = {
        .program = p, .stripes = stripes, .end = calloc(MAX_STRIPES * MAX_STEPS, sizeof(int64_t))};
    p->groups = region_take(&p->region, p->n_steps + 1, sizeof(*p->groups));
    int status = choice.end && p->groups ? choose_all(&choice) : -ENOMEM;
    free(choice.end);
    return status ? sl_error_set(error, status, "no memory to plan stripes of %u steps", p->n_steps)
                  : 0;
}
