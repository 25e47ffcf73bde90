// A model source over a directory.
#include "inference/dataset.h"
#include "inference/model.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_LIMIT = 512 << 20, MOST_COMPONENTS = 256 };

struct component {
    char *name;
    void *bytes;
    size_t size;
};

struct directory {
    struct sl_model_source source;
    int fd;
    char *path;
    uint32_t count;
    struct component components[MOST_COMPONENTS];
};

// Relative, and never up.
static bool is_safe(const char *name)
{
    if (!*name || *name == '/')
        return false;
    for (const char *part = name; part; part = strchr(part, '/') ? strchr(part, '/') + 1 : NULL) {
        const size_t length = strcspn(part, "/");
        if (length == 0 || (length == 1 && part[0] == '.') ||
            (length == 2 && !strncmp(part, "..", 2)))
            return false;
    }
    return true;
}

// Opens each folder on the way without following links, so that nothing outside is reached.
static int open_below(int fd, const char *name)
{
    char part[256];
    int at = dup(fd);
    while (at >= 0) {
        const size_t length = strcspn(name, "/");
        const bool last = name[length] == '\0';
        if (length >= sizeof(part)) {
            close(at);
            errno = ENAMETOOLONG;
            return -1;
        }
        memcpy(part, name, length);
        part[length] = '\0';
        const int next =
            openat(at, part, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | (last ? O_NONBLOCK : O_DIRECTORY));
        const int problem = errno;
        close(at);
        errno = problem;
        if (last || next < 0)
            return next;
        at = next;
        name += length + 1;
    }
    return -1;
}

static int read_component(struct directory *d, const char *name, struct component *out,
                          struct sl_error *error)
{
    char path[32];
    const int fd = open_below(d->fd, name);
    if (fd < 0)
        return sl_error_set(error, -errno, "%s/%s: %s", d->path, name, strerror(errno));
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    const int status = sl_read_file(path, FILE_LIMIT, &out->bytes, &out->size, error);
    close(fd);
    if (status < 0)
        return sl_error_prefix(error, status, "%s/%s", d->path, name);
    out->name = strdup(name);
    if (!out->name) {
        free(out->bytes);
        return sl_error_set(error, -ENOMEM, "out of memory");
    }
    return 0;
}

static int component(struct sl_model_source *source, const char *name, const void **bytes,
                     size_t *size, struct sl_error *error)
{
    struct directory *d = (struct directory *)source;
    if (!is_safe(name))
        return sl_error_set(error, -EINVAL, "component '%s': expected a relative name without '..'",
                            name);
    uint32_t i = 0;
    while (i < d->count && strcmp(d->components[i].name, name))
        i++;
    if (i == d->count) {
        if (d->count == MOST_COMPONENTS)
            return sl_error_set(error, -E2BIG, "more than %d components", MOST_COMPONENTS);
        const int status = read_component(d, name, &d->components[i], error);
        if (status < 0)
            return status;
        d->count++;
    }
    *bytes = d->components[i].bytes;
    *size = d->components[i].size;
    return 0;
}

static void close_directory(struct sl_model_source *source)
{
    struct directory *d = (struct directory *)source;
    for (uint32_t i = 0; i < d->count; i++) {
        free(d->components[i].name);
        free(d->components[i].bytes);
    }
    if (d->fd >= 0)
        close(d->fd);
    free(d->path);
    free(d);
}

int sl_model_source_directory(const char *path, struct sl_model_source **out,
                              struct sl_error *error)
{
    struct directory *d = calloc(1, sizeof(*d));
    struct stat info;
    if (!d || !(d->path = strdup(path))) {
        free(d);
        return sl_error_set(error, -ENOMEM, "out of memory");
    }
    d->source = (struct sl_model_source){component, close_directory};
    d->fd = -1;
    if (stat(path, &info) == 0 && !S_ISDIR(info.st_mode)) { // a file in it
        char *slash = strrchr(d->path, '/');
        if (slash)
            slash[slash == d->path] = '\0';
        else
            strcpy(d->path, "."); // at least one character long
    }
    d->fd = open(d->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (d->fd < 0) {
        const int status = sl_error_set(error, -errno, "model '%s': %s", path, strerror(errno));
        close_directory(&d->source);
        return status;
    }
    *out = &d->source;
    return 0;
}
