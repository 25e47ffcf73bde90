// A compiled network on an OpenCL device: buffers, steps, and what is needed to build them.
#ifndef SL_ACCEL_OPENCL_PROGRAM_H
#define SL_ACCEL_OPENCL_PROGRAM_H

#include "accel/opencl/device.h"
#include "accel/tensor.h"

#include <pthread.h>

#define OCL_MAX_ARGS 20

// Device memory. Tensors whose lives do not overlap share one.
struct ocl_slot {
    cl_memory memory;
    size_t bytes;
    const void *data; // contents from the start, owned; NULL for activations
    uint32_t free_at; // node from which it may be used again; UINT32_MAX: never
};

struct ocl_arg {
    bool is_slot;
    uint32_t slot;
    union {
        int32_t i;
        float f;
    } value;
};

struct ocl_host_node; // host.c

struct ocl_step {
    char node[64];
    const char *kernel; // NULL: on the host
    cl_kernel handle;
    uint32_t n_args;
    struct ocl_arg args[OCL_MAX_ARGS];
    size_t global[3], local[3];
    uint64_t macs;
    struct ocl_host_node *host;
};

// Shared with the driver's callbacks, which may come late: freed by the last who holds it.
struct ocl_signal {
    pthread_mutex_t lock;
    pthread_cond_t done;
    uint32_t holders;
    uint64_t sent, seen; // how many events were asked for, how many came
    int32_t status;      // negative: what the last event says went wrong
};
struct ocl_signal *ocl_signal_new(void);
void ocl_signal_drop(struct ocl_signal *signal);
// Asks for a call when everything queued so far is done.
int ocl_signal_ask(struct ocl_device *device, struct ocl_signal *signal, struct sl_error *error);
// -ETIMEDOUT; -ENODEV where the commands failed.
int ocl_signal_wait(struct ocl_signal *signal, int64_t deadline_ns, struct sl_error *error);

// An input or output of the program: staging memory and the caller's.
struct ocl_port {
    uint32_t slot;
    size_t bytes;
    void *staging;
    void *bound;
};

struct ocl_program {
    struct ocl_device *device;
    uint32_t n_slots, n_steps, n_host, n_inputs, n_outputs;
    struct ocl_slot *slots;
    struct ocl_step *steps;
    struct ocl_port *inputs, *outputs;
    struct ocl_signal *signal;
    bool in_flight;
    bool unfinished; // commands may still be going on
    uint32_t next_step;
    uint64_t activation_bytes, constant_bytes;
};

// While compiling.
struct ocl_compiler {
    struct ocl_program *program;
    struct ocl_device *device;
    const struct sl_graph *graph;
    struct sl_error *error;
    uint32_t node;      // which is being compiled
    uint32_t *slot_of;  // by tensor; UINT32_MAX: none yet
    uint32_t *last_use; // by tensor: the last node that reads it or what shares its memory
    uint32_t *root;     // by tensor: whose memory it uses
    bool failed;        // out of memory while adding
};

int ocl_compile(struct ocl_program *program, const struct sl_graph *graph, struct sl_error *error);
void ocl_program_free(struct ocl_program *program); // of a program compiled in part, too
// Queues the steps from next_step up to one on the host or the end, and asks for the signal.
int ocl_queue_steps(struct ocl_program *program, struct sl_error *error);
int ocl_start(struct ocl_program *program, struct sl_error *error);
int ocl_finish(struct ocl_program *program, int64_t deadline_ns, struct sl_error *error);

// --- for the lowerings ---
static inline const struct sl_tensor *ocl_in(const struct ocl_compiler *c,
                                             const struct sl_node *node, uint32_t i)
{
    return i < node->n_inputs && node->inputs[i] != SL_NO_TENSOR
               ? &c->graph->tensors[node->inputs[i]]
               : NULL;
}
static inline const struct sl_tensor *ocl_out(const struct ocl_compiler *c,
                                              const struct sl_node *node)
{
    return &c->graph->tensors[node->outputs[0]];
}
static inline bool ocl_one_scale(const struct sl_tensor *t)
{
    return sl_is_8bit(t) && t->quant.count == 1;
}
static inline int32_t ocl_flip(const struct sl_tensor *t)
{
    return t->dtype == SL_I8 ? 128 : 0;
}

// Device memory with these contents, which are copied. On failure `c->failed`.
uint32_t ocl_constant(struct ocl_compiler *c, const void *data, size_t bytes);
// The memory of a tensor that is read (constants are brought to the device) or written.
uint32_t ocl_read_slot(struct ocl_compiler *c, uint32_t tensor);
uint32_t ocl_write_slot(struct ocl_compiler *c, uint32_t tensor);

struct ocl_step *ocl_add_step(struct ocl_compiler *c, const char *kernel, int64_t x, int64_t y,
                              int64_t z); // work items; NULL: no memory
void ocl_arg_slot(struct ocl_step *step, uint32_t slot);
void ocl_arg_int(struct ocl_step *step, int64_t value);
void ocl_arg_float(struct ocl_step *step, float value);
int ocl_no_memory(struct ocl_compiler *c);
// "node 'NAME' (OPERATOR): …" with -ENOTSUP.
int ocl_refuse(struct ocl_compiler *c, const struct sl_node *node, const char *reason);

// The lowerings: 0, or -ENOTSUP with the reason, or -ENOMEM.
int ocl_lower_conv(struct ocl_compiler *c, const struct sl_node *node);
int ocl_lower_max_pool(struct ocl_compiler *c, const struct sl_node *node);
int ocl_lower_average_pool(struct ocl_compiler *c, const struct sl_node *node);
int ocl_lower_pointwise(struct ocl_compiler *c, const struct sl_node *node);
int ocl_lower_binary(struct ocl_compiler *c, const struct sl_node *node);
int ocl_lower_softmax(struct ocl_compiler *c, const struct sl_node *node);
int ocl_lower_move(struct ocl_compiler *c, const struct sl_node *node);
int ocl_lower_concat(struct ocl_compiler *c, const struct sl_node *node);
int ocl_lower_resize(struct ocl_compiler *c, const struct sl_node *node);
int ocl_lower_host(struct ocl_compiler *c, const struct sl_node *node);

// What the reference makes of all 256 values of `x`: a table for the kernels, by byte.
int ocl_fill_table(struct ocl_compiler *c, const struct sl_node *node, const struct sl_tensor *x,
                   const struct sl_tensor *y, uint8_t table[256]);

// Nodes on the host.
int ocl_host_run(struct ocl_program *program, struct ocl_step *step, struct sl_error *error);
int ocl_host_queue_reads(struct ocl_program *program, struct ocl_step *step);
void ocl_host_free(struct ocl_host_node *host);

#endif
