// One step: opening, checking, mending, and its thread.
#include "accel/ladder/steps.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define MS               ((int64_t)1000000)
#define FIRST_GOLDEN_NS  (10000 * MS)
#define GOLDEN_NS        (100 * MS) // and what twenty runs take
#define LATE_POLL_NS     (20 * MS)
#define LATE_LIMIT_NS    (1000 * MS)
#define LONGEST_PAUSE_MS 60000

void ladder_until(struct ladder *l, int64_t deadline_ns)
{
    struct timespec when = {deadline_ns / 1000000000, deadline_ns % 1000000000};
    if (deadline_ns == INT64_MAX)
        pthread_cond_wait(&l->changed, &l->lock);
    else
        pthread_cond_timedwait(&l->changed, &l->lock, &when);
}

void ladder_say(struct ladder *l, int level, const struct step *step, const char *what,
                const char *cause)
{
    char text[SL_ERROR_MAX + 256];
    snprintf(text, sizeof(text), "accelerator ladder: %s %s%s%.500s", step->label, what,
             cause[0] ? ": " : "", cause);
    l->host->log(level, text);
}

int step_open(struct step *step, struct sl_error *error)
{
    int status = sl_inner_open(step->ladder->host, step->config, &step->inner, error);
    if (status == 0)
        step->punctual = step->inner.backend->traits & SL_TRAIT_PUNCTUAL;
    return status;
}

void step_close(struct step *step)
{
    const struct sl_backend *b = step->inner.backend;
    if (!b)
        return;
    for (uint32_t i = 0; i < LADDER_PROGRAMS; i++)
        if (step->programs[i])
            b->release(step->inner.device, step->programs[i]);
    memset(step->programs, 0, sizeof(step->programs));
    b->close(step->inner.device);
    step->inner = (struct sl_inner){0};
}

int step_run(struct step *step, struct ladder_program *program, int64_t deadline_ns, bool *going_on,
             struct sl_error *error)
{
    const struct sl_backend *b = step->inner.backend;
    void *inner = step->programs[program->index];
    struct sl_error ignored;
    *going_on = false;
    int status = b->submit(step->inner.device, inner, error);
    if (status == 0)
        status = b->wait(step->inner.device, inner, deadline_ns, error);
    if (status == -ETIMEDOUT)
        *going_on = b->wait(step->inner.device, inner, step->ladder->host->now_ns(), &ignored) ==
                    -ETIMEDOUT;
    return status;
}

static void note_time(struct step *step, int64_t ns)
{
    pthread_mutex_lock(&step->ladder->lock);
    step->worst_ns -= step->worst_ns / 64;
    step->worst_ns = ns > step->worst_ns ? ns : step->worst_ns;
    pthread_mutex_unlock(&step->ladder->lock);
}

// Long where nothing is known of the step; else such that one that hangs is soon tried anew.
static int64_t golden_deadline(struct step *step)
{
    struct ladder *l = step->ladder;
    pthread_mutex_lock(&l->lock);
    const int64_t worst = step->worst_ns;
    pthread_mutex_unlock(&l->lock);
    return l->host->now_ns() + (worst ? GOLDEN_NS + 20 * worst : FIRST_GOLDEN_NS);
}

// The made-up input on tensors of its own; the last step's answer is right by definition.
static int check(struct step *step, struct ladder_program *program, struct sl_error *error)
{
    struct ladder *l = step->ladder;
    struct sl_tensors *own = &program->own[step->index];
    const bool first = step == last_step(l) && !program->measured;
    bool going_on;
    int status = sl_tensors_bind(own, step->inner.backend, step->inner.device,
                                 step->programs[program->index], error);
    if (status)
        return status;
    ladder_copy(own->buffers, program->golden.buffers, program->n_inputs);
    status = step_run(step, program, golden_deadline(step), &going_on, error);
    if (status)
        return status;
    int64_t start = l->host->now_ns(); // the first run may be slower than any other
    status = step_run(step, program, golden_deadline(step), &going_on, error);
    if (status)
        return status;
    note_time(step, l->host->now_ns() - start);
    const struct sl_buffer *outputs = own->buffers + program->n_inputs;
    struct sl_buffer *expected = program->golden.buffers + program->n_inputs;
    if (first) {
        program->measured = true;
        ladder_copy(expected, outputs, program->n_tensors - program->n_inputs);
        return 0;
    }
    status = golden_compare(program->graph, outputs, expected, l->tolerance_permille, error);
    return status ? sl_error_prefix(error, status, "check") : 0;
}

// Lets a punctual step work on the caller's tensors, as far as they are known.
int step_bind(struct step *step, struct ladder_program *program, struct sl_error *error)
{
    const struct sl_backend *b = step->inner.backend;
    void *inner = step->programs[program->index];
    int status = 0;
    for (uint32_t i = 0; step->punctual && status == 0 && i < program->n_tensors; i++) {
        const struct sl_buffer *buffer = &program->buffers[i];
        if (!buffer->data)
            continue;
        status = i < program->n_inputs ? b->bind_input(step->inner.device, inner, i, buffer, error)
                                       : b->bind_output(step->inner.device, inner,
                                                        i - program->n_inputs, buffer, error);
    }
    return status;
}

int step_prepare(struct step *step, struct ladder_program *program, struct sl_error *error)
{
    void **inner = &step->programs[program->index];
    int status = 0;
    if (!*inner)
        status = step->inner.backend->compile(step->inner.device, program->graph, inner, error);
    if (status == 0)
        status = check(step, program, error);
    return status ? status : step_bind(step, program, error);
}

static int prepare_all(struct step *step, struct sl_error *error)
{
    int status = 0;
    for (uint32_t i = 0; status == 0 && i < LADDER_PROGRAMS; i++)
        if (step->ladder->programs[i])
            status = step_prepare(step, step->ladder->programs[i], error);
    return status;
}

// By a reset; where that does not help, by a new start.
static int mend(struct step *step, struct sl_error *error)
{
    const struct sl_backend *b = step->inner.backend;
    if (b && b->reset && b->reset(step->inner.device, error) == 0 && prepare_all(step, error) == 0)
        return 0;
    if (b)
        step_close(step);
    int status = step_open(step, error);
    return status ? status : prepare_all(step, error);
}

void step_break(struct step *step, const char *cause)
{
    struct ladder *l = step->ladder;
    step->state = STEP_BROKEN;
    step->retry_ns = 0;
    step->pause_ms = l->retry_ms;
    snprintf(step->reason, sizeof(step->reason), "%.*s", (int)sizeof(step->reason) - 1, cause);
    l->standing.steps++;
    pthread_cond_broadcast(&l->changed);
    pthread_mutex_unlock(&l->lock); // a log may block
    ladder_say(l, 4, step, "is taken out", cause);
    pthread_mutex_lock(&l->lock);
}

// Called and returns with the lock.
static void try_to_mend(struct step *step)
{
    struct ladder *l = step->ladder;
    struct sl_error error = {""};
    step->state = STEP_MENDING;
    pthread_mutex_unlock(&l->lock);
    int status = mend(step, &error);
    if (status == 0)
        error.message[0] = '\0'; // of a reset that did not help
    ladder_say(l, 4, step, status ? "does not come back" : "is back", error.message);
    pthread_mutex_lock(&l->lock);
    step->strikes = 0;
    if (status == 0) {
        step->state = STEP_READY;
        step->reason[0] = '\0';
        l->standing.steps++;
    } else {
        step->state = STEP_BROKEN;
        step->retry_ns = l->host->now_ns() + (int64_t)step->pause_ms * MS;
        step->pause_ms =
            step->pause_ms < LONGEST_PAUSE_MS / 2 ? 2 * step->pause_ms : LONGEST_PAUSE_MS;
        snprintf(step->reason, sizeof(step->reason), "%.*s", (int)sizeof(step->reason) - 1,
                 error.message);
    }
    pthread_cond_broadcast(&l->changed);
}

// Waits for work that goes on behind its deadline, until there are too many strikes or it takes too
// long. Called and returns with the lock.
static bool ends_after_all(struct step *step, struct ladder_program *program)
{
    struct ladder *l = step->ladder;
    const int64_t limit_ns = l->host->now_ns() + LATE_LIMIT_NS;
    bool going_on = true;
    struct sl_error ignored;
    while (going_on && step->strikes < l->strikes && l->host->now_ns() < limit_ns && !l->closing) {
        pthread_mutex_unlock(&l->lock);
        going_on =
            step->inner.backend->wait(step->inner.device, step->programs[program->index],
                                      l->host->now_ns() + LATE_POLL_NS, &ignored) == -ETIMEDOUT;
        pthread_mutex_lock(&l->lock);
    }
    return !going_on;
}

// Called and returns with the lock.
static void work(struct step *step)
{
    struct ladder *l = step->ladder;
    struct ladder_program *program = step->job;
    const int64_t deadline_ns = step->job_deadline_ns, start = l->host->now_ns();
    struct sl_error error = {""};
    bool going_on;
    step->job = NULL;
    pthread_mutex_unlock(&l->lock);
    int status = step_run(step, program, deadline_ns, &going_on, &error);
    if (status == 0)
        note_time(step, l->host->now_ns() - start);
    pthread_mutex_lock(&l->lock);
    const bool late = step->state == STEP_LATE;
    step->job_status = status;
    step->job_error = error;
    step->state = going_on ? STEP_LATE : STEP_READY;
    pthread_cond_broadcast(&l->changed);
    if (going_on && !ends_after_all(step, program))
        step_break(step, error.message);
    else if (step->state == STEP_LATE || late)
        step->state = STEP_READY;
    if (step->state == STEP_READY && step->strikes >= l->strikes)
        step_break(step, "too many failures in a row");
    pthread_cond_broadcast(&l->changed);
}

static void *serve(void *opaque)
{
    struct step *step = opaque;
    struct ladder *l = step->ladder;
    pthread_mutex_lock(&l->lock);
    while (!l->closing) {
        if (step->job)
            work(step);
        else if (step->state != STEP_BROKEN || l->paused)
            ladder_until(l, INT64_MAX);
        else if (step->retry_ns > l->host->now_ns())
            ladder_until(l, step->retry_ns);
        else
            try_to_mend(step);
    }
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

int step_start(struct step *step, struct sl_error *error)
{
    int status = -pthread_create(&step->thread, NULL, serve, step);
    step->has_thread = status == 0;
    return status ? sl_error_set(error, status, "thread: %s", strerror(-status)) : 0;
}

static bool is_busy(const struct step *step)
{
    return step->state == STEP_WORKING || step->state == STEP_LATE || step->state == STEP_MENDING;
}

bool ladder_pause(struct ladder *l, int64_t deadline_ns)
{
    bool quiet;
    pthread_mutex_lock(&l->lock);
    l->paused = true;
    for (;;) {
        quiet = true;
        for (uint32_t i = 0; i < l->n_steps; i++)
            quiet = quiet && !is_busy(&l->steps[i]);
        if (quiet || l->host->now_ns() >= deadline_ns)
            break;
        ladder_until(l, deadline_ns);
    }
    pthread_mutex_unlock(&l->lock);
    return quiet;
}

void ladder_resume(struct ladder *l)
{
    pthread_mutex_lock(&l->lock);
    l->paused = false;
    pthread_cond_broadcast(&l->changed);
    pthread_mutex_unlock(&l->lock);
}
