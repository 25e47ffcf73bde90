// How many nodes of a model an execution provider took, and how many were left to others.
//
// ONNX Runtime tells it since 1.24 by functions; every version tells it in a profile, in which the
// event of an executed kernel names the provider.
#include "accel/onnxruntime/share.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LONGEST = 64 << 20, MOST = 64 };
#define LARGEST ((uint64_t)1 << 30) // bytes of a tensor

// Events stand on lines of their own: {"cat" : "Node", … "name" :"conv1_kernel_time", … "args" :
// {… "provider" : "CPUExecutionProvider" …}}.
struct ort_share ort_share_count(const char *json, const char *provider)
{
    static const char kernel[] = "_kernel_time\"", key[] = "\"provider\"";
    struct ort_share share = {0, 0};
    size_t length = strlen(provider);
    for (const char *at = json; (at = strstr(at, kernel)); at += sizeof(kernel) - 1) {
        const char *end = at + strcspn(at, "\n"), *name = strstr(at, key);
        if (!name || name >= end)
            continue;
        name += sizeof(key) - 1;
        name += strspn(name, " :\"");
        share.all++;
        share.taken += strncmp(name, provider, length) == 0;
    }
    return share;
}

static size_t element_bytes(uint32_t dtype)
{
    return dtype == SL_I64 ? 8 : dtype == SL_F32 || dtype == SL_I32 ? 4 : 1;
}

// Lends zeros to the inputs or the outputs; the caller frees memory[i].
static int bind_zeros(struct ort_session *session, enum ort_direction direction, void *memory[MOST],
                      struct sl_error *error)
{
    uint32_t count = ort_session_count(session, direction);
    int status =
        count > MOST ? sl_error_set(error, -E2BIG, "%u tensors, at most %d", count, MOST) : 0;
    for (uint32_t i = 0; status == 0 && i < count; i++) {
        const struct ort_tensor *t = ort_session_tensor(session, direction, i);
        struct sl_tensor shape = {.dtype = t->dtype, .rank = t->rank};
        uint64_t size = element_bytes(t->dtype);
        for (uint32_t k = 0; k < t->rank; k++) {
            shape.dims[k] = t->dims[k] > 0 ? t->dims[k] : 1;
            size = size > LARGEST || (uint64_t)shape.dims[k] > LARGEST / size
                       ? LARGEST + 1
                       : size * (uint64_t)shape.dims[k];
        }
        memory[i] = size <= LARGEST ? calloc(1, (size_t)size) : NULL;
        if (!memory[i])
            return sl_error_set(error, -ENOMEM, "no memory for '%s'", t->name);
        status = ort_session_bind(session, direction, i, &shape, memory[i], (size_t)size, error);
    }
    return status;
}

static int run_once(struct ort *ort, const void *onnx, size_t bytes,
                    const struct ort_options *options, struct sl_error *error)
{
    struct ort_session *session;
    void *inputs[MOST] = {NULL}, *outputs[MOST] = {NULL};
    int status = ort_session_create(ort, onnx, bytes, options, &session, error);
    if (status)
        return status;
    status = bind_zeros(session, ORT_INPUT, inputs, error);
    if (status == 0)
        status = bind_zeros(session, ORT_OUTPUT, outputs, error);
    if (status == 0)
        status = ort_session_run(session, error);
    ort_session_free(session); // writes the profile
    for (int i = 0; i < MOST; i++) {
        free(inputs[i]);
        free(outputs[i]);
    }
    return status;
}

// Reads every file of the folder and removes it, then the folder.
static void count_and_remove(const char *folder, const char *provider, struct ort_share *out)
{
    DIR *listing = opendir(folder);
    struct dirent *entry;
    while (listing && (entry = readdir(listing))) {
        int fd = openat(dirfd(listing), entry->d_name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        off_t length = fd >= 0 && *entry->d_name != '.' ? lseek(fd, 0, SEEK_END) : -1;
        char *text = length > 0 && length < LONGEST ? malloc((size_t)length + 1) : NULL;
        ssize_t got = text ? pread(fd, text, (size_t)length, 0) : -1;
        if (got > 0) {
            text[got] = '\0';
            *out = ort_share_count(text, provider);
        }
        free(text);
        if (fd >= 0)
            close(fd);
        if (*entry->d_name != '.')
            unlinkat(dirfd(listing), entry->d_name, 0);
    }
    if (listing)
        closedir(listing);
    rmdir(folder);
}

int ort_share_measure(struct ort *ort, const void *onnx, size_t bytes,
                      const struct ort_options *options, struct ort_share *out,
                      struct sl_error *error)
{
    const char *temporary = getenv("TMPDIR");
    char folder[512], prefix[520];
    struct ort_options profiled = *options;
    *out = (struct ort_share){0, 0};
    int length = snprintf(folder, sizeof(folder), "%s/sightline-ort-XXXXXX",
                          temporary && *temporary == '/' ? temporary : "/tmp");
    if (length < 0 || (size_t)length >= sizeof(folder) || !mkdtemp(folder))
        return sl_error_set(error, -errno, "no folder for a profile: %s", strerror(errno));
    snprintf(prefix, sizeof(prefix), "%s/p", folder);
    profiled.profile = prefix;
    int status = run_once(ort, onnx, bytes, &profiled, error);
    count_and_remove(folder, options->provider ? options->provider : "CPU", out);
    return status;
}
