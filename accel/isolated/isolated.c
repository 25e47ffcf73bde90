// The `isolated` back end's table.
#include "accel/isolated/isolated.h"

#include "accel/isolated/device.h"
#include "accel/isolated/graph_bytes.h"

#include <errno.h>
#include <libgen.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MS         ((int64_t)1000000)
#define CALL_MS    1000
#define RESERVE_NS (20 * MS) // of a deadline, half of it for the end of a child to be seen

static int set_option(void *ctx, const char *key, const char *value, struct sl_error *error)
{
    struct iso_device *d = ctx;
    if (strcmp(key, "memory_mib") == 0)
        return sl_option_number(key, value, 16, 1 << 20, &d->memory_mib, error);
    if (strcmp(key, "start_ms") == 0)
        return sl_option_number(key, value, 100, 600000, &d->start_ms, error);
    if (strcmp(key, "user") == 0 && *value && strlen(value) < sizeof(d->user)) {
        strcpy(d->user, value);
        return 0;
    }
    if (strcmp(key, "program") == 0 && *value == '/' && strlen(value) < sizeof(d->path)) {
        strcpy(d->path, value);
        return 0;
    }
    return sl_error_set(error, -EINVAL,
                        "option 'isolated.%s=%s' is not known, there are: isolated.memory_mib, "
                        "isolated.start_ms, isolated.user, isolated.program (an absolute path)",
                        key, value);
}

// Beside this program, in its libexec folder, or where the environment says (for tests).
static void find_program(struct iso_device *d)
{
    const char *named = secure_getenv("SIGHTLINE_ACCEL_HOST");
    char self[PATH_MAX];
    if (d->path[0])
        return;
    if (named && strlen(named) < sizeof(d->path)) {
        strcpy(d->path, named);
        return;
    }
    ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (length > 0) {
        self[length] = '\0';
        const char *folder = dirname(self);
        if (strlen(folder) < sizeof(d->path) - 32)
            sprintf(d->path, "%s/sightline-accel-host", folder);
        if (access(d->path, X_OK) == 0)
            return;
    }
    strcpy(d->path, SIGHTLINE_LIBEXEC "/sightline-accel-host");
}

static int isolated_probe(const struct sl_host *host, struct sl_device_info *devices,
                          uint32_t *count, struct sl_error *error)
{
    (void)host;
    (void)devices;
    (void)count;
    return sl_error_set(error, -ENODEV, "it has no device of its own: write isolated:BACKEND");
}

static int isolated_open(const struct sl_host *host, const char *name, const char *options,
                         void **out, struct sl_error *error)
{
    const struct sl_backend *inner;
    struct iso_device *d = calloc(1, sizeof(*d));
    if (!d)
        return sl_error_set(error, -ENOMEM, "no memory");
    d->host = host;
    d->memory_mib = 2048;
    d->start_ms = 10000;
    d->health = (struct sl_device_health){sizeof(d->health), 1, NAN, NAN, 0};
    int status = sl_wrapper_split("isolated.", name, options, set_option, d, d->inner, error);
    if (status == 0)
        status = sl_inner_find(d->inner, &inner, error);
    if (status == 0) {
        find_program(d);
        status = keeper_start(d, error);
    }
    if (status) {
        free(d);
        return status;
    }
    *out = d;
    return 0;
}

static void isolated_close(void *device)
{
    struct iso_device *d = device;
    keeper_stop(d);
    free(d);
}

static int64_t start_deadline(const struct iso_device *d)
{
    return d->host->now_ns() + (int64_t)d->start_ms * MS;
}

static uint32_t index_of(const struct iso_device *d, const struct iso_program *program)
{
    uint32_t i = 0;
    while (d->programs[i] != program)
        i++;
    return i;
}

static void forget(struct iso_device *d, uint32_t index)
{
    pthread_mutex_lock(&d->lock);
    struct iso_program *program = d->programs[index];
    d->programs[index] = NULL;
    pthread_mutex_unlock(&d->lock);
    close(program->network);
    free(program);
}

// Loads where the child is up; puts the program into the table for those that come after it.
static int load(struct iso_device *d, uint32_t index, struct iso_program *program,
                struct sl_error *error)
{
    int status = keeper_await(d, start_deadline(d), error);
    if (status == 0)
        status = keeper_enter(d, error);
    if (status) {
        close(program->network);
        free(program);
        return status;
    }
    d->programs[index] = program;
    status = keeper_load(d, index, start_deadline(d), error);
    if (status)
        forget(d, index);
    keeper_leave(d, status == -EIO || status == -ETIMEDOUT);
    return status;
}

static int isolated_compile(void *device, const struct sl_graph *graph, void **out,
                            struct sl_error *error)
{
    struct iso_device *d = device;
    uint32_t index = 0;
    while (index < ISO_PROGRAMS && d->programs[index])
        index++;
    if (index == ISO_PROGRAMS)
        return sl_error_set(error, -ENOSPC, "more than %d programs", ISO_PROGRAMS);
    if (graph->n_inputs > ISO_TENSORS || graph->n_outputs > ISO_TENSORS - graph->n_inputs)
        return sl_error_set(error, -ENOTSUP, "more than %d inputs and outputs", ISO_TENSORS);
    struct iso_program *program = calloc(1, sizeof(*program));
    if (!program)
        return sl_error_set(error, -ENOMEM, "no memory");
    program->n_inputs = graph->n_inputs;
    program->n_tensors = graph->n_inputs + graph->n_outputs;
    int status = graph_bytes_write(graph, &program->network, &program->network_bytes, error);
    if (status) {
        free(program);
        return status;
    }
    status = load(d, index, program, error);
    if (status == 0)
        *out = program;
    return status;
}

static void isolated_release(void *device, void *p)
{
    struct iso_device *d = device;
    const uint32_t index = index_of(d, p);
    struct iso_message m = {.kind = ISO_UNLOAD, .program = index};
    struct sl_error ignored;
    keeper_await(d, start_deadline(d), &ignored); // its keeper may be loading this very program
    bool up = keeper_enter(d, &ignored) == 0;
    int status = up ? child_ask(&d->child, &m, -1, d->host->now_ns() + CALL_MS * MS, &ignored) : 0;
    forget(d, index);
    if (up)
        keeper_leave(d, status != 0);
}

static int bind(struct iso_device *d, struct iso_program *program, uint32_t index,
                const struct sl_buffer *buffer, struct sl_error *error)
{
    if (index >= program->n_tensors)
        return sl_error_set(error, -EINVAL, "tensor %u of %u", index, program->n_tensors);
    if (buffer->memory != SL_MEMORY_MEMFD || buffer->fd < 0 || !buffer->data)
        return sl_error_set(error, -ENOTSUP, "tensor %u: expected memory in a memfd", index);
    int status = keeper_await(d, start_deadline(d), error);
    if (status == 0)
        status = keeper_enter(d, error);
    if (status)
        return status;
    program->buffers[index] = *buffer;
    status = keeper_bind(d, index_of(d, program), index, d->host->now_ns() + CALL_MS * MS, error);
    keeper_leave(d, status == -EIO || status == -ETIMEDOUT);
    return status;
}

static int isolated_bind_input(void *device, void *p, uint32_t index,
                               const struct sl_buffer *buffer, struct sl_error *error)
{
    struct iso_program *program = p;
    if (index >= program->n_inputs)
        return sl_error_set(error, -EINVAL, "input %u of %u", index, program->n_inputs);
    return bind(device, p, index, buffer, error);
}

static int isolated_bind_output(void *device, void *p, uint32_t index,
                                const struct sl_buffer *buffer, struct sl_error *error)
{
    struct iso_program *program = p;
    if (index >= program->n_tensors - program->n_inputs)
        return sl_error_set(error, -EINVAL, "output %u of %u", index,
                            program->n_tensors - program->n_inputs);
    return bind(device, p, program->n_inputs + index, buffer, error);
}

// The child is asked in wait, because the deadline is known there.
static int isolated_submit(void *device, void *p, struct sl_error *error)
{
    struct iso_device *d = device;
    struct iso_program *program = p;
    pthread_mutex_lock(&d->lock);
    bool up = d->state == ISO_UP;
    int status = up ? 0
                    : sl_error_set(error, -ENODEV, "the child is being replaced: %s",
                                   d->start_error.message);
    pthread_mutex_unlock(&d->lock);
    program->submitted = status == 0;
    return status;
}

// Whether the child of that generation is gone; waits for that until the deadline.
static bool is_gone(struct iso_device *d, uint64_t generation, int64_t deadline_ns)
{
    struct timespec when = {deadline_ns / 1000000000, deadline_ns % 1000000000};
    pthread_mutex_lock(&d->lock);
    while (d->generation == generation && d->host->now_ns() < deadline_ns)
        pthread_cond_timedwait(&d->changed, &d->lock, &when);
    bool gone = d->generation != generation;
    pthread_mutex_unlock(&d->lock);
    return gone;
}

// The child did not keep the deadline, or its back end would go on writing, or it has ended.
static int give_up(struct iso_device *d, struct iso_program *program, int status,
                   int64_t deadline_ns, struct sl_error *error)
{
    child_kill(&d->child);
    bool gone = child_ended(&d->child, deadline_ns);
    pthread_mutex_lock(&d->lock);
    program->stuck = gone ? 0 : d->generation;
    d->start_error = *error;
    pthread_mutex_unlock(&d->lock);
    keeper_leave(d, true);
    return status == -ETIMEDOUT || !gone ? -ETIMEDOUT : status;
}

static int64_t reserve(const struct iso_device *d, int64_t deadline_ns)
{
    if (deadline_ns == INT64_MAX)
        return 0;
    int64_t left = (deadline_ns - d->host->now_ns()) / 4;
    return left < 0 ? 0 : left < RESERVE_NS ? left : RESERVE_NS;
}

static int run(struct iso_device *d, struct iso_program *program, int64_t deadline_ns,
               struct sl_error *error)
{
    struct sl_error local = {""};
    int status = keeper_enter(d, error);
    if (status)
        return status;
    const int64_t spare = reserve(d, deadline_ns);
    struct iso_message m = {
        .kind = ISO_RUN, .program = index_of(d, program), .deadline_ns = deadline_ns - spare};
    status = child_ask(&d->child, &m, -1, deadline_ns - spare / 2, &local);
    if (status == 0 && m.value == 0) {
        pthread_mutex_lock(&d->lock);
        d->failed = m.status != 0;
        d->answered |= m.status == 0;
        d->health.ok = m.health_ok;
        d->health.temperature_c = m.temperature_c;
        d->health.clock_mhz = m.clock_mhz;
        pthread_mutex_unlock(&d->lock);
        keeper_leave(d, false);
        return m.status ? sl_error_set(error, m.status, "%s", m.text) : 0;
    }
    if (status == 0)
        status = sl_error_set(&local, -ETIMEDOUT, "child: its back end does not end");
    status = give_up(d, program, status, deadline_ns, &local);
    return sl_error_set(error, status, "%s", local.message);
}

static int isolated_wait(void *device, void *p, int64_t deadline_ns, struct sl_error *error)
{
    struct iso_device *d = device;
    struct iso_program *program = p;
    if (program->stuck) {
        if (!is_gone(d, program->stuck, deadline_ns))
            return sl_error_set(error, -ETIMEDOUT, "the child was killed and has not ended yet");
        program->stuck = 0;
    }
    if (!program->submitted)
        return 0;
    program->submitted = false;
    return run(d, program, deadline_ns, error);
}

static int isolated_health(void *device, struct sl_device_health *out)
{
    struct iso_device *d = device;
    pthread_mutex_lock(&d->lock);
    out->ok = d->state == ISO_UP && d->health.ok;
    out->temperature_c = d->health.temperature_c;
    out->clock_mhz = d->health.clock_mhz;
    out->errors = d->restarts;
    pthread_mutex_unlock(&d->lock);
    return 0;
}

static int isolated_reset(void *device, struct sl_error *error)
{
    struct iso_device *d = device;
    pthread_mutex_lock(&d->lock);
    bool replace = d->state == ISO_UP && d->failed;
    if (replace) {
        sl_error_set(&d->start_error, 0, "child: reset");
        d->state = ISO_DOWN;
        child_kill(&d->child);
    }
    pthread_mutex_unlock(&d->lock);
    if (replace)
        keeper_leave(d, false); // wakes the keeper
    return keeper_await(d, start_deadline(d), error);
}

static uint64_t isolated_program_bytes(void *device, void *p)
{
    const struct iso_program *program = p;
    (void)device;
    return program->bytes;
}

static void isolated_standing(void *device, struct sl_standing *out)
{
    struct iso_device *d = device;
    pthread_mutex_lock(&d->lock);
    snprintf(out->actual, sizeof(out->actual), "isolated:%.*s", (int)strcspn(d->inner, ","),
             d->inner);
    if (d->state != ISO_UP)
        snprintf(out->reason, sizeof(out->reason), "%.*s", (int)sizeof(out->reason) - 1,
                 d->start_error.message);
    out->steps = d->restarts;
    pthread_mutex_unlock(&d->lock);
}

pid_t sl_isolated_child(void *device)
{
    struct iso_device *d = device;
    pthread_mutex_lock(&d->lock);
    pid_t pid = d->state == ISO_UP ? d->child.pid : 0;
    pthread_mutex_unlock(&d->lock);
    return pid;
}

const struct sl_backend sl_isolated_backend = {
    .abi = SL_ACCEL_ABI,
    .struct_size = sizeof(struct sl_backend),
    .name = "isolated",
    .version = SIGHTLINE_VERSION,
    .probe = isolated_probe,
    .open = isolated_open,
    .close = isolated_close,
    .compile = isolated_compile,
    .release = isolated_release,
    .bind_input = isolated_bind_input,
    .bind_output = isolated_bind_output,
    .submit = isolated_submit,
    .wait = isolated_wait,
    .health = isolated_health,
    .reset = isolated_reset,
    .program_bytes = isolated_program_bytes,
    .traits = SL_TRAIT_MEMFD | SL_TRAIT_PUNCTUAL,
    .standing = isolated_standing,
};
