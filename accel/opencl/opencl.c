// The `opencl` back end's table: options, programs, running and waiting.
#include "accel/opencl/opencl.h"

#include "accel/inner.h"
#include "accel/opencl/program.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define DRAIN_NS 1000000000 // how long a release or reset waits for what is still going on

static int set_option(struct ocl_device *device, char *text, struct sl_error *error)
{
    char *value = strchr(text, '=');
    uint64_t number;
    if (!value)
        return sl_error_set(error, -EINVAL, "option '%s': expected KEY=VALUE", text);
    *value++ = '\0';
    if (strcmp(text, "memory_mib") == 0) {
        const int status = sl_option_number(text, value, 1, 1 << 20, &number, error);
        device->memory_limit = status ? 0 : number << 20;
        return status;
    }
    if (strcmp(text, "fallback") != 0)
        return sl_error_set(error, -EINVAL,
                            "option '%s' is not known, there are: memory_mib, fallback", text);
    device->fallback = strcmp(value, "yes") == 0;
    if (!device->fallback && strcmp(value, "no") != 0)
        return sl_error_set(error, -EINVAL, "option fallback: expected yes or no, found '%s'",
                            value);
    return 0;
}

static int parse_options(struct ocl_device *device, const char *options, struct sl_error *error)
{
    char copy[256];
    int status = 0;
    if (strlen(options) >= sizeof(copy))
        return sl_error_set(error, -EINVAL, "options: more than %zu characters", sizeof(copy) - 1);
    strcpy(copy, options);
    char *rest = copy, *option;
    while (*options && status == 0 && (option = strsep(&rest, ",")))
        status = set_option(device, option, error);
    return status;
}

static int ocl_open(const struct sl_host *host, const char *name, const char *options, void **out,
                    struct sl_error *error)
{
    struct ocl_device *device = calloc(1, sizeof(*device));
    if (!device)
        return sl_error_set(error, -ENOMEM, "no memory");
    device->host = host;
    int status = parse_options(device, options, error);
    if (status == 0)
        status = ocl_device_open(device, name, error);
    if (status == 0)
        status = ocl_device_build(device, NULL, error);
    if (status) {
        if (device->cl)
            ocl_device_close(device);
        free(device);
        return status;
    }
    if (device->memory_limit == 0)
        device->memory_limit = device->memory;
    *out = device;
    return 0;
}

static void ocl_close(void *opaque)
{
    ocl_device_close(opaque);
    free(opaque);
}

static int ocl_compile_graph(void *opaque, const struct sl_graph *graph, void **out,
                             struct sl_error *error)
{
    struct ocl_program *program = calloc(1, sizeof(*program));
    if (!program)
        return sl_error_set(error, -ENOMEM, "no memory");
    program->device = opaque;
    const int status = ocl_compile(program, graph, error);
    if (status) {
        ocl_program_free(program);
        return status;
    }
    *out = program;
    return 0;
}

// The queue is in order: when a marker comes back, nothing is going on any more.
static int drain(struct ocl_device *device, struct sl_error *error)
{
    struct ocl_signal *signal = ocl_signal_new();
    if (!signal)
        return sl_error_set(error, -ENOMEM, "no memory");
    int status = ocl_signal_ask(device, signal, error);
    if (status == 0)
        status = ocl_signal_wait(signal, device->host->now_ns() + DRAIN_NS, error);
    ocl_signal_drop(signal);
    return status;
}

// A program whose commands never end keeps its memory: the driver may still write to it.
static void ocl_release(void *opaque, void *program)
{
    struct ocl_device *device = opaque;
    struct ocl_program *p = program;
    if (p->unfinished && drain(device, NULL) == -ETIMEDOUT)
        return;
    ocl_program_free(p);
}

static int bind(struct ocl_port *ports, uint32_t count, uint32_t index,
                const struct sl_buffer *buffer, struct sl_error *error)
{
    if (index >= count)
        return sl_error_set(error, -EINVAL, "tensor %u of %u", index, count);
    if (!buffer->data || buffer->bytes < ports[index].bytes)
        return sl_error_set(error, -EINVAL, "tensor %u: %llu bytes, expected %zu that are mapped",
                            index, (unsigned long long)buffer->bytes, ports[index].bytes);
    ports[index].bound = buffer->data;
    return 0;
}

static int ocl_bind_input(void *device, void *program, uint32_t index,
                          const struct sl_buffer *buffer, struct sl_error *error)
{
    struct ocl_program *p = program;
    (void)device;
    return bind(p->inputs, p->n_inputs, index, buffer, error);
}

static int ocl_bind_output(void *device, void *program, uint32_t index,
                           const struct sl_buffer *buffer, struct sl_error *error)
{
    struct ocl_program *p = program;
    (void)device;
    return bind(p->outputs, p->n_outputs, index, buffer, error);
}

static int counted(struct ocl_device *device, int status)
{
    device->errors += status < 0;
    return status;
}

static int ocl_submit(void *device, void *program, struct sl_error *error)
{
    struct ocl_program *p = program;
    for (uint32_t i = 0; i < p->n_inputs + p->n_outputs; i++) {
        const bool input = i < p->n_inputs;
        if (!(input ? p->inputs[i] : p->outputs[i - p->n_inputs]).bound)
            return sl_error_set(error, -EINVAL, "%s %u is not bound", input ? "input" : "output",
                                input ? i : i - p->n_inputs);
    }
    if (p->in_flight)
        return sl_error_set(error, -EBUSY, "opencl: the run before has not ended");
    if (p->unfinished) { // after a failure
        const int drained = drain(device, error);
        if (drained)
            return counted(device, drained);
    }
    p->unfinished = true;
    const int status = ocl_start(p, error);
    p->in_flight = status == 0;
    return counted(device, status);
}

static int ocl_wait(void *device, void *program, int64_t deadline_ns, struct sl_error *error)
{
    struct ocl_program *p = program;
    if (!p->in_flight)
        return 0;
    const int status = ocl_finish(p, deadline_ns, error);
    p->in_flight = status == -ETIMEDOUT;
    p->unfinished = status != 0;
    return counted(device, status);
}

static int ocl_health(void *opaque, struct sl_device_health *out)
{
    const struct ocl_device *device = opaque;
    *out = (struct sl_device_health){.struct_size = sizeof(*out),
                                     .ok = 1,
                                     .temperature_c = NAN,
                                     .clock_mhz = NAN,
                                     .errors = device->errors};
    return 0;
}

static int ocl_reset(void *device, struct sl_error *error)
{
    return drain(device, error);
}

static uint64_t ocl_program_bytes(void *device, void *program)
{
    const struct ocl_program *p = program;
    (void)device;
    return p->activation_bytes + p->constant_bytes;
}

static uint32_t ocl_profile(void *device, void *program, struct sl_profile *rows, uint32_t max)
{
    const struct ocl_program *p = program;
    (void)device;
    for (uint32_t i = 0; i < p->n_steps && i < max; i++)
        rows[i] =
            (struct sl_profile){p->steps[i].node, p->steps[i].kernel ? p->steps[i].kernel : "host",
                                0.0f, p->steps[i].macs};
    return p->n_steps;
}

static void ocl_footprint(void *device, void *program, struct sl_footprint *out)
{
    const struct ocl_program *p = program;
    (void)device;
    *out = (struct sl_footprint){.arena = p->activation_bytes,
                                 .activations = p->activation_bytes,
                                 .constants = p->constant_bytes};
    for (uint32_t i = 0; i < p->n_steps; i++)
        out->macs += p->steps[i].macs;
}

const struct sl_backend sl_opencl_backend = {
    .abi = SL_ACCEL_ABI,
    .struct_size = sizeof(struct sl_backend),
    .name = "opencl",
    .version = SIGHTLINE_VERSION,
    .probe = ocl_probe,
    .open = ocl_open,
    .close = ocl_close,
    .compile = ocl_compile_graph,
    .release = ocl_release,
    .bind_input = ocl_bind_input,
    .bind_output = ocl_bind_output,
    .submit = ocl_submit,
    .wait = ocl_wait,
    .health = ocl_health,
    .reset = ocl_reset,
    .program_bytes = ocl_program_bytes,
    .profile = ocl_profile,
    .footprint = ocl_footprint,
};
