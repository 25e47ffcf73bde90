// The reference interpreter: chooses how a node runs, with quantised operands as they are or
// through float32.
#include "accel/reference_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int (*const runners[])(const struct ref *) = {
    [SL_OP_CONV] = ref_conv,
    [SL_OP_CONV_TRANSPOSE] = ref_conv_transpose,
    [SL_OP_GEMM] = ref_gemm,
    [SL_OP_MATMUL] = ref_matmul,
    [SL_OP_MAX_POOL] = ref_max_pool,
    [SL_OP_AVERAGE_POOL] = ref_average_pool,
    [SL_OP_REDUCE] = ref_reduce,
    [SL_OP_ARG_MAX] = ref_arg_max,
    [SL_OP_TOP_K] = ref_top_k,
    [SL_OP_UNARY] = ref_unary_node,
    [SL_OP_BINARY] = ref_binary,
    [SL_OP_WHERE] = ref_where,
    [SL_OP_CAST] = ref_cast,
    [SL_OP_CLIP] = ref_clip,
    [SL_OP_PRELU] = ref_prelu,
    [SL_OP_SOFTMAX] = ref_softmax,
    [SL_OP_BATCH_NORM] = ref_batch_norm,
    [SL_OP_QUANTIZE] = ref_copy,
    [SL_OP_DEQUANTIZE] = ref_copy,
    [SL_OP_RESHAPE] = ref_copy,
    [SL_OP_TRANSPOSE] = ref_transpose,
    [SL_OP_CONCAT] = ref_concat,
    [SL_OP_SLICE] = ref_slice,
    [SL_OP_PAD] = ref_pad,
    [SL_OP_GATHER] = ref_gather,
    [SL_OP_EXPAND] = ref_expand,
    [SL_OP_TILE] = ref_tile,
    [SL_OP_RESIZE] = ref_resize,
    [SL_OP_DEPTH_TO_SPACE] = ref_depth_to_space,
    [SL_OP_SPACE_TO_DEPTH] = ref_space_to_depth,
};

static bool any_quantised(const struct ref *ref)
{
    const struct sl_node *node = ref->view.node;
    for (uint32_t i = 0; i < node->n_inputs; i++)
        if (ref_in(ref, i) && sl_is_quantised(ref_in(ref, i)))
            return true;
    for (uint32_t i = 0; i < node->n_outputs; i++)
        if (sl_is_quantised(ref_out(ref, i)))
            return true;
    return false;
}

// Operators that hand values on unchanged may do so with their quantised form.
static bool moves_values(const struct sl_node *node)
{
    switch (node->op) {
    case SL_OP_MAX_POOL:
    case SL_OP_RESHAPE:
    case SL_OP_TRANSPOSE:
    case SL_OP_CONCAT:
    case SL_OP_SLICE:
    case SL_OP_PAD:
    case SL_OP_GATHER:
    case SL_OP_EXPAND:
    case SL_OP_TILE:
    case SL_OP_DEPTH_TO_SPACE:
    case SL_OP_SPACE_TO_DEPTH:
        return true;
    case SL_OP_RESIZE:
        return node->attrs.resize.mode == SL_RESIZE_NEAREST &&
               node->attrs.resize.coordinates != SL_RESIZE_TF_CROP_AND_RESIZE;
    default:
        return false;
    }
}

static bool same_quantisation(const struct ref *ref)
{
    const struct sl_node *node = ref->view.node;
    uint32_t n_values = node->op == SL_OP_CONCAT ? node->n_inputs : 1;
    for (uint32_t i = 0; i < n_values; i++)
        if (!sl_same_quant(ref_in(ref, i), ref_out(ref, 0)))
            return false;
    return node->activation.kind == SL_ACT_NONE;
}

static bool runs_on_integers(const struct ref *ref)
{
    const struct sl_node *node = ref->view.node;
    const struct sl_tensor *x = ref_in(ref, 0), *y = ref_out(ref, 0);
    switch (node->op) {
    case SL_OP_CONV:
        return ref_is_integer_product(ref, 0);
    case SL_OP_CONV_TRANSPOSE:
        return ref_is_integer_product(ref, 1) &&
               (ref_in(ref, 1)->quant.count == 1 || node->attrs.conv.group == 1);
    case SL_OP_GEMM:
        return node->attrs.gemm.alpha == 1.0f &&
               (!ref_in(ref, 2) || node->attrs.gemm.beta == 1.0f) &&
               ref_is_integer_product(ref, node->attrs.gemm.trans_b ? 0 : 1);
    case SL_OP_MATMUL:
        return ref_is_integer_product(ref, ref_in(ref, 1)->rank > 1 ? ref_in(ref, 1)->rank - 1
                                                                    : SL_MAX_RANK);
    case SL_OP_BINARY:
        return ref_is_quantised_pair(ref);
    case SL_OP_AVERAGE_POOL:
        return x->quant.count == 1 && y->quant.count == 1 && sl_is_8bit(x) && sl_is_8bit(y) &&
               node->activation.kind == SL_ACT_NONE;
    default:
        return moves_values(node) && same_quantisation(ref);
    }
}

// The layout of the scratch memory with which quantised operands become float32: the node's
// tensors and addresses anew, then their contents.
struct float_copy {
    struct sl_tensor *tensors;
    void **data;
    uint32_t *numbers;
    uint32_t count;
    size_t head; // bytes before the first contents
};

static uint32_t operand(const struct sl_node *node, uint32_t i)
{
    return i < node->n_inputs ? node->inputs[i] : node->outputs[i - node->n_inputs];
}

static size_t round_up(size_t bytes)
{
    return (bytes + 63) & ~(size_t)63;
}

static size_t head_bytes(uint32_t count)
{
    return round_up(count * (sizeof(struct sl_tensor) + sizeof(void *) + sizeof(uint32_t)));
}

static size_t float_bytes(const struct sl_tensor *tensor)
{
    return round_up((size_t)sl_elements(tensor) * sizeof(float));
}

size_t sl_reference_scratch(const struct sl_tensor *tensors, const struct sl_node *node)
{
    struct ref ref = {{tensors, node, NULL}, NULL};
    if (!any_quantised(&ref) || runs_on_integers(&ref))
        return 0;
    uint32_t count = node->n_inputs + node->n_outputs;
    size_t bytes = head_bytes(count);
    for (uint32_t i = 0; i < count; i++)
        if (operand(node, i) != SL_NO_TENSOR && sl_is_quantised(&tensors[operand(node, i)]))
            bytes += float_bytes(&tensors[operand(node, i)]);
    return bytes;
}

static struct float_copy make_float_copy(const struct ref *ref, unsigned char *scratch)
{
    const struct sl_node *node = ref->view.node;
    struct float_copy copy = {.count = node->n_inputs + node->n_outputs};
    copy.tensors = (struct sl_tensor *)scratch;
    copy.data = (void **)(copy.tensors + copy.count);
    copy.numbers = (uint32_t *)(copy.data + copy.count);
    unsigned char *contents = scratch + head_bytes(copy.count);
    for (uint32_t i = 0; i < copy.count; i++) {
        uint32_t number = operand(node, i);
        copy.numbers[i] = number == SL_NO_TENSOR ? SL_NO_TENSOR : i;
        if (number == SL_NO_TENSOR)
            continue;
        const struct sl_tensor *tensor = &ref->view.tensors[number];
        copy.tensors[i] = *tensor;
        copy.data[i] = ref->data[number];
        if (!sl_is_quantised(tensor))
            continue;
        copy.tensors[i].dtype = SL_F32;
        copy.tensors[i].quant.count = 0;
        copy.data[i] = contents;
        contents += float_bytes(tensor);
        if (i < node->n_inputs)
            ref_dequantise_all(tensor, ref_src(ref, i), copy.data[i]);
    }
    return copy;
}

static void activate(const struct ref *ref)
{
    const struct sl_activation *activation = &ref->view.node->activation;
    if (activation->kind == SL_ACT_NONE)
        return;
    float *y = ref_dst(ref, 0);
    int64_t count = sl_elements(ref_out(ref, 0));
    for (int64_t i = 0; i < count; i++)
        y[i] = sl_activate(activation, y[i]);
}

static int run_plain(const struct ref *ref)
{
    int status = runners[ref->view.node->op](ref);
    if (status == 0)
        activate(ref);
    return status;
}

static int run_as_float(const struct ref *ref, void *scratch)
{
    const struct sl_node *node = ref->view.node;
    struct float_copy copy = make_float_copy(ref, scratch);
    struct sl_node shadow = *node;
    shadow.inputs = copy.numbers;
    shadow.outputs = copy.numbers + node->n_inputs;
    struct ref inner = {{copy.tensors, &shadow, ref->view.error}, copy.data};
    int status = run_plain(&inner);
    for (uint32_t i = 0; status == 0 && i < node->n_outputs; i++)
        if (sl_is_quantised(ref_out(ref, i)))
            ref_quantise_all(ref_out(ref, i), copy.data[node->n_inputs + i], ref_dst(ref, i));
    return status;
}

int sl_reference_run_in(const struct sl_tensor *tensors, const struct sl_node *node,
                        void *const *data, void *scratch, struct sl_error *error)
{
    struct ref ref = {{tensors, node, error}, data};
    if (!any_quantised(&ref))
        return run_plain(&ref);
    if (runs_on_integers(&ref)) // they apply their activation themselves
        return runners[node->op](&ref);
    return run_as_float(&ref, scratch);
}

int sl_reference_run(const struct sl_tensor *tensors, const struct sl_node *node, void *const *data,
                     struct sl_error *error)
{
    int status = sl_node_check(tensors, node, error);
    if (status)
        return status;
    size_t bytes = sl_reference_scratch(tensors, node);
    void *scratch = bytes ? malloc(bytes) : NULL;
    if (bytes && !scratch)
        return sl_error_set(error, -ENOMEM, "node '%s': no memory for %zu bytes", node->name,
                            bytes);
    status = sl_reference_run_in(tensors, node, data, scratch, error);
    free(scratch);
    return status;
}
