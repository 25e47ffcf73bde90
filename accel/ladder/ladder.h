// The `ladder` back end: an ordered list of back ends, of which the first that is well answers.
//
//     ladder:BACKEND[,OPTIONS of it]|BACKEND[,…]|…[,ladder.OPTION=…]
//
// for example "ladder:isolated:onnxruntime,provider=QNN|cpu,threads=2". The last one is the last
// resort and the measure of the others; it must open.
//
// A run that fails or is late on one step goes on the next within the same deadline: what the next
// one needs, as measured, is kept back. After ladder.strikes (3) failures in a row, or at once when
// the device is gone, a step is taken out, reset or opened anew in the background, and comes back
// when it gives the last resort's answer to a made-up input; else it is tried again after
// ladder.retry_ms (1000), then after twice as long, up to a minute.
//
// ladder.deadline_ms in a step's options: the most that a run may take there. ladder.cross_check=N:
// one run in N is done on the last step, too; where they differ by more than
// ladder.tolerance_permille (10) of 1 + |number|, that is an alarm, the last step's answer counts,
// and the step is taken out. It is left out where the deadline is too near; but with N = 1 no
// answer counts that the last step has not confirmed.
//
// Steps that promise to be punctual (SL_TRAIT_PUNCTUAL: cpu, isolated) read and write the caller's
// tensors from the caller's thread. Each other one has a thread and tensors of its own, because it
// may hang in a call or write late; inputs and outputs are copied for it. One that never returns
// costs its thread and its memory, once.
#ifndef SL_ACCEL_LADDER_LADDER_H
#define SL_ACCEL_LADDER_LADDER_H

#include "accel/plugin.h"

extern const struct sl_backend sl_ladder_backend;

#endif
