// The table of back ends: checks what is registered, finds by name, lists devices.
#include "accel/registry.h"

#include "accel/accel.h"
#include "accel/cpu/cpu.h"
#include "accel/fault/fault.h"
#include "accel/isolated/isolated.h"
#include "accel/ladder/ladder.h"
#include "accel/onnxruntime/backend.h"
#include "accel/opencl/opencl.h"
#include "accel/plugins.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MAX_BACKENDS 32
#define MAX_DEVICES  64

// Copies, so that a table shorter than ours reads as having NULL for what it lacks.
static struct sl_backend backends[MAX_BACKENDS];
static size_t n_backends;

static void log_to_stderr(int level, const char *message)
{
    if (level <= 4)
        fprintf(stderr, "%s\n", message);
}

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

const struct sl_host sl_host = {SL_ACCEL_ABI, sizeof(struct sl_host), log_to_stderr, now_ns};

static void add(const struct sl_backend *backend)
{
    struct sl_backend *copy = &backends[n_backends++];
    size_t known = backend->struct_size < sizeof(*copy) ? backend->struct_size : sizeof(*copy);
    memset(copy, 0, sizeof(*copy));
    memcpy(copy, backend, known);
}

// Plug-ins that were not taken, for the list.
#define MAX_PROBLEMS 16
static struct problem {
    struct sl_backend shown; // its name alone
    char name[64], message[SL_ERROR_MAX];
} problems[MAX_PROBLEMS];
static size_t n_problems;

static void note_problem(void *ctx, const char *file, const char *message)
{
    (void)ctx;
    if (n_problems == MAX_PROBLEMS)
        return;
    struct problem *problem = &problems[n_problems++];
    snprintf(problem->name, sizeof(problem->name), "%s", file);
    snprintf(problem->message, sizeof(problem->message), "%s", message);
    problem->shown.name = problem->name;
}

// From the folder that was configured at build time, or where the environment says.
static void add_plugins(void)
{
    const char *named = secure_getenv("SIGHTLINE_BACKENDS");
    const char *folder = named ? named : SIGHTLINE_BACKENDS;
    struct sl_error error;
    int status = sl_plugins_load(folder, note_problem, NULL, &error);
    if (status && (named || status != -ENOENT))
        note_problem(NULL, folder, error.message);
}

static void add_built_in(void)
{
    if (n_backends > 0)
        return;
    add(&sl_cpu_backend);
    add(&sl_onnxruntime_backend);
    add(&sl_fault_backend);
    add(&sl_isolated_backend);
    add(&sl_ladder_backend);
    add(&sl_opencl_backend);
    add_plugins();
}

static const char *missing_member(const struct sl_backend *b)
{
    const struct {
        bool present;
        const char *name;
    } members[] = {
        {b->open != NULL, "open"},
        {b->close != NULL, "close"},
        {b->compile != NULL, "compile"},
        {b->release != NULL, "release"},
        {b->bind_input != NULL, "bind_input"},
        {b->bind_output != NULL, "bind_output"},
        {b->submit != NULL, "submit"},
        {b->wait != NULL, "wait"},
    };
    for (size_t i = 0; i < sizeof(members) / sizeof(*members); i++)
        if (!members[i].present)
            return members[i].name;
    return NULL;
}

static bool name_is_valid(const char *name)
{
    return name && *name && strlen(name) < 32 && !strpbrk(name, ":,= ");
}

int sl_accel_register(const struct sl_backend *backend, struct sl_error *error)
{
    add_built_in();
    if (backend->abi != SL_ACCEL_ABI)
        return sl_error_set(error, -EINVAL, "back end: ABI %u, expected %u", backend->abi,
                            SL_ACCEL_ABI);
    if (backend->struct_size < offsetof(struct sl_backend, wait) + sizeof(backend->wait))
        return sl_error_set(error, -EINVAL, "back end: a table of %u bytes lacks members",
                            backend->struct_size);
    if (!name_is_valid(backend->name))
        return sl_error_set(error, -EINVAL,
                            "back end: the name must have 1 to 31 characters without ':,= '");
    const char *missing = missing_member(backend);
    if (missing)
        return sl_error_set(error, -EINVAL, "back end '%s': no '%s'", backend->name, missing);
    if (sl_registry_find(backend->name, strlen(backend->name)))
        return sl_error_set(error, -EEXIST, "back end '%s': the name is taken", backend->name);
    if (n_backends == MAX_BACKENDS)
        return sl_error_set(error, -ENOSPC, "back end '%s': there are %d already", backend->name,
                            MAX_BACKENDS);
    add(backend);
    return 0;
}

const struct sl_backend *sl_registry_at(size_t index)
{
    add_built_in();
    return index < n_backends ? &backends[index] : NULL;
}

const struct sl_backend *sl_registry_find(const char *name, size_t length)
{
    const struct sl_backend *backend;
    for (size_t i = 0; (backend = sl_registry_at(i)); i++)
        if (strlen(backend->name) == length && memcmp(backend->name, name, length) == 0)
            return backend;
    return NULL;
}

void sl_registry_names(char *text, size_t size)
{
    const struct sl_backend *backend;
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; (backend = sl_registry_at(i)) && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%s", i ? ", " : "", backend->name);
}

static void list_devices(const struct sl_backend *backend, sl_accel_each each, void *ctx)
{
    struct sl_device_info only = {.name = "0"};
    struct sl_error error = {""};
    uint32_t count = MAX_DEVICES;
    if (!backend->probe) {
        each(ctx, backend, &only, NULL);
        return;
    }
    struct sl_device_info *devices = calloc(count, sizeof(*devices));
    if (!devices) {
        each(ctx, backend, NULL, "no memory");
        return;
    }
    if (backend->probe(&sl_host, devices, &count, &error) != 0)
        each(ctx, backend, NULL, error.message);
    else
        for (uint32_t i = 0; i < count && i < MAX_DEVICES; i++)
            each(ctx, backend, &devices[i], NULL);
    free(devices);
}

void sl_accel_list(sl_accel_each each, void *ctx)
{
    const struct sl_backend *backend;
    for (size_t i = 0; (backend = sl_registry_at(i)); i++)
        list_devices(backend, each, ctx);
    for (size_t i = 0; i < n_problems; i++)
        each(ctx, &problems[i].shown, NULL, problems[i].message);
}
