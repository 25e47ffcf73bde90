// The `isolated` back end: another back end in a child process, sightline-accel-host, whose crash
// or hang the camera survives.
//
//     isolated:BACKEND[,OPTIONS of it][,isolated.memory_mib=N][,isolated.user=NAME]
//                     [,isolated.start_ms=T][,isolated.program=PATH]
//
// Tensors live in a memfd that both processes map: nothing is copied. The child has no rights
// beyond its user's (nobody, where the camera is root), at most memory_mib (2048) of private
// memory, and once the back end is open it can open no file, no socket and start no program.
//
// `wait` returns by its deadline. A child that has not answered shortly before is killed, one that
// has ended is noticed at once; either is replaced in the background and gets its programs back.
// Until then `submit` returns -ENODEV with the cause. `reset` waits for that, at most start_ms
// (10000), and replaces a child whose last run failed.
#ifndef SL_ACCEL_ISOLATED_ISOLATED_H
#define SL_ACCEL_ISOLATED_ISOLATED_H

#include "accel/plugin.h"

#include <sys/types.h>

extern const struct sl_backend sl_isolated_backend;

// For tests and status: the child's process number, 0 while there is none.
pid_t sl_isolated_child(void *device);

#endif
