// What it costs to run a back end in another process: the same network in this process and in a
// child, in turns, and whether both read the very same memory.
//
//     isolated_overhead [--runs N] [--size PIXELS] [--limit US]
#include "tests/accel/network.h"

#include "accel/inner.h"
#include "accel/isolated/isolated.h"
#include "accel/registry.h"
#include "accel/tensors.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define MAX_RUNS 100000

struct side {
    struct sl_inner inner;
    struct sl_tensors tensors;
    void *program;
    double us[MAX_RUNS];
};

static struct side here, there;

static int begin(struct side *side, const char *config, const struct sl_graph *graph,
                 struct sl_error *error)
{
    int status = sl_inner_open(&sl_host, config, &side->inner, error);
    if (status == 0)
        status = sl_tensors_new(graph, &side->tensors, error);
    const struct sl_backend *b = side->inner.backend;
    if (status == 0)
        status = b->compile(side->inner.device, graph, &side->program, error);
    return status ? status
                  : sl_tensors_bind(&side->tensors, b, side->inner.device, side->program, error);
}

static void end(struct side *side)
{
    side->inner.backend->release(side->inner.device, side->program);
    side->inner.backend->close(side->inner.device);
    sl_tensors_free(&side->tensors);
}

static int run(struct side *side, long i, struct sl_error *error)
{
    const struct sl_backend *b = side->inner.backend;
    const int64_t start = sl_host.now_ns();
    int status = b->submit(side->inner.device, side->program, error);
    if (status == 0)
        status = b->wait(side->inner.device, side->program, start + 10000000000, error);
    side->us[i] = (double)(sl_host.now_ns() - start) / 1e3;
    return status;
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double print(const char *name, struct side *side, long runs)
{
    qsort(side->us, (size_t)runs, sizeof(double), compare);
    printf("%-14s median %9.1f us, least %9.1f us, 99 %% %9.1f us\n", name, side->us[runs / 2],
           side->us[0], side->us[runs * 99 / 100]);
    return side->us[runs / 2];
}

// How many mappings of the child are of the file that our tensors live in.
static int shared_mappings(struct side *side)
{
    char path[64], line[512];
    struct stat stat;
    int count = 0;
    snprintf(path, sizeof(path), "/proc/%d/maps", (int)sl_isolated_child(side->inner.device));
    FILE *maps = fopen(path, "r");
    if (!maps || fstat(side->tensors.fd, &stat) < 0)
        return -1;
    while (fgets(line, sizeof(line), maps)) {
        unsigned long inode = 0;
        if (strstr(line, "memfd:sightline-tensors") &&
            sscanf(line, "%*s %*s %*s %*s %lu", &inode) == 1)
            count += inode == stat.st_ino;
    }
    fclose(maps);
    return count;
}

static int measure(long runs, const struct sl_graph *graph, long limit_us, struct sl_error *error)
{
    struct random random = {3};
    int status = begin(&here, "cpu", graph, error);
    status = status ? status : begin(&there, "isolated:cpu", graph, error);
    if (status)
        return status;
    fill_random(&random, sl_tensors_of(graph, 0), here.tensors.buffers[0].data);
    memcpy(there.tensors.buffers[0].data, here.tensors.buffers[0].data,
           here.tensors.buffers[0].bytes);
    for (long i = 0; status == 0 && i < runs; i++) {
        status = run(&here, i, error);
        status = status ? status : run(&there, i, error);
    }
    if (status)
        return status;
    const bool same = memcmp(here.tensors.buffers[1].data, there.tensors.buffers[1].data,
                             here.tensors.buffers[1].bytes) == 0;
    const int shared = shared_mappings(&there);
    const double cost = -print("cpu", &here, runs) + print("isolated:cpu", &there, runs);
    printf("overhead of the median %.1f us; outputs %s; %d of %u tensors mapped by both\n", cost,
           same ? "equal" : "DIFFER", shared, here.tensors.n_inputs + here.tensors.n_outputs);
    end(&here);
    end(&there);
    return !same || shared != 2 || cost > (double)limit_us;
}

int main(int argc, char **argv)
{
    static const struct option longs[] = {{"runs", required_argument, NULL, 'r'},
                                          {"size", required_argument, NULL, 's'},
                                          {"limit", required_argument, NULL, 'l'},
                                          {0}};
    const struct conv_shape shape = {16, 3, 1, 1, 1, 1, 1};
    struct network net;
    struct sl_error error = {""};
    long runs = 5000, size = 64, limit_us = 100;
    setenv("SIGHTLINE_ACCEL_HOST", SL_BUILD_DIR "/sightline-accel-host", 0);
    for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
        long value = c == '?' ? 0 : strtol(optarg, NULL, 10);
        if (value <= 0 || (c == 'r' && value > MAX_RUNS))
            return 2;
        *(c == 'r' ? &runs : c == 's' ? &size : &limit_us) = value;
    }
    network_begin(&net, 5);
    uint32_t x = add_map(&net, SL_F32, 1, 4, size, size);
    add_input(&net, x);
    add_output(&net, add_conv(&net, x, &shape));
    int status = measure(runs, &net.graph, limit_us, &error);
    if (status < 0)
        fprintf(stderr, "isolated_overhead: %s\n", error.message);
    network_end(&net);
    return status != 0;
}
