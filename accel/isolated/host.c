// sightline-accel-host: the child that runs a back end for its parent and knows nothing else.
//
//     sightline-accel-host USER MEMORY_MIB      with the parent's socket as descriptor 3
#include "accel/inner.h"
#include "accel/isolated/confine.h"
#include "accel/isolated/graph_bytes.h"
#include "accel/isolated/message.h"
#include "accel/registry.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEALTH_EVERY_NS 1000000000

struct mapping {
    void *address;
    size_t bytes;
    int fd;
};

struct program {
    void *inner;
    uint32_t n_inputs, n_tensors;
    struct mapping tensors[ISO_TENSORS];
};

struct host {
    uint64_t memory_mib;
    bool opened;
    struct sl_inner inner;
    struct program *programs[ISO_PROGRAMS];
    int64_t health_ns;
    struct sl_device_health health;
};

static int open_inner(struct host *host, struct iso_message *m, struct sl_error *error)
{
    if (m->value != ISO_PROTOCOL)
        return sl_error_set(error, -EPROTO, "protocol %llu, expected %u",
                            (unsigned long long)m->value, ISO_PROTOCOL);
    if (host->opened)
        return sl_error_set(error, -EBUSY, "open already");
    int status = sl_inner_open(&sl_host, m->text, &host->inner, error);
    host->opened = status == 0;
    return status ? status : confine_calls(host->memory_mib, error);
}

static struct program *find(struct host *host, uint32_t program)
{
    return program < ISO_PROGRAMS && host->opened ? host->programs[program] : NULL;
}

static void unmap(struct mapping *mapping)
{
    if (!mapping->address)
        return;
    munmap(mapping->address, mapping->bytes);
    close(mapping->fd);
    mapping->address = NULL;
}

// The size is the descriptor's, whatever the message says.
static int map(int fd, uint64_t offset, uint64_t bytes, int protection, struct mapping *out,
               struct sl_error *error)
{
    struct stat stat;
    const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    if (fd < 0 || fstat(fd, &stat) < 0 || stat.st_size < 0)
        return sl_error_set(error, -EINVAL, "no memory came along");
    const uint64_t size = (uint64_t)stat.st_size;
    if (offset % page || offset > size || bytes > size - offset || offset >= size)
        return sl_error_set(error, -EINVAL, "%llu bytes at %llu of %llu", (unsigned long long)bytes,
                            (unsigned long long)offset, (unsigned long long)size);
    void *address =
        mmap(NULL, bytes ? bytes : 1, protection, MAP_SHARED | MAP_POPULATE, fd, (off_t)offset);
    if (address == MAP_FAILED)
        return sl_error_set(error, -errno, "mapping: %s", strerror(errno));
    *out = (struct mapping){address, bytes ? bytes : 1, fd};
    return 0;
}

static int compile(struct host *host, struct program *program, const struct mapping *network,
                   struct sl_error *error)
{
    struct sl_graph *graph;
    int status = graph_bytes_read(network->address, network->bytes, &graph, error);
    if (status)
        return status;
    program->n_inputs = graph->n_inputs;
    program->n_tensors = graph->n_inputs + graph->n_outputs;
    if (graph->n_inputs > ISO_TENSORS || graph->n_outputs > ISO_TENSORS - graph->n_inputs)
        status = sl_error_set(error, -E2BIG, "more than %d inputs and outputs", ISO_TENSORS);
    else
        status = host->inner.backend->compile(host->inner.device, graph, &program->inner, error);
    graph_bytes_free(graph);
    return status;
}

static int load(struct host *host, struct iso_message *m, int *fd, struct sl_error *error)
{
    struct mapping network;
    if (!host->opened || m->program >= ISO_PROGRAMS || host->programs[m->program])
        return sl_error_set(error, -EINVAL, "program %u: not free", m->program);
    int status = map(*fd, 0, m->bytes, PROT_READ, &network, error);
    if (status)
        return status;
    *fd = -1;
    struct program *program = calloc(1, sizeof(*program));
    status = program ? compile(host, program, &network, error) : -ENOMEM;
    unmap(&network);
    if (status) {
        free(program);
        return status;
    }
    host->programs[m->program] = program;
    m->value = host->inner.backend->program_bytes
                   ? host->inner.backend->program_bytes(host->inner.device, program->inner)
                   : 0;
    return 0;
}

static int unload(struct host *host, struct iso_message *m, struct sl_error *error)
{
    struct program *program = find(host, m->program);
    if (!program)
        return sl_error_set(error, -EINVAL, "program %u: there is none", m->program);
    host->inner.backend->release(host->inner.device, program->inner);
    for (uint32_t i = 0; i < program->n_tensors; i++)
        unmap(&program->tensors[i]);
    free(program);
    host->programs[m->program] = NULL;
    return 0;
}

static int bind(struct host *host, struct iso_message *m, int *fd, struct sl_error *error)
{
    struct program *program = find(host, m->program);
    struct mapping tensor;
    if (!program || m->index >= program->n_tensors)
        return sl_error_set(error, -EINVAL, "program %u, tensor %u: there is none", m->program,
                            m->index);
    int status = map(*fd, m->offset, m->bytes, PROT_READ | PROT_WRITE, &tensor, error);
    if (status)
        return status;
    *fd = -1;
    const struct sl_buffer buffer = {SL_MEMORY_MEMFD, tensor.fd, m->offset, m->bytes,
                                     tensor.address};
    const struct sl_backend *b = host->inner.backend;
    bool input = m->index < program->n_inputs;
    status = (input ? b->bind_input : b->bind_output)(
        host->inner.device, program->inner, input ? m->index : m->index - program->n_inputs,
        &buffer, error);
    if (status) {
        unmap(&tensor);
        return status;
    }
    unmap(&program->tensors[m->index]);
    program->tensors[m->index] = tensor;
    return 0;
}

// What takes long, or hangs, is the parent's to see.
static int run(struct host *host, struct iso_message *m, struct sl_error *error)
{
    struct program *program = find(host, m->program);
    const struct sl_backend *b = host->inner.backend;
    if (!program)
        return sl_error_set(error, -EINVAL, "program %u: there is none", m->program);
    int status = b->submit(host->inner.device, program->inner, error);
    if (status == 0)
        status = b->wait(host->inner.device, program->inner, m->deadline_ns, error);
    struct sl_error ignored;
    m->value = status == -ETIMEDOUT && b->wait(host->inner.device, program->inner, sl_host.now_ns(),
                                               &ignored) == -ETIMEDOUT;
    return status;
}

static void tell_health(struct host *host, struct iso_message *m)
{
    int64_t now = sl_host.now_ns();
    if (host->health_ns == 0 || now - host->health_ns > HEALTH_EVERY_NS) {
        host->health = (struct sl_device_health){sizeof(host->health), 1, NAN, NAN, 0};
        if (host->inner.backend->health &&
            host->inner.backend->health(host->inner.device, &host->health) != 0)
            host->health.ok = 0;
        host->health_ns = now;
    }
    m->health_ok = host->health.ok;
    m->temperature_c = host->health.temperature_c;
    m->clock_mhz = host->health.clock_mhz;
}

static int answer(struct host *host, struct iso_message *m, int *fd, struct sl_error *error)
{
    switch (m->kind) {
    case ISO_OPEN:
        return open_inner(host, m, error);
    case ISO_LOAD:
        return load(host, m, fd, error);
    case ISO_UNLOAD:
        return unload(host, m, error);
    case ISO_BIND:
        return bind(host, m, fd, error);
    case ISO_RUN:
        return run(host, m, error);
    default:
        return sl_error_set(error, -EPROTO, "message of kind %u", m->kind);
    }
}

static int serve(struct host *host)
{
    struct iso_message m;
    struct sl_error error;
    int fd, status;
    while ((status = iso_receive(ISO_SOCKET, &m, &fd, 0)) == 0) {
        error.message[0] = '\0';
        m.status = answer(host, &m, &fd, &error);
        if (fd >= 0)
            close(fd);
        snprintf(m.text, sizeof(m.text), "%s", m.status ? error.message : "");
        if (host->opened && m.kind == ISO_RUN)
            tell_health(host, &m);
        if (iso_send(ISO_SOCKET, &m, -1) < 0)
            break;
    }
    return status == -ENOTCONN ? 0 : 1;
}

int main(int argc, char **argv)
{
    static struct host host;
    struct sl_error error;
    struct stat stat;
    if (argc != 3 || fstat(ISO_SOCKET, &stat) < 0 || !S_ISSOCK(stat.st_mode)) {
        fprintf(stderr, "sightline-accel-host: is started by Sightline, not by people\n");
        return 2;
    }
    host.memory_mib = strtoul(argv[2], NULL, 10);
    if (confine_rights(argv[1], &error) < 0) {
        fprintf(stderr, "sightline-accel-host: %s\n", error.message);
        return 1;
    }
    _exit(serve(&host)); // the back end's own clean-up may hang
}
