// Inside of accel/isolated: what the child gives up before it touches a network.
#ifndef SL_ACCEL_ISOLATED_CONFINE_H
#define SL_ACCEL_ISOLATED_CONFINE_H

#include "accel/error.h"

#include <stdint.h>

// To be called before the back end is opened: the process dies with its parent, gains no rights,
// leaves no core, and where it is root it has no network and becomes `user` (a name or number; NULL
// or "": nobody). -EINVAL: no such user.
int confine_rights(const char *user, struct sl_error *error);

// To be called after the back end is opened: from then on no file, no socket, no program and no
// process can be opened or started, by any thread, and no more than `memory_mib` of private memory
// be taken. What is not allowed returns EPERM.
int confine_calls(uint64_t memory_mib, struct sl_error *error);

#endif
