// Nodes that run in the reference interpreter on the host, between steps on the device.
#include "accel/opencl/program.h"

#include "accel/reference.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MAX_OPERANDS 16

struct ocl_host_node {
    struct sl_node node;
    uint32_t n; // operands: inputs, then outputs
    struct sl_tensor tensors[MAX_OPERANDS];
    uint32_t numbers[MAX_OPERANDS], slots[MAX_OPERANDS];
    void *data[MAX_OPERANDS]; // owned
    void *quant[MAX_OPERANDS];
    char name[64];
};

void ocl_host_free(struct ocl_host_node *host)
{
    for (uint32_t i = 0; host && i < host->n; i++) {
        free(host->data[i]);
        free(host->quant[i]);
    }
    free(host);
}

// Scales and zero points live only during the compilation.
static bool keep_quant(struct ocl_host_node *host, uint32_t i, const struct sl_quant *quant)
{
    const size_t n = quant->count;
    if (n == 0)
        return true;
    float *scales = malloc(n * (sizeof(float) + sizeof(int32_t)));
    if (!scales)
        return false;
    int32_t *zeros = (int32_t *)(void *)(scales + n);
    memcpy(scales, quant->scale, n * sizeof(*scales));
    memcpy(zeros, quant->zero_point, n * sizeof(*zeros));
    host->tensors[i].quant.scale = scales;
    host->tensors[i].quant.zero_point = zeros;
    host->quant[i] = scales;
    return true;
}

static bool keep_operand(struct ocl_compiler *c, struct ocl_host_node *host, uint32_t i,
                         uint32_t tensor, bool output)
{
    host->numbers[i] = tensor == SL_NO_TENSOR ? SL_NO_TENSOR : i;
    host->slots[i] = UINT32_MAX;
    if (tensor == SL_NO_TENSOR)
        return true;
    const struct sl_tensor *t = &c->graph->tensors[tensor];
    host->tensors[i] = *t;
    host->data[i] = calloc(1, (size_t)t->bytes + 1);
    if (!host->data[i] || !keep_quant(host, i, &t->quant))
        return false;
    if (t->data)
        memcpy(host->data[i], t->data, (size_t)t->bytes);
    else
        host->slots[i] = output ? ocl_write_slot(c, tensor) : ocl_read_slot(c, tensor);
    host->tensors[i].data = NULL;
    return true;
}

int ocl_lower_host(struct ocl_compiler *c, const struct sl_node *node)
{
    const uint32_t n = node->n_inputs + node->n_outputs;
    if (n > MAX_OPERANDS)
        return ocl_refuse(c, node, "so many operands");
    struct ocl_host_node *host = calloc(1, sizeof(*host));
    struct ocl_step *step = host ? ocl_add_step(c, NULL, 0, 0, 0) : NULL;
    if (!step) {
        free(host);
        return ocl_no_memory(c);
    }
    step->host = host;
    host->n = n;
    host->node = *node;
    memcpy(host->name, step->node, sizeof(host->name));
    host->node.name = host->name;
    host->node.inputs = host->numbers;
    host->node.outputs = host->numbers + node->n_inputs;
    c->program->n_host++;
    for (uint32_t i = 0; i < n; i++) {
        const bool output = i >= node->n_inputs;
        if (!keep_operand(c, host, i, output ? node->outputs[i - node->n_inputs] : node->inputs[i],
                          output))
            return ocl_no_memory(c);
    }
    return 0;
}

int ocl_host_queue_reads(struct ocl_program *p, struct ocl_step *step)
{
    struct ocl_host_node *host = step->host;
    int32_t why = CL_SUCCESS;
    for (uint32_t i = 0; why == CL_SUCCESS && i < host->node.n_inputs; i++)
        if (host->slots[i] != UINT32_MAX && host->tensors[i].bytes > 0)
            why = p->device->cl->read(p->device->queue, p->slots[host->slots[i]].memory, 0, 0,
                                      (size_t)host->tensors[i].bytes, host->data[i], 0, NULL, NULL);
    return why;
}

int ocl_host_run(struct ocl_program *p, struct ocl_step *step, struct sl_error *error)
{
    struct ocl_host_node *host = step->host;
    const int status = sl_reference_run(host->tensors, &host->node, host->data, error);
    int32_t why = CL_SUCCESS;
    for (uint32_t i = host->node.n_inputs; status == 0 && why == CL_SUCCESS && i < host->n; i++)
        if (host->tensors[i].bytes > 0)
            why =
                p->device->cl->write(p->device->queue, p->slots[host->slots[i]].memory, 0, 0,
                                     (size_t)host->tensors[i].bytes, host->data[i], 0, NULL, NULL);
    return why == CL_SUCCESS ? status : ocl_fail(error, why, step->node);
}
