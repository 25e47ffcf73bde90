// Components of a bundle in a sealed memfd, mapped for reading.
#include "pipeline/source_memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

struct memory {
    struct sl_model_source source;
    const uint8_t *bytes;
    size_t size;
    uint32_t count;
    struct sl_control_component components[];
};

static int component(struct sl_model_source *source, const char *name, const void **bytes,
                     size_t *size, struct sl_error *error)
{
    const struct memory *m = (const struct memory *)source;
    for (uint32_t i = 0; i < m->count; i++)
        if (!strcmp(m->components[i].name, name)) {
            *bytes = m->bytes + m->components[i].offset;
            *size = m->components[i].length;
            return 0;
        }
    return sl_error_set(error, -ENOENT, "the bundle has no component '%s'", name);
}

static void close_memory(struct sl_model_source *source)
{
    struct memory *m = (struct memory *)source;
    munmap((void *)(uintptr_t)m->bytes, m->size);
    free(m);
}

int sl_model_source_memory(int fd, const struct sl_control_message *message,
                           struct sl_model_source **out, struct sl_error *error)
{
    struct stat info;
    const size_t list = message->n_components * sizeof(message->components[0]);
    const int status = sl_control_check(fd, message);
    if (status < 0)
        return sl_error_set(error, status, "expected a sealed memfd with the components, found %s",
                            status == -ERANGE ? "one that is too short" : "another descriptor");
    struct memory *m = malloc(sizeof(*m) + list);
    if (!m || fstat(fd, &info) < 0) {
        free(m);
        return sl_error_set(error, -ENOMEM, "out of memory");
    }
    *m = (struct memory){.source = {component, close_memory},
                         .size = (size_t)info.st_size,
                         .count = message->n_components};
    memcpy(m->components, message->components, list);
    void *bytes = mmap(NULL, m->size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (bytes == MAP_FAILED) {
        const int code = errno;
        free(m);
        return sl_error_set(error, -code, "mapping the bundle: %s", strerror(code));
    }
    m->bytes = bytes;
    *out = &m->source;
    return 0;
}
