// The `cpu` back end's table: options, programs, and running them in the caller's thread.
#include "accel/cpu/cpu.h"

#include "accel/cpu/cache.h"
#include "accel/cpu/features.h"
#include "accel/cpu/health.h"
#include "accel/cpu/kernels.h"
#include "accel/cpu/program.h"
#include "accel/cpu/stripes.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_THREADS 64

struct device {
    uint32_t n_threads;
    struct cpu_affinity affinity;
    struct cpu_stripes stripes;
    enum cpu_isa isa;
    int int8; // enum cpu_int8, -1: what is best for the instruction set
    struct cpu_threads *threads;
    struct cpu_kernels kernels;
};

static int cpu_probe(const struct sl_host *host, struct sl_device_info *devices, uint32_t *count,
                     struct sl_error *error)
{
    (void)host;
    (void)error;
    if (*count > 0) {
        snprintf(devices[0].name, sizeof(devices[0].name), "0");
        snprintf(devices[0].description, sizeof(devices[0].description), "%s, kernels up to %s",
                 cpu_machine_name(), cpu_isa_name(cpu_isa_best()));
    }
    *count = 1;
    return 0;
}

static int option_threads(struct device *device, const char *value, struct sl_error *error)
{
    char *end;
    unsigned long threads = strtoul(value, &end, 10);
    if (*value < '0' || *value > '9' || *end || threads < 1 || threads > MAX_THREADS)
        return sl_error_set(error, -EINVAL, "option threads: expected 1 to %d, found '%s'",
                            MAX_THREADS, value);
    device->n_threads = (uint32_t)threads;
    return 0;
}

static int option_affinity(struct device *device, const char *value, struct sl_error *error)
{
    return cpu_affinity_parse(value, &device->affinity, error);
}

static int option_isa(struct device *device, const char *value, struct sl_error *error)
{
    enum cpu_isa isa;
    if (!cpu_isa_parse(value, &isa))
        return sl_error_set(error, -EINVAL, "option isa: expected one of %s, found '%s'",
                            cpu_isa_names(), value);
    device->isa = isa < device->isa ? isa : device->isa;
    return 0;
}

static int option_int8(struct device *device, const char *value, struct sl_error *error)
{
    static const char *const names[] = {[CPU_INT8_S16] = "s16",
                                        [CPU_INT8_WINOGRAD] = "winograd",
                                        [CPU_INT8_SDOT] = "sdot",
                                        [CPU_INT8_DOT] = "dot",
                                        [CPU_INT8_MATRIX] = "matrix"};
    for (int i = 0; i < (int)(sizeof(names) / sizeof(*names)); i++)
        if (strcmp(value, names[i]) == 0) {
            device->int8 = i;
            return 0;
        }
    return sl_error_set(error, -EINVAL,
                        "option int8: expected s16, winograd, sdot, dot or matrix, found '%s'",
                        value);
}

static int option_stripes(struct device *device, const char *value, struct sl_error *error)
{
    return cpu_stripes_parse(value, &device->stripes, error);
}

static const struct {
    const char *key;
    int (*set)(struct device *device, const char *value, struct sl_error *error);
} option_table[] = {{"threads", option_threads},
                    {"affinity", option_affinity},
                    {"isa", option_isa},
                    {"int8", option_int8},
                    {"stripes", option_stripes}};

static int set_option(struct device *device, char *text, struct sl_error *error)
{
    char *equals = strchr(text, '=');
    if (!equals)
        return sl_error_set(error, -EINVAL, "option '%s': expected KEY=VALUE", text);
    *equals = '\0';
    for (size_t i = 0; i < sizeof(option_table) / sizeof(*option_table); i++)
        if (strcmp(option_table[i].key, text) == 0)
            return option_table[i].set(device, equals + 1, error);
    return sl_error_set(error, -EINVAL,
                        "option '%s' is not known, there are: threads, affinity, isa, int8, "
                        "stripes",
                        text);
}

static int parse_options(struct device *device, const char *options, struct sl_error *error)
{
    char copy[256];
    if (strlen(options) >= sizeof(copy))
        return sl_error_set(error, -EINVAL, "options: more than %zu characters", sizeof(copy) - 1);
    strcpy(copy, options);
    char *rest = copy, *option;
    while ((option = strsep(&rest, ","))) {
        if (*option == '\0' && *options == '\0')
            break;
        int status = set_option(device, option, error);
        if (status)
            return status;
    }
    return 0;
}

static int cpu_open(const struct sl_host *host, const char *name, const char *options, void **out,
                    struct sl_error *error)
{
    (void)host;
    if (strcmp(name, "0") != 0)
        return sl_error_set(error, -ENODEV, "device '%s': there is only '0'", name);
    const char *cap = getenv("SIGHTLINE_CPU");
    enum cpu_isa ignored;
    if (cap && !cpu_isa_parse(cap, &ignored))
        return sl_error_set(error, -EINVAL,
                            "environment variable SIGHTLINE_CPU: expected one of %s, found '%s'",
                            cpu_isa_names(), cap);
    struct device *device = calloc(1, sizeof(*device));
    if (!device)
        return sl_error_set(error, -ENOMEM, "no memory");
    device->n_threads = 1;
    device->isa = cpu_isa_best();
    device->int8 = -1;
    // The other half of the cache is for weights and prepared rows.
    device->stripes.cache_bytes = cpu_cache_bytes("/sys") / 2;
    int status = parse_options(device, options, error);
    if (status == 0)
        status = cpu_threads_start(device->n_threads, &device->affinity, &device->threads, error);
    if (status) {
        free(device);
        return status;
    }
    cpu_kernels_fill(&device->kernels, device->isa);
    if (device->int8 >= 0)
        device->kernels.int8 = (enum cpu_int8)device->int8;
    *out = device;
    return 0;
}

static void cpu_close(void *opaque)
{
    struct device *device = opaque;
    cpu_threads_stop(device->threads);
    free(device);
}

static void cpu_release(void *device, void *opaque)
{
    struct cpu_program *program = opaque;
    (void)device;
    region_free(&program->region);
    free(program);
}

static int cpu_compile_graph(void *opaque, const struct sl_graph *graph, void **out,
                             struct sl_error *error)
{
    struct device *device = opaque;
    struct cpu_program *program = calloc(1, sizeof(*program));
    if (!program)
        return sl_error_set(error, -ENOMEM, "no memory");
    program->threads = device->threads;
    program->kernels = &device->kernels;
    int status = cpu_compile(program, graph, &device->stripes, error);
    if (status) {
        cpu_release(device, program);
        return status;
    }
    *out = program;
    return 0;
}

static int bind(struct cpu_program *program, const uint32_t *values, uint32_t count, uint32_t index,
                const struct sl_buffer *buffer, struct sl_error *error)
{
    if (index >= count)
        return sl_error_set(error, -EINVAL, "tensor %u of %u", index, count);
    size_t bytes = program->values[values[index]].bytes;
    if (!buffer->data || (uintptr_t)buffer->data % 64 != 0)
        return sl_error_set(error, -EINVAL, "tensor %u: memory is not mapped or not aligned",
                            index);
    if (buffer->bytes < bytes)
        return sl_error_set(error, -EINVAL, "tensor %u: %llu bytes, expected %zu", index,
                            (unsigned long long)buffer->bytes, bytes);
    cpu_bind(program, values[index], buffer->data);
    return 0;
}

static int cpu_bind_input(void *device, void *opaque, uint32_t index,
                          const struct sl_buffer *buffer, struct sl_error *error)
{
    struct cpu_program *program = opaque;
    (void)device;
    return bind(program, program->inputs, program->n_inputs, index, buffer, error);
}

static int cpu_bind_output(void *device, void *opaque, uint32_t index,
                           const struct sl_buffer *buffer, struct sl_error *error)
{
    struct cpu_program *program = opaque;
    (void)device;
    return bind(program, program->outputs, program->n_outputs, index, buffer, error);
}

// The work itself is done in wait, so that no second thread has to be woken.
static int cpu_submit(void *device, void *opaque, struct sl_error *error)
{
    struct cpu_program *program = opaque;
    (void)device;
    for (uint32_t i = 0; i < program->n_inputs; i++)
        if (!cpu_data(program, program->inputs[i]))
            return sl_error_set(error, -EINVAL, "input %u is not bound", i);
    for (uint32_t i = 0; i < program->n_outputs; i++)
        if (!cpu_data(program, program->outputs[i]))
            return sl_error_set(error, -EINVAL, "output %u is not bound", i);
    program->submitted = true;
    return 0;
}

// What was not ready in time is given up: nothing is in flight afterwards.
static int cpu_wait(void *device, void *opaque, int64_t deadline_ns, struct sl_error *error)
{
    struct cpu_program *program = opaque;
    (void)device;
    if (!program->submitted)
        return 0;
    program->submitted = false;
    return cpu_run(program, deadline_ns, error);
}

static int cpu_health(void *device, struct sl_device_health *out)
{
    (void)device;
    cpu_read_health("/sys", out);
    return 0;
}

static int cpu_reset(void *device, struct sl_error *error)
{
    (void)device;
    (void)error;
    return 0;
}

static uint64_t cpu_program_bytes(void *device, void *opaque)
{
    const struct cpu_program *program = opaque;
    (void)device;
    return program->region.bytes;
}

static void cpu_footprint(void *device, void *opaque, struct sl_footprint *out)
{
    const struct cpu_program *program = opaque;
    (void)device;
    *out = (struct sl_footprint){.arena = program->arena_bytes,
                                 .activations = program->activation_bytes,
                                 .constants = program->region.bytes - program->arena_bytes};
    for (uint32_t i = 0; i < program->n_steps; i++) {
        out->macs += program->steps[i].macs;
        out->left_out += program->steps[i].left_out;
    }
}

static uint32_t cpu_profile(void *device, void *opaque, struct sl_profile *rows, uint32_t max)
{
    const struct cpu_program *program = opaque;
    (void)device;
    for (uint32_t i = 0; i < program->n_steps && i < max; i++) {
        const struct cpu_step *step = &program->steps[i];
        rows[i] = (struct sl_profile){step->node, step->kernel, step->us, step->macs};
    }
    return program->n_steps;
}

static void cpu_remark(void *device, void *opaque, char *text, size_t size)
{
    const struct cpu_program *program = opaque;
    uint32_t layers = 0, stripes = 0;
    (void)device;
    for (uint32_t i = 0; i < program->n_groups; i++) {
        layers += program->groups[i].count;
        stripes += program->groups[i].n_stripes;
    }
    snprintf(text, size, "%u of %u steps in stripes: %u group%s, %u stripes", layers,
             program->n_steps, program->n_groups, program->n_groups == 1 ? "" : "s", stripes);
}

const struct sl_backend sl_cpu_backend = {
    .abi = SL_ACCEL_ABI,
    .struct_size = sizeof(struct sl_backend),
    .name = "cpu",
    .version = SIGHTLINE_VERSION,
    .probe = cpu_probe,
    .open = cpu_open,
    .close = cpu_close,
    .compile = cpu_compile_graph,
    .release = cpu_release,
    .bind_input = cpu_bind_input,
    .bind_output = cpu_bind_output,
    .submit = cpu_submit,
    .wait = cpu_wait,
    .health = cpu_health,
    .reset = cpu_reset,
    .program_bytes = cpu_program_bytes,
    .profile = cpu_profile,
    .footprint = cpu_footprint,
    .traits = SL_TRAIT_PUNCTUAL,
    .remark = cpu_remark,
};
