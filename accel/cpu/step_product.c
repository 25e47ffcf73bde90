// Steps for Gemm and MatMul with constant weights: a convolution of 1 x 1 over rows as pixels.
#include "accel/cpu/conv.h"

#include <string.h>

struct product {
    struct conv conv;
    uint32_t y; // where rows stand without padding; conv.y if they have none
    size_t row_bytes;
};

static int run_product(const struct cpu_program *program, const struct cpu_step *step,
                       uint32_t part, uint32_t parts, struct sl_error *error)
{
    const struct product *p = step->state;
    const struct conv *conv = &p->conv;
    (void)part;
    (void)parts;
    (void)error;
    unsigned char *wide = cpu_data(program, conv->y), *y = cpu_data(program, p->y);
    struct conv_memory memory = {cpu_data(program, conv->x), NULL, wide,
                                 cpu_data(program, conv->scratch)};
    conv->run_rows(conv, &memory, 0, 0, 1);
    size_t wide_bytes = (size_t)conv->out_padded * conv->y_element;
    for (int64_t i = 0; y != wide && i < conv->out[1]; i++)
        memcpy(y + (size_t)i * p->row_bytes, wide + (size_t)i * wide_bytes, p->row_bytes);
    return 0;
}

struct matrix {
    const struct sl_tensor *tensor;
    int64_t k_stride, n_stride;
};

static float weight_at(const void *ctx, int64_t o, int64_t c, int64_t ky, int64_t kx)
{
    const struct matrix *m = ctx;
    (void)ky;
    (void)kx;
    return cpu_weight(m->tensor, c * m->k_stride + o * m->n_stride, o);
}

// Rows times a constant matrix, with a bias for each column or none.
static bool fits(const struct cpu_compiler *c, const struct sl_node *node)
{
    const struct sl_tensor *a = cpu_in(c, node, 0), *b = cpu_in(c, node, 1);
    const struct sl_tensor *bias = cpu_in(c, node, 2), *y = cpu_out(c, node);
    const struct sl_gemm_attrs *gemm = &node->attrs.gemm;
    if (node->op == SL_OP_GEMM &&
        (gemm->trans_a || gemm->alpha != 1.0f || (bias && gemm->beta != 1.0f)))
        return false;
    if (a->rank < 2 || b->rank != 2 || !b->data || sl_elements(y) == 0 || sl_elements(b) == 0)
        return false;
    return !bias || (bias->data && bias->rank == 1 && bias->dims[0] == y->dims[y->rank - 1]);
}

static void set_geometry(const struct cpu_compiler *c, const struct sl_node *node,
                         struct conv *conv)
{
    const struct sl_tensor *a = cpu_in(c, node, 0), *y = cpu_out(c, node);
    int64_t inner = a->dims[a->rank - 1], rows = sl_elements(a) / inner;
    *conv = (struct conv){.kernels = c->kernels,
                          .x_layout = CPU_NHWC, // rows of values, as pixels of channels
                          .x_dtype = a->dtype,
                          .x_zero = sl_is_quantised(a) ? a->quant.zero_point[0] : 0,
                          .n = 1,
                          .group = 1,
                          .channels = inner,
                          .padded = inner,
                          .in = {1, rows},
                          .out = {1, rows},
                          .kernel = {1, 1},
                          .stride = {1, 1},
                          .dilation = {1, 1},
                          .out_channels = y->dims[y->rank - 1],
                          .y_element = sl_dtype_size(y->dtype)};
}

static int add_step(struct cpu_compiler *c, const struct sl_node *node, struct product *p)
{
    struct conv *conv = &p->conv;
    int status = cpu_want(c, node->inputs[0], CPU_PLAIN, &conv->x);
    if (status == 0)
        status = cpu_make(c, node->outputs[0], CPU_PLAIN, &p->y);
    if (status)
        return status;
    p->row_bytes = (size_t)conv->out_channels * conv->y_element;
    conv->scratch = cpu_new_scratch(c, conv_scratch_bytes(conv));
    conv->y = p->y;
    if (conv->out_padded != conv->out_channels)
        conv->y = cpu_new_value(c, (size_t)(conv->out[1] * conv->out_padded) * conv->y_element);
    struct cpu_step *step = cpu_add_step(c, node->name, "product", p);
    if (conv->scratch == CPU_NONE || conv->y == CPU_NONE || !step)
        return cpu_no_memory(c);
    step->run = run_product;
    step->serial = true;
    step->macs = (uint64_t)(conv->out[1] * conv->channels * conv->out_channels);
    step->left_out = conv_left_out(conv, step->macs);
    cpu_use(c, conv->x);
    cpu_use(c, conv->scratch);
    cpu_use(c, conv->y);
    cpu_use(c, p->y);
    return 1;
}

int cpu_lower_product(struct cpu_compiler *c, const struct sl_node *node)
{
    if ((node->op != SL_OP_GEMM && node->op != SL_OP_MATMUL) || !fits(c, node))
        return 0;
    struct product *p = cpu_take(c, 1, sizeof(*p));
    if (!p)
        return cpu_no_memory(c);
    bool turned = node->op == SL_OP_GEMM && node->attrs.gemm.trans_b;
    const struct sl_tensor *b = cpu_in(c, node, 1);
    set_geometry(c, node, &p->conv);
    if (!cpu_conv_kind(c, node, turned ? 0 : 1, &p->conv.kind) || !conv_layout(&p->conv))
        return 0;
    struct matrix matrix = {b, turned ? 1 : b->dims[1], turned ? b->dims[1] : 1};
    int status = cpu_conv_constants(c, node, &p->conv, weight_at, &matrix);
    return status ? status : add_step(c, node, p);
}
