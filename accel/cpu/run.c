// Runs a program's steps, one after the other or in stripes, each on all threads.
#include "accel/cpu/program.h"

#include <errno.h>
#include <string.h>
#include <time.h>

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

struct work {
    const struct cpu_program *program;
    const struct cpu_step *step;
    int64_t first, end; // rows
    uint32_t pieces;
};

static uint32_t count_pieces(const struct work *work, uint32_t parts)
{
    const int64_t together = work->step->rows.together;
    if (!work->step->run_rows)
        return parts;
    return (uint32_t)((work->end - work->first + together - 1) / together);
}

static int run_pieces(void *ctx, uint32_t thread, uint32_t first, uint32_t end,
                      struct sl_error *error)
{
    const struct work *work = ctx;
    const struct cpu_step *step = work->step;
    int status = 0;
    if (!step->run_rows) {
        for (uint32_t i = first; i < end && status == 0; i++)
            status = step->run(work->program, step, i, work->pieces, error);
        return status;
    }
    const int64_t row = work->first + first * step->rows.together,
                  last = work->first + end * step->rows.together;
    step->run_rows(work->program, step, thread, row, last < work->end ? last : work->end);
    return 0;
}

struct run {
    struct cpu_program *program;
    int64_t deadline_ns, now_ns;
    struct sl_error *error;
};

static int run_step(struct run *run, uint32_t number, int64_t first, int64_t end)
{
    struct cpu_step *step = &run->program->steps[number];
    if (run->now_ns >= run->deadline_ns)
        return sl_error_set(run->error, -ETIMEDOUT,
                            "the deadline passed before node '%s' (%u of %u)", step->node,
                            number + 1, run->program->n_steps);
    struct cpu_threads *threads = step->serial ? NULL : run->program->threads;
    struct work work = {run->program, step, first, end, 0};
    work.pieces = count_pieces(&work, cpu_threads_count(threads));
    int status = cpu_threads_run(threads, work.pieces, run_pieces, &work, run->error);
    int64_t after = now_ns();
    float us = (float)(after - run->now_ns) / 1000.0f;
    step->us = first > 0 ? step->us + us : us;
    run->now_ns = after;
    return status;
}

// Rows that are still read move to the beginning of the window; the value's address is that of row
// 0, which may no longer be there.
static void move_window(struct cpu_program *program, const struct cpu_window *w, uint32_t stripe)
{
    int64_t first = w->first[stripe], before = stripe > 0 ? w->first[stripe - 1] : 0;
    if (first > before)
        memmove(w->memory, w->memory + (size_t)(first - before) * w->row_bytes,
                (size_t)(w->end[stripe] - first) * w->row_bytes);
    program->values[w->value].data =
        (void *)((uintptr_t)w->memory - (uintptr_t)first * w->row_bytes);
}

static int run_group(struct run *run, const struct cpu_group *group)
{
    for (uint32_t s = 0; s < group->n_stripes; s++) {
        const int64_t *end = group->end + (size_t)s * group->count;
        for (uint32_t i = 0; i < group->n_windows; i++)
            move_window(run->program, &group->windows[i], s);
        for (uint32_t k = 0; k < group->count; k++) {
            int64_t first = s > 0 ? end[(int64_t)k - group->count] : 0;
            int status = first < end[k] ? run_step(run, group->first + k, first, end[k]) : 0;
            if (status)
                return status;
        }
    }
    return 0;
}

int cpu_run(struct cpu_program *program, int64_t deadline_ns, struct sl_error *error)
{
    struct run run = {program, deadline_ns, now_ns(), error};
    const struct cpu_group *group = program->groups, *end = group + program->n_groups;
    for (uint32_t i = 0; i < program->n_steps;) {
        bool striped = group < end && group->first == i;
        int status =
            striped ? run_group(&run, group) : run_step(&run, i, 0, program->steps[i].rows.height);
        if (status)
            return status;
        i += striped ? group->count : 1;
        group += striped;
    }
    return 0;
}
