// A host that was built when the ABI was new, with the headers of that day: it loads the plug-in of
// today that its argument names, and runs it.
#include "accel/plugin.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static void ignore(int level, const char *message)
{
    (void)level;
    (void)message;
}

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static const struct sl_host host = {SL_ACCEL_ABI, sizeof(host), ignore, now_ns};

static int run(const struct sl_backend *b, struct sl_error *error)
{
    static float x[4] __attribute__((aligned(64))) = {-1, 2, -3, 4};
    static float y[4] __attribute__((aligned(64)));
    static const float wanted[4] = {0, 2, 0, 4};
    const struct sl_tensor tensors[2] = {
        {.name = "x", .dtype = SL_F32, .rank = 1, .dims = {4}, .bytes = sizeof(x)},
        {.name = "y", .dtype = SL_F32, .rank = 1, .dims = {4}, .bytes = sizeof(y)}};
    static const uint32_t in[] = {0}, out[] = {1};
    struct sl_node node = {.name = "n",
                           .op = SL_OP_UNARY,
                           .n_inputs = 1,
                           .n_outputs = 1,
                           .inputs = in,
                           .outputs = out};
    node.attrs.unary.kind = SL_UNARY_RELU;
    const struct sl_graph graph = {SL_GRAPH_VERSION, sizeof(graph), "g", 2,   1,    1, 1,
                                   tensors,          &node,         in,  out, NULL, 0};
    const struct sl_buffer input = {SL_MEMORY_HOST, -1, 0, sizeof(x), x};
    const struct sl_buffer output = {SL_MEMORY_HOST, -1, 0, sizeof(y), y};
    void *device, *program;
    int status = b->open(&host, "0", "", &device, error);
    if (status == 0)
        status = b->compile(device, &graph, &program, error);
    if (status == 0)
        status = b->bind_input(device, program, 0, &input, error);
    if (status == 0)
        status = b->bind_output(device, program, 0, &output, error);
    if (status == 0)
        status = b->submit(device, program, error);
    if (status == 0)
        status = b->wait(device, program, INT64_MAX, error);
    if (status == 0) {
        b->release(device, program);
        b->close(device);
        status = memcmp(y, wanted, sizeof(y)) != 0;
    }
    return status;
}

int main(int argc, char **argv)
{
    struct sl_error error = {""};
    sl_backend_entry entry = NULL;
    void *library = argc == 2 ? dlopen(argv[1], RTLD_NOW) : NULL;
    void *symbol = library ? dlsym(library, SL_BACKEND_SYMBOL) : NULL;
    if (!symbol) {
        fprintf(stderr, "usage: abi_v1_host PLUGIN.so: %s\n", argc == 2 ? dlerror() : "");
        return 2;
    }
    memcpy(&entry, &symbol, sizeof(entry));
    const struct sl_backend *backend = entry(SL_ACCEL_ABI);
    if (!backend || backend->struct_size < sizeof(*backend))
        return 1;
    int status = run(backend, &error);
    printf("host of version 1 (table of %zu bytes), plug-in '%s' of today (%u bytes): %s\n",
           sizeof(*backend), backend->name, backend->struct_size, status ? error.message : "runs");
    return status != 0;
}
