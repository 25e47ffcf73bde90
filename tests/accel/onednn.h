// The quantised convolutions of a network as oneDNN primitives, for bench_onednn: each alone, in
// the layouts that oneDNN likes best, weights reordered once.
#ifndef TESTS_ACCEL_ONEDNN_H
#define TESTS_ACCEL_ONEDNN_H

#include "accel/error.h"
#include "accel/graph.h"

#include <stdint.h>

struct onednn;

struct onednn_conv {
    const char *node; // of the graph
    char shape[64], implementation[64];
    int64_t macs;
};

// Takes every Conv of `graph` with 8-bit operands. The graph must outlive the result. -ENOENT:
// there is none; -ENOTSUP with the node's name: oneDNN refused it.
int onednn_open(const struct sl_graph *graph, struct onednn **out, struct sl_error *error);
void onednn_close(struct onednn *dnn); // NULL is fine
uint32_t onednn_count(const struct onednn *dnn);
const struct onednn_conv *onednn_conv(const struct onednn *dnn, uint32_t index);
int onednn_run(struct onednn *dnn, uint32_t index, struct sl_error *error);
const char *onednn_isa(void); // up to which instruction set it goes; DNNL_MAX_CPU_ISA caps it

#endif
