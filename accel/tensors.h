// The memory of a program's inputs and outputs: one memfd of fixed size that can be mapped by
// another process, every tensor on a page of its own.
#ifndef SL_ACCEL_TENSORS_H
#define SL_ACCEL_TENSORS_H

#include "accel/plugin.h"

#include <stddef.h>
#include <stdint.h>

struct sl_tensors {
    uint32_t n_inputs, n_outputs;
    struct sl_buffer *buffers; // inputs, then outputs
    int fd;
    void *map;
    size_t bytes;
};

// Zeroed. -ENOMEM, or the errno of the kernel's refusal. `graph` has passed sl_graph_check.
int sl_tensors_new(const struct sl_graph *graph, struct sl_tensors *out, struct sl_error *error);
void sl_tensors_free(struct sl_tensors *tensors); // of a zeroed struct, too

// The tensor that input or output number i (inputs first) stands for.
const struct sl_tensor *sl_tensors_of(const struct sl_graph *graph, uint32_t i);

// Gives every input and output of a program its buffer.
int sl_tensors_bind(const struct sl_tensors *tensors, const struct sl_backend *backend,
                    void *device, void *program, struct sl_error *error);

#endif
