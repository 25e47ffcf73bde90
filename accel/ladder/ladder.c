// The `ladder` back end's table: options, programs, standing.
#include "accel/ladder/ladder.h"

#include "accel/isolated/graph_bytes.h"
#include "accel/ladder/steps.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define MS       ((int64_t)1000000)
#define QUIET_NS (15000 * MS)
#define CLOSE_NS (3000 * MS)

struct options {
    struct ladder *ladder;
    struct step *step; // whose text is being read
};

static int set_option(void *ctx, const char *key, const char *value, struct sl_error *error)
{
    struct options *o = ctx;
    const struct {
        const char *key;
        uint64_t low, high, *number;
    } rows[] = {
        {"strikes", 1, 1000000, &o->ladder->strikes},
        {"retry_ms", 1, 3600000, &o->ladder->retry_ms},
        {"cross_check", 0, 1000000000, &o->ladder->cross_check},
        {"tolerance_permille", 0, 1000, &o->ladder->tolerance_permille},
        {"deadline_ms", 1, 3600000, &o->step->deadline_ms},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
        if (strcmp(rows[i].key, key) == 0)
            return sl_option_number(key, value, rows[i].low, rows[i].high, rows[i].number, error);
    return sl_error_set(error, -EINVAL,
                        "option 'ladder.%s' is not known, there are: ladder.strikes, "
                        "ladder.retry_ms, ladder.cross_check, ladder.tolerance_permille, "
                        "ladder.deadline_ms",
                        key);
}

static int add_step(struct ladder *l, char *text, struct sl_error *error)
{
    if (l->n_steps == LADDER_STEPS)
        return sl_error_set(error, -EINVAL, "more than %d steps", LADDER_STEPS);
    struct step *step = &l->steps[l->n_steps];
    struct options options = {l, step};
    const struct sl_backend *backend;
    char *comma = strchr(text, ',');
    if (comma)
        *comma++ = '\0';
    if (!*text || (comma && !*comma))
        return sl_error_set(error, -EINVAL, "step %u: expected BACKEND[:DEVICE][,KEY=VALUE…]",
                            l->n_steps + 1);
    int status = sl_wrapper_split("ladder.", text, comma ? comma : "", set_option, &options,
                                  step->config, error);
    if (status == 0)
        status = sl_inner_find(step->config, &backend, error);
    if (status)
        return status;
    step->ladder = l;
    step->index = l->n_steps++;
    snprintf(step->label, sizeof(step->label), "%.63s", text);
    return 0;
}

static int parse(struct ladder *l, const char *device, const char *options, struct sl_error *error)
{
    char text[2 * SL_CONFIG_MAX];
    if (strcmp(device, "0") == 0)
        return sl_error_set(error, -EINVAL, "no steps, expected ladder:BACKEND|BACKEND");
    snprintf(text, sizeof(text), "%.255s%s%.255s", device, *options ? "," : "", options);
    char *rest = text, *step;
    int status = 0;
    while (status == 0 && (step = strsep(&rest, "|")))
        status = add_step(l, step, error);
    if (status == 0 && l->n_steps < 2)
        status = sl_error_set(error, -EINVAL,
                              "one step, expected two or more: "
                              "ladder:BACKEND|BACKEND");
    return status;
}

// A step that is configured wrongly is told; one that does not answer today may do so tomorrow.
static int open_steps(struct ladder *l, struct sl_error *error)
{
    for (uint32_t i = 0; i < l->n_steps; i++) {
        struct step *step = &l->steps[i];
        struct sl_error cause = {""};
        int status = step_open(step, &cause);
        if (status && (step == last_step(l) || status == -EINVAL || status == -ENOENT))
            return sl_error_set(error, status, "step %u: %s", i + 1, cause.message);
        pthread_mutex_lock(&l->lock);
        if (status)
            step_break(step, cause.message);
        pthread_mutex_unlock(&l->lock);
    }
    if (l->cross_check && !last_step(l)->punctual)
        return sl_error_set(error, -EINVAL,
                            "option ladder.cross_check: '%s' cannot be the measure, expected a "
                            "punctual last step (cpu, isolated)",
                            last_step(l)->label);
    for (uint32_t i = 0; i < l->n_steps; i++) {
        int status = step_start(&l->steps[i], error);
        if (status)
            return status;
    }
    return 0;
}

static void ladder_close(void *opaque)
{
    struct ladder *l = opaque;
    bool ended = true;
    ladder_pause(l, l->host->now_ns() + CLOSE_NS);
    pthread_mutex_lock(&l->lock);
    l->closing = true;
    pthread_cond_broadcast(&l->changed);
    pthread_mutex_unlock(&l->lock);
    struct timespec limit;
    clock_gettime(CLOCK_REALTIME, &limit);
    limit.tv_sec += CLOSE_NS / 1000000000;
    for (uint32_t i = 0; i < l->n_steps; i++) {
        struct step *step = &l->steps[i];
        if (step->has_thread && pthread_timedjoin_np(step->thread, NULL, &limit) != 0) {
            ladder_say(l, 3, step, "does not return from a call; its memory is given up", "");
            pthread_detach(step->thread);
            ended = false;
        } else {
            step_close(step);
        }
    }
    if (!ended)
        return; // its thread may yet read all this
    pthread_cond_destroy(&l->changed);
    pthread_mutex_destroy(&l->lock);
    free(l);
}

static int ladder_probe(const struct sl_host *host, struct sl_device_info *devices, uint32_t *count,
                        struct sl_error *error)
{
    (void)host;
    (void)devices;
    (void)count;
    return sl_error_set(error, -ENODEV,
                        "it has no device of its own: write ladder:BACKEND|BACKEND");
}

static int ladder_open(const struct sl_host *host, const char *device, const char *options,
                       void **out, struct sl_error *error)
{
    pthread_condattr_t clock;
    struct ladder *l = calloc(1, sizeof(*l));
    if (!l)
        return sl_error_set(error, -ENOMEM, "no memory");
    l->host = host;
    l->strikes = 3;
    l->retry_ms = 1000;
    l->tolerance_permille = 10;
    int status = parse(l, device, options, error);
    if (status) {
        free(l);
        return status;
    }
    pthread_mutex_init(&l->lock, NULL);
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&l->changed, &clock);
    pthread_condattr_destroy(&clock);
    status = open_steps(l, error);
    if (status) {
        ladder_close(l);
        return status;
    }
    *out = l;
    return 0;
}

static void free_program(struct ladder *l, struct ladder_program *p)
{
    sl_tensors_free(&p->golden);
    for (uint32_t i = 0; i < l->n_steps; i++)
        sl_tensors_free(&p->own[i]);
    for (uint32_t i = 0; i < LADDER_TENSORS; i++)
        if (p->replaced[i] >= 0)
            close(p->replaced[i]);
    graph_bytes_free(p->graph);
    if (p->network)
        munmap(p->network, p->network_bytes);
    free(p);
}

// A copy of the network, from which a step that is opened anew can compile.
static int keep_network(struct ladder_program *p, const struct sl_graph *graph,
                        struct sl_error *error)
{
    int fd;
    int status = graph_bytes_write(graph, &fd, &p->network_bytes, error);
    if (status)
        return status;
    p->network = mmap(NULL, p->network_bytes, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    if (p->network == MAP_FAILED) {
        p->network = NULL;
        return sl_error_set(error, -ENOMEM, "no memory for the network");
    }
    return graph_bytes_read(p->network, p->network_bytes, &p->graph, error);
}

static int make_program(struct ladder *l, const struct sl_graph *graph, struct ladder_program *p,
                        struct sl_error *error)
{
    p->n_inputs = graph->n_inputs;
    p->n_tensors = graph->n_inputs + graph->n_outputs;
    int status = keep_network(p, graph, error);
    if (status == 0)
        status = sl_tensors_new(graph, &p->golden, error);
    for (uint32_t i = 0; status == 0 && i < l->n_steps; i++)
        status = sl_tensors_new(graph, &p->own[i], error);
    if (status == 0)
        golden_fill(graph, &p->golden);
    return status;
}

static void release_inner(struct ladder *l, struct ladder_program *p)
{
    for (uint32_t i = 0; i < l->n_steps; i++) {
        struct step *step = &l->steps[i];
        if (step->programs[p->index])
            step->inner.backend->release(step->inner.device, step->programs[p->index]);
        step->programs[p->index] = NULL;
    }
}

// The last step first, because its answer is what the others' is compared with.
static int prepare(struct ladder *l, struct ladder_program *p, struct sl_error *error)
{
    int status = step_prepare(last_step(l), p, error);
    if (status)
        return sl_error_prefix(error, status, "last step '%s'", last_step(l)->label);
    for (uint32_t i = 0; i + 1 < l->n_steps; i++) {
        struct step *step = &l->steps[i];
        struct sl_error cause = {""};
        if (step->state != STEP_READY || (status = step_prepare(step, p, &cause)) == 0)
            continue;
        pthread_mutex_lock(&l->lock);
        step_break(step, cause.message);
        if (status == -ENOTSUP || status == -EINVAL)
            step->state = STEP_NEVER;
        pthread_mutex_unlock(&l->lock);
    }
    return 0;
}

static int ladder_compile(void *opaque, const struct sl_graph *graph, void **out,
                          struct sl_error *error)
{
    struct ladder *l = opaque;
    uint32_t index = 0;
    while (index < LADDER_PROGRAMS && l->programs[index])
        index++;
    if (index == LADDER_PROGRAMS || graph->n_inputs > LADDER_TENSORS ||
        graph->n_outputs > LADDER_TENSORS - graph->n_inputs)
        return sl_error_set(error, -ENOSPC, "more than %d programs or %d inputs and outputs",
                            LADDER_PROGRAMS, LADDER_TENSORS);
    struct ladder_program *p = calloc(1, sizeof(*p));
    if (!p)
        return sl_error_set(error, -ENOMEM, "no memory");
    p->index = index;
    for (uint32_t i = 0; i < LADDER_TENSORS; i++)
        p->replaced[i] = -1;
    bool quiet = ladder_pause(l, l->host->now_ns() + QUIET_NS);
    int status = quiet ? make_program(l, graph, p, error)
                       : sl_error_set(error, -EBUSY, "a step does not return from a call");
    if (status == 0)
        status = prepare(l, p, error);
    if (status) {
        if (quiet)
            release_inner(l, p);
        free_program(l, p);
    } else {
        l->programs[index] = p;
        *out = p;
    }
    ladder_resume(l);
    return status;
}

static void ladder_release(void *opaque, void *program)
{
    struct ladder *l = opaque;
    struct ladder_program *p = program;
    if (ladder_pause(l, l->host->now_ns() + QUIET_NS)) {
        release_inner(l, p);
        l->programs[p->index] = NULL;
        free_program(l, p);
    } else {
        ladder_say(l, 3, &l->steps[0], "or another does not return; a program is given up", "");
    }
    ladder_resume(l);
}

static int bind(struct ladder *l, struct ladder_program *p, uint32_t index,
                const struct sl_buffer *buffer, struct sl_error *error)
{
    if (!buffer->data || buffer->bytes < p->own[0].buffers[index].bytes)
        return sl_error_set(error, -EINVAL, "tensor %u: not mapped or too small", index);
    if (!ladder_pause(l, l->host->now_ns() + QUIET_NS)) {
        ladder_resume(l);
        return sl_error_set(error, -EBUSY, "a step does not return from a call");
    }
    p->buffers[index] = *buffer;
    int status = 0;
    for (uint32_t i = 0; status == 0 && i < l->n_steps; i++)
        if (l->steps[i].state == STEP_READY)
            status = step_bind(&l->steps[i], p, error);
    ladder_resume(l);
    return status;
}

static int ladder_bind_input(void *opaque, void *program, uint32_t index,
                             const struct sl_buffer *buffer, struct sl_error *error)
{
    struct ladder_program *p = program;
    if (index >= p->n_inputs)
        return sl_error_set(error, -EINVAL, "input %u of %u", index, p->n_inputs);
    return bind(opaque, p, index, buffer, error);
}

static int ladder_bind_output(void *opaque, void *program, uint32_t index,
                              const struct sl_buffer *buffer, struct sl_error *error)
{
    struct ladder_program *p = program;
    if (index >= p->n_tensors - p->n_inputs)
        return sl_error_set(error, -EINVAL, "output %u of %u", index, p->n_tensors - p->n_inputs);
    return bind(opaque, p, p->n_inputs + index, buffer, error);
}

static int ladder_submit(void *opaque, void *program, struct sl_error *error)
{
    struct ladder_program *p = program;
    (void)opaque;
    for (uint32_t i = 0; i < p->n_tensors; i++)
        if (!p->buffers[i].data)
            return sl_error_set(error, -EINVAL, "tensor %u is not bound", i);
    p->submitted = true;
    return 0;
}

static int ladder_wait(void *opaque, void *program, int64_t deadline_ns, struct sl_error *error)
{
    struct ladder_program *p = program;
    if (!p->submitted)
        return 0;
    p->submitted = false;
    return ladder_frame(opaque, p, deadline_ns, error);
}

static int ladder_health(void *opaque, struct sl_device_health *out)
{
    struct ladder *l = opaque;
    pthread_mutex_lock(&l->lock);
    out->ok = 0;
    for (uint32_t i = 0; i < l->n_steps; i++)
        out->ok |= l->steps[i].state == STEP_READY;
    out->temperature_c = out->clock_mhz = NAN;
    out->errors = l->standing.fallbacks;
    pthread_mutex_unlock(&l->lock);
    return 0;
}

static uint64_t ladder_program_bytes(void *opaque, void *program)
{
    const struct ladder *l = opaque;
    const struct ladder_program *p = program;
    return p->network_bytes + (1 + (uint64_t)l->n_steps) * p->golden.bytes;
}

static void ladder_standing(void *opaque, struct sl_standing *out)
{
    struct ladder *l = opaque;
    pthread_mutex_lock(&l->lock);
    const struct step *first = &l->steps[0];
    const uint32_t size = out->struct_size;
    *out = l->standing;
    out->struct_size = size;
    memcpy(out->actual, l->steps[l->actual].label, sizeof(out->actual));
    if (l->actual > 0 || first->state != STEP_READY)
        snprintf(out->reason, sizeof(out->reason), "%.40s: %.80s", first->label,
                 first->reason[0] ? first->reason : "just back");
    for (char *c = out->reason; *c; c++) // it may have been cut within a character
        *c = (unsigned char)*c < 128 ? *c : '?';
    pthread_mutex_unlock(&l->lock);
}

const struct sl_backend sl_ladder_backend = {
    .abi = SL_ACCEL_ABI,
    .struct_size = sizeof(struct sl_backend),
    .name = "ladder",
    .version = SIGHTLINE_VERSION,
    .probe = ladder_probe,
    .open = ladder_open,
    .close = ladder_close,
    .compile = ladder_compile,
    .release = ladder_release,
    .bind_input = ladder_bind_input,
    .bind_output = ladder_bind_output,
    .submit = ladder_submit,
    .wait = ladder_wait,
    .health = ladder_health,
    .program_bytes = ladder_program_bytes,
    .traits = SL_TRAIT_MEMFD | SL_TRAIT_PUNCTUAL,
    .standing = ladder_standing,
};
