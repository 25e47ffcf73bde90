// Builds small networks in memory for the tests, with seeded random contents.
#ifndef TESTS_ACCEL_NETWORK_H
#define TESTS_ACCEL_NETWORK_H

#include "accel/accel.h"

#include <stdbool.h>
#include <stdint.h>

#define MAX_TENSORS 128
#define MAX_NODES   64

struct random {
    uint64_t state;
};
uint32_t random_next(struct random *random);
int64_t random_in(struct random *random, int64_t low, int64_t high); // both included
float random_real(struct random *random, float low, float high);

struct network {
    struct random random;
    struct sl_tensor tensors[MAX_TENSORS];
    struct sl_node nodes[MAX_NODES];
    uint32_t operands[MAX_NODES][8];
    uint32_t inputs[8], outputs[8];
    struct sl_graph graph;
    uint32_t n_owned;
    void *owned[4 * MAX_TENSORS];
};

void network_begin(struct network *net, uint64_t seed);
void network_end(struct network *net);

uint32_t add_tensor(struct network *net, uint32_t dtype, uint32_t rank, const int64_t *dims);
uint32_t add_map(struct network *net, uint32_t dtype, int64_t n, int64_t c, int64_t h, int64_t w);
void set_quant(struct network *net, uint32_t tensor, float scale, int32_t zero_point);
void set_channel_quant(struct network *net, uint32_t tensor, int32_t axis, uint32_t count);
// Random constant contents; real numbers in [-1, 1].
void fill_constant(struct network *net, uint32_t tensor);
void fill_random(struct random *random, const struct sl_tensor *tensor, void *data);

struct sl_node *add_node(struct network *net, uint32_t op, uint32_t n_inputs,
                         const uint32_t *inputs, uint32_t output);
void add_input(struct network *net, uint32_t tensor);
void add_output(struct network *net, uint32_t tensor);

struct conv_shape {
    int64_t outputs, kernel, stride, dilation, pad, group;
    uint32_t relu;
};
// A convolution with random weights; the output is quantised if x is. Returns the output.
uint32_t add_conv(struct network *net, uint32_t x, const struct conv_shape *shape);
// The same for a transposed one, of one group; `more`: output padding.
uint32_t add_conv_transpose(struct network *net, uint32_t x, const struct conv_shape *shape,
                            int64_t more);

// Runs the whole network with the reference interpreter; data[t] are the caller's buffers.
int run_reference(const struct network *net, void **data);

#endif
