// ONNX Runtime's library: where it is, that it is one we can use, and what it offers.
#include "accel/onnxruntime/ort.h"

#include "accel/onnxruntime/ort_api.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LIBRARY "libonnxruntime.so.1"
#define HOW_TO_GET_IT                                                                              \
    "deploy/fetch-onnxruntime.sh fetches it; SIGHTLINE_ONNXRUNTIME=FILE names another"

int ort_check(const struct ort *ort, struct ort_status *status, struct sl_error *error,
              const char *doing)
{
    if (!status)
        return 0;
    sl_error_set(error, -EINVAL, "%s: ONNX Runtime %s: %s", doing, ort->version,
                 ort->call.message(status));
    ort->call.release_status(status);
    return -EINVAL;
}

// Where fetch-onnxruntime.sh puts the library; empty if nobody's home is known.
static void fetched_path(char *path, size_t size)
{
    const char *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
    int length = 0;
    if (data && *data == '/')
        length = snprintf(path, size, "%s/sightline/" LIBRARY, data);
    else if (home && *home == '/')
        length = snprintf(path, size, "%s/.local/share/sightline/" LIBRARY, home);
    if (length <= 0 || (size_t)length >= size)
        *path = '\0';
}

// The library stays in memory after a close: its threads and destructors outlive a session.
static void *load(const char *path)
{
    return dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
}

static int load_named(const char *path, void **library, struct sl_error *error)
{
    if (access(path, R_OK) != 0) {
        int status = -errno;
        return sl_error_set(error, status, "%s: %s; " HOW_TO_GET_IT, path, strerror(-status));
    }
    *library = load(path);
    return *library ? 0 : sl_error_set(error, -EINVAL, "not a library: %s", dlerror());
}

static int load_any(const char *path, void **library, struct sl_error *error)
{
    char fetched[1024];
    const char *named = path ? path : getenv("SIGHTLINE_ONNXRUNTIME");
    if (named && *named)
        return load_named(named, library, error);
    fetched_path(fetched, sizeof(fetched));
    if (*fetched && access(fetched, F_OK) == 0)
        return load_named(fetched, library, error);
    *library = load(LIBRARY);
    if (*library)
        return 0;
    return sl_error_set(error, -ENOENT, "ONNX Runtime is not installed: no %s; " HOW_TO_GET_IT,
                        *fetched ? fetched : LIBRARY);
}

// dlsym gives an address of data where POSIX says that it may be called.
static ort_entry_point entry_point(void *library)
{
    ort_entry_point entry = NULL;
    void *symbol = dlsym(library, ORT_SYMBOL);
    memcpy(&entry, &symbol, sizeof(entry));
    return entry;
}

static int read_table(struct ort *ort, struct sl_error *error)
{
    int major = 0, minor = 0;
    const ort_entry_point entry = entry_point(ort->library);
    const struct ort_base *base = entry ? entry() : NULL;
    if (!base)
        return sl_error_set(error, -EINVAL, "not ONNX Runtime: no symbol " ORT_SYMBOL);
    ort->version = base->version();
    if (!ort->version || sscanf(ort->version, "%d.%d.", &major, &minor) != 2 || major != 1 ||
        minor < ORT_TABLE_VERSION)
        return sl_error_set(error, -EINVAL,
                            "ONNX Runtime: version '%.20s', expected " ORT_OLDEST " or a later 1.x",
                            ort->version ? ort->version : "");
    const struct ort_table *table = base->table(ORT_TABLE_VERSION);
    if (!table)
        return sl_error_set(error, -EINVAL, "ONNX Runtime %s: no API of version %d", ort->version,
                            ORT_TABLE_VERSION);
#define ORT_FILL(place, result, name, arguments)                                                   \
    memcpy(&ort->call.name, &table->member[place], sizeof(ort->call.name));
    ORT_FUNCTIONS(ORT_FILL)
#undef ORT_FILL
    return 0;
}

static int start(struct ort *ort, struct sl_error *error)
{
    int status = ort_check(ort, ort->call.create_env(ORT_LOG_FATAL, "sightline", &ort->env), error,
                           "environment");
    if (status == 0)
        status = ort_check(
            ort,
            ort->call.create_cpu_memory(ORT_ALLOCATOR_DEVICE, ORT_MEMORY_DEFAULT, &ort->memory),
            error, "memory");
    if (status == 0)
        status = ort_check(ort, ort->call.providers(&ort->providers, &ort->n_providers), error,
                           "execution providers");
    return status;
}

int ort_open(const char *path, struct ort **out, struct sl_error *error)
{
    struct ort *ort = calloc(1, sizeof(*ort));
    if (!ort)
        return sl_error_set(error, -ENOMEM, "no memory");
    int status = load_any(path, &ort->library, error);
    if (status == 0)
        status = read_table(ort, error);
    if (status == 0)
        status = start(ort, error);
    if (status < 0) {
        ort_close(ort);
        return status;
    }
    *out = ort;
    return 0;
}

void ort_close(struct ort *ort)
{
    if (!ort)
        return;
    if (ort->providers)
        ort_check(ort, ort->call.release_providers(ort->providers, ort->n_providers), NULL, "");
    if (ort->memory)
        ort->call.release_memory(ort->memory);
    if (ort->env)
        ort->call.release_env(ort->env);
    if (ort->library)
        dlclose(ort->library);
    free(ort);
}

const char *ort_version(const struct ort *ort)
{
    return ort->version;
}

uint32_t ort_provider_count(const struct ort *ort)
{
    return (uint32_t)ort->n_providers;
}

const char *ort_provider(const struct ort *ort, uint32_t index)
{
    return index < (uint32_t)ort->n_providers ? ort->providers[index] : NULL;
}
