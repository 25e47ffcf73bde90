// The accelerator session: a device of one back end, and the programs loaded into it.
#include "accel/accel.h"

#include "accel/graph_check.h"
#include "accel/inner.h"
#include "accel/registry.h"
#include "accel/tensors.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct sl_accel {
    const struct sl_backend *backend;
    void *device;
    pthread_mutex_t device_lock; // held during calls into the device
    pthread_mutex_t status_lock; // guards `status`, never held across a call
    struct sl_accel_status status;
};

struct sl_program {
    struct sl_accel *accel;
    void *program;
    uint32_t n_inputs, n_outputs;
    struct sl_buffer *buffers; // inputs, then outputs
    struct sl_tensors shared;  // where they live if the back end wants a memfd
    bool in_flight;            // the last run timed out and may still be going on
};

static void read_health(struct sl_accel *accel)
{
    struct sl_device_health health = {sizeof(health), 1, NAN, NAN, 0};
    if (accel->backend->health && accel->backend->health(accel->device, &health) != 0)
        health.ok = 0;
    pthread_mutex_lock(&accel->status_lock);
    accel->status.health = health;
    pthread_mutex_unlock(&accel->status_lock);
}

int sl_accel_open(const char *config, struct sl_accel **out, struct sl_error *error)
{
    struct sl_accel *accel = calloc(1, sizeof(*accel));
    struct sl_inner inner;
    if (!accel)
        return sl_error_set(error, -ENOMEM, "accelerator '%s': no memory", config);
    int status = sl_inner_open(&sl_host, config, &inner, error);
    if (status) {
        free(accel);
        return status;
    }
    accel->backend = inner.backend;
    accel->device = inner.device;
    pthread_mutex_init(&accel->device_lock, NULL);
    pthread_mutex_init(&accel->status_lock, NULL);
    strcpy(accel->status.wanted, config);
    strcpy(accel->status.actual, accel->backend->name);
    read_health(accel);
    *out = accel;
    return 0;
}

void sl_accel_close(struct sl_accel *accel)
{
    if (!accel)
        return;
    accel->backend->close(accel->device);
    pthread_mutex_destroy(&accel->device_lock);
    pthread_mutex_destroy(&accel->status_lock);
    free(accel);
}

// While a run is going on the health is the one read before it.
void sl_accel_status(struct sl_accel *accel, struct sl_accel_status *out)
{
    if (pthread_mutex_trylock(&accel->device_lock) == 0) {
        read_health(accel);
        pthread_mutex_unlock(&accel->device_lock);
    }
    struct sl_standing standing = {.struct_size = sizeof(standing)};
    if (accel->backend->standing)
        accel->backend->standing(accel->device, &standing);
    pthread_mutex_lock(&accel->status_lock);
    *out = accel->status;
    pthread_mutex_unlock(&accel->status_lock);
    if (accel->backend->standing) {
        memcpy(out->actual, standing.actual, sizeof(out->actual));
        memcpy(out->reason, standing.reason, sizeof(out->reason));
        out->steps = standing.steps;
        out->fallbacks = standing.fallbacks;
        out->checks = standing.checks;
        out->alarms = standing.alarms;
    }
}

static int make_buffer(struct sl_buffer *buffer, uint64_t bytes, struct sl_error *error)
{
    size_t rounded = ((size_t)bytes + 64) & ~(size_t)63;
    *buffer = (struct sl_buffer){SL_MEMORY_HOST, -1, 0, bytes, aligned_alloc(64, rounded)};
    if (!buffer->data)
        return sl_error_set(error, -ENOMEM, "no memory for a tensor of %llu bytes",
                            (unsigned long long)bytes);
    memset(buffer->data, 0, rounded);
    return 0;
}

static int bind_tensor(struct sl_program *program, uint32_t i, const struct sl_graph *graph,
                       struct sl_error *error)
{
    const struct sl_backend *backend = program->accel->backend;
    bool input = i < program->n_inputs;
    uint32_t index = input ? i : i - program->n_inputs;
    const struct sl_tensor *tensor =
        &graph->tensors[input ? graph->inputs[index] : graph->outputs[index]];
    int status = 0;
    if (program->shared.map)
        program->buffers[i] = program->shared.buffers[i];
    else
        status = make_buffer(&program->buffers[i], tensor->bytes, error);
    if (status)
        return status;
    return (input ? backend->bind_input : backend->bind_output)(
        program->accel->device, program->program, index, &program->buffers[i], error);
}

static int load(struct sl_program *program, const struct sl_graph *graph, struct sl_error *error)
{
    struct sl_accel *accel = program->accel;
    program->buffers = calloc((size_t)graph->n_inputs + graph->n_outputs, sizeof(struct sl_buffer));
    if (!program->buffers)
        return sl_error_set(error, -ENOMEM, "no memory");
    program->n_inputs = graph->n_inputs;
    program->n_outputs = graph->n_outputs;
    int status = accel->backend->traits & SL_TRAIT_MEMFD
                     ? sl_tensors_new(graph, &program->shared, error)
                     : 0;
    if (status == 0)
        status = accel->backend->compile(accel->device, graph, &program->program, error);
    for (uint32_t i = 0; status == 0 && i < graph->n_inputs + graph->n_outputs; i++)
        status = bind_tensor(program, i, graph, error);
    return status;
}

int sl_accel_load(struct sl_accel *accel, const struct sl_graph *graph, struct sl_program **out,
                  struct sl_error *error)
{
    int status = sl_graph_check(graph, error);
    if (status)
        return status;
    struct sl_program *program = calloc(1, sizeof(*program));
    if (!program)
        return sl_error_set(error, -ENOMEM, "no memory");
    program->accel = accel;
    pthread_mutex_lock(&accel->device_lock);
    status = load(program, graph, error);
    pthread_mutex_unlock(&accel->device_lock);
    if (status) {
        sl_accel_unload(program);
        return status;
    }
    *out = program;
    return 0;
}

void sl_accel_unload(struct sl_program *program)
{
    if (!program)
        return;
    struct sl_accel *accel = program->accel;
    pthread_mutex_lock(&accel->device_lock);
    if (program->program)
        accel->backend->release(accel->device, program->program);
    pthread_mutex_unlock(&accel->device_lock);
    for (uint32_t i = 0; program->buffers && i < program->n_inputs + program->n_outputs; i++)
        if (!program->shared.map)
            free(program->buffers[i].data);
    sl_tensors_free(&program->shared);
    free(program->buffers);
    free(program);
}

void *sl_program_input(struct sl_program *program, uint32_t index, size_t *bytes)
{
    if (index >= program->n_inputs)
        return NULL;
    if (bytes)
        *bytes = (size_t)program->buffers[index].bytes;
    return program->buffers[index].data;
}

const void *sl_program_output(struct sl_program *program, uint32_t index, size_t *bytes)
{
    if (index >= program->n_outputs)
        return NULL;
    const struct sl_buffer *buffer = &program->buffers[program->n_inputs + index];
    if (bytes)
        *bytes = (size_t)buffer->bytes;
    return buffer->data;
}

// A run that timed out earlier must end before the next one starts; until then the program stays
// late, but never beyond the caller's deadline.
static int run(struct sl_program *program, int64_t deadline_ns, struct sl_error *error)
{
    const struct sl_backend *backend = program->accel->backend;
    void *device = program->accel->device;
    struct sl_error ignored;
    if (program->in_flight) {
        if (backend->wait(device, program->program, deadline_ns, &ignored) == -ETIMEDOUT)
            return sl_error_set(error, -ETIMEDOUT, "the run before has not ended yet");
        program->in_flight = false;
    }
    int status = backend->submit(device, program->program, error);
    if (status == 0)
        status = backend->wait(device, program->program, deadline_ns, error);
    program->in_flight = status == -ETIMEDOUT;
    return status;
}

static void count_run(struct sl_accel *accel, int status)
{
    pthread_mutex_lock(&accel->status_lock);
    accel->status.runs++;
    accel->status.timeouts += status == -ETIMEDOUT;
    accel->status.failures += status != 0 && status != -ETIMEDOUT;
    pthread_mutex_unlock(&accel->status_lock);
}

int sl_program_run(struct sl_program *program, int64_t deadline_ns, struct sl_error *error)
{
    struct sl_accel *accel = program->accel;
    pthread_mutex_lock(&accel->device_lock);
    int status = run(program, deadline_ns, error);
    pthread_mutex_unlock(&accel->device_lock);
    count_run(accel, status);
    if (status)
        return sl_error_prefix(error, status, "accelerator '%s'", accel->status.wanted);
    return 0;
}

uint64_t sl_program_bytes(struct sl_program *program)
{
    struct sl_accel *accel = program->accel;
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < program->n_inputs + program->n_outputs; i++)
        bytes += program->buffers[i].bytes;
    if (accel->backend->program_bytes)
        bytes += accel->backend->program_bytes(accel->device, program->program);
    return bytes;
}

struct sl_footprint sl_program_footprint(struct sl_program *program)
{
    struct sl_accel *accel = program->accel;
    struct sl_footprint footprint = {0};
    if (accel->backend->footprint)
        accel->backend->footprint(accel->device, program->program, &footprint);
    return footprint;
}

void sl_program_remark(struct sl_program *program, char *text, size_t size)
{
    struct sl_accel *accel = program->accel;
    text[0] = '\0';
    if (accel->backend->remark)
        accel->backend->remark(accel->device, program->program, text, size);
}

uint32_t sl_program_profile(struct sl_program *program, struct sl_profile *rows, uint32_t max)
{
    struct sl_accel *accel = program->accel;
    if (!accel->backend->profile)
        return 0;
    return accel->backend->profile(accel->device, program->program, rows, max);
}
