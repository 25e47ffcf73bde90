// Tensors in a memfd whose size is sealed.
#include "accel/tensors.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

const struct sl_tensor *sl_tensors_of(const struct sl_graph *graph, uint32_t i)
{
    return &graph->tensors[i < graph->n_inputs ? graph->inputs[i]
                                               : graph->outputs[i - graph->n_inputs]];
}

// An empty tensor has a page, too, so that it has an address.
static size_t pages(uint64_t bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    return (size_t)bytes / page * page + page;
}

static int map_memory(struct sl_tensors *t, struct sl_error *error)
{
    t->fd = memfd_create("sightline-tensors", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (t->fd < 0)
        return sl_error_set(error, -errno, "memfd_create: %s", strerror(errno));
    if (ftruncate(t->fd, (off_t)t->bytes) < 0 ||
        fcntl(t->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
        return sl_error_set(error, -errno, "tensors of %zu bytes: %s", t->bytes, strerror(errno));
    t->map = mmap(NULL, t->bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, t->fd, 0);
    if (t->map == MAP_FAILED) {
        t->map = NULL;
        return sl_error_set(error, -errno, "tensors of %zu bytes: %s", t->bytes, strerror(errno));
    }
    return 0;
}

int sl_tensors_new(const struct sl_graph *graph, struct sl_tensors *out, struct sl_error *error)
{
    const uint32_t count = graph->n_inputs + graph->n_outputs;
    struct sl_tensors t = {.n_inputs = graph->n_inputs, .n_outputs = graph->n_outputs, .fd = -1};
    t.buffers = calloc((size_t)count + 1, sizeof(*t.buffers));
    if (!t.buffers)
        return sl_error_set(error, -ENOMEM, "no memory");
    for (uint32_t i = 0; i < count; i++) {
        uint64_t bytes = sl_tensors_of(graph, i)->bytes;
        t.buffers[i] = (struct sl_buffer){SL_MEMORY_MEMFD, -1, t.bytes, bytes, NULL};
        t.bytes += pages(bytes);
    }
    t.bytes = t.bytes ? t.bytes : pages(0);
    int status = map_memory(&t, error);
    if (status) {
        sl_tensors_free(&t);
        return status;
    }
    for (uint32_t i = 0; i < count; i++) {
        t.buffers[i].fd = t.fd;
        t.buffers[i].data = (char *)t.map + t.buffers[i].offset;
    }
    *out = t;
    return 0;
}

void sl_tensors_free(struct sl_tensors *t)
{
    if (t->map)
        munmap(t->map, t->bytes);
    if (t->buffers && t->fd >= 0)
        close(t->fd);
    free(t->buffers);
    *t = (struct sl_tensors){.fd = -1};
}

int sl_tensors_bind(const struct sl_tensors *t, const struct sl_backend *backend, void *device,
                    void *program, struct sl_error *error)
{
    int status = 0;
    for (uint32_t i = 0; status == 0 && i < t->n_inputs; i++)
        status = backend->bind_input(device, program, i, &t->buffers[i], error);
    for (uint32_t i = 0; status == 0 && i < t->n_outputs; i++)
        status = backend->bind_output(device, program, i, &t->buffers[t->n_inputs + i], error);
    return status;
}
