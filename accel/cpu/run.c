// Runs a program's steps, one after the other, each on all threads.
#include "accel/cpu/program.h"

#include <errno.h>
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
};

static int run_part(void *ctx, uint32_t part, uint32_t parts, struct sl_error *error)
{
    const struct work *work = ctx;
    return work->step->run(work->program, work->step, part, parts, error);
}

static int run_step(const struct cpu_program *program, const struct cpu_step *step,
                    struct sl_error *error)
{
    struct work work = {program, step};
    struct cpu_threads *threads = step->serial ? NULL : program->threads;
    return cpu_threads_run(threads, run_part, &work, error);
}

int cpu_run(struct cpu_program *program, int64_t deadline_ns, struct sl_error *error)
{
    int64_t before = now_ns();
    for (uint32_t i = 0; i < program->n_steps; i++) {
        if (before >= deadline_ns)
            return sl_error_set(error, -ETIMEDOUT,
                                "the deadline passed before node '%s' (%u of %u)",
                                program->steps[i].node, i + 1, program->n_steps);
        int status = run_step(program, &program->steps[i], error);
        if (status)
            return status;
        int64_t after = now_ns();
        program->steps[i].us = (float)(after - before) / 1000.0f;
        before = after;
    }
    return 0;
}
