// A walk over a network, node by node, with two values of every tensor side by side for every
// calibration picture: what the network computes (`exact`) and what it computes with the changes
// made so far (`changed`). The change of a node can so make up for the errors of those before it.
//
// Only tensors that are still to be read are kept.
#ifndef SL_INFERENCE_WORKSHOP_WALK_H
#define SL_INFERENCE_WORKSHOP_WALK_H

#include "inference/workshop/attention.h"

#include <stdbool.h>

// Values of one tensor, per picture. Without changes in its past, both are the same memory.
struct walk_values {
    uint64_t exact_elements, changed_elements;
    float **exact, **changed;
};

struct walk {
    const struct graph *exact;
    struct graph *changed; // the same nodes in the same order; dims and constants may differ
    const struct calibration *calibration;
    struct walk_values *values; // per tensor of the graphs
    // Called for every live node: before its outputs are computed (constants of `changed` may still
    // be replaced), and with them computed (`changed` values may be overwritten). Either may be
    // NULL.
    int (*before)(void *ctx, struct walk *walk, uint32_t node, struct sl_error *error);
    int (*after)(void *ctx, struct walk *walk, uint32_t node, struct sl_error *error);
    void *ctx;
    const struct attention *attention; // which positions samples come from; NULL: all alike
    bool single;                       // no changes: `changed` is not computed (and may be NULL)
    bool integers; // nodes that compute integers are walked over: their values lie as they are,
                   // not as float numbers. Else they are refused (-ENOTSUP)
};

// Fills in `values` and walks. The other members are the caller's.
int walk_run(struct walk *walk, struct sl_error *error);

// A single node of a graph as a program of its own.
struct walk_program;
// `plain` leaves out the node's activation. The graph is not needed after the call.
int walk_compile(const struct graph *graph, uint32_t node, bool plain, struct walk_program **out,
                 struct sl_error *error);
// `inputs`: the values of the node's inputs that are not constant, in their order, without
// repetition. *out is valid until the next run.
int walk_execute(struct walk_program *program, const float *const *inputs, const float **out,
                 struct sl_error *error);
void walk_program_free(struct walk_program *program); // NULL is fine

#endif
