// The `fault` back end's table: every call asks the script first, then the wrapped back end.
#include "accel/fault/fault.h"

#include "accel/fault/script.h"
#include "accel/inner.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define FOREVER      INT64_MAX
#define MAX_OPENINGS 64
#define MAX_SPOILED  64 // bytes

struct device {
    const struct sl_host *host;
    struct sl_inner inner;
    struct fault_script script;
    uint32_t lost;   // resets until the device is back
    uint64_t resets; // programs that were submitted before the last one are forgotten
};

struct program {
    void *inner;
    struct sl_buffer first_output;
    bool submitted, begun, spoil;
    uint64_t resets;  // of the device when it was submitted
    int64_t ready_ns; // when the work may end; FOREVER: not before a reset
};

// How often each script has been opened in this process, by its hash.
static pthread_mutex_t openings_lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
    uint64_t hash, count;
} openings[MAX_OPENINGS];

static uint64_t count_opening(const char *text)
{
    uint64_t hash = 0xcbf29ce484222325u, count = 1; // FNV-1a
    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * 0x100000001b3u;
    pthread_mutex_lock(&openings_lock);
    for (size_t i = 0; i < MAX_OPENINGS; i++)
        if (openings[i].count == 0 || openings[i].hash == hash) {
            openings[i].hash = hash;
            count = ++openings[i].count;
            break;
        }
    pthread_mutex_unlock(&openings_lock);
    return count;
}

static void sleep_until(int64_t when_ns)
{
    struct timespec when = {when_ns / 1000000000, when_ns % 1000000000};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &when, NULL) == EINTR)
        ;
}

static int set_option(void *ctx, const char *key, const char *value, struct sl_error *error)
{
    struct fault_script *script = ctx;
    uint64_t number = 0;
    int status;
    if (strcmp(key, "script") == 0)
        return fault_script_parse(script, value, error);
    if (strcmp(key, "kinds") == 0)
        return fault_kinds_parse(script, value, error);
    if (strcmp(key, "random") == 0) {
        status = sl_option_number(key, value, 1, 1000000000, &number, error);
        script->random = (uint32_t)number;
    } else if (strcmp(key, "ms") == 0) {
        status = sl_option_number(key, value, 1, 600000, &number, error);
        script->ms = (uint32_t)number;
    } else if (strcmp(key, "seed") == 0) {
        status = sl_option_number(key, value, 1, UINT64_MAX, &number, error);
        script->seed = number;
    } else if (strcmp(key, "vary") == 0) {
        status = sl_option_number(key, value, 0, 1, &number, error);
        script->vary = number == 1;
    } else {
        status = sl_error_set(error, -EINVAL,
                              "option 'fault.%s' is not known, there are: fault.script, "
                              "fault.random, fault.seed, fault.kinds, fault.ms, fault.vary",
                              key);
    }
    return status;
}

static int lost(struct sl_error *error)
{
    return sl_error_set(error, -ENODEV, "fault: the device is gone");
}

// What does not depend on the call. Returns 0 if the call goes on.
static int befall(struct device *device, const struct fault_rule *rule, struct sl_error *error)
{
    if (device->lost)
        return lost(error);
    switch (rule->action) {
    case FAULT_FAIL:
        return sl_error_set(error, -EIO, "fault: failed by script");
    case FAULT_LOST:
        device->lost = rule->number;
        return lost(error);
    case FAULT_STUCK:
        sleep_until(device->host->now_ns() + (int64_t)rule->number * 1000000);
        return 0;
    case FAULT_CRASH:
        abort();
    default:
        return 0;
    }
}

static int next(struct device *device, enum fault_call call, struct sl_error *error)
{
    const struct fault_rule rule = fault_script_next(&device->script, call);
    return befall(device, &rule, error);
}

static int fault_probe(const struct sl_host *host, struct sl_device_info *devices, uint32_t *count,
                       struct sl_error *error)
{
    (void)host;
    (void)devices;
    (void)count;
    return sl_error_set(error, -ENODEV, "it has no device of its own: write fault:BACKEND");
}

static int fault_open(const struct sl_host *host, const char *name, const char *options, void **out,
                      struct sl_error *error)
{
    char inner[SL_CONFIG_MAX];
    struct device *device = calloc(1, sizeof(*device));
    if (!device)
        return sl_error_set(error, -ENOMEM, "no memory");
    device->host = host;
    device->script = (struct fault_script){
        .ms = 30, .seed = 1, .kinds = (1u << FAULT_CRASH) - (1u << FAULT_FAIL)};
    int status =
        sl_wrapper_split("fault.", name, options, set_option, &device->script, inner, error);
    if (status == 0) {
        if (device->script.vary)
            device->script.seed += (uint64_t)getpid() << 32;
        device->script.counts[FAULT_OPEN] = count_opening(options) - 1;
        status = next(device, FAULT_OPEN, error);
    }
    if (status == 0)
        status = sl_inner_open(host, inner, &device->inner, error);
    if (status) {
        free(device);
        return status;
    }
    *out = device;
    return 0;
}

static void fault_close(void *opaque)
{
    struct device *device = opaque;
    device->inner.backend->close(device->inner.device);
    free(device);
}

static int fault_compile(void *opaque, const struct sl_graph *graph, void **out,
                         struct sl_error *error)
{
    struct device *device = opaque;
    struct program *program = calloc(1, sizeof(*program));
    int status =
        program ? next(device, FAULT_COMPILE, error) : sl_error_set(error, -ENOMEM, "no memory");
    if (status == 0)
        status =
            device->inner.backend->compile(device->inner.device, graph, &program->inner, error);
    if (status) {
        free(program);
        return status;
    }
    *out = program;
    return 0;
}

static void fault_release(void *opaque, void *p)
{
    struct device *device = opaque;
    struct program *program = p;
    device->inner.backend->release(device->inner.device, program->inner);
    free(program);
}

static int fault_bind_input(void *opaque, void *p, uint32_t index, const struct sl_buffer *buffer,
                            struct sl_error *error)
{
    struct device *device = opaque;
    struct program *program = p;
    int status = next(device, FAULT_BIND, error);
    return status ? status
                  : device->inner.backend->bind_input(device->inner.device, program->inner, index,
                                                      buffer, error);
}

static int fault_bind_output(void *opaque, void *p, uint32_t index, const struct sl_buffer *buffer,
                             struct sl_error *error)
{
    struct device *device = opaque;
    struct program *program = p;
    int status = next(device, FAULT_BIND, error);
    if (status == 0)
        status = device->inner.backend->bind_output(device->inner.device, program->inner, index,
                                                    buffer, error);
    if (status == 0 && index == 0)
        program->first_output = *buffer;
    return status;
}

static int fault_submit(void *opaque, void *p, struct sl_error *error)
{
    struct device *device = opaque;
    struct program *program = p;
    int status = next(device, FAULT_SUBMIT, error);
    if (status == 0)
        status = device->inner.backend->submit(device->inner.device, program->inner, error);
    if (status == 0) {
        program->submitted = true;
        program->begun = program->spoil = false;
        program->resets = device->resets;
        program->ready_ns = 0;
    }
    return status;
}

// The script is asked once for each run, at its first wait.
static int begin(struct device *device, struct program *program, int64_t *deadline_ns,
                 struct sl_error *error)
{
    const struct fault_rule rule = fault_script_next(&device->script, FAULT_WAIT);
    program->begun = true;
    program->spoil = rule.action == FAULT_WRONG;
    if (rule.action == FAULT_HANG)
        program->ready_ns = FOREVER;
    if (rule.action == FAULT_DELAY)
        program->ready_ns = device->host->now_ns() + (int64_t)rule.number * 1000000;
    if (rule.action == FAULT_STUCK)
        *deadline_ns = INT64_MAX;
    int status = befall(device, &rule, error);
    program->submitted = status == 0;
    return status;
}

static void spoil(const struct program *program)
{
    unsigned char *bytes = program->first_output.data;
    for (uint64_t i = 0; bytes && i < program->first_output.bytes && i < MAX_SPOILED; i++)
        bytes[i] ^= 0x55;
}

static int fault_wait(void *opaque, void *p, int64_t deadline_ns, struct sl_error *error)
{
    struct device *device = opaque;
    struct program *program = p;
    if (!program->submitted || program->resets != device->resets) {
        program->submitted = false;
        return 0;
    }
    int status = program->begun ? 0 : begin(device, program, &deadline_ns, error);
    if (status)
        return status;
    if (program->ready_ns > deadline_ns || program->ready_ns == FOREVER) {
        sleep_until(deadline_ns);
        return sl_error_set(error, -ETIMEDOUT, "fault: the work has not ended");
    }
    sleep_until(program->ready_ns);
    status = device->inner.backend->wait(device->inner.device, program->inner, deadline_ns, error);
    program->submitted = status == -ETIMEDOUT;
    if (status == 0 && program->spoil)
        spoil(program);
    return status;
}

static int fault_health(void *opaque, struct sl_device_health *out)
{
    struct device *device = opaque;
    struct sl_error ignored;
    int status = next(device, FAULT_HEALTH, &ignored);
    return status || !device->inner.backend->health
               ? status
               : device->inner.backend->health(device->inner.device, out);
}

static int fault_reset(void *opaque, struct sl_error *error)
{
    struct device *device = opaque;
    if (device->lost && --device->lost)
        return lost(error);
    int status = next(device, FAULT_RESET, error);
    if (status)
        return status;
    device->resets++;
    return device->inner.backend->reset ? device->inner.backend->reset(device->inner.device, error)
                                        : 0;
}

static uint64_t fault_program_bytes(void *opaque, void *p)
{
    struct device *device = opaque;
    struct program *program = p;
    const struct sl_backend *inner = device->inner.backend;
    return inner->program_bytes ? inner->program_bytes(device->inner.device, program->inner) : 0;
}

static void fault_standing(void *opaque, struct sl_standing *out)
{
    struct device *device = opaque;
    snprintf(out->actual, sizeof(out->actual), "fault:%s", device->inner.backend->name);
}

const struct sl_backend sl_fault_backend = {
    .abi = SL_ACCEL_ABI,
    .struct_size = sizeof(struct sl_backend),
    .name = "fault",
    .version = SIGHTLINE_VERSION,
    .probe = fault_probe,
    .open = fault_open,
    .close = fault_close,
    .compile = fault_compile,
    .release = fault_release,
    .bind_input = fault_bind_input,
    .bind_output = fault_bind_output,
    .submit = fault_submit,
    .wait = fault_wait,
    .health = fault_health,
    .reset = fault_reset,
    .program_bytes = fault_program_bytes,
    .traits = SL_TRAIT_MEMFD,
    .standing = fault_standing,
};
