// The OpenCL library of this machine, loaded at run time.
#ifndef SL_ACCEL_OPENCL_LOADER_H
#define SL_ACCEL_OPENCL_LOADER_H

#include "accel/error.h"
#include "accel/opencl/cl_api.h"

// libOpenCL.so.1, the loader that finds the drivers, or the library that the environment variable
// SIGHTLINE_OPENCL names. Loaded once and kept. -ENOENT: there is none; -EINVAL: it lacks a
// function. Any thread.
int ocl_load(const struct ocl_api **out, struct sl_error *error);

// What ocl_load hands out from now on instead; NULL: the library again. For tests, which put
// functions of theirs between the back end and the driver.
void ocl_substitute(const struct ocl_api *api);

// Sets "DOING: OpenCL: NAME OF THE STATUS (number)" and returns the errno for it: -ENOMEM, -ENODEV
// where the device is gone, otherwise -EIO.
int ocl_fail(struct sl_error *error, int32_t status, const char *doing);

#endif
