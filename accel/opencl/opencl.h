// The `opencl` back end: networks on GPUs through OpenCL 1.2, no optional feature.
//
// Options: memory_mib=N (a program that needs more buffers is refused), fallback=yes|no (operators
// that have no kernel run in the reference interpreter on the host; default no: they are refused by
// the node's name). Devices: "0", "1" … over all drivers, or a part of the device's name.
//
// Every quantised result is the reference's byte for byte: sums are integers, each product and
// rounding after them is single precision without contraction, and functions are tables that the
// reference filled. Real results differ by the order of sums. A device that cannot round to nearest
// is refused.
//
// submit copies the inputs and only queues commands; wait sleeps until the driver calls back or the
// deadline comes. What a driver does wrong inside a call of its own is for `isolated` to survive.
#ifndef SL_ACCEL_OPENCL_OPENCL_H
#define SL_ACCEL_OPENCL_OPENCL_H

#include "accel/plugin.h"

extern const struct sl_backend sl_opencl_backend;

#endif
