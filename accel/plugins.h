// Back ends in shared objects: every NAME.so of one folder, in the order of their names.
#ifndef SL_ACCEL_PLUGINS_H
#define SL_ACCEL_PLUGINS_H

#include "accel/error.h"

// Called for a plug-in that is not taken, with its file's name and why.
typedef void (*sl_plugin_problem)(void *ctx, const char *file, const char *message);

// Registers what the plug-ins of `folder` offer. They stay loaded. The folder and each file must
// belong to root or to this process's user and must not be writable by others; what was checked is
// what is loaded. -EINVAL: the path is not absolute or the folder is not safe; -ENOENT: there is
// none.
int sl_plugins_load(const char *folder, sl_plugin_problem problem, void *ctx,
                    struct sl_error *error);

#endif
