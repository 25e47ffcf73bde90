// Runs a program: queues its steps, waits, and goes on after what ran on the host.
#include "accel/opencl/program.h"

#include <errno.h>
#include <string.h>

static int32_t queue_ports(struct ocl_program *p)
{
    const struct ocl_device *d = p->device;
    int32_t why = CL_SUCCESS;
    for (uint32_t i = 0; why == CL_SUCCESS && i < p->n_outputs; i++)
        if (p->outputs[i].bytes > 0)
            why = d->cl->read(d->queue, p->slots[p->outputs[i].slot].memory, 0, 0,
                              p->outputs[i].bytes, p->outputs[i].staging, 0, NULL, NULL);
    return why;
}

int ocl_queue_steps(struct ocl_program *p, struct sl_error *error)
{
    const struct ocl_device *d = p->device;
    int32_t why = CL_SUCCESS;
    for (; p->next_step < p->n_steps && p->steps[p->next_step].kernel; p->next_step++) {
        const struct ocl_step *step = &p->steps[p->next_step];
        why = d->cl->run(d->queue, step->handle, 3, NULL, step->global, step->local, 0, NULL, NULL);
        if (why != CL_SUCCESS)
            return ocl_fail(error, why, step->node);
    }
    why = p->next_step < p->n_steps ? ocl_host_queue_reads(p, &p->steps[p->next_step])
                                    : queue_ports(p);
    if (why != CL_SUCCESS)
        return ocl_fail(error, why, "reading back");
    return ocl_signal_ask(p->device, p->signal, error);
}

int ocl_start(struct ocl_program *p, struct sl_error *error)
{
    const struct ocl_device *d = p->device;
    for (uint32_t i = 0; i < p->n_inputs; i++) {
        const struct ocl_port *port = &p->inputs[i];
        memcpy(port->staging, port->bound, port->bytes);
        const int32_t why = port->bytes ? d->cl->write(d->queue, p->slots[port->slot].memory, 0, 0,
                                                       port->bytes, port->staging, 0, NULL, NULL)
                                        : CL_SUCCESS;
        if (why != CL_SUCCESS)
            return ocl_fail(error, why, "writing inputs");
    }
    p->next_step = 0;
    return ocl_queue_steps(p, error);
}

int ocl_finish(struct ocl_program *p, int64_t deadline_ns, struct sl_error *error)
{
    int status = ocl_signal_wait(p->signal, deadline_ns, error);
    while (status == 0 && p->next_step < p->n_steps) {
        status = ocl_host_run(p, &p->steps[p->next_step], error);
        p->next_step++;
        if (status == 0)
            status = ocl_queue_steps(p, error);
        if (status == 0)
            status = ocl_signal_wait(p->signal, deadline_ns, error);
    }
    for (uint32_t i = 0; status == 0 && i < p->n_outputs; i++)
        memcpy(p->outputs[i].bound, p->outputs[i].staging, p->outputs[i].bytes);
    return status;
}
