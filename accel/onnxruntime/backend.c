// The `onnxruntime` back end: options, and programs that run in a thread of their own.
#include "accel/onnxruntime/backend.h"

#include "accel/inner.h"
#include "accel/onnxruntime/share.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MAX_OPTIONS 32

struct device {
    struct ort *ort;
    char text[SL_CONFIG_MAX]; // what the pointers below point into
    const char *library, *provider;
    struct ort_entry provider_options[MAX_OPTIONS];
    uint32_t n_provider_options;
    uint64_t threads;
    bool refuse_fallback, inexact;
    uint64_t errors;
    struct ort_share share; // of the model compiled last, where a provider was asked for
};

struct program {
    struct ort_session *session;
    struct sl_tensor *tensors; // inputs, then outputs: type and dimensions
    uint32_t n_inputs, n_outputs;
    uint32_t *places; // the session's numbers of the graph's tensors
    pthread_t thread;
    bool started;
    pthread_mutex_t lock;
    pthread_cond_t changed; // by CLOCK_MONOTONIC
    bool wanted, done, stop;
    int status;
    struct sl_error error;
};

static int yes_or_no(const char *key, const char *value, bool *yes, struct sl_error *error)
{
    *yes = strcmp(value, "yes") == 0;
    return *yes || strcmp(value, "no") == 0
               ? 0
               : sl_error_set(error, -EINVAL, "option %s: expected yes or no, found '%s'", key,
                              value);
}

static int set_option(struct device *d, const char *key, const char *value, struct sl_error *error)
{
    bool yes;
    int status = 0;
    if (strcmp(key, "threads") == 0)
        return sl_option_number(key, value, 1, 64, &d->threads, error);
    if (strcmp(key, "library") == 0) {
        d->library = value;
    } else if (strcmp(key, "provider") == 0) {
        d->provider = value;
    } else if (strcmp(key, "fallback") == 0) {
        status = yes_or_no(key, value, &yes, error);
        d->refuse_fallback = !yes;
    } else if (strcmp(key, "exact") == 0) {
        status = yes_or_no(key, value, &yes, error);
        d->inexact = !yes;
    } else if (strncmp(key, "provider.", 9) == 0 && key[9]) {
        if (d->n_provider_options == MAX_OPTIONS)
            return sl_error_set(error, -EINVAL, "more than %d options of the provider",
                                MAX_OPTIONS);
        d->provider_options[d->n_provider_options++] = (struct ort_entry){key + 9, value};
    } else {
        status = sl_error_set(error, -EINVAL,
                              "option '%s' is not known, there are: threads, library, provider, "
                              "provider.KEY, fallback, exact",
                              key);
    }
    return status;
}

static int parse_options(struct device *d, const char *options, struct sl_error *error)
{
    if (strlen(options) >= sizeof(d->text))
        return sl_error_set(error, -EINVAL, "options: more than %zu characters",
                            sizeof(d->text) - 1);
    strcpy(d->text, options);
    char *rest = *options ? d->text : NULL, *option;
    while ((option = strsep(&rest, ","))) {
        char *equals = strchr(option, '=');
        if (!equals)
            return sl_error_set(error, -EINVAL, "option '%s': expected KEY=VALUE", option);
        *equals = '\0';
        int status = set_option(d, option, equals + 1, error);
        if (status)
            return status;
    }
    if (!d->provider && d->n_provider_options)
        return sl_error_set(error, -EINVAL, "option 'provider.%s': there is no provider",
                            d->provider_options[0].key);
    return 0;
}

// "QNN" is what a user writes, "QNNExecutionProvider" what the library calls it.
static int check_provider(const struct device *d, struct sl_error *error)
{
    const char *name;
    size_t length = d->provider ? strlen(d->provider) : 0;
    char names[320] = "";
    size_t used = 0;
    for (uint32_t i = 0; d->provider && (name = ort_provider(d->ort, i)); i++) {
        if (strncmp(name, d->provider, length) == 0 &&
            (!name[length] || strcmp(name + length, "ExecutionProvider") == 0))
            return 0;
        if (used < sizeof(names))
            used +=
                (size_t)snprintf(names + used, sizeof(names) - used, "%s%s", i ? ", " : "", name);
    }
    return d->provider
               ? sl_error_set(error, -ENODEV, "ONNX Runtime %s has no provider '%s', there are: %s",
                              ort_version(d->ort), d->provider, names)
               : 0;
}

static int backend_probe(const struct sl_host *host, struct sl_device_info *devices,
                         uint32_t *count, struct sl_error *error)
{
    struct ort *ort;
    (void)host;
    int status = ort_open(NULL, &ort, error);
    if (status)
        return status;
    if (*count > 0) {
        const char *name;
        snprintf(devices->name, sizeof(devices->name), "0");
        size_t used = (size_t)snprintf(devices->description, sizeof(devices->description),
                                       "ONNX Runtime %s:", ort_version(ort));
        for (uint32_t i = 0; (name = ort_provider(ort, i)); i++)
            if (used < sizeof(devices->description))
                used += (size_t)snprintf(devices->description + used,
                                         sizeof(devices->description) - used, "%s %s", i ? "," : "",
                                         name);
    }
    *count = 1;
    ort_close(ort);
    return 0;
}

static void backend_close(void *opaque)
{
    struct device *d = opaque;
    ort_close(d->ort);
    free(d);
}

static int backend_open(const struct sl_host *host, const char *name, const char *options,
                        void **out, struct sl_error *error)
{
    (void)host;
    if (strcmp(name, "0") != 0)
        return sl_error_set(error, -ENODEV, "device '%s': there is only '0'", name);
    struct device *d = calloc(1, sizeof(*d));
    if (!d)
        return sl_error_set(error, -ENOMEM, "no memory");
    d->threads = 1;
    int status = parse_options(d, options, error);
    if (status == 0)
        status = ort_open(d->library, &d->ort, error);
    if (status == 0)
        status = check_provider(d, error);
    if (status) {
        backend_close(d);
        return status;
    }
    *out = d;
    return 0;
}

// The session's tensor of that name, or else the one in the same place.
static uint32_t find(const struct ort_session *session, enum ort_direction direction,
                     const char *name, uint32_t place)
{
    uint32_t count = ort_session_count(session, direction);
    for (uint32_t i = 0; name && i < count; i++)
        if (strcmp(ort_session_tensor(session, direction, i)->name, name) == 0)
            return i;
    return place;
}

static int describe(struct program *p, const struct sl_graph *graph, struct sl_error *error)
{
    uint32_t count = graph->n_inputs + graph->n_outputs;
    if (ort_session_count(p->session, ORT_INPUT) != graph->n_inputs ||
        ort_session_count(p->session, ORT_OUTPUT) != graph->n_outputs)
        return sl_error_set(error, -ENOTSUP, "the ONNX file has other inputs or outputs");
    p->tensors = calloc(count, sizeof(*p->tensors));
    p->places = calloc(count, sizeof(*p->places));
    if (!p->tensors || !p->places)
        return sl_error_set(error, -ENOMEM, "no memory");
    p->n_inputs = graph->n_inputs;
    p->n_outputs = graph->n_outputs;
    for (uint32_t i = 0; i < count; i++) {
        bool input = i < graph->n_inputs;
        uint32_t index = input ? i : i - graph->n_inputs;
        const struct sl_tensor *t =
            &graph->tensors[input ? graph->inputs[index] : graph->outputs[index]];
        p->tensors[i] = (struct sl_tensor){.dtype = t->dtype, .rank = t->rank, .bytes = t->bytes};
        memcpy(p->tensors[i].dims, t->dims, sizeof(t->dims));
        p->places[i] = find(p->session, input ? ORT_INPUT : ORT_OUTPUT, t->name, index);
    }
    return 0;
}

static void *work(void *opaque)
{
    struct program *p = opaque;
    pthread_mutex_lock(&p->lock);
    for (;;) {
        while (!p->stop && (!p->wanted || p->done))
            pthread_cond_wait(&p->changed, &p->lock);
        if (p->stop)
            break;
        pthread_mutex_unlock(&p->lock);
        int status = ort_session_run(p->session, &p->error);
        pthread_mutex_lock(&p->lock);
        p->status = status;
        p->done = true;
        pthread_cond_broadcast(&p->changed);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

static int start(struct program *p, struct sl_error *error)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    int status = pthread_create(&p->thread, NULL, work, p);
    p->started = status == 0;
    return status ? sl_error_set(error, -status, "no thread: %s", strerror(status)) : 0;
}

// Waits for a run that is still going on.
static void backend_release(void *device, void *opaque)
{
    struct program *p = opaque;
    (void)device;
    if (p->started) {
        pthread_mutex_lock(&p->lock);
        p->stop = true;
        pthread_cond_broadcast(&p->changed);
        pthread_mutex_unlock(&p->lock);
        pthread_join(p->thread, NULL);
        pthread_cond_destroy(&p->changed);
        pthread_mutex_destroy(&p->lock);
    }
    ort_session_free(p->session);
    free(p->tensors);
    free(p->places);
    free(p);
}

static int create_session(struct device *d, const struct sl_graph *graph, struct program *p,
                          struct sl_error *error)
{
    struct ort_entry config[2];
    // The CPU's provider is always there and cannot be asked for.
    bool cpu = d->provider && strcmp(d->provider, "CPU") == 0;
    struct ort_options options = {.threads = (uint32_t)d->threads,
                                  .config = config,
                                  .provider = cpu ? NULL : d->provider,
                                  .provider_options = d->provider_options,
                                  .n_provider_options = d->n_provider_options};
    if (!d->inexact)
        config[options.n_config++] = (struct ort_entry){"session.x64quantprecision", "1"};
    if (d->refuse_fallback && d->provider && !cpu)
        config[options.n_config++] = (struct ort_entry){"session.disable_cpu_ep_fallback", "1"};
    int status = ort_session_create(d->ort, graph->onnx, (size_t)graph->onnx_bytes, &options,
                                    &p->session, error);
    if (status == 0 && d->provider)
        status = ort_share_measure(d->ort, graph->onnx, (size_t)graph->onnx_bytes, &options,
                                   &d->share, error);
    return status;
}

static int backend_compile(void *device, const struct sl_graph *graph, void **out,
                           struct sl_error *error)
{
    struct device *d = device;
    if (!graph->onnx || graph->onnx_bytes == 0)
        return sl_error_set(error, -ENOTSUP,
                            "ONNX Runtime needs the bytes of the ONNX file, and this network comes "
                            "without them");
    struct program *p = calloc(1, sizeof(*p));
    if (!p)
        return sl_error_set(error, -ENOMEM, "no memory");
    int status = create_session(d, graph, p, error);
    if (status == 0)
        status = describe(p, graph, error);
    if (status == 0)
        status = start(p, error);
    if (status) {
        backend_release(d, p);
        return status;
    }
    *out = p;
    return 0;
}

static int bind(struct program *p, enum ort_direction direction, uint32_t index,
                const struct sl_buffer *buffer, struct sl_error *error)
{
    bool input = direction == ORT_INPUT;
    if (index >= (input ? p->n_inputs : p->n_outputs))
        return sl_error_set(error, -EINVAL, "tensor %u of %u", index,
                            input ? p->n_inputs : p->n_outputs);
    uint32_t i = input ? index : p->n_inputs + index;
    if (!buffer->data || buffer->bytes < p->tensors[i].bytes)
        return sl_error_set(error, -EINVAL, "tensor %u: memory is not mapped or too small", index);
    return ort_session_bind(p->session, direction, p->places[i], &p->tensors[i], buffer->data,
                            (size_t)p->tensors[i].bytes, error);
}

static int backend_bind_input(void *device, void *program, uint32_t index,
                              const struct sl_buffer *buffer, struct sl_error *error)
{
    (void)device;
    return bind(program, ORT_INPUT, index, buffer, error);
}

static int backend_bind_output(void *device, void *program, uint32_t index,
                               const struct sl_buffer *buffer, struct sl_error *error)
{
    (void)device;
    return bind(program, ORT_OUTPUT, index, buffer, error);
}

static int backend_submit(void *device, void *opaque, struct sl_error *error)
{
    struct program *p = opaque;
    (void)device;
    pthread_mutex_lock(&p->lock);
    bool busy = p->wanted;
    if (!busy) {
        p->wanted = true;
        p->done = false;
        pthread_cond_broadcast(&p->changed);
    }
    pthread_mutex_unlock(&p->lock);
    return busy ? sl_error_set(error, -EBUSY, "the run before has not ended yet") : 0;
}

static int backend_wait(void *device, void *opaque, int64_t deadline_ns, struct sl_error *error)
{
    struct device *d = device;
    struct program *p = opaque;
    const struct timespec deadline = {deadline_ns / 1000000000, deadline_ns % 1000000000};
    int late = 0, status = 0;
    pthread_mutex_lock(&p->lock);
    while (p->wanted && !p->done && late == 0)
        late = deadline_ns == INT64_MAX ? pthread_cond_wait(&p->changed, &p->lock)
                                        : pthread_cond_timedwait(&p->changed, &p->lock, &deadline);
    if (p->wanted && !p->done)
        status = sl_error_set(error, -ETIMEDOUT, "not ready at the deadline");
    else if (p->wanted) {
        p->wanted = false;
        status = p->status;
        d->errors += status != 0;
        if (status && error)
            *error = p->error;
    }
    pthread_mutex_unlock(&p->lock);
    return status;
}

static int backend_health(void *device, struct sl_device_health *out)
{
    const struct device *d = device;
    out->ok = 1;
    out->errors = d->errors;
    return 0;
}

static void backend_standing(void *device, struct sl_standing *out)
{
    const struct device *d = device;
    snprintf(out->actual, sizeof(out->actual), "onnxruntime%s%.40s", d->provider ? ":" : "",
             d->provider ? d->provider : "");
    if (d->share.taken < d->share.all)
        snprintf(out->reason, sizeof(out->reason), "%.40s took %u of %u nodes, the CPU the others",
                 d->provider, d->share.taken, d->share.all);
}

const struct sl_backend sl_onnxruntime_backend = {
    .abi = SL_ACCEL_ABI,
    .struct_size = sizeof(struct sl_backend),
    .name = "onnxruntime",
    .version = SIGHTLINE_VERSION,
    .probe = backend_probe,
    .open = backend_open,
    .close = backend_close,
    .compile = backend_compile,
    .release = backend_release,
    .bind_input = backend_bind_input,
    .bind_output = backend_bind_output,
    .submit = backend_submit,
    .wait = backend_wait,
    .health = backend_health,
    .standing = backend_standing,
};
