// One run: down the steps until one answers, within one deadline.
#include "accel/ladder/steps.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MS         ((int64_t)1000000)
#define SPARE_NS   (2 * MS)
#define ANY_RUN_NS (1000 * MS) // where neither the caller nor the step has a deadline

void ladder_copy(struct sl_buffer *to, const struct sl_buffer *from, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        memcpy(to[i].data, from[i].data, to[i].bytes);
}

static bool is_ready(struct ladder *l, uint32_t index)
{
    pthread_mutex_lock(&l->lock);
    bool ready = l->steps[index].state == STEP_READY;
    pthread_mutex_unlock(&l->lock);
    return ready;
}

// What the next step that is well needs is kept back, but never more than half of what is left.
static int64_t deadline_of(struct ladder *l, const struct step *step, int64_t deadline_ns)
{
    const int64_t now = l->host->now_ns();
    int64_t mine = deadline_ns, keep = 0;
    pthread_mutex_lock(&l->lock);
    for (uint32_t i = step->index + 1; i < l->n_steps && keep == 0; i++)
        if (l->steps[i].state == STEP_READY)
            keep = 2 * l->steps[i].worst_ns + SPARE_NS;
    pthread_mutex_unlock(&l->lock);
    if (deadline_ns == INT64_MAX)
        mine = keep ? now + ANY_RUN_NS : INT64_MAX;
    else if (deadline_ns > now)
        mine = deadline_ns - (keep < (deadline_ns - now) / 2 ? keep : (deadline_ns - now) / 2);
    const int64_t own = (int64_t)step->deadline_ms * MS;
    return own && mine - now > own ? now + own : mine;
}

// On the step's thread and tensors.
static int run_there(struct step *step, struct ladder_program *program, int64_t deadline_ns,
                     struct sl_error *error)
{
    struct ladder *l = step->ladder;
    struct sl_tensors *own = &program->own[step->index];
    ladder_copy(own->buffers, program->buffers, program->n_inputs);
    pthread_mutex_lock(&l->lock);
    step->state = STEP_WORKING;
    step->job = program;
    step->job_deadline_ns = deadline_ns;
    pthread_cond_broadcast(&l->changed);
    while (step->state == STEP_WORKING && l->host->now_ns() < deadline_ns)
        ladder_until(l, deadline_ns);
    int status = step->job_status;
    if (step->state == STEP_WORKING) {
        step->state = STEP_LATE;
        status = sl_error_set(error, -ETIMEDOUT, "no answer in time");
    } else if (status) {
        *error = step->job_error;
    }
    pthread_mutex_unlock(&l->lock);
    if (status == 0)
        ladder_copy(program->buffers + program->n_inputs, own->buffers + program->n_inputs,
                    program->n_tensors - program->n_inputs);
    return status;
}

// Puts other memory at the same address, with the same contents, so that a process that does not
// end writes to what nobody reads.
static int replace_memory(struct ladder_program *program, uint32_t i)
{
    struct sl_buffer *buffer = &program->buffers[i];
    if (buffer->memory != SL_MEMORY_MEMFD || buffer->bytes == 0)
        return 0;
    int fd = memfd_create("sightline-tensor", MFD_CLOEXEC);
    if (fd < 0)
        return -errno;
    size_t done = 0;
    ssize_t wrote = 1;
    while (done < buffer->bytes && wrote > 0) {
        wrote = write(fd, (const char *)buffer->data + done, buffer->bytes - done);
        done += wrote > 0 ? (size_t)wrote : 0;
    }
    if (done < buffer->bytes || mmap(buffer->data, buffer->bytes, PROT_READ | PROT_WRITE,
                                     MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED) {
        close(fd);
        return -ENOMEM;
    }
    if (program->replaced[i] >= 0)
        close(program->replaced[i]);
    program->replaced[i] = buffer->fd = fd;
    buffer->offset = 0;
    return 0;
}

static void take_back_memory(struct ladder *l, struct step *culprit, struct ladder_program *program)
{
    struct sl_error error = {""};
    for (uint32_t i = 0; i < program->n_tensors; i++)
        if (replace_memory(program, i) != 0)
            ladder_say(l, 3, culprit, "cannot be cut off from its tensors", "no memory");
    for (uint32_t i = 0; i < l->n_steps; i++) {
        struct step *step = &l->steps[i];
        if (step == culprit || !is_ready(l, i) || step_bind(step, program, &error) == 0)
            continue;
        pthread_mutex_lock(&l->lock);
        step_break(step, error.message);
        pthread_mutex_unlock(&l->lock);
    }
}

// In this thread and on the caller's tensors.
static int run_here(struct step *step, struct ladder_program *program, int64_t deadline_ns,
                    bool *going_on, struct sl_error *error)
{
    struct ladder *l = step->ladder;
    const int64_t start = l->host->now_ns();
    int status = step_run(step, program, deadline_ns, going_on, error);
    const int64_t took = l->host->now_ns() - start;
    pthread_mutex_lock(&l->lock);
    step->worst_ns -= step->worst_ns / 64;
    if (status == 0 && took > step->worst_ns)
        step->worst_ns = took;
    pthread_mutex_unlock(&l->lock);
    return status;
}

static void strike(struct step *step, int status, bool at_once, const char *cause)
{
    struct ladder *l = step->ladder;
    ladder_say(l, 4, step, "failed", cause);
    pthread_mutex_lock(&l->lock);
    step->strikes++;
    snprintf(step->reason, sizeof(step->reason), "%.*s", (int)sizeof(step->reason) - 1, cause);
    if (step->state == STEP_READY && (at_once || status == -ENODEV || step->strikes >= l->strikes))
        step_break(step, cause);
    pthread_mutex_unlock(&l->lock);
}

static int run_on(struct step *step, struct ladder_program *program, int64_t deadline_ns,
                  struct sl_error *error)
{
    struct ladder *l = step->ladder;
    const int64_t mine = deadline_of(l, step, deadline_ns);
    bool going_on = false;
    int status = step->punctual ? run_here(step, program, mine, &going_on, error)
                                : run_there(step, program, mine, error);
    if (status)
        strike(step, status, going_on, error->message);
    if (going_on)
        take_back_memory(l, step, program);
    return status;
}

static int bind_outputs(struct step *step, struct ladder_program *program,
                        const struct sl_buffer *outputs)
{
    int status = 0;
    for (uint32_t i = 0; status == 0 && i < program->n_tensors - program->n_inputs; i++)
        status = step->inner.backend->bind_output(
            step->inner.device, step->programs[program->index], i, &outputs[i], NULL);
    return status;
}

// The last step's answer into tensors of its own.
static int run_reference(struct step *last, struct ladder_program *program, int64_t deadline_ns,
                         struct sl_error *error)
{
    struct sl_buffer *own = program->own[last->index].buffers + program->n_inputs;
    bool going_on = false;
    if (!last->punctual)
        return -ENOTSUP;
    int status = bind_outputs(last, program, own);
    if (status == 0)
        status = run_here(last, program, deadline_ns, &going_on, error);
    int bound = bind_outputs(last, program, program->buffers + program->n_inputs);
    if (bound || going_on) {
        pthread_mutex_lock(&last->ladder->lock);
        step_break(last, "cross-check");
        pthread_mutex_unlock(&last->ladder->lock);
    }
    return status ? status : bound;
}

// 0: confirmed, or the last step's answer put in its place. Otherwise it could not be checked in
// time; what the last step needs is then taken to be a little less, or it would never be tried
// again.
static int cross_check(struct ladder *l, struct step *step, struct ladder_program *program,
                       int64_t deadline_ns, struct sl_error *error)
{
    struct step *last = last_step(l);
    pthread_mutex_lock(&l->lock);
    const bool fits = deadline_ns - l->host->now_ns() >= 2 * last->worst_ns;
    last->worst_ns -= fits ? 0 : last->worst_ns / 8;
    pthread_mutex_unlock(&l->lock);
    if (!fits)
        return sl_error_set(error, -ETIMEDOUT, "no time for a cross-check");
    if (!is_ready(l, last->index))
        return sl_error_set(error, -ENODEV, "nothing to cross-check with");
    int status = run_reference(last, program, deadline_ns, error);
    if (status)
        return sl_error_prefix(error, status, "cross-check");
    struct sl_buffer *outputs = program->buffers + program->n_inputs;
    const struct sl_buffer *expected = program->own[last->index].buffers + program->n_inputs;
    status = golden_compare(program->graph, outputs, expected, l->tolerance_permille, error);
    pthread_mutex_lock(&l->lock);
    l->standing.checks++;
    l->standing.alarms += status != 0;
    pthread_mutex_unlock(&l->lock);
    if (status == 0)
        return 0;
    ladder_say(l, 3, step, "disagrees with the last step", error->message);
    ladder_copy(outputs, expected, program->n_tensors - program->n_inputs);
    strike(step, status, true, error->message);
    return 0;
}

// Where every answer is to be checked, one that was not does not count.
static int answered(struct ladder *l, struct step *step, struct ladder_program *program,
                    int64_t deadline_ns, struct sl_error *error)
{
    pthread_mutex_lock(&l->lock);
    step->strikes = 0;
    if (step->state == STEP_READY)
        step->reason[0] = '\0';
    pthread_mutex_unlock(&l->lock);
    l->runs++;
    int status = 0;
    if (l->cross_check && step != last_step(l) && l->runs % l->cross_check == 0)
        status = cross_check(l, step, program, deadline_ns, error);
    if (status && l->cross_check == 1)
        return status;
    pthread_mutex_lock(&l->lock);
    l->actual = step->index;
    l->standing.fallbacks += step->index > 0;
    pthread_mutex_unlock(&l->lock);
    return l->host->now_ns() <= deadline_ns
               ? 0
               : sl_error_set(error, -ETIMEDOUT, "%s answered after the deadline", step->label);
}

int ladder_frame(struct ladder *l, struct ladder_program *program, int64_t deadline_ns,
                 struct sl_error *error)
{
    struct sl_error last = {"no step is well"};
    int status = -ENODEV;
    for (uint32_t i = 0; i < l->n_steps; i++) {
        struct step *step = &l->steps[i];
        pthread_mutex_lock(&l->lock);
        const bool ready = step->state == STEP_READY;
        step->strikes += step->state == STEP_LATE;
        pthread_mutex_unlock(&l->lock);
        if (!ready)
            continue;
        status = run_on(step, program, deadline_ns, &last);
        if (status == 0)
            status = answered(l, step, program, deadline_ns, &last);
        if (status == 0)
            return 0;
    }
    return sl_error_set(error, status, "ladder: %s", last.message);
}
