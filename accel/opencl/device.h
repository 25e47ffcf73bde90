// An open OpenCL device: context, queue, built kernels.
#ifndef SL_ACCEL_OPENCL_DEVICE_H
#define SL_ACCEL_OPENCL_DEVICE_H

#include "accel/opencl/loader.h"
#include "accel/plugin.h"

#include <stdbool.h>

struct ocl_device {
    const struct ocl_api *cl;
    const struct sl_host *host;
    cl_device id;
    cl_context context;
    cl_queue queue;
    cl_program kernels;
    size_t group; // work items of a group that the device can do
    uint64_t max_buffer, memory;
    uint64_t memory_limit; // of one program; option memory_mib
    bool fallback;
    uint64_t errors;
};

int ocl_probe(const struct sl_host *host, struct sl_device_info *devices, uint32_t *count,
              struct sl_error *error);
// Finds the device by number or by a part of its name. -ENOENT: no OpenCL; -ENODEV: no such device,
// or it is not available; -ENOTSUP: it lacks what exact results need.
int ocl_device_open(struct ocl_device *device, const char *name, struct sl_error *error);
// Builds the kernels; `text` is compiled before them where it is not NULL. The driver's own words
// are in the message.
int ocl_device_build(struct ocl_device *device, const char *text, struct sl_error *error);
void ocl_device_close(struct ocl_device *device); // also of what was opened in part

#endif
