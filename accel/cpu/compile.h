// Compiling: what the files that turn nodes into steps share.
#ifndef SL_ACCEL_CPU_COMPILE_H
#define SL_ACCEL_CPU_COMPILE_H

#include "accel/cpu/kernels.h"
#include "accel/cpu/program.h"
#include "accel/operator.h"
#include "accel/reference.h"
#include "accel/tensor.h"

struct cpu_compiler {
    struct cpu_program *program;
    const struct sl_graph *graph;
    const struct cpu_kernels *kernels;
    struct sl_error *error;
    uint32_t at;                     // the node being lowered
    uint32_t *value[CPU_LAYOUTS];    // tensor -> value, CPU_NONE where there is none
    struct cpu_planes **planes;      // tensor -> planes of others that it consists of; NULL: none
    struct cpu_function **functions; // tensor -> table over the bytes of another; NULL: none
    uint32_t *readers;               // tensor -> how many nodes and graph outputs read it
    bool *done;                      // node -> taken in by an earlier one
};

// Lowers one node: 1 done, 0 not for this one, negative errno.
typedef int (*cpu_lower)(struct cpu_compiler *c, const struct sl_node *node);
int cpu_lower_conv(struct cpu_compiler *c, const struct sl_node *node);
int cpu_lower_conv_transpose(struct cpu_compiler *c, const struct sl_node *node);
int cpu_lower_product(struct cpu_compiler *c, const struct sl_node *node);
int cpu_lower_function(struct cpu_compiler *c, const struct sl_node *node);
int cpu_lower_binary(struct cpu_compiler *c, const struct sl_node *node);
int cpu_lower_broadcast(struct cpu_compiler *c, const struct sl_node *node);
int cpu_lower_quantize(struct cpu_compiler *c, const struct sl_node *node);
int cpu_lower_max_pool(struct cpu_compiler *c, const struct sl_node *node);
int cpu_lower_average_pool(struct cpu_compiler *c, const struct sl_node *node);
int cpu_lower_concat(struct cpu_compiler *c, const struct sl_node *node);
int cpu_lower_resize(struct cpu_compiler *c, const struct sl_node *node);
int cpu_lower_resize_linear(struct cpu_compiler *c, const struct sl_node *node);
int cpu_lower_real(struct cpu_compiler *c, const struct sl_node *node);
int cpu_lower_planes(struct cpu_compiler *c, const struct sl_node *node);
int cpu_lower_reference(struct cpu_compiler *c, const struct sl_node *node); // takes everything

static inline const struct sl_tensor *cpu_in(const struct cpu_compiler *c,
                                             const struct sl_node *node, uint32_t index)
{
    if (index >= node->n_inputs || node->inputs[index] == SL_NO_TENSOR)
        return NULL;
    return &c->graph->tensors[node->inputs[index]];
}

static inline const struct sl_tensor *cpu_out(const struct cpu_compiler *c,
                                              const struct sl_node *node)
{
    return &c->graph->tensors[node->outputs[0]];
}

int cpu_no_memory(struct cpu_compiler *c);
// Memory of the program, zeroed; NULL if there is none.
void *cpu_take(struct cpu_compiler *c, size_t count, size_t size);

// Memory that lives for the steps that use it: a tensor's, or scratch. CPU_NONE: no memory.
uint32_t cpu_new_value(struct cpu_compiler *c, size_t bytes);
uint32_t cpu_new_scratch(struct cpu_compiler *c, size_t bytes);
// The value of a tensor that exists already, converted to `layout` where needed.
int cpu_want(struct cpu_compiler *c, uint32_t tensor, enum cpu_layout layout, uint32_t *value);
// A new value for a tensor that the step to come computes.
int cpu_make(struct cpu_compiler *c, uint32_t tensor, enum cpu_layout layout, uint32_t *value);
bool cpu_has(const struct cpu_compiler *c, uint32_t tensor, enum cpu_layout layout);

// Appends a step; NULL: no memory. `state` lives in the program's region.
struct cpu_step *cpu_add_step(struct cpu_compiler *c, const char *node, const char *kernel,
                              const void *state);
// The step added last reads or writes the value.
void cpu_use(struct cpu_compiler *c, uint32_t value);
// The step works by rows of y; the values that it reads are given one by one afterwards, `room` of
// them at most, and none where it cannot run in stripes. 0, -ENOMEM.
int cpu_set_rows(struct cpu_compiler *c, struct cpu_step *step, uint32_t y, int64_t height,
                 uint32_t room);
static inline void cpu_read_rows(struct cpu_step *step, struct cpu_reads reads)
{
    step->rows.reads[step->rows.n_reads++] = reads;
}
// Rows of a window.
static inline struct cpu_reads cpu_pool_rows(uint32_t value, const struct sl_pool_attrs *attrs)
{
    return (struct cpu_reads){.value = value,
                              .stride = attrs->stride[0],
                              .enlarge = 1,
                              .before = attrs->pad[0],
                              .reach = (attrs->kernel[0] - 1) * attrs->dilation[0] + 1};
}
// Rows as they stand: output row i is computed from row i.
static inline struct cpu_reads cpu_same_rows(uint32_t value)
{
    return (struct cpu_reads){.value = value, .stride = 1, .enlarge = 1, .reach = 1};
}

// Bytes of a tensor in NHWC, and whether it can be.
bool cpu_fits_nhwc(const struct sl_tensor *tensor);
size_t cpu_layout_bytes(const struct sl_tensor *tensor, enum cpu_layout layout);
static inline int64_t cpu_round_channels(int64_t channels)
{
    return (channels + CPU_GRANULE - 1) / CPU_GRANULE * CPU_GRANULE;
}

// What the interpreter makes of all 256 values of an 8-bit tensor like x when `node` turns it into
// one like y.
int cpu_fill_table(struct cpu_compiler *c, const struct sl_node *node, const struct sl_tensor *x,
                   const struct sl_tensor *y, uint8_t table[256]);

// How an 8-bit tensor with one scale becomes real numbers, and these its bytes.
struct cpu_quant cpu_make_quant(const struct sl_tensor *t);

// A function that the float32 kernels know; false: not this one.
bool cpu_real_function(const struct sl_activation *f, struct cpu_unary *unary);

// Add of two 8-bit tensors of the same dimensions, one scale each, with no activation but a clamp.
bool cpu_is_plain_sum(const struct cpu_compiler *c, const struct sl_node *node);
struct cpu_add cpu_make_add(const struct sl_tensor *a, const struct sl_tensor *b,
                            const struct sl_tensor *y, const struct sl_activation *activation);

// A value for a tensor that has planes but no value yet, in `layout` or else in the plain one.
int cpu_gather_planes(struct cpu_compiler *c, uint32_t tensor, enum cpu_layout layout,
                      uint32_t *value);

// A value for a tensor that is a function and has no value yet, in `layout` or in NHWC.
int cpu_look_up(struct cpu_compiler *c, uint32_t tensor, enum cpu_layout layout, uint32_t *value);
// Would the tensor, or what it is made of, be there in NHWC without a conversion?
bool cpu_prefers_nhwc(const struct cpu_compiler *c, uint32_t tensor);

// Adds the step that converts a tensor's value between layouts.
int cpu_add_conversion(struct cpu_compiler *c, uint32_t tensor, enum cpu_layout to, uint32_t from,
                       uint32_t value);

#endif
