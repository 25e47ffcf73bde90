// The `fault` back end: another back end with failures by script or by chance, for tests.
//
//     fault:BACKEND[,OPTIONS of it][,fault.script=RULE+RULE…]
//     fault:BACKEND[,…],fault.random=N[,fault.seed=S][,fault.kinds=ACTION+ACTION…][,fault.ms=T]
//
// RULE is CALL@WHEN:ACTION[:NUMBER]. The calls are open, compile, bind, submit, wait, health and
// reset, counted from 1 for each device (open: for each script in this process). WHEN is N, N-M
// (both included), N/P (N and every P-th after it) or *.
//   fail      the call returns -EIO
//   lost[:N]  the device is gone: -ENODEV from every call until the N-th reset (default 1)
//   delay:T   the work takes T ms longer; `wait` keeps its deadline, and the work goes on behind it
//   hang      the work never ends until reset; `wait` keeps its deadline
//   stuck:T   the call does not return for T ms, whatever its deadline is
//   wrong     the work succeeds with other numbers in the first output
//   crash     the process ends by SIGABRT
// delay, hang and wrong are for `wait` alone. With random=N about one run in N gets one of `kinds`
// (default: all but crash), drawn from the seed (default 1); fault.ms (default 30) is the time of
// delay and stuck. fault.vary=1 adds the process number to the seed, so that each child of an
// isolated device fails in its own order.
#ifndef SL_ACCEL_FAULT_FAULT_H
#define SL_ACCEL_FAULT_FAULT_H

#include "accel/plugin.h"

extern const struct sl_backend sl_fault_backend;

#endif
